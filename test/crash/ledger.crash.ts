import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { CID, matchesCid } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { effort } from "../support/effort.ts";
import { signerFor, START } from "../support/ledger.ts";
import { crashGenesis } from "./parties.ts";
import { placesOf } from "../support/places-of.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const ROUNDS = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 10 });
/** After so many rounds a new ledger is begun, so that verifying it all each time stays cheap. */
const ROUNDS_PER_LEDGER = 5;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-crash-"));
  folders.push(folder);
  return folder;
}

function start(folder: string, proposer: string, lane: number, count: number): ChildProcess {
  const child = fileURLToPath(new URL("child.ts", import.meta.url));
  const flags = ["--import", "tsx", "--conditions=healthledger-source"];
  const what = [join(folder, "store"), join(folder, "acks"), proposer, String(lane), String(count)];
  return spawn(process.execPath, [...flags, child, ...what], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** Resolves when a process has printed a line. */
async function printed(child: ChildProcess, line: string): Promise<void> {
  let text = "";
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.split("\n").includes(line)) return;
  }
  throw new Error(`the process ended before it said ${line}`);
}

/** Everything that must hold of a store, whatever happened to who wrote it. */
async function inspect(folder: string): Promise<{ acks: number; notes: number; size: number }> {
  const { genesis, signers } = await crashGenesis();
  const storage = await lmdbStorage({ path: join(folder, "store") });
  const chain = await openChain({ storage, genesis });
  try {
    const verified = await verifyLedger(storage.chains, { genesis });
    expect(verified).toMatchObject({ ok: true, root: chain.root, state: chain.state.root });

    const places = await placesOf(chain);
    const text = await readFile(join(folder, "acks"), "utf8").catch(() => "");
    const lines = text.split("\n").slice(0, -1);
    const roots = new Map<string, string>();
    let acks = 0;
    for (const line of lines) {
      const [what, ...words] = line.split(" ") as [string, string, string, string, string];
      if (what === "ack") {
        const [hash, height, index, blob] = words;
        expect(places.get(hash), `acknowledged ${hash}`).toBe(`${height} ${index}`);
        const cid = CID.parse(blob);
        const bytes = await storage.blobs.get(cid);
        expect(bytes !== undefined && matchesCid(cid, bytes)).toBe(true);
        expect(await storage.state.get(bytes!.slice(0, 8))).toEqual(bytes);
        acks++;
      } else {
        const [size, root] = words;
        expect(roots.get(size) ?? root, `two checkpoints of size ${size}`).toBe(root);
        roots.set(size, root);
        expect(toHex(await chain.rootAt(Number(size)))).toBe(root);
      }
    }

    // And it goes on.
    const sequencer = createSequencer({
      chain,
      storage,
      signer: signers["b"]!,
      now: () => START,
    });
    await sequencer.seal();
    const signer = signerFor("checkpoint");
    const { size } = await createCheckpointer({ chain, chains: storage.chains, signer }).sign();
    expect(size).toBe(chain.size);
    await chain.proveInclusion(0, size);
    await sequencer.close();
    return { acks, notes: roots.size, size };
  } finally {
    await chain.close();
    await storage.close();
  }
}

describe("a process that appends to LMDB", () => {
  it(`loses nothing that it acknowledged, killed ${ROUNDS} times`, async () => {
    let folder = "";
    const total = { acks: 0, notes: 0, blocks: 0 };
    let last = { acks: 0, notes: 0, size: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      if (round % ROUNDS_PER_LEDGER === 0) {
        total.acks += last.acks;
        total.notes += last.notes;
        total.blocks += last.size;
        folder = await newFolder();
      }
      const child = start(folder, round % 2 === 0 ? "a" : "b", round + 1, 0);
      const exited = once(child, "exit");
      // In one of four rounds while it opens, else while it appends.
      await printed(child, round % 4 === 3 ? "opening" : "ready");
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 500));
      child.kill("SIGKILL");
      const [, signal] = (await exited) as [number, string];
      expect(signal).toBe("SIGKILL");
      last = await inspect(folder);
    }
    total.acks += last.acks;
    total.notes += last.notes;
    total.blocks += last.size;
    console.log(`killed ${ROUNDS} times:`, total);
    expect(total.acks).toBeGreaterThan(ROUNDS);
    expect(total.notes).toBeGreaterThan(ROUNDS / 4);
  });

  it("shares the store with another: both make progress, one history, nothing twice", async () => {
    const folder = await newFolder();
    const children = [start(folder, "a", 1, 60), start(folder, "b", 2, 60)];
    const exits = children.map((child) => once(child, "exit"));
    await Promise.all(children.map((child) => printed(child, "ready")));
    for (const child of children) child.stdin!.end("go\n");
    expect(await Promise.all(exits)).toEqual([
      [0, null],
      [0, null],
    ]);
    const { acks, size } = await inspect(folder);
    // 60 and 4 at once in every fourth, by both; 10 that both sent.
    expect(acks).toBe(2 * (60 + 15 * 4) + 2 * 10);
    expect(size).toBeGreaterThan(20);
  });

  it("is killed beside another that goes on", async () => {
    const folder = await newFolder();
    const survivor = start(folder, "b", 2, 80);
    const survived = once(survivor, "exit");
    await printed(survivor, "ready");
    survivor.stdin!.end("go\n");
    for (let round = 0; round < Math.min(3, ROUNDS); round++) {
      const victim = start(folder, "a", 10 + round, 0);
      const gone = once(victim, "exit");
      await printed(victim, "ready");
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 100));
      victim.kill("SIGKILL");
      await gone;
    }
    expect(await survived).toEqual([0, null]);
    const { acks } = await inspect(folder);
    expect(acks).toBeGreaterThanOrEqual(80 + 20 * 4 + 10);
  });
});
