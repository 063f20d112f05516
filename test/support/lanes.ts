import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { foundWorld, MRN } from "./hospital.ts";

const PROCESSES = 3;

/**
 * Has three processes of one member write to one store, each with default options, and expects each
 * record that was acknowledged to be there, and no other.
 */
export async function expectNothingLost(
  kind: "lmdb" | "sqlite" | "postgres",
  at: string,
  open: () => Promise<StorageAdapter>,
  each: number,
): Promise<void> {
  const child = fileURLToPath(new URL("lanes-child.ts", import.meta.url));
  const flags = ["--no-warnings", "--import", "tsx", "--conditions=healthledger-source"];
  const ended = await Promise.all(
    Array.from({ length: PROCESSES }, async (_, i) => {
      const what = [...flags, child, kind, at, `p${i}`, String(each)];
      const running = spawn(process.execPath, what, { stdio: ["ignore", "pipe", "inherit"] });
      const [said, [code]] = await Promise.all([text(running.stdout), once(running, "exit")]);
      expect(code).toBe(0);
      return said.trim().split("\n");
    }),
  );
  const acknowledged = ended.flat();
  expect(new Set(acknowledged).size).toBe(PROCESSES * each);
  const storage = await open();
  const world = await foundWorld(storage);
  const hl = await world.open({ now: Date.now });
  expect(await hl.verify()).toMatchObject({ ok: true });
  const records = await hl.records((await hl.findSubject(MRN))!);
  const there = records.map(({ head }) => Buffer.from(head.id).toString("hex"));
  expect(there.sort()).toEqual(acknowledged.sort());
  await hl.close();
  await storage.close();
}
