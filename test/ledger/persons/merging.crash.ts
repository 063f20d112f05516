import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { parseEntryId } from "../../../src/codec/ids.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { effort } from "../../support/effort.ts";
import { foundWorld } from "../../support/hospital.ts";

/** `HEALTHLEDGER_MERGE_ROUNDS`: how often two processes are killed; 20, in short runs 4. */
const ROUNDS = effort("HEALTHLEDGER_MERGE_ROUNDS", { full: 20, short: 4 });
const PEOPLE = 4;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("two processes that join and part persons", () => {
  it(
    `lose nothing that was acknowledged and join nobody in half, killed ${ROUNDS} times`,
    { timeout: 600_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "healthledger-merging-"));
      folders.push(folder);
      const child = fileURLToPath(new URL("merging-child.ts", import.meta.url));
      const flags = ["--import", "tsx", "--conditions=healthledger-source"];
      let [acknowledged, partings] = [0, 0];
      for (let round = 0; round < ROUNDS; round++) {
        const running = [1, 2].map((process_) =>
          spawn(
            process.execPath,
            [...flags, child, folder, `${process_}`, `${round * 2 + process_}`],
            {
              stdio: ["ignore", "pipe", "inherit"],
            },
          ),
        );
        const exits = running.map((one) => once(one, "exit"));
        for (const one of running) {
          for await (const chunk of one.stdout.iterator({ destroyOnReturn: false })) {
            if (String(chunk).includes("ready")) break;
          }
        }
        // The first are killed once something was parted, however slow the machine is.
        while (round === 0 && !(await said(folder)).includes("parted")) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        await new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 400));
        for (const one of running) one.kill("SIGKILL");
        await Promise.all(exits);

        const storage = await lmdbStorage({ path: join(folder, "store") });
        const world = await foundWorld(storage);
        const hl = await world.open({ signedHeads: "store" });
        const merged = new Set<string>();
        const parted = new Set<string>();
        for (const process_ of [1, 2]) {
          const acks = await readFile(join(folder, `acks-${process_}`), "utf8").catch(() => "");
          const lines = acks.split("\n").slice(0, -1);
          acknowledged += lines.length;
          for (const line of lines) {
            const [what, link] = line.split(" ") as [string, string];
            (what === "merged" ? merged : parted).add(link);
          }
        }
        // a merge that was acknowledged is on the ledger, in effect or ended
        for (const link of merged) {
          await hl.mixed(parseEntryId(link))[Symbol.asyncIterator]().next();
        }
        // and one whose end was acknowledged is no longer in effect
        for (const link of parted) {
          expect(merged.has(link)).toBe(true);
          await expect(hl.unmerge(parseEntryId(link), { reason: "again" })).rejects.toMatchObject({
            code: "ERR_RECORD_RETRACTED",
          });
        }
        partings = parted.size;
        // whoever lists another's records is listed by them: nobody is joined in half
        const lists = new Map<string, string>();
        for (let n = 0; n < PEOPLE; n++) {
          const subject = await hl.ensureSubject({ system: "urn:oid:1.1", value: String(n) });
          const records = await hl.records(subject);
          const ids = records.map(({ head }) => head.manifest.resource!.id!);
          expect(new Set(ids).size).toBe(ids.length);
          expect(ids).toContain(`person-${n}`);
          lists.set(`person-${n}`, ids.join());
        }
        for (const list of lists.values()) {
          for (const one of list.split(",")) expect(lists.get(one)).toBe(list);
        }
        const before = [...lists.values()];
        await hl.close();
        const again = await world.open({ signedHeads: "store", repair: { index: true } });
        for (let n = 0; n < PEOPLE; n++) {
          const subject = await again.findSubject({ system: "urn:oid:1.1", value: String(n) });
          const records = await again.records(subject!);
          expect(records.map(({ head }) => head.manifest.resource!.id).join()).toBe(before[n]);
        }
        await again.close();
        await storage.close();
      }
      expect(acknowledged).toBeGreaterThan(ROUNDS);
      expect(partings).toBeGreaterThan(0);
    },
  );
});

/** What both processes have acknowledged. */
async function said(folder: string): Promise<string> {
  const files = [1, 2].map((process_) => readFile(join(folder, `acks-${process_}`), "utf8"));
  return (await Promise.all(files.map((text) => text.catch(() => "")))).join("");
}
