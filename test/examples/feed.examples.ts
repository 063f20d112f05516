import { expect, it } from "vitest";
import type { Subject } from "../../src/index.ts";
import { describeWith } from "../support/describe-with.ts";
import { effort } from "../support/effort.ts";
import { referencesIn, type Example } from "../support/published-examples.ts";
import { ward, type Ward } from "../support/ward.ts";
import { NOT_OF_BUNDLES, NOT_RECORDED, WHY, type Reason } from "./not-recorded.ts";
import { entryTexts, loadPackage, type Published, type PublishedEntry } from "./packages.ts";
import { hasOwnPatient, isTrue, neighboursOf, patientsOf, type Others } from "./read.ts";

/** Of definitions, which are much alike, one in so many is fed; and Bundles of at most so many entries. */
const ONE_IN = effort("HEALTHLEDGER_EXAMPLES_ONE_IN", { full: 1, short: 10 });
const SEED = effort("HEALTHLEDGER_EXAMPLES_SEED", { full: 0, short: 3 });
const MOST_ENTRIES = ONE_IN === 1 ? Infinity : 200;

const REASON_OF: ReadonlyMap<string, Reason> = new Map(
  Object.entries(WHY).map(([reason, why]) => [why, reason as Reason]),
);
const utf8 = new TextDecoder();
const key = ({ local }: Subject): string => local.join();
const entriesOf = ({ example }: Published): readonly PublishedEntry[] =>
  (example["entry"] ?? []) as readonly PublishedEntry[];

/** How often each of some values occurs. */
function tally(all: Iterable<string>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const one of all) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

