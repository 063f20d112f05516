import { execFile } from "node:child_process";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { copyLedger } from "../../src/chain/copy-ledger.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { effort } from "../support/effort.ts";
import { bytesOfState, observation } from "../support/hospital.ts";
import { collect, ward } from "../support/ward.ts";
import { folder, openAt } from "./subject.ts";

const CHILD = fileURLToPath(new URL("./copy-child.ts", import.meta.url));
const NODE = ["--conditions=healthledger-source", "--import", "tsx", "--no-warnings", CHILD];
/** Between how many writes a process is killed: after each, with little effort after some. */
const STEP = effort("HEALTHLEDGER_COPY_STEP", { full: 1, short: 6 });
const run = promisify(execFile);

/** Everything in a storage, comparable. */
async function contents({ chains, blobs, state }: FullStorage) {
  const records: Record<string, string[]> = {};
  for (const chain of (await collect(chains.list())).sort()) {
    const all = await collect(chains.read(chain, { from: 0 }));
    records[chain] = all.map(({ record }) => toHex(record));
  }
  const bytes: Record<string, string> = {};
  for (const cid of await collect(blobs.list())) bytes[`${cid}`] = toHex((await blobs.get(cid))!);
  return { records, bytes, state: await bytesOfState({ state } as FullStorage) };
}

it("a copy from LMDB to SQLite goes on after SIGKILL between any two writes", async () => {
  const { path, remove } = await folder();
  const from = join(path, "lmdb");
  const inner = await lmdbStorage({ path: from });
  const w = await ward({ inner });
  await w.permit();
  for (let i = 0; i < 3; i++) await w.hl.record(w.me, observation(`o${i}`));
  await w.ask();
  await w.hl.checkpoint();
  await w.hl.close();
  const before = await contents(inner);
  await inner.close();

  const copy = (to: string, writes: number) =>
    run(process.execPath, [...NODE, from, to, toHex(w.genesis), String(writes)]);
  const whole = Number((await copy(join(path, "whole.db"), Infinity)).stdout);
  expect(whole).toBeGreaterThan(10);
  for (let writes = 1; writes <= whole; writes += STEP) {
    const to = join(path, `${writes}`, "ledger.db");
    await mkdir(join(path, `${writes}`));
    await expect(copy(to, writes)).rejects.toMatchObject({ signal: "SIGKILL" });
    // Another copy of what is there, in which the process that goes on is killed as well.
    if (writes + 3 < whole) {
      const again = `${to}.again`;
      for (const end of ["", "-wal"]) await copyFile(to + end, again + end);
      await expect(copy(again, 2)).rejects.toMatchObject({ signal: "SIGKILL" });
      await goOn(again);
    }
    await goOn(to, writes === whole);
  }
  await remove();

  async function goOn(to: string, finished = false): Promise<void> {
    const target = await openAt(to);
    const source = await lmdbStorage({ path: from });
    if (finished) {
      // The last write says that the copy is whole.
      expect(await contents(target)).toEqual(before);
    } else {
      await expect(w.open({ storage: target })).rejects.toMatchObject({
        code: "ERR_STORAGE_INCOMPLETE",
      });
      await copyLedger(source, target, { genesis: w.genesis });
      expect(await contents(target)).toEqual(before);
    }
    await Promise.all([target.close(), source.close()]);
  }
});
