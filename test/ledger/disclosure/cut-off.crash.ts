import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { counts, emptied, twoHospitals } from "../../support/elsewhere.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { readable } from "../../support/ward.ts";
import { CHILD, type Stop } from "./cut-off-child.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Runs the child until it has killed itself. */
function run(folder: string, stop: Stop, now: number): Promise<[string, string | null]> {
  return new Promise((resolve, reject) => {
    const flags = ["--conditions=healthledger-source", "--import", "tsx"];
    const child = spawn(process.execPath, [...flags, CHILD, folder, stop, String(now)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.on("error", reject);
    child.on("close", (_code, signal) => resolve([text, signal]));
  });
}

/** Who breaks the glass while cut off is killed; then the home can be reached again. */
async function killed(stop: Stop) {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-cut-off-"));
  folders.push(folder);
  const path = join(folder, "away");
  const two = await twoHospitals();
  await writeFile(join(folder, "genesis.cbor"), two.genesis);
  let storage = await lmdbStorage({ path });
  const before = await two.open({ storage, signedHeads: "store" });
  await before.record(await before.ensureSubject(MRN), observation("bp-1"));
  await before.close();
  await storage.close();
  const [text, signal] = await run(folder, stop, two.clock.now);
  storage = await lmdbStorage({ path });
  const hl = await two.open({ storage, signedHeads: "store" });
  const kept = (await hl.outbox()).length;
  await emptied(two, hl);
  const me = (await hl.findSubject(MRN))!;
  const audit = await readable(hl.audit(me));
  const reviews = await readable(hl.pendingReviews());
  const reached = await counts(two, hl.member);
  expect(await hl.verify()).toMatchObject({ ok: true });
  await hl.close();
  await storage.close();
  await two.close();
  return { text, signal, kept, audit, reviews, reached };
}

describe("a custodian that is killed while it is cut off and the glass is broken", () => {
  it("has the access on the ledger and under review, if it released before the outbox was sent", async () => {
    const { text, signal, audit, reviews, reached } = await killed("released");
    expect(signal).toBe("SIGKILL");
    const [access, resource] = [text.split(" ")[0]!, text.slice(text.indexOf(" ") + 1).trim()];
    expect(resource).toBe(observation("bp-1"));
    expect(audit).toMatchObject([{ id: access, records: [{ released: true }] }]);
    expect(reviews).toMatchObject([{ id: access, declaration: { reason: "unconscious" } }]);
    expect(reached.get(access)).toBe(1);
  });

  it("has it too if it died before it released anything", async () => {
    const { text, signal, audit, reviews } = await killed("kept");
    expect([text, signal]).toEqual(["", "SIGKILL"]);
    expect(audit).toHaveLength(1);
    expect(reviews.map(({ id }) => id)).toEqual(audit.map(({ id }) => id));
  });

  it("has released nothing before the access is durable", async () => {
    const { text, signal, kept, audit, reviews } = await killed("before");
    expect([text, signal, kept]).toEqual(["", "SIGKILL", 0]);
    expect([audit, reviews]).toEqual([[], []]);
  });
});
