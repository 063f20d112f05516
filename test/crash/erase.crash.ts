import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { parseRecordId } from "../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { decode } from "../../src/codec/dag-cbor.ts";
import { fileShardKeys } from "../../src/identity/file-shards.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { foundWorld, observation } from "../support/hospital.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, in CI 10. */
const ROUNDS = Number(
  process.env["HEALTHLEDGER_CRASH_ROUNDS"] ?? (process.env["CI"] === undefined ? 40 : 10),
);

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("a process that erases", () => {
  it(`keeps what it kept and never brings back what it erased, killed ${ROUNDS} times`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "healthledger-crash-"));
    folders.push(folder);
    const child = fileURLToPath(new URL("erase-child.ts", import.meta.url));
    const flags = ["--import", "tsx", "--conditions=healthledger-source"];
    const total = { kept: 0, erased: 0, interrupted: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const running = spawn(process.execPath, [...flags, child, folder, String(round * 1000)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(running, "exit");
      // In one of four rounds once it has erased something; in one while it opens, and completes what the last began.
      const wanted = ["ready", "ready", "erased", "opening"][round % 4]!;
      let said = "";
      for await (const chunk of running.stdout.iterator({ destroyOnReturn: false })) {
        said += String(chunk);
        if (said.split("\n").includes(wanted)) break;
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      running.kill("SIGKILL");
      expect((await exited)[1]).toBe("SIGKILL");

      const storage = await lmdbStorage({ path: join(folder, "store") });
      const shardKeys = await fileShardKeys(join(folder, "shards"));
      const world = await foundWorld(storage);
      const hl = await world.open({ shardKeys, signedHeads: "store" });
      const lines = (await readFile(join(folder, "acks"), "utf8").catch(() => ""))
        .split("\n")
        .slice(0, -1);
      const erased = new Set<string>();
      for (const line of lines) {
        const [what, id] = line.split(" ") as [string, string];
        if (what === "erased") erased.add(id);
      }
      total.kept = total.erased = total.interrupted = 0;
      for (const line of lines) {
        const [what, id, n] = line.split(" ") as [string, string, string];
        const text = await hl
          .read(parseRecordId(id))
          .then(bytesToUtf8, (error) => error.code as string);
        if (what === "kept") {
          expect(text).toBe(observation(`kept-${n}`));
          total.kept++;
        } else if (what === "erased") {
          expect(text).toBe("ERR_RECORD_ERASED");
          total.erased++;
        } else if (!erased.has(id)) {
          // All of it or nothing.
          expect(text === "ERR_RECORD_ERASED" || text.includes(`"gone-`)).toBe(true);
          total.interrupted++;
        }
      }
      expect(await hl.verify()).toMatchObject({ ok: true });
      await hl.close();
      const secret = decode((await shardKeys.load())!) as { former: unknown[] };
      expect(secret.former).toEqual([]);
      await shardKeys.close();
      await storage.close();
    }
    console.log(`killed ${ROUNDS} times:`, total);
    // Whatever the machine's speed, the kills must have met both.
    expect(total.kept).toBeGreaterThan(0);
    expect(total.erased).toBeGreaterThan(0);
  });
});
