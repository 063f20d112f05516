import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { ledgerHandler } from "../../../src/network/ledger-handler.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { counts, emptied, twoHospitals } from "../../support/elsewhere.ts";
import { effort } from "../../support/effort.ts";
import { MRN } from "../../support/hospital.ts";
import { serve } from "../../support/serve.ts";

/** `HEALTHLEDGER_OUTBOX_ROUNDS`: how often the member is killed; 30, in short runs 5. */
const ROUNDS = effort("HEALTHLEDGER_OUTBOX_ROUNDS", { full: 30, short: 5 });
const RECORDS = 200;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("a member elsewhere that is killed", () => {
  it(
    `loses nothing acknowledged and doubles nothing, killed ${ROUNDS} times, the home away at times`,
    { timeout: 600_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "healthledger-outbox-"));
      folders.push(folder);
      const homeStorage = await lmdbStorage({ path: join(folder, "home") });
      // By the clock of the child.
      const two = await twoHospitals({ homeStorage, home: { now: Date.now } });
      await writeFile(join(folder, "genesis.cbor"), two.genesis);
      const handler = ledgerHandler({
        ...{ source: two.source, sequencer: two.home.sequencer, path: "/ledger" },
        ...{ authorize: () => true, requestsPerMinute: 1e6 },
      });
      let isAway = false;
      const served = await serve(async (request) =>
        isAway ? new Response(null, { status: 503 }) : handler(request),
      );
      const child = fileURLToPath(new URL("writing-child.ts", import.meta.url));
      const flags = ["--import", "tsx", "--conditions=healthledger-source"];
      const acknowledged: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const running = spawn(
          process.execPath,
          [...flags, child, folder, served.url, String(round), String(RECORDS)],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        const exit = once(running, "exit");
        let text = "";
        running.stdout.on("data", (chunk) => (text += String(chunk)));
        // Some are killed once something is acknowledged, however slow the machine is.
        const begun = round % 3 === 0 ? "acknowledged " : "ready";
        while (!text.includes(begun) && running.exitCode === null) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        if (round % 3 === 1) setTimeout(() => (isAway = true), 100 * Math.random());
        await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 600));
        running.kill("SIGKILL");
        await exit;
        isAway = false;
        // A line that was cut is acknowledged to nobody.
        for (const line of text.split("\n").slice(0, -1)) {
          if (line.startsWith("acknowledged ")) acknowledged.push(line.slice(13));
        }
      }

      const awayStorage = await lmdbStorage({ path: join(folder, "away") });
      const hl = await two.open({ storage: awayStorage, signedHeads: "store", now: Date.now });
      await emptied(two, hl);
      const patient = await hl.ensureSubject(MRN);
      const records = await hl.records(patient);
      const ids = new Set(records.map(({ record }) => record as string));
      expect(acknowledged.filter((id) => !ids.has(id))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(0);
      const texts = new Set<string>();
      for (const { record } of records) {
        texts.add(new TextDecoder().decode(await hl.read(record)));
      }
      expect(texts.size).toBe(records.length);
      const reached = await counts(two, hl.member);
      expect([...reached.values()].filter((count) => count !== 1)).toEqual([]);
      expect(await hl.lost()).toEqual([]);
      expect(await hl.verifyBlobs()).toMatchObject({ missing: [], damaged: [] });
      expect(await hl.verify()).toMatchObject({ ok: true });
      expect(hl.chain.root).toEqual(two.home.chain.root);
      await hl.close();
      await served.close();
      await two.close();
      await awayStorage.close();
      await homeStorage.close();
    },
  );
});
