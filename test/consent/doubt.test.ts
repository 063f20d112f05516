import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  type ConsentRequest,
  type ConsentResource,
  type Rule,
} from "../../src/consent/index.ts";
import { diceOf, tripleOf, type Dice } from "./random.ts";
import { decide, deny, filed, permit, sensitivity } from "./support.ts";
import { cases } from "../support/share.ts";

/** The record with something about it not known. */
function lessKnown(record: ConsentResource, dice: Dice): ConsentResource {
  const known: { -readonly [K in keyof ConsentResource]: ConsentResource[K] } = { ...record };
  const forget: readonly (() => void)[] = [
    () => (known.labels = null),
    () => (known.labels = record.labels && { ...record.labels, stamp: null }),
    () => (known.codes = []),
    () => (known.period = {}),
    () => (known.jurisdictions = []),
    () => delete known.authors,
    () => delete known.references,
    () => delete known.referredBy,
    () => delete known.controller,
    () => delete known.id,
  ];
  for (const one of forget) if (dice.chance(0.25)) one();
  return known;
}

/** The request with something about who asks not stated. */
function lessStated(request: ConsentRequest, dice: Dice): ConsentRequest {
  const { user, roles, client, ...rest } = request;
  return {
    ...rest,
    ...(user !== undefined && dice.chance(0.7) ? { user } : {}),
    ...(roles !== undefined && dice.chance(0.7) ? { roles } : {}),
    ...(client !== undefined && dice.chance(0.7) ? { client } : {}),
  };
}

// A law of three truth values: whatever the answer turns out to be, what is permitted without it is
// permitted with it, under every duty, and what is never to be opened stays so.

const PURPOSES = ["TREAT"];
const ask = (
  root: Rule,
  about: Partial<ConsentResource>,
  supportedObligations: readonly string[] = [],
) =>
  decide({
    it: "",
    given: [filed("a", { root })],
    asked: { purposes: PURPOSES },
    about,
    supportedObligations,
    then: "permit",
  });

describe("a duty that may apply", () => {
  const root = permit(
    {},
    {
      id: "care",
      rules: [
        permit(
          { data: { labels: [sensitivity("PSY")] } },
          { id: "psychiatry", obligations: ["DELAU"] },
        ),
      ],
    },
  );
  it("binds where another rule permits", () => {
    const unlabelled = { labels: null };
    expect(ask(root, unlabelled).outcome).toBe("deny");
    expect(ask(root, unlabelled, ["DELAU"])).toMatchObject({
      outcome: "permit",
      obligations: ["DELAU"],
    });
    expect(ask(root, {})).toMatchObject({ outcome: "permit", obligations: [] });
  });
});

describe("a role, where no user is named", () => {
  it("may be his", () => {
    const root = permit({}, { id: "care", rules: [deny({ roles: ["psychiatrist"] })] });
    const given = [filed("a", { root })];
    expect(
      decide({ it: "", given, asked: { user: undefined! }, then: "indeterminate" }).outcome,
    ).toBe("indeterminate");
    expect(decide({ it: "", given, then: "permit" }).outcome).toBe("permit");
  });
});

describe("what is not known", () => {
  it("opens nothing that is refused once it is known", () => {
    let permitted = 0;
    const wrong: unknown[] = [];
    const seeds = cases(3_000, 5);
    for (let seed = 0; seed < seeds; seed++) {
      const { snapshot, request, resource, asOf, supportedObligations } = tripleOf(seed);
      const dice = diceOf(seed + 7_000_000);
      const consent = compileDirectives(snapshot);
      const known = consent.evaluate(request, resource, asOf, { supportedObligations });
      const asked = dice.chance(0.5) ? request : lessStated(request, dice);
      const less = lessKnown(resource, dice);
      const doubted = consent.evaluate(asked, less, asOf, { supportedObligations });
      if (doubted.outcome === "permit") {
        permitted++;
        if (known.outcome !== "permit") wrong.push([seed, known.outcome]);
      }
      if (known.breakGlass === "never" && doubted.breakGlass !== "never")
        wrong.push([seed, "glass", doubted.breakGlass]);
    }
    expect(wrong).toEqual([]);
    expect(permitted).toBeGreaterThan(seeds / 30);
  });
});
