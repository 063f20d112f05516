import { expect, it } from "vitest";
import { StorageError } from "../../../src/errors.ts";
import type { Ledger } from "../../../src/index.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { readSynthea, seeded, shuffled, type SyntheaPerson } from "../../support/synthea.ts";
import { describeVectors } from "../../support/vectors.ts";
import { collect, trapped, ward } from "../../support/ward.ts";

const SOURCE = { source: "synthea" } as const;
const CUT = new Error("cut");
/** A store that says so is not asked again. */
const FAILED = new StorageError("ERR_STORAGE_FAILED", "no space left");

/** A hospital whose process may be stopped around any commit, and then opens its ledger again. */
async function stoppable() {
  const { storage, traps } = trapped(memoryStorage());
  const w = await ward({ inner: storage });
  let { hl } = w;
  return {
    hl: () => hl,
    /** Does something before each commit of blocks, once that many have gone by. */
    beforeCommits(after: number, act: () => void): void {
      let left = after;
      const count = async (): Promise<void> => {
        traps.before = count;
        if (left-- <= 0) act();
      };
      traps.before = count;
    },
    /** Runs a call that is cut, or is done before it would be. */
    async cut(call: (hl: Ledger, signal: AbortController) => Promise<unknown>): Promise<boolean> {
      let isCut = false;
      try {
        await call(hl, new AbortController());
      } catch {
        isCut = true;
      }
      delete traps.before;
      return isCut;
    },
    async reopen(): Promise<void> {
      await hl.close();
      hl = await w.again();
    },
  };
}

