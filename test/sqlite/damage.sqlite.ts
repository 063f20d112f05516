import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RecordId } from "../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { LedgerError } from "../../src/errors.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { effort } from "../support/effort.ts";
import { MRN, observation } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";
import { folder, openAt } from "./subject.ts";
import { seededNumbers } from "../../src/testing/storage-subject.ts";

/** `HEALTHLEDGER_DAMAGE_ROUNDS`: how often a copy of the file is damaged. */
const ROUNDS = effort("HEALTHLEDGER_DAMAGE_ROUNDS", { full: 300, short: 100 });

/** Everything in the state, as text. */
async function stateOf({ state }: FullStorage): Promise<string[]> {
  const lines: string[] = [];
  const everything = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(255) };
  for await (const { key, value } of state.scan(everything)) {
    lines.push(`${toHex(key)} ${toHex(value)}`);
  }
  return lines;
}

describe("a database of which bytes were changed", () => {
  it(`gives what was stored or says what is wrong, in ${ROUNDS} rounds`, async () => {
    const { path, remove } = await folder();
    const file = join(path, "ledger.db");
    const inner = await openAt(file);
    const w = await ward({ inner });
    await w.permit();
    const ids: [RecordId, string][] = [];
    for (let i = 0; i < 30; i++) {
      const text = observation(`bp-${i}`, `${i}.50`);
      ids.push([(await w.hl.record(w.me, text)).id, text]);
    }
    await w.hl.close();
    const state = new Set(await stateOf(inner));
    const blocks: string[] = [];
    for await (const { record } of inner.chains.read(`${w.hl.id}/blocks`, { from: 0 })) {
      blocks.push(toHex(record));
    }
    await inner.close();
    const whole = await readFile(file);

    const next = seededNumbers(7);
    const outcomes: Record<string, number> = {};
    const count = (what: string): void => void (outcomes[what] = (outcomes[what] ?? 0) + 1);
    /** Runs a step; a typed error is an answer, any other is not. */
    async function attempt<T>(what: string, step: () => Promise<T>): Promise<T | undefined> {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof LedgerError)) throw error;
        count(`${what}: ${error.code}`);
        return undefined;
      }
    }

    await mkdir(join(path, "rot"));
    for (let round = 0; round < ROUNDS; round++) {
      const rotten = join(path, "rot", `${round}.db`);
      const bytes = new Uint8Array(whole);
      // One bit, a byte, or a sector that was never written.
      const at = Math.floor(next() * bytes.length);
      if (round % 3 === 0) bytes[at]! ^= 1 << Math.floor(next() * 8);
      else if (round % 3 === 1) bytes[at] = Math.floor(next() * 256);
      else bytes.fill(0, at - (at % 512), at - (at % 512) + 512);
      await writeFile(rotten, bytes);
      const storage = await attempt("open", () => openAt(rotten));
      if (storage === undefined) continue;
      const lines = await attempt("state", () => stateOf(storage));
      for (const line of lines ?? []) expect(state.has(line), "wrong state").toBe(true);
      const hl = await attempt("open ledger", () => w.open({ storage }));
      if (hl !== undefined) {
        for (const [id, text] of ids) {
          const got = await attempt("read", () => hl.read(id));
          if (got !== undefined) expect(bytesToUtf8(got)).toBe(text);
        }
        const verified = await attempt("verify", () => hl.verify());
        if (verified?.ok === false) {
          expect(verified.height).toBeTypeOf("number");
          count("verify: names a height");
        } else if (verified !== undefined) {
          // What verify lets pass is what was written.
          const now: string[] = [];
          for await (const { record } of storage.chains.read(`${hl.id}/blocks`, { from: 0 })) {
            now.push(toHex(record));
          }
          expect(now.slice(0, blocks.length)).toEqual(blocks);
          count("verify: sound");
        }
        await attempt("subject", () => hl.ensureSubject(MRN));
        await attempt("close", () => hl.close());
      }
      await storage.close();
    }
    console.log(`changed ${ROUNDS} times:`, outcomes);
    expect(outcomes["verify: names a height"]).toBeGreaterThan(0);
    await remove();
  });
});
