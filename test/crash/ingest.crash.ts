import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { createForge } from "../support/forge.ts";
import { effort } from "../support/effort.ts";
import { foundLedger, recordEntries } from "../support/ledger.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const ROUNDS = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 10 });
const BLOCKS = 600;
const BATCH = 7;

const folder = await mkdtemp(join(tmpdir(), "healthledger-ingest-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Ingests in a process of its own; kills it after some progress, and tells what it said. */
async function run(path: string, file: string, killAfter: number): Promise<number[]> {
  const child = fileURLToPath(new URL("ingest-child.ts", import.meta.url));
  const flags = ["--import", "tsx", "--conditions=healthledger-source"];
  const process_ = spawn(process.execPath, [...flags, child, path, file, String(BATCH)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(process_, "exit");
  const said: number[] = [];
  let rest = "";
  for await (const chunk of process_.stdout) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop()!;
    for (const line of lines) said.push(Number(line.replace("at ", "")));
    if (said.length > killAfter) process_.kill("SIGKILL");
  }
  await exit;
  return said;
}

describe("ingesting with a process that is killed", () => {
  it("has whole batches only, keeps what was acknowledged, and ends where the home is", async () => {
    const { genesis, signers } = await foundLedger(
      { a: ["custodian", "sequencer"] },
      { threshold: 1 },
    );
    const forge = await createForge(genesis, signers["a"]!);
    for (let i = 0; i < BLOCKS; i++)
      await forge.add(await forge.tx(signers["a"]!, recordEntries(3)));
    const file = join(folder, "blocks");
    await writeFile(file, encode({ genesis, blocks: [...forge.blocks] }));
    let path = join(folder, "copy 0");
    let kills = 0;
    let acknowledged = 0;
    for (let round = 0; kills < ROUNDS; round++) {
      const said = await run(path, file, 1 + (round % 5));
      expect(said[0], "acknowledged before").toBeGreaterThanOrEqual(acknowledged);
      for (const size of said) expect(size % BATCH === 0 || size === BLOCKS, `${size}`).toBe(true);
      acknowledged = said.at(-1)!;
      if (acknowledged < BLOCKS) {
        kills++;
        continue;
      }
      await inspect(path);
      [path, acknowledged] = [join(folder, `copy ${round + 1}`), 0];
    }
    await run(path, file, Infinity);
    await inspect(path);

    async function inspect(copy: string): Promise<void> {
      const storage = await lmdbStorage({ path: copy });
      const verified = await verifyLedger(storage.chains, { genesis });
      expect(verified).toMatchObject({ ok: true, size: BLOCKS, state: forge.state.root });
      const chain = await openChain({ storage, genesis, trustStore: true });
      expect(chain.state.root).toEqual(forge.state.root);
      await storage.close();
    }
  });
});
