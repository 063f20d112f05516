import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteKey, NOTE_COSIGNATURE } from "../../src/chain/note-key.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { witnessPeer } from "../../src/network/witness-peer.ts";
import { canTrace } from "../../src/testing/node.ts";
import { SYNC_CALLS, syncsOfTrace } from "../../src/testing/sync-probe.ts";
import { describeWith } from "../support/describe-with.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";
import { mth, proof } from "../support/rfc9162.ts";

const CHILD = fileURLToPath(new URL("witness-child.ts", import.meta.url));
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));
async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-witness-"));
  folders.push(path);
  return path;
}

/** Two histories that part at leaf 5. */
const histories = ["leaf", "x"].map((name) =>
  Array.from({ length: 400 }, (_, i) => bytesFor(`${i < 5 ? "leaf" : name} ${i}`)),
);
const noteOf = (history: number, size: number): Promise<Uint8Array> => {
  const root = mth(histories[history]!.slice(0, size));
  const text = encodeCheckpoint({ origin: "log.example/1", size, root });
  return signNote(text, [noteSigner(signerFor("log"), "log.example/1")]);
};

/** Starts the witness, possibly under another command. */
async function start(path: string, under: readonly string[] = []) {
  const node = [process.execPath, "--conditions=healthledger-source", "--import", "tsx"];
  const [command, ...args] = [...under, ...node, CHILD, path];
  const env = { ...process.env, UV_USE_IO_URING: "0" };
  const child = spawn(command!, args, { stdio: ["pipe", "pipe", "inherit"], env });
  const lines = createInterface(child.stdout);
  const port = await new Promise<string>((resolve) =>
    lines.on("line", (line) => {
      if (line.startsWith("port ")) resolve(line.slice(5));
    }),
  );
  const peer = witnessPeer({
    url: `http://127.0.0.1:${port}/`,
    key: noteKey("w.example", NOTE_COSIGNATURE, signerFor("w").publicKey),
  });
  const ended = once(child, "exit");
  return { peer, child, kill: (signal: NodeJS.Signals) => (child.kill(signal), ended) };
}

/** Shows a history at a size, from where the witness is. */
async function show(peer: ReturnType<typeof witnessPeer>, history: number, size: number) {
  let old = 0;
  for (;;) {
    const hashes = old === 0 || old >= size ? [] : proof(old, histories[history]!.slice(0, size));
    const answer = await peer.cosign(await noteOf(history, size), old, hashes);
    if (answer.ok || answer.reason !== "stale" || answer.size > size) return { answer, old };
    old = answer.size;
  }
}

describe("a witness over LMDB", () => {
  it("that is killed at any moment never cosigns a second history, nor goes back", async () => {
    const path = await folder();
    const rounds = process.env["HEALTHLEDGER_EFFORT"] === "short" ? 3 : 20;
    /** The largest size cosigned, and of which history. */
    let last = 0;
    let chosen: number | undefined;
    let answered = 0;
    for (let round = 0; round < rounds; round++) {
      const { peer, kill } = await start(path);
      // What it knows is at least what it answered, and of that history.
      if (chosen !== undefined) {
        const { answer } = await show(peer, 1 - chosen, last + 1);
        expect(answer.ok).toBe(false);
        const { answer: again, old } = await show(peer, chosen, last + 1);
        expect(again.ok || again.reason === "stale").toBe(true);
        expect(old).toBeGreaterThanOrEqual(last);
      }
      let killed: Promise<unknown> | undefined;
      let left = 3 + round;
      /** Kills it some ms after so many answers, whatever it is doing then. */
      const countDown = (): void => {
        if (--left > 0 || killed !== undefined) return;
        killed = new Promise((resolve) =>
          setTimeout(() => void kill("SIGKILL").then(resolve), (round * 7) % 13),
        );
      };
      // Both histories at once, each growing, until it is gone.
      await Promise.all(
        [0, 1].map(async (history) => {
          try {
            for (let size = Math.max(6, last + 1); size < 390; size++) {
              const { answer } = await show(peer, history, size);
              if (!answer.ok) continue;
              expect(history).toBe(chosen ?? history);
              chosen = history;
              last = Math.max(last, size);
              answered++;
              countDown();
            }
          } catch (error) {
            if ((error as { code?: string }).code !== "ERR_TRANSPORT_FAILED") throw error;
          }
        }),
      );
      await killed;
    }
    expect(answered).toBeGreaterThan(rounds);
  });
});

describeWith("a witness under strace", canTrace() ? undefined : "no strace", () => {
  it("has synced what it cosigned before the answer is sent", async () => {
    const path = await folder();
    const trace = join(await folder(), "trace");
    const flags = ["-f", "-y", "-qq", "-s", "80", "-e", SYNC_CALLS, "-o", trace];
    const { peer, child } = await start(path, ["strace", ...flags]);
    for (const size of [6, 7, 9, 12]) {
      expect((await show(peer, 0, size)).answer.ok).toBe(true);
    }
    child.stdin.end();
    await once(child, "exit");
    const text = await readFile(trace, "utf8");
    const transient = (name: string): boolean => name.endsWith("/lock.mdb");
    const found = syncsOfTrace({ text, store: path, transient }, { acknowledged: "answer 200" });
    expect(found).toHaveLength(4);
    for (const { syncs, unsynced } of found) {
      expect(syncs).toBeGreaterThan(0);
      expect(unsynced).toEqual([]);
    }
  });
});