for (const release of ["r4", "r5"] as const) {
  const name = `hl7.fhir.${release}.examples`;
  const found = loadPackage(name);
  const missing = found === undefined ? "run npm ci --prefix test/examples" : undefined;

  describeWith(`all examples of ${name}`, missing, () => {
    const { clinical, lines: all, bundles: allBundles } = found!;
    const lines = all.filter((_, i) => i < clinical || (i - clinical) % ONE_IN === SEED % ONE_IN);
    const bundles = allBundles.filter((one) => entriesOf(one).length <= MOST_ENTRIES);
    const notRecorded = NOT_RECORDED[release];

    /** What somebody wants to read of what is kept for everybody. */
    async function readAssigned(
      w: Ward,
      source: string,
      { type, id }: { type: string; id: string },
    ) {
      const { id: record } = await w.hl.assign({ source, type, id }, w.me);
      return utf8.decode(await w.hl.read(record));
    }

    it("has a reason for each that is not recorded, which a reader of its own finds true", () => {
      const names = new Set(all.map((one) => one.name));
      expect([...notRecorded.keys()].filter((one) => !names.has(one))).toEqual([]);
      const every: Others = new Map(all.map((one) => [one.name, one.example]));
      const untrue = all.filter((one) => {
        const reason = notRecorded.get(one.name);
        return reason !== undefined && !isTrue(reason, one, every);
      });
      expect(untrue.map((one) => one.name)).toEqual([]);
    });

    it("as lines: each is on record of whom it is about, in its exact text, or said why not", async () => {
      const w = await ward();
      const pull = async function* () {
        for (const { text } of lines) yield `${text}\n`;
      };
      const said = await w.hl.recordNdjson(pull(), { source: release, maxProblems: lines.length });
      const told = said.problems.map(({ line, code, why }) => {
        expect(code).toBe("skipped");
        return [lines[line - 1]!.name, REASON_OF.get(why) ?? why] as const;
      });
      const expected = lines.flatMap((one) => {
        const reason = notRecorded.get(one.name);
        return reason === undefined ? [] : [[one.name, reason] as const];
      });
      expect([...told].sort()).toEqual([...expected].sort());
      const { recorded, skipped } = said;
      expect(said).toMatchObject({ lines: lines.length, amended: 0, known: 0, older: 0 });
      expect({ recorded, skipped }).toEqual({
        recorded: lines.length - expected.length,
        skipped: expected.length,
      });
      const wrong = lines.filter(
        (one) => one.example["status"] === "entered-in-error" && !notRecorded.has(one.name),
      );
      expect(said.retracted).toBe(wrong.length);

      const holders = new Map<string, ReadonlySet<string>>();
      const kept: Published[] = [];
      for (const one of lines) {
        const { name: called, example, text } = one;
        if (notRecorded.get(called) === "unnamed") continue;
        const resource = { source: release, type: example.resourceType, id: example.id };
        const records = await w.hl.find(resource);
        holders.set(called, new Set(records.map(({ subject }) => key(subject))));
        if (notRecorded.has(called)) expect([called, records]).toEqual([called, []]);
        else if (records.length === 0) kept.push(one);
        for (const { id, ended } of records) {
          expect([called, ended]).toEqual([called, wrong.some((one) => one.name === called)]);
          expect([called, utf8.decode(await w.hl.read(id))]).toEqual([called, text]);
        }
      }

      const near = neighboursOf(lines);
      let ownPatients = 0;
      const astray: string[] = [];
      for (const { name: called, example } of lines) {
        const persons = holders.get(called) ?? new Set();
        if (notRecorded.has(called)) continue;
        const [patient, ...more] = patientsOf(example);
        if (patient !== undefined && more.length === 0) {
          const one = await w.hl.findSubject({ source: release, reference: patient });
          if (one === undefined || [...persons].join() !== key(one)) astray.push(called);
          ownPatients++;
        } else if (!hasOwnPatient(example)) {
          // Nobody has what nothing of theirs is linked with.
          const theirs = new Set([...near.get(called)!].flatMap((it) => [...holders.get(it)!]));
          if ([...persons].some((it) => !theirs.has(it))) astray.push(called);
        }
      }
      expect(astray).toEqual([]);
      // Only now: what is assigned brings with it what it refers to.
      for (const { name: called, example, text } of kept) {
        const resource = { type: example.resourceType, id: example.id };
        expect([called, await readAssigned(w, release, resource)]).toEqual([called, text]);
      }
      console.log(`${name}, lines`, {
        ...{ lines: lines.length, recorded, skipped, ofOnePatient: ownPatients },
        ...{ copied: said.copied, keptForNobodyYet: kept.length, retracted: said.retracted },
        ...tally(told.map(([, reason]) => reason)),
      });
      await w.hl.close();
    });

    it("as Bundles: each entry is recorded in its exact text, or said why not", async () => {
      const w = await ward();
      const counts: string[] = [];
      for (const one of bundles) {
        const { example, text, name: called } = one;
        const source = `${release} ${called}`;
        const said = await w.hl.recordBundle(null, text, { source });
        const texts = entryTexts(text);
        const entries = entriesOf(one);
        const textAt = (index: number): string => (index === -1 ? text : texts[index]!);
        const isWhole = ["document", "message"].includes(example["type"] as string);

        const reasons: Partial<Record<Reason, number[]>> = {};
        const others: Others = new Map(
          entries.flatMap(({ fullUrl, resource }) =>
            fullUrl === undefined || resource === undefined ? [] : [[fullUrl, resource] as const],
          ),
        );
        for (const { index, why } of said.skipped) {
          const reason = REASON_OF.get(why) ?? (why as Reason);
          (reasons[reason] ??= []).push(index);
          const entry = entries[index] ?? {};
          const about = index === -1 ? example : (entry.resource ?? ({} as Example));
          const whole = textAt(index) ?? JSON.stringify(entry);
          const shown = { text: whole, example: about, refers: referencesIn(whole), entry };
          expect([called, index, isTrue(reason, shown, others)]).toEqual([called, index, true]);
        }
        expect([called, reasons]).toEqual([called, NOT_OF_BUNDLES[release][example.id] ?? {}]);

        const told = [...said.recorded, ...said.kept, ...said.known, ...said.skipped];
        const empty = said.problems.filter(({ code }) => code === "no-resource").length;
        const places = [...new Set(told.map(({ index }) => index))].sort((a, b) => a - b);
        const deletions = entries.filter(({ request }) => request?.method === "DELETE").length;
        const bare = entries.filter(({ resource }) => resource === undefined).length;
        expect([called, empty]).toEqual([called, bare - deletions]);
        expect([called, places]).toEqual([
          called,
          [
            ...(isWhole ? [-1] : []),
            ...entries.flatMap(({ resource, request }, index) =>
              resource === undefined && request?.method !== "DELETE" ? [] : [index],
            ),
          ],
        ]);
        // Of a resource that comes in several versions, the newest can be read.
        const last = new Map(
          said.recorded.map(({ id, index }) => [id, { index, read: () => w.hl.read(id) }] as const),
        );
        for (const { index, read } of last.values()) {
          const exact = utf8.decode(await read()) === textAt(index);
          expect([called, index, exact]).toEqual([called, index, true]);
        }
        const newest = new Map(
          said.kept.map(({ index, resource }) => [
            `${resource.type}/${resource.id}`,
            { index, resource },
          ]),
        );
        for (const { index, resource } of newest.values()) {
          const exact = (await readAssigned(w, source, resource)) === textAt(index);
          expect([called, index, exact]).toEqual([called, index, true]);
        }
        counts.push(...said.recorded.map(() => "recorded"), ...said.kept.map(() => "kept"));
        counts.push(...said.known.map(() => "known"), ...said.copied.map(() => "copied"));
        for (const [reason, some] of Object.entries(reasons)) {
          counts.push(...some.map(() => reason));
        }
        counts.push(...Array.from({ length: empty }, () => "entry without a resource"));
      }
      const entries = bundles.reduce((sum, one) => sum + entriesOf(one).length, 0);
      console.log(`${name}, Bundles`, { bundles: bundles.length, entries, ...tally(counts) });
      await w.hl.close();
    });
  });
}
