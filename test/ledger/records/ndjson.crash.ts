import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ledger } from "../../../src/index.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { effort } from "../../support/effort.ts";
import { foundWorld } from "../../support/hospital.ts";
import { feed, isPrescription, lineAt, NDJSON_CHILD, numberOf, personOf } from "./ndjson-child.ts";

const ROUNDS = effort("HEALTHLEDGER_NDJSON_KILLS", { full: 160, short: 4 });
const LINES = 4000;

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "healthledger-crash-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

/**
 * Sends all lines from the first on, and kills the process some time after it has said that so many are
 * durable; how many it said.
 */
async function sendAndKill(after: number): Promise<number> {
  const flags = ["--conditions=healthledger-source", "--import", "tsx"];
  const child = spawn(process.execPath, [...flags, NDJSON_CHILD, path, String(LINES)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "close");
  let said = "";
  let durable = 0;
  let isArmed = false;
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    durable = Number([...said.matchAll(/durable (\d+)\n/g)].at(-1)?.[1] ?? 0);
    if (isArmed || durable < after || !said.includes("ready")) return;
    isArmed = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 100);
  });
  await exited;
  return durable;
}

/** For each resource, its versions line by line; a negative number is a deletion. */
function statesOf(): ReadonlyMap<number, readonly (readonly [line: number, version: number])[]> {
  const states = new Map<number, (readonly [number, number])[]>();
  for (let i = 0; i < LINES; i++) {
    const { resource, version } = lineAt(i);
    if (resource === undefined) continue;
    states.set(resource, [...(states.get(resource) ?? []), [i, version]]);
  }
  return states;
}

/** The versions that are current here, by resource. */
async function current(hl: Ledger): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  for (const person of [0, 1, 2]) {
    const subject = await hl.findSubject(numberOf(person));
    if (subject === undefined) continue;
    const records = (await hl.records(subject)).filter(({ retracted }) => !retracted);
    let [drugs, prescriptions] = [0, 0];
    for (const { head } of records) {
      const { type, id, versionId } = head.manifest.resource!;
      if (type === "Medication") drugs++;
      if (type === "Patient" || type === "Medication") continue;
      const resource = Number(id!.slice(1));
      expect(personOf(resource)).toBe(person);
      expect(found.has(resource), `two records of ${id}`).toBe(false);
      found.set(resource, Number(versionId));
      if (isPrescription(resource)) prescriptions++;
    }
    // The drug is there once for whom it serves, and never without being there for them.
    expect(drugs).toBeLessThanOrEqual(1);
    if (prescriptions > 0) expect(drugs).toBe(1);
  }
  return found;
}

describe("a process that records NDJSON", () => {
  it(
    `has each resource once, and no acknowledged line too few, killed ${ROUNDS} times`,
    { timeout: 3_600_000 },
    async () => {
      const states = statesOf();
      let acknowledged = 0;
      const open = async () => {
        const storage = await lmdbStorage({ path });
        const world = await foundWorld(storage);
        const hl = await world.open({ lane: 0, signedHeads: "store" });
        return { storage, hl };
      };
      for (let round = 0; round < ROUNDS; round++) {
        acknowledged = Math.max(acknowledged, await sendAndKill(Math.random() * LINES));
        const { storage, hl } = await open();
        const found = await current(hl);
        for (const [resource, all] of states) {
          const own = found.get(resource);
          // As after some line that was acknowledged, or that came later.
          const at = all.findLastIndex(([line]) => line < acknowledged);
          const possible = all.slice(Math.max(0, at));
          const isThere =
            own === undefined
              ? at < 0 || possible.some(([, version]) => version < 0)
              : possible.some(([, version]) => version === own);
          expect(isThere, `o${resource} is ${own}`).toBe(true);
        }
        await hl.close();
        await storage.close();
      }
      const { storage, hl } = await open();
      await hl.recordNdjson(feed(LINES), { source: "ehr-1" });
      const last = [...states].map(([resource, all]) => [resource, all.at(-1)![1]] as const);
      const expected = new Map(last.filter(([, version]) => version > 0));
      expect(await current(hl)).toEqual(expected);
      const { size } = hl.chain;
      const again = await hl.recordNdjson(feed(LINES), { source: "ehr-1" });
      expect(again).toMatchObject({ recorded: 0, amended: 0, retracted: 0, lines: LINES });
      expect(hl.chain.size).toBe(size);
      console.log(`killed ${ROUNDS} times: ${acknowledged} of ${LINES} lines acknowledged`);
      expect(acknowledged).toBeGreaterThan(0);
      await hl.close();
      await storage.close();
    },
  );
});
