import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { equalBytes } from "../../../src/bytes/compare.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { ledgerHandler } from "../../../src/network/ledger-handler.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { httpPeer } from "../../../src/transport/http.ts";
import { effort } from "../../support/effort.ts";
import { twoHospitals } from "../../support/elsewhere.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";
import { serve } from "../../support/serve.ts";

/** `HEALTHLEDGER_CATCH_UP_ROUNDS`: how often the home is killed; 30, in short runs 6. */
const ROUNDS = effort("HEALTHLEDGER_CATCH_UP_ROUNDS", { full: 30, short: 6 });
/** More than two batches of 256. */
const BLOCKS = 600;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("a restored home that is killed while it takes what its copies have", () => {
  it(`never writes below them, killed ${ROUNDS} times`, { timeout: 600_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "healthledger-restored-"));
    folders.push(folder);
    let homeStorage = await lmdbStorage({ path: join(folder, "home") });
    const now = { now: Date.now };
    const two = await twoHospitals({ homeStorage, home: { ...now, signedHeads: "store" } });
    await writeFile(join(folder, "genesis.cbor"), two.genesis);
    const away = await two.open({ ...now, signedHeads: "store" });
    await away.ensureSubject(MRN);
    await two.close();
    await homeStorage.close();
    await cp(join(folder, "home"), join(folder, "backup"), { recursive: true });

    // The home goes on from where it was, and the copy elsewhere with it.
    homeStorage = await lmdbStorage({ path: join(folder, "home") });
    const { awayStorage } = two;
    await away.close();
    const later = await twoHospitals({
      ...{ homeStorage, awayStorage, home: { ...now, signedHeads: "store" } },
    });
    const patient = await later.home.ensureSubject(MRN);
    for (let i = 0; i < BLOCKS; i++) await later.home.record(patient, observation(`o${i}`));
    await later.source.look();
    const copy = await later.open({ ...now, signedHeads: "store" });
    const { size } = later.home.chain;
    const { root } = later.home.chain;
    expect(copy.chain.size).toBe(size);
    expect(size).toBeGreaterThan(BLOCKS);
    await later.close();
    await homeStorage.close();

    const handler = ledgerHandler({
      ...{ source: copy.copy!, path: "/ledger", authorize: () => true, requestsPerMinute: 1e6 },
    });
    let asked = (): void => undefined;
    const served = await serve((request) => {
      asked();
      return handler(request);
    });
    const child = fileURLToPath(new URL("catching-up-child.ts", import.meta.url));
    const flags = ["--import", "tsx", "--conditions=healthledger-source"];
    let killedBefore = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // Every third time from the backup again; else from where it was killed.
      if (round % 3 === 0) {
        await rm(join(folder, "restored"), { recursive: true, force: true });
        await cp(join(folder, "backup"), join(folder, "restored"), { recursive: true });
      }
      const running = spawn(
        process.execPath,
        [...flags, child, folder, served.url, String(round)],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      const exit = once(running, "exit");
      let text = "";
      running.stdout.on("data", (chunk) => (text += String(chunk)));
      while (!text.includes("opening") && running.exitCode === null) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      // By turns at a request, before it is answered, and at any time.
      const atRequest = round % 2 === 0 ? 1 + (round % 5) : Infinity;
      let requests = 0;
      asked = () => void (++requests === atRequest && running.kill("SIGKILL"));
      await Promise.race([
        exit,
        new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 3000)),
      ]);
      running.kill("SIGKILL");
      await exit;
      const line = /^opened (\d+)$/m.exec(text);
      if (line === null) killedBefore++;
      else expect(Number(line[1])).toBeGreaterThanOrEqual(size);
    }
    expect(killedBefore).toBeGreaterThan(0);

    const storage = await lmdbStorage({ path: join(folder, "restored") });
    const restored = await openLedger({
      ...{ storage, keys: later.homeKeys, genesis: later.genesis, signedHeads: "store" },
      peers: [httpPeer({ url: `${served.url}/ledger`, did: "did:key:copy" })],
      policy: { labeller: LABELLER },
    });
    expect(restored.chain.size).toBeGreaterThanOrEqual(size);
    expect(equalBytes(await restored.chain.rootAt(size), root)).toBe(true);
    expect(await restored.verify()).toMatchObject({ ok: true });
    await restored.close();
    await copy.close();
    await served.close();
    await storage.close();
  });
});
