import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { CID, matchesCid } from "../../src/codec/cid.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { foundLedger } from "../support/ledger.ts";
import { placesOf } from "../support/places-of.ts";

/** The ledger that all writers write to: two members, each with several sequencers. */
export const writerGenesis = (): ReturnType<typeof foundLedger> =>
  foundLedger({ a: ["custodian", "sequencer"], b: ["custodian", "sequencer"] });

/** A process that writes, and what it said so far. */
export interface Writer {
  readonly acks: readonly string[];
  readonly notes: readonly string[];
  /** Tells it to stop; resolves when it has. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): Promise<void>;
}

export function startWriter(
  port: number,
  schema: string,
  proposer: string,
  lane: number,
  onAck: () => void = () => {},
): Writer {
  const child = fileURLToPath(new URL("writer.ts", import.meta.url));
  const flags = ["--import", "tsx", "--conditions=healthledger-source"];
  const started = spawn(
    process.execPath,
    [...flags, child, String(port), schema, proposer, String(lane)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const exited = once(started, "exit");
  const acks: string[] = [];
  const notes: string[] = [];
  createInterface({ input: started.stdout }).on("line", (line) => {
    if (line.startsWith("ack ")) {
      acks.push(line);
      onAck();
    }
    if (line.startsWith("note ")) notes.push(line);
  });
  started.stdin.on("error", () => {});
  return {
    acks,
    notes,
    async stop() {
      started.stdin.write("stop\n");
      expect(await exited, "how a writer ended").toEqual([0, null]);
    },
    async kill() {
      started.kill("SIGKILL");
      await exited;
    },
  };
}

/**
 * Checks that a ledger holds everything that its writers acknowledged, where they said, once, and
 * that what was signed of it still stands.
 */
export async function inspect(
  storage: FullStorage,
  writers: readonly Writer[],
): Promise<{ readonly blocks: number; readonly transactions: number; readonly acks: number }> {
  const { genesis } = await writerGenesis();
  const chain = await openChain({ storage, genesis, rebuild: true });
  const verified = await verifyLedger(storage.chains, { genesis });
  expect(verified).toMatchObject({ ok: true, root: chain.root, state: chain.state.root });
  const places = await placesOf(chain);
  let acks = 0;
  for (const line of writers.flatMap((writer) => writer.acks)) {
    const [, hash, height, index, blob] = line.split(" ") as string[];
    expect(places.get(hash!), `acknowledged ${hash}`).toBe(`${height} ${index}`);
    const cid = CID.parse(blob!);
    const bytes = await storage.blobs.get(cid);
    expect(bytes !== undefined && matchesCid(cid, bytes)).toBe(true);
    acks++;
  }
  for (const line of writers.flatMap((writer) => writer.notes)) {
    const [, size, root] = line.split(" ") as string[];
    expect(toHex(await chain.rootAt(Number(size))), `checkpoint of size ${size}`).toBe(root);
  }
  const { size } = chain;
  await chain.close();
  return { blocks: size, transactions: places.size, acks };
}
