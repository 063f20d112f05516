import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { foundWorld } from "../support/hospital.ts";

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

const PROCESSES = 3;
const EACH = 80;

describe("several processes of one member, on one LMDB store", () => {
  it("find lanes of their own, and lose no write", { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "healthledger-lanes-"));
    folders.push(folder);
    const child = fileURLToPath(new URL("lanes-child.ts", import.meta.url));
    const flags = ["--import", "tsx", "--conditions=healthledger-source"];
    const ended = await Promise.all(
      Array.from({ length: PROCESSES }, async (_, i) => {
        const what = [...flags, child, folder, `p${i}`, String(EACH)];
        const running = spawn(process.execPath, what, { stdio: ["ignore", "pipe", "inherit"] });
        const [said, [code]] = await Promise.all([text(running.stdout), once(running, "exit")]);
        expect(code).toBe(0);
        return said.trim().split("\n");
      }),
    );
    expect(new Set(ended.flat()).size).toBe(PROCESSES * EACH);
    const storage = await lmdbStorage({ path: folder });
    const world = await foundWorld(storage);
    const hl = await world.open({ now: Date.now });
    const verified = await hl.verify();
    expect(verified).toMatchObject({ ok: true });
    for (const id of ended.flat().slice(0, 20)) {
      const receipt = await hl.prove(new Uint8Array(Buffer.from(id, "hex")));
      expect(receipt).toBeInstanceOf(Uint8Array);
    }
    await hl.close();
    await storage.close();
  });
});
