import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { signerFor } from "../support/ledger.ts";
import { polledHome, run, until } from "../support/polled.ts";
import { sleep } from "../../src/storage/sleep.ts";

const CHILD = fileURLToPath(new URL("cosign-child.ts", import.meta.url));

it("a validator that is killed at any moment goes on, and has stored nothing that is not accepted", async () => {
  const path = await mkdtemp(join(tmpdir(), "healthledger-cosign-"));
  const home = await polledHome();
  const other = run({
    ...{ home: home.peer(signerFor("w")), witness: home.witness("w", memoryStorage()) },
  });
  const rounds = process.env["HEALTHLEDGER_EFFORT"] === "short" ? 3 : 15;
  const told: string[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const node = ["--conditions=healthledger-source", "--import", "tsx", CHILD, path];
      const child = spawn(process.execPath, [...node, home.url, home.did, toHex(home.genesis)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      child.stdout.on("data", (text: Buffer) => told.push(text.toString()));
      const ended = once(child, "exit");
      const from = home.hl.chain.size;
      await home.grow();
      // It signs what grew while it was away, and what comes next.
      await until(() => (home.source.newest?.size ?? 0) > from);
      let isGrowing = true;
      const growing = (async () => {
        while (isGrowing) await home.grow();
      })();
      await sleep((round * 37) % 150);
      child.kill("SIGKILL");
      await ended;
      isGrowing = false;
      await growing;

      const storage = await lmdbStorage({ path });
      const chain = await openChain({ storage, genesis: home.genesis });
      expect(chain.size).toBeLessThanOrEqual(home.source.newest!.size);
      if (chain.size > 0) expect(await home.hl.chain.rootAt(chain.size)).toEqual(chain.root);
      await storage.close();
    }
    expect(told).toEqual([]);
    expect(other.refused).toEqual([]);
  } finally {
    await other.stop();
    await home.close();
    await rm(path, { recursive: true, force: true });
  }
});
