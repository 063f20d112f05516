import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecordId } from "../../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { collect, requesterOf } from "../../support/ward.ts";
import { CHILD, type Stop } from "./crash-child.ts";

const ROUNDS = process.env["HEALTHLEDGER_EFFORT"] === "short" ? 4 : 20;

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "healthledger-crash-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

/** Runs the child until it is dead; kills it a while after so many lines, if asked to. */
function run(
  scene: "ask" | "erase" | "bundles",
  stop: Stop,
  more: { readonly id?: string; readonly killAfter?: number; readonly lines?: number } = {},
): Promise<{ readonly lines: string[]; readonly signal: string | null }> {
  return new Promise((resolve, reject) => {
    const flags = ["--conditions=healthledger-source", "--import", "tsx"];
    const child = spawn(process.execPath, [...flags, CHILD, path, scene, stop, more.id ?? ""], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    let armed = false;
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (more.killAfter === undefined || armed) return;
      if (text.split("\n").length <= (more.lines ?? 1)) return;
      armed = true;
      setTimeout(() => child.kill("SIGKILL"), more.killAfter);
    });
    child.on("error", reject);
    child.on("close", (_code, signal) => {
      // A last line without its end was not acknowledged.
      resolve({ lines: text.split("\n").slice(0, -1), signal });
    });
  });
}

async function open() {
  const storage = await lmdbStorage({ path });
  const world = await foundWorld(storage);
  const hl = await world.open({ signedHeads: "store" });
  const me = await hl.ensureSubject(MRN);
  return {
    world,
    storage,
    hl,
    me,
    async close() {
      await hl.close();
      await storage.close();
    },
  };
}

async function prepare(): Promise<{ gone: string; kept: string; secrets: Buffer[] }> {
  const { world, storage, hl, me, close } = await open();
  await hl.consent(me, treatmentOnly(world.patient), { signer: world.patient });
  const gone = await hl.record(me, observation("bp-1"));
  const kept = await hl.record(me, observation("bp-2"));
  const [record] = await hl.records(me);
  const { header, signature } = decodeSignedHeader(
    (await storage.blobs.get(record!.head.envelope))!,
  );
  const secrets = [header.salt, signature, ...header.parts.map(({ commit }) => commit)];
  for (const { data } of header.parts) {
    for (const cid of data) secrets.push((await storage.blobs.get(cid))!.subarray(0, 64));
  }
  await close();
  return { gone: gone.id, kept: kept.id, secrets: secrets.map(Buffer.from) };
}

function filesBelow(folder: string): string[] {
  if (statSync(folder).isFile()) return [folder];
  return readdirSync(folder).flatMap((name) => filesBelow(join(folder, name)));
}

const stands = (secrets: readonly Buffer[]): number => {
  const files = filesBelow(path).map((file) => readFileSync(file));
  return secrets.filter((secret) => files.some((file) => file.includes(secret))).length;
};

describe("a custodian that is killed", () => {
  it("between access entry and answer has the access in its audit", async () => {
    await prepare();
    const { lines, signal } = await run("ask", "after commit");
    expect([lines, signal]).toEqual([[], "SIGKILL"]);
    const { hl, me, world, close } = await open();
    const audit = await collect(hl.audit(me));
    expect(audit).toMatchObject([
      {
        requester: world.hospitalB.signer().actor,
        records: [{ released: true }, { released: true }],
      },
    ]);
    expect(await hl.verify()).toMatchObject({ ok: true });
    const again = await hl.request(requesterOf(world.hospitalB), {
      patient: MRN,
      purposes: ["TREAT"],
    });
    expect(again.count).toBe(2);
    await close();
  });

  it("before the access entry has answered nothing and recorded nothing", async () => {
    await prepare();
    expect(await run("ask", "before commit")).toEqual({ lines: [], signal: "SIGKILL" });
    const { hl, me, close } = await open();
    expect(await collect(hl.audit(me))).toEqual([]);
    await close();
  });

  for (const stop of [
    "after commit",
    "before delete",
    "after delete",
    "before batch",
    "after batch",
    "before compact",
    "after compact",
  ] as const) {
    it(`in the middle of an erasure, ${stop}, completes it at the next start`, async () => {
      const { gone, kept, secrets } = await prepare();
      expect(stands(secrets)).toBe(secrets.length);
      const { lines, signal } = await run("erase", stop, { id: gone });
      expect([lines, signal]).toEqual([["ready"], "SIGKILL"]);
      const { hl, me, close } = await open();
      expect(stands(secrets)).toBe(0);
      await expect(hl.read(parseRecordId(gone))).rejects.toMatchObject({
        code: "ERR_RECORD_ERASED",
      });
      expect(bytesToUtf8(await hl.read(parseRecordId(kept)))).toBe(observation("bp-2"));
      expect(await hl.records(me)).toHaveLength(1);
      expect(await hl.verify()).toMatchObject({ ok: true });
      expect((await hl.verifyBlobs()).damaged).toEqual([]);
      await close();
      expect(stands(secrets)).toBe(0);
    });
  }

  it("at any moment of an erasure leaves the record, or erases it altogether", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { gone, secrets } = await prepare();
      const killAfter = (round * 40) / ROUNDS;
      await run("erase", "never", { id: gone, killAfter });
      const { hl, close } = await open();
      const read = await hl.read(parseRecordId(gone)).then(bytesToUtf8, (error: unknown) => error);
      if (typeof read === "string") {
        expect(read).toBe(observation("bp-1"));
        expect(stands(secrets)).toBe(secrets.length);
      } else {
        expect(read).toMatchObject({ code: "ERR_RECORD_ERASED" });
        expect(stands(secrets)).toBe(0);
      }
      expect(await hl.verify()).toMatchObject({ ok: true });
      await close();
      rmSync(path, { recursive: true, force: true });
      path = mkdtempSync(join(tmpdir(), "healthledger-crash-"));
    }
  });

  it("while recording bundles has everything that it acknowledged, and nothing torn", async () => {
    const acknowledged = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const killAfter = Math.random() * 300;
      // Behind the first bundle that was acknowledged, however slow the machine is.
      const { lines, signal } = await run("bundles", "never", { killAfter, lines: 2 });
      expect(signal).toBe("SIGKILL");
      for (const line of lines.slice(1)) for (const id of line.split(",")) acknowledged.add(id);
      const { hl, me, close } = await open();
      expect(await hl.verify()).toMatchObject({ ok: true });
      expect((await hl.verifyBlobs()).damaged).toEqual([]);
      const there = new Set<string>((await hl.records(me)).map(({ record }) => record));
      expect([...acknowledged].filter((id) => !there.has(id))).toEqual([]);
      // What was in flight is there whole or not at all: everything that is there opens.
      for (const id of there) {
        const { resourceType } = JSON.parse(bytesToUtf8(await hl.read(parseRecordId(id)))) as {
          resourceType: string;
        };
        expect(["Observation", "Patient"]).toContain(resourceType);
      }
      await close();
    }
    expect(acknowledged.size).toBeGreaterThan(0);
  });
});
