import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { encodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { forgedEvidence } from "../support/forks.ts";
import { signerFor } from "../support/ledger.ts";
import { peerOf, startHome } from "../support/network.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("a copy that is killed as soon as it says that it is frozen", () => {
  it("is frozen when it is opened again", { timeout: 120_000 }, async () => {
    for (let round = 0; round < 3; round++) {
      const folder = await mkdtemp(join(tmpdir(), "healthledger-forks-"));
      folders.push(folder);
      const evidence = await forgedEvidence("ledger.example/test", [signerFor("checkpoint")]);
      await writeFile(join(folder, "evidence.cbor"), evidence);
      const child = fileURLToPath(new URL("forks-child.ts", import.meta.url));
      const flags = ["--import", "tsx", "--conditions=healthledger-source"];
      const running = spawn(process.execPath, [...flags, child, folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exit = once(running, "exit");
      let text = "";
      running.stdout.on("data", (chunk) => {
        text += String(chunk);
        if (text.includes("frozen")) running.kill("SIGKILL");
      });
      await exit;
      expect(text).toBe("ready\nfrozen true\n");
      const home = await startHome();
      const replica = await openReplica({
        genesis: home.genesis,
        storage: await lmdbStorage({ path: join(folder, "copy") }),
        peers: [peerOf(home.source)],
      });
      expect(encodeForkEvidence(replica.fork!)).toEqual(evidence);
      await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      await replica.close();
    }
  });
});
