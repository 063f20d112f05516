// @ts-check
import { copyFileSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import { openNew } from "../lib/ledger.mjs";
import { values } from "../lib/measure.mjs";

const TOGETHER = 200;

/** @param {number} number */
const observation = (number) => ({
  resourceType: "Observation",
  id: `obs-${number}`,
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "2339-0" }] },
  subject: { reference: "Patient/p1" },
  effectiveDateTime: "2026-01-05T08:15:00Z",
  valueQuantity: { value: 60.25 + (number % 97), unit: "mg/dL" },
});

/**
 * @param {string} label
 * @param {number} records
 */
const row = (label, records) => ({
  name: `erase/one-${label}`,
  unit: "ms",
  lessIsBetter: true,
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short, note }) {
    const { storage, ledger } = await openNew(folder("ledger"));
    const count = records / (short ? 100 : 1);
    // A hundred persons, so that what a person has stays small beside what the store has.
    /** @type {import("../../src/index.ts").Subject[]} */
    const persons = [];
    for (let i = 0; i < 100; i++) {
      persons.push(await ledger.ensureSubject({ system: "urn:oid:1.2.3", value: `p${i}` }));
    }
    /** @type {(() => { person: import("../../src/index.ts").Subject, id: import("../../src/index.ts").RecordId })[]} */
    const spare = [];
    for (let from = 0; from < count; from += TOGETHER) {
      const person = persons[(from / TOGETHER) % persons.length];
      if (person === undefined) break;
      const some = Math.min(TOGETHER, count - from);
      const { recorded } = await ledger.recordBundle(person, {
        resourceType: "Bundle",
        type: "collection",
        entry: Array.from({ length: some }, (_, i) => ({ resource: observation(from + i) })),
      });
      const [first] = recorded;
      if (first !== undefined) spare.push(() => ({ person, id: first.id }));
    }
    // Each round erases a record of its own; where there are few batches, of those recorded for it.
    async function next() {
      const stored = spare.pop();
      if (stored !== undefined) return stored();
      const [person] = persons;
      if (person === undefined) throw new Error("there is nobody");
      return { person, id: (await ledger.record(person, observation(count))).id };
    }

    /** @param {"now" | "later"} compaction */
    const erase = (compaction) => ({
      prepare: next,
      /** @param {Awaited<ReturnType<typeof next>>} what */
      async round({ person, id }) {
        const start = performance.now();
        const { compacted } = await ledger.erase(person, {
          records: [id],
          reason: "bench",
          compaction,
        });
        const took = performance.now() - start;
        if (compacted !== (compaction === "now" ? "done" : "pending")) throw new Error(compacted);
        return took;
      },
    });
    const measured = await values(
      [
        { name: "now", ...erase("now") },
        { name: "later", ...erase("later") },
        {
          name: "floor",
          /** LMDB's own compacting copy of the same file, which leaves deleted bytes within pages. */
          async round() {
            const from = folder("floor-from");
            const to = folder("floor-to");
            for (const path of [from, to]) rmSync(path, { recursive: true, force: true });
            mkdirSync(from);
            mkdirSync(to);
            copyFileSync(newest(folder("ledger")), join(from, "data.mdb"));
            const root = open({ path: from, readOnly: true, overlappingSync: false });
            const start = performance.now();
            await root.backup(to, true);
            const took = performance.now() - start;
            await root.close();
            return took;
          },
        },
      ],
      { rounds },
    );
    note(`store of ${Math.round(statSync(newest(folder("ledger"))).size / 1e6)} MB`);
    note(`peak of this process: ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);
    await ledger.close();
    await storage.close();
    return { value: measured.now, floor: measured.floor, peers: { later: measured.later } };
  },
});

/**
 * The file of the store's newest environment.
 *
 * @param {string} path
 */
function newest(path) {
  for (let number = 1; ; number++) {
    const file = join(path, `env-${String(number).padStart(8, "0")}`, "data.mdb");
    if (statSync(file, { throwIfNoEntry: false }) !== undefined) return file;
  }
}

export const rows = [row("1k", 1000), row("10k", 10_000), row("100k", 100_000)];