describeVectors("synthea's patients, sent by one source", "synthea", (folder) => {
  const { transactions, lines, tables } = readSynthea(folder);

  /** Each resource is one record of each person whom it serves, in the exact text of its newest version. */
  async function expectTable(hl: Ledger, table: readonly SyntheaPerson[]): Promise<void> {
    const persons = new Map<string, Set<string>>();
    for (const { numbers, resources } of table) {
      const [first, ...others] = await Promise.all(numbers.map((one) => hl.findSubject(one)));
      for (const other of others) expect(other).toEqual(first);
      const records = await hl.records(first!);
      const found: string[] = [];
      for (const { record, head, retracted } of records) {
        const { type, id } = head.manifest.resource!;
        expect(retracted).toBe(false);
        found.push(`${type}/${id}`);
        const text = new TextDecoder().decode(await hl.read(record));
        expect(text).toBe(resources.get(`${type}/${id}`)!.at(-1));
        const whose = persons.get(`${type}/${id}`) ?? new Set();
        persons.set(`${type}/${id}`, whose.add(first!.local.join()));
      }
      expect(found.sort()).toEqual([...resources.keys()].sort());
    }
    for (const [name, whose] of persons) {
      // Those that all have in common, and a sample: `find` would show a record of anybody else.
      if (whose.size === 1 && !name.endsWith("0")) continue;
      const [type, id] = name.split("/") as [string, string];
      const all = await hl.find({ ...SOURCE, type, id });
      expect(all.map(({ subject }) => subject.local.join()).sort()).toEqual([...whose].sort());
    }
    expect(await collect(hl.unassigned())).toEqual([]);
  }

  it("has tables that are not trivial", () => {
    const all = tables.lines.flatMap(({ resources }) => [...resources]);
    const names = new Set(all.map(([name]) => name));
    // 2177 resources, of which nine practitioners and nine organizations were replaced by common ones.
    expect([tables.lines.length, names.size, all.length]).toEqual([10, 2159, 2177]);
    const versions = all.filter(([, texts]) => texts.length === 2).length;
    expect(versions).toBeGreaterThan(250);
    expect(lines).toHaveLength(2159 + versions);
  });

  it("as transactions, cut, resumed and sent twice", { timeout: 300_000 }, async () => {
    const h = await stoppable();
    const random = seeded(7);
    const cuts = { aborted: 0, stopped: 0, failed: 0 };
    const unfinished: string[] = [];
    for (const text of shuffled(transactions, random)) {
      const way = random(4);
      const after = random(3);
      let isCut = true;
      if (way === 0) {
        const progress = random(4);
        isCut = await h.cut((hl, stop) => {
          let told = 0;
          const onProgress = (): void => void (told++ === progress && stop.abort(CUT));
          return hl.recordBundle(null, text, { ...SOURCE, onProgress, signal: stop.signal });
        });
        cuts.aborted += Number(isCut);
      } else if (way === 1) {
        isCut = await h.cut((hl, stop) => {
          h.beforeCommits(after, () => stop.abort(CUT));
          return hl.recordBundle(null, text, { ...SOURCE, signal: stop.signal });
        });
        cuts.stopped += Number(isCut);
      } else if (way === 2) {
        isCut = await h.cut((hl) => {
          h.beforeCommits(after, () => {
            throw FAILED;
          });
          return hl.recordBundle(null, text, SOURCE);
        });
        if (isCut) await h.reopen();
        cuts.failed += Number(isCut);
      }
      // Some are resumed at once, others only after those that follow.
      if (!isCut) continue;
      if (random(2) === 0) await h.hl().recordBundle(null, text, SOURCE);
      else unfinished.push(text);
    }
    for (const count of Object.values(cuts)) expect(count).toBeGreaterThan(0);
    for (const text of shuffled(unfinished, random)) {
      const said = await h.hl().recordBundle(null, text, SOURCE);
      expect(said.skipped).toEqual([]);
      expect(said.proposals).toEqual([]);
    }
    const { size } = h.hl().chain;
    for (const text of shuffled(transactions, random)) {
      const said = await h.hl().recordBundle(null, text, SOURCE);
      expect([said.recorded, said.copied, said.retracted, said.skipped]).toEqual([[], [], [], []]);
    }
    expect(h.hl().chain.size).toBe(size);
    await h.reopen();
    await expectTable(h.hl(), tables.transactions);
  });

  it("as NDJSON, cut anywhere, resumed and sent twice", { timeout: 300_000 }, async () => {
    const h = await stoppable();
    const random = seeded(11);
    let bytes = new Uint8Array();
    const shuffle = (): void => {
      bytes = new TextEncoder().encode(shuffled(lines, random).join("\n"));
    };
    /** Pieces of any length; at the end something happens. */
    function* pieces(end: number, atEnd?: () => void): Generator<Uint8Array> {
      for (let at = 0; at < end;) {
        const to = Math.min(end, at + 1 + random(100_000));
        yield bytes.subarray(at, to);
        at = to;
      }
      atEnd?.();
      if (atEnd !== undefined) yield bytes.subarray(end);
    }
    const cuts = new Set<string>();
    let inLine = 0;
    const ways = shuffled(["ends", "throws", "aborts", "stops", "fails"], random);
    shuffle();
    for (const way of ways) {
      const end = Math.floor(bytes.length * (0.1 + random(80) / 100));
      const commits = random(3);
      if (way === "ends") {
        const said = await h.hl().recordNdjson(pieces(end), SOURCE);
        // What is left of the last line is not a resource, and told.
        inLine += said.skipped;
        expect(said.problems.map(({ line, code }) => [line, code])).toEqual([
          [said.lines, "malformed"],
        ]);
        continue;
      }
      const isCut = await h.cut((hl, stop) => {
        const act = (): void => {
          if (way === "throws") throw CUT;
          if (way === "fails") throw FAILED;
          stop.abort(CUT);
        };
        const isAtCommit = way === "stops" || way === "fails";
        if (isAtCommit) h.beforeCommits(commits, act);
        const input = isAtCommit ? pieces(bytes.length) : pieces(end, act);
        const sent = hl.recordNdjson(input, { ...SOURCE, signal: stop.signal });
        // Whoever sends hears the stream's own error, and the signal's reason.
        return way === "fails"
          ? sent
          : expect(sent)
              .rejects.toBe(CUT)
              .then(() => sent);
      });
      cuts.add(isCut ? way : "");
      if (way === "fails" || random(2) === 0) await h.reopen();
      if (random(2) === 0) shuffle();
    }
    expect(inLine).toBe(1);
    for (const way of ways) expect(way === "ends" || cuts.has(way)).toBe(true);
    const whole = await h.hl().recordNdjson(pieces(bytes.length), SOURCE);
    expect(whole).toMatchObject({ retracted: 0, skipped: 0, problems: [], proposals: [] });
    expect(whole).toMatchObject({ lines: lines.length, subjects: 10 });
    expect(whole.recorded + whole.amended + whole.known + whole.older).toBe(lines.length);
    const { size } = h.hl().chain;
    const again = await h.hl().recordNdjson(pieces(bytes.length), SOURCE);
    expect(again).toMatchObject({ recorded: 0, amended: 0, copied: 0, retracted: 0, skipped: 0 });
    expect(again.known + again.older).toBe(lines.length);
    expect(h.hl().chain.size).toBe(size);
    await h.reopen();
    await expectTable(h.hl(), tables.lines);

    // The transactions of the same source are the same resources: where no version says more, the last counts.
    for (const text of transactions.slice(0, 4)) {
      const said = await h.hl().recordBundle(null, text, SOURCE);
      expect(said.recorded.filter(({ amends }) => amends === undefined)).toEqual([]);
    }
    for (const { numbers, resources } of tables.transactions) {
      const subject = await h.hl().findSubject(numbers[0]!);
      const records = await h.hl().records(subject!);
      expect(records.filter(({ retracted }) => retracted)).toEqual([]);
      expect(records).toHaveLength(resources.size);
    }
  });
});
