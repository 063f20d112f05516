import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { folder } from "./lmdb-subject.ts";

const CHILD = fileURLToPath(new URL("./lmdb-child.ts", import.meta.url));
const NODE = ["--conditions=healthledger-source", "--import", "tsx", CHILD];

/** Starts a child and counts its acknowledgements as they come. */
function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [...NODE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => (errors += chunk));
  const acks: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const waiting: (() => void)[] = [];
  lines.on("line", (line) => {
    acks.push(line);
    for (const check of waiting) check();
  });
  return {
    acks,
    reached: (count: number) =>
      new Promise<void>((resolve, reject) => {
        const check = () => (acks.length >= count ? resolve() : undefined);
        waiting.push(check);
        child.once("exit", () => reject(new Error(`the child ended early: ${errors}`)));
        check();
      }),
    async ended() {
      const [code] = (await once(child, "close")) as [number];
      if (code !== 0) throw new Error(`the child ended with ${code}: ${errors}`);
    },
    async kill() {
      child.kill("SIGKILL");
      await once(child, "close");
    },
  };
}

/** Checks that a store holds whole commits only, each once, in the order of their writers. */
async function checkWhole(path: string): Promise<Map<string, number>> {
  await using storage = await lmdbStorage({ path });
  const texts: string[] = [];
  for await (const { index, record } of storage.chains.read("a", { from: 0 })) {
    expect(index).toBe(texts.length);
    texts.push(Buffer.from(record).toString());
  }
  const counts = new Map<string, number>();
  for (let i = 0; i < texts.length; i += 2) {
    const [label, number] = texts[i]!.split(" ") as [string, string];
    expect(Number(number)).toBe(counts.get(label) ?? 0);
    expect(texts[i + 1]).toBe(`${texts[i]} second`);
    counts.set(label, Number(number) + 1);
    const cids = Array.from({ length: 20 }, (_, b) =>
      cidOf(Buffer.from(`${texts[i]} blob ${b} ${"x".repeat(200)}`), RAW),
    );
    const blobs = await storage.blobs.getMany(cids);
    expect(blobs.every((bytes, b) => bytes && cidOf(bytes, RAW).equals(cids[b]!))).toBe(true);
  }
  expect(await storage.blobs.count()).toBe(10 * texts.length);
  for (const [label, count] of counts) {
    const last = await storage.state.get(Buffer.from(`last ${label}`));
    expect(Buffer.from(last!).toString()).toBe(`${label} ${count - 1}`);
  }
  return counts;
}

describe("lmdbStorage in several processes", () => {
  it("lets two append to one chain: both make progress, nothing is lost or there twice", async () => {
    const { path, remove } = await folder();
    const [one, two] = [start("append", path, "one", "60"), start("append", path, "two", "60")];
    const compacting = start("compact", path, "three", "3");
    await Promise.all([one.ended(), two.ended(), compacting.ended()]);
    expect(Object.fromEntries(await checkWhole(path))).toEqual({ one: 60, two: 60 });
    await remove();
  });

  it("is whole after writes that failed because a file may not grow", async () => {
    const { path, remove } = await folder();
    const command = ['ulimit -f 1500 && exec "$0" "$@"', process.execPath, ...NODE];
    const run = spawnSync("sh", ["-c", ...command, "append", path, "full"], { encoding: "utf8" });
    // LMDB reports a write that was cut short as an input/output error, which leaves doubt.
    expect(run.stderr).toMatch(/ERR_STORAGE_(FAILED|AMBIGUOUS)/);
    const acknowledged = run.stdout.split("\n").length - 1;
    expect(acknowledged).toBeGreaterThan(10);
    expect(Object.fromEntries(await checkWhole(path))).toEqual({ full: acknowledged });
    await remove();
  });

  it("has the old store or the new one when killed while compacting", async () => {
    const { path, remove } = await folder();
    const writer = start("append", path, "writer", "30");
    await writer.ended();
    for (let round = 0; round < 4; round++) {
      const child = start("compact", path, "compactor");
      await child.reached(1 + round);
      await new Promise((resolve) => setTimeout(resolve, 5 * round));
      await child.kill();
      expect(Object.fromEntries(await checkWhole(path))).toEqual({ writer: 30 });
    }
    await remove();
  });

  it("is whole when two compact at once beside a writer and one of them is killed", async () => {
    const { path, remove } = await folder();
    const writer = start("append", path, "writer", "80");
    await writer.reached(5);
    const survivor = start("compact", path, "survivor", "6");
    const ended = Promise.all([writer.ended(), survivor.ended()]);
    for (let round = 0; round < 2; round++) {
      const victim = start("compact", path, "victim");
      await victim.reached(1);
      await new Promise((resolve) => setTimeout(resolve, 7 * round));
      await victim.kill();
    }
    await ended;
    expect(Object.fromEntries(await checkWhole(path))).toEqual({ writer: 80 });
    // What was half made by those killed is gone with the next compaction.
    await using storage = await lmdbStorage({ path });
    await storage.compact();
    expect(readdirSync(path).filter((name) => name.startsWith("env-"))).toHaveLength(1);
    await remove();
  });

  it("is copied while it is written to, by the program in its guide", async () => {
    const { path, remove } = await folder();
    const guide = fileURLToPath(new URL("../../docs/guide/storage-lmdb.md", import.meta.url));
    const [, program] = /^```js\n([\s\S]*?)^```$/m.exec(readFileSync(guide, "utf8"))!;
    // Where it finds the package.
    const near = await mkdtemp(
      fileURLToPath(new URL("../../node_modules/.backup-", import.meta.url)),
    );
    await writeFile(join(near, "backup.mjs"), program!);
    const writer = start("append", join(path, "live"), "writer", "300");
    await writer.reached(30);
    const command = [join(near, "backup.mjs"), join(path, "live"), join(path, "copy")];
    const run = spawnSync(process.execPath, command, { encoding: "utf8" });
    expect(run.status, run.stderr).toBe(0);
    await writer.ended();
    const copied = (await checkWhole(join(path, "copy"))).get("writer")!;
    expect(copied).toBeGreaterThanOrEqual(30);
    expect(copied).toBeLessThanOrEqual(300);
    await Promise.all([remove(), rm(near, { recursive: true })]);
  });
});
