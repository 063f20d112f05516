import { expect, it } from "vitest";
import type { EntryId, RecordId } from "../../../src/codec/ids.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { effort } from "../../support/effort.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { ward } from "../../support/ward.ts";

const STEPS = effort("HEALTHLEDGER_MERGE_STEPS", { full: 1000, short: 100 });
const SEED = effort("HEALTHLEDGER_MERGE_SEED", { full: 1, short: 1 });
const PEOPLE = 7;
/** Most records of one person: each is decided about in every step. */
const RECORDS = 3;
const reason = "by seed";

/** Random numbers that a seed gives, below a bound. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const rule = (effect: "permit" | "deny") =>
  ({ id: "all", effect, combine: "deny-overrides", when: { purposes: ["TREAT"] } }) as const;
const keyOf = (person: number) =>
  memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${person}`) });
const HOUSE = treatmentOnly(keyOf(-1), { lineage: "house", default: "none", root: rule("permit") });

/** A record that was not retracted. */
interface Kept {
  readonly record: RecordId;
  readonly id: string;
  readonly versions: number;
}

/** What is known of some persons, word by word. */
interface Model {
  /** Merges that have not ended, each with the two persons. */
  readonly merges: Map<EntryId, readonly [number, number]>;
  readonly refusing: Set<number>;
  /** The records about each person. */
  readonly records: readonly Kept[][];
}

/** Who is joined with a person: whoever can be reached by merges. */
function joinedWith(person: number, { merges }: Model): ReadonlySet<number> {
  const found = new Set([person]);
  for (let size = 0; size < found.size;) {
    ({ size } = found);
    for (const [one, other] of merges.values()) {
      if (found.has(one) || found.has(other)) found.add(one).add(other);
    }
  }
  return found;
}

/** The records that may be seen, with the number of their versions, by person who is asked for. */
function permittedIn(model: Model): readonly (readonly string[])[] {
  return model.records.map((_, person) => {
    const all = [...joinedWith(person, model)];
    if (all.some((one) => model.refusing.has(one))) return [];
    return all
      .flatMap((one) => model.records[one]!)
      .map(({ id, versions }) => `${id} v${versions}`)
      .sort();
  });
}

async function permitted(hl: Ledger, subject: Subject, requester: string, height?: number) {
  const question = { requester, purposes: ["TREAT"] };
  const { records } = await hl.decide(subject, question, height === undefined ? {} : { height });
  return records
    .filter(({ decision, record }) => decision.outcome === "permit" && !record.retracted)
    .map(({ record: { head, history } }) => `${head.manifest.resource!.id!} v${history.length}`)
    .sort();
}

it(
  `persons who are joined and parted ${STEPS} times are decided about as a model says, at every height`,
  { timeout: 3_600_000 },
  async () => {
    const w = await ward({ policy: { defaults: [HOUSE] } });
    const { hl } = w;
    const requester = w.b.signer.actor;
    const random = randomOf(SEED);
    const people: Subject[] = [];
    for (let person = 0; person < PEOPLE; person++) {
      people.push(await hl.ensureSubject({ system: "urn:mrn", value: `${person}` }));
    }
    const model: Model = {
      merges: new Map(),
      refusing: new Set(),
      records: people.map(() => []),
    };
    const ended: EntryId[] = [];
    const said: (EntryId | undefined)[] = [];
    /** What the model said, by height. */
    const history: {
      readonly height: number;
      readonly expected: ReturnType<typeof permittedIn>;
    }[] = [];

    async function say(person: number): Promise<void> {
      const refuses = !model.refusing.has(person);
      const key = keyOf(person);
      const before = said[person];
      const given = treatmentOnly(key, {
        ...{ lineage: `of ${person}`, default: "none", root: rule(refuses ? "deny" : "permit") },
        predecessors: before === undefined ? [] : [before],
      });
      said[person] = (await hl.consent(people[person]!, given, { signer: key })).id;
      if (refuses) model.refusing.add(person);
      else model.refusing.delete(person);
    }

    let [joins, parts, refused, changed] = [0, 0, 0, 0];
    let made = 0;
    while (joins + parts < STEPS) {
      const what = random(12);
      const person = random(PEOPLE);
      const merges = [...model.merges.keys()];
      if (what === 0 && model.records[person]!.length < RECORDS) {
        const id = `p${person}-${made++}`;
        const { id: record } = await hl.record(people[person]!, observation(id));
        model.records[person]!.push({ record, id, versions: 1 });
      } else if (what > 9) {
        const own = model.records[person]!;
        if (own.length === 0) continue;
        const [one] = own.splice(random(own.length), 1);
        const { record, id, versions } = one!;
        if (what === 10) {
          await hl.amend(record, observation(id, `${versions}`));
          own.push({ record, id, versions: versions + 1 });
        } else await hl.retract(record, "entered in error");
        changed++;
      } else if (what === 1) await say(person);
      else if (what < 6) {
        const other = (person + 1 + random(PEOPLE - 1)) % PEOPLE;
        const merge = hl.merge(people[person]!, people[other]!, { reason });
        if (joinedWith(person, model).has(other)) {
          await expect(merge).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
          refused++;
          continue;
        }
        model.merges.set(await merge, [person, other]);
        joins++;
      } else if (what === 6 && ended.length > 0) {
        const again = hl.unmerge(ended[random(ended.length)]!, { reason });
        await expect(again).rejects.toMatchObject({ code: "ERR_RECORD_RETRACTED" });
        refused++;
        continue;
      } else if (merges.length > 0) {
        const link = merges[random(merges.length)]!;
        await hl.unmerge(link, { reason });
        model.merges.delete(link);
        ended.push(link);
        parts++;
      } else continue;
      await hl.chain.refresh();
      const expected = permittedIn(model);
      history.push({ height: hl.chain.size - 1, expected });
      // Each decision reads all that was filed before: everybody is asked about now and then only.
      const asked = history.length % 10 === 0 ? people.keys() : [person, random(PEOPLE)];
      for (const i of asked) {
        const where = `after ${joins} joins and ${parts} partings, person ${i}`;
        expect(await permitted(hl, people[i]!, requester), where).toEqual(expected[i]);
      }
      const past = history[random(history.length)]!;
      const where = `at height ${past.height}, person ${person}`;
      const then = await permitted(hl, people[person]!, requester, past.height);
      expect(then, where).toEqual(past.expected[person]);
    }
    expect(refused).toBeGreaterThan(0);
    expect(changed).toBeGreaterThan(0);

    // A process that knows nothing but the ledger says the same of every height.
    const other = await w.again({ repair: { index: true } });
    const every = Math.max(1, Math.floor(history.length / 100));
    for (let at = 0; at < history.length; at += every) {
      const { height, expected } = history[at]!;
      for (const [i, subject] of people.entries()) {
        const where = `rebuilt, at height ${height}, person ${i}`;
        expect(await permitted(other, subject, requester, height), where).toEqual(expected[i]);
      }
    }
  },
);
