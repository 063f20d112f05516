import { spawn } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecordId } from "../../../src/codec/ids.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN } from "../../support/hospital.ts";
import { collect } from "../../support/ward.ts";
import { digestOfStudy, UPLOAD_CHILD } from "./upload-child.ts";

const ROUNDS = process.env["HEALTHLEDGER_EFFORT"] === "short" ? 6 : 40;

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "healthledger-crash-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

/** Runs the child, and kills it some time after it has said a word. */
async function runAndKill(first: number, word: string): Promise<string[]> {
  const flags = ["--conditions=healthledger-source", "--import", "tsx"];
  const child = spawn(process.execPath, [...flags, UPLOAD_CHILD, path, String(first)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "close");
  let said = "";
  let armed = false;
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (armed || !said.includes(word)) return;
    armed = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 250);
  });
  const [, signal] = (await exited) as [unknown, string];
  expect(signal).toBe("SIGKILL");
  return said.split("\n").slice(0, -1);
}

describe("a process that records attachments", () => {
  it(`has every acknowledged one whole and no block too many, killed ${ROUNDS} times`, async () => {
    const acknowledged = new Map<string, number>();
    let cleaned = 0;
    let identity: string[] | undefined;
    // Until a kill has also come in the middle of an upload.
    for (let round = 0; round < ROUNDS || (cleaned === 0 && round < 10 * ROUNDS); round++) {
      for (const line of await runAndKill(round * 1000, round % 2 === 0 ? "ready" : "recorded")) {
        const [what, id, n] = line.split(" ") as [string, string, string];
        if (what === "recorded") acknowledged.set(id, Number(n));
      }
      const storage = await lmdbStorage({ path });
      const before = await storage.blobs.count();
      const world = await foundWorld(storage);
      const hl = await world.open({ lane: 0, signedHeads: "store" });
      const me = await hl.ensureSubject(MRN);
      const after = await storage.blobs.count();
      if (after < before) cleaned++;
      const records = await hl.records(me);
      const named = new Set<string>();
      for (const { head } of records) {
        named.add(String(head.envelope));
        const { parts } = decodeSignedHeader((await storage.blobs.get(head.envelope))!).header;
        for (const cid of parts.flatMap(({ data }) => data)) named.add(String(cid));
      }
      // What is there is what records name, and the four blobs that say who the person is.
      const there = (await collect(storage.blobs.list())).map(String);
      const others = there.filter((cid) => !named.has(cid)).sort();
      expect(there.length - others.length).toBe(named.size);
      identity ??= others;
      expect(others).toEqual(identity);
      expect(others).toHaveLength(4);
      expect(records.length).toBeGreaterThanOrEqual(acknowledged.size);
      for (const [id, n] of acknowledged) {
        const [attachment] = await hl.attachments(parseRecordId(id));
        const digest = createHash("sha256");
        for await (const piece of attachment!.stream()) digest.update(piece);
        expect(digest.digest("hex")).toBe(digestOfStudy(n));
      }
      await hl.close();
      await storage.close();
    }
    console.log(`killed ${ROUNDS} times: ${acknowledged.size} recorded, ${cleaned} cleaned up`);
    expect(acknowledged.size).toBeGreaterThan(0);
    expect(cleaned).toBeGreaterThan(0);
  });
});
