import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  type ActorRef,
  type ConsentRequest,
  type When,
} from "../../src/consent/index.ts";
import { differs } from "./agreement.ts";
import { askedOf, diceOf, NOW, recordOf, ruleOf, type Dice } from "./random.ts";
import { SPECIFICATION } from "./reference.ts";
import { filed, snapshotOf } from "./support.ts";

const NAMES = [
  "dr-who",
  "DR-WHO",
  "hospital-b",
  "team",
  "Practitioner/1",
  "http://h.example/fhir/Practitioner/1",
  "https://h.example/fhir/Practitioner/1/_history/2",
  "Practitioner/2",
  "Organization/1",
  "did:key:zB",
  "urn:x|1",
  "urn:x|2",
  "urn:y|1",
];
/** What others are in; nothing here is in itself. */
const GROUPS = ["crew", "Group/1", "urn:z|1"];
/** Names of one kind, which tell who is not meant. */
const PLAIN = [
  "dr-who",
  "DR-WHO",
  "dr-no",
  "dr-yes",
  "dr-other",
  "hospital-b",
  "hospital-c",
  "crew",
];
const KNOWN_TYPES = ["Observation", "Condition", "Procedure", "Encounter", "Media"];
const TYPES = [...KNOWN_TYPES, "Labs", "observation"];

const DUTIES = ["DELAU", "ENCRYPT"];

const some = <T>(dice: Dice, make: () => T): T[] =>
  Array.from({ length: 1 + dice.below(3) }, () => make());

/** What a rule is looked up by: its actors, its purposes, its types of record, or nothing. */
function narrowOf(dice: Dice, names: readonly string[]): When {
  const actors = some(dice, (): ActorRef => {
    const type = dice.pick("person", "person", "organisation", "group", "care-team" as const);
    return { type, id: dice.pick(...names) };
  });
  const types = some(dice, () => dice.pick(...(names === PLAIN ? KNOWN_TYPES : TYPES)));
  return dice.pick<When>(
    { actors },
    { actors },
    { actors, purposes: ["TREAT"] },
    { data: { types } },
    { purposes: some(dice, () => dice.pick("BTG", "HRESCH", "HPAYMT")) },
    names === PLAIN ? { actors } : { actors: [...actors, { type: "device", id: "pump" }] },
    names === PLAIN ? { data: { types } } : { purposes: ["urn:x|Y"] },
  );
}

/** Lineages that are told apart by what they speak of, each of one statement. */
function crowdOf(dice: Dice): ReturnType<typeof snapshotOf> {
  const names = dice.chance(0.5) ? PLAIN : [...NAMES, ...GROUPS];
  const statements = Array.from({ length: 9 + dice.below(12) }, (_, index) =>
    filed(`p${index}`, {
      lineage: `p${index}`,
      default: dice.chance(0.01) ? "deny" : "none",
      root: {
        ...ruleOf(dice, dice.pick(1, 1, 2)),
        effect: dice.pick("permit", "permit", "permit", "deny"),
        when: narrowOf(dice, names),
      },
    }),
  );
  return snapshotOf(statements, {
    memberships: [
      { member: dice.pick(...NAMES), of: dice.pick(...GROUPS) },
      { member: dice.pick(...NAMES), of: "crew" },
    ],
  });
}

function requestOf(dice: Dice): ConsentRequest {
  const { user, ...asked } = askedOf(dice);
  const requester = dice.pick(...NAMES);
  return { ...asked, requester, ...(user === undefined ? {} : { user: dice.pick(...NAMES) }) };
}

describe("many lineages", () => {
  it("come to what the specification says, whoever asks by whatever kind of name", () => {
    const outcomes = new Map<string, number>();
    for (let seed = 0; seed < 1000; seed++) {
      const dice = diceOf(seed);
      const snapshot = crowdOf(dice);
      const consent = compileDirectives(snapshot);
      const ledger = snapshot.directives.map(({ cid }) => `${cid}`);
      // One after another, so that what was looked up for one must not answer the next.
      for (let turn = 0; turn < 3; turn++) {
        const request = requestOf(dice);
        const resource = recordOf(dice);
        const decision = consent.evaluate(request, resource, NOW, { supportedObligations: DUTIES });
        const expected = SPECIFICATION.decide(snapshot, request, resource, NOW, DUTIES);
        if (differs(decision, expected)) expect(decision, `${seed}`).toMatchObject(expected);
        const grounds = decision.basedOn.map(String);
        if (request.purposes.length === 1) {
          const inOrder = ledger.filter((one) => grounds.includes(one));
          expect(grounds, "in ledger order").toEqual(inOrder);
        }
        outcomes.set(decision.outcome, (outcomes.get(decision.outcome) ?? 0) + 1);
      }
    }
    for (const outcome of ["permit", "deny", "indeterminate", "not-applicable"]) {
      expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThan(20);
    }
  });
});
