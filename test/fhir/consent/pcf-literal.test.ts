import { describe, expect, it } from "vitest";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import { diceOf, type Dice } from "../../consent/random.ts";
import {
  compile,
  purpose,
  r4,
  recipient,
  requestOf,
  resourceOf,
  sensitivity,
  stamp,
} from "./support.ts";
import { cases } from "../../support/share.ts";

// IHE PCF read to the letter, for what is stated and without orders of confidentiality: an exception
// has the attributes of the base but for those that it restates; exceptions decide before the base,
// and among them a refusal before a permission; where neither has anything to say, it is refused.

interface Provision {
  readonly type: "permit" | "deny";
  readonly purpose?: readonly string[];
  readonly labels?: readonly string[];
  readonly actor?: readonly string[];
  readonly dataPeriod?: { readonly start?: string; readonly end?: string };
  readonly author?: string;
}
interface Question {
  readonly purpose: string;
  readonly user: string;
  readonly labels: readonly string[];
  readonly day: string;
  readonly author: string;
}

const few = (dice: Dice, ...from: readonly string[]): string[] => [
  ...new Set([dice.pick(...from), dice.pick(...from)]),
];

function provisionOf(dice: Dice): Provision {
  const period = dice.pick({ start: "2022-01-01" }, { end: "2022-06-30" }, { start: "2023-01-01" });
  return {
    type: dice.pick("permit", "deny"),
    ...(dice.chance(0.4) ? { purpose: few(dice, "TREAT", "HPAYMT", "HMARKT") } : {}),
    ...(dice.chance(0.4) ? { labels: few(dice, "PSY", "HIV", "GDIS") } : {}),
    ...(dice.chance(0.3) ? { actor: few(dice, "Practitioner/a", "Practitioner/b") } : {}),
    ...(dice.chance(0.3) ? { dataPeriod: period } : {}),
    ...(dice.chance(0.2) ? { author: dice.pick("Practitioner/x", "Practitioner/y") } : {}),
  };
}

function matches(one: Provision, { purpose: why, user, labels, day, author }: Question): boolean {
  const { start = "", end = "9999" } = one.dataPeriod ?? {};
  return (
    (one.purpose?.includes(why) ?? true) &&
    (one.labels?.some((label) => labels.includes(label)) ?? true) &&
    (one.actor?.includes(user) ?? true) &&
    day >= start &&
    day <= end &&
    (one.author === undefined || one.author === author)
  );
}

function literally(base: Provision, exceptions: readonly Provision[], asked: Question): boolean {
  const speaking = exceptions
    .map((one) => ({ ...base, ...one }))
    .filter((one) => matches(one, asked))
    .map(({ type }) => type);
  if (speaking.includes("deny")) return false;
  if (speaking.includes("permit")) return true;
  return matches(base, asked) && base.type === "permit";
}

const written = ({ type, purpose: why, labels, actor, dataPeriod, author }: Provision) => ({
  type,
  ...(why && { purpose: why.map(purpose) }),
  ...(labels && { securityLabel: labels.map(sensitivity) }),
  ...(actor && { actor: actor.map(recipient) }),
  ...(dataPeriod && { dataPeriod }),
  ...(author && { data: [{ meaning: "authoredby", reference: { reference: author } }] }),
});

describe("r4-pcf", () => {
  it("decides as IHE's prose does, of random consents", () => {
    const seen = { permit: 0, refuse: 0, restating: 0 };
    const seeds = cases(800, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const base = provisionOf(dice);
      const exceptions = Array.from({ length: dice.below(4) }, () => provisionOf(dice));
      const restates = exceptions.some((one) =>
        Object.keys(one).some((key) => key !== "type" && key in base),
      );
      if (restates) seen.restating++;
      const nested = exceptions.map(written);
      const provision = { ...written(base), ...(nested.length > 0 && { provision: nested }) };
      const { directive } = fromConsent(r4({ provision }), { dialect: "r4-pcf" });
      const consent = compile([directive]);
      for (let i = 0; i < 8; i++) {
        const asked: Question = {
          purpose: dice.pick("TREAT", "HPAYMT", "HMARKT"),
          user: dice.pick("Practitioner/a", "Practitioner/b", "Practitioner/c"),
          labels: dice.pick([], ["PSY"], ["HIV"], ["PSY", "HIV"]),
          day: dice.pick("2021-05-05", "2022-03-03", "2022-12-12", "2023-06-06"),
          author: dice.pick("Practitioner/x", "Practitioner/y"),
        };
        const request = requestOf({ user: asked.user, purposes: [asked.purpose] });
        const record = resourceOf({
          labels: { codes: asked.labels.map(sensitivity), stamp },
          period: { from: asked.day, to: asked.day },
          authors: [asked.author],
        });
        const { outcome } = consent.evaluate(request, record, Date.parse("2024-01-01"));
        const expected = literally(base, exceptions, asked);
        const permits = outcome === "permit";
        if (permits !== expected)
          expect({ seed, i, permits }).toEqual({ seed, i, permits: expected });
        seen[expected ? "permit" : "refuse"]++;
      }
    }
    expect(seen.permit).toBeGreaterThan(seeds);
    expect(seen.refuse).toBeGreaterThan(seeds);
    expect(seen.restating).toBeGreaterThan(seeds / 7);
  });
});
