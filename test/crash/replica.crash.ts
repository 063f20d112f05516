import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "@ipld/dag-cbor";
import { afterAll, describe, expect, it } from "vitest";
import { blocksChain } from "../../src/chain/chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { effort } from "../support/effort.ts";
import { startHome, type Home } from "../support/network.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const ROUNDS = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 10 });

const folder = await mkdtemp(join(tmpdir(), "healthledger-replica-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Numbers of blocks that a copy's store has, and that its largest accepted checkpoint covers: docs/spec/network.md. */
async function sizesIn(
  path: string,
  home: Home,
): Promise<readonly [stored: number, covered: number]> {
  const storage = await lmdbStorage({ path });
  const { ledger } = home.chain;
  const { size } = await storage.chains.head(blocksChain(ledger));
  const key = new TextEncoder().encode(`network/${ledger.toString()}/accepted`);
  const kept = await storage.state.get(key);
  await storage.close();
  if (kept === undefined) return [size, 0];
  const { note } = decode<{ note: Uint8Array }>(kept);
  return [size, Number(new TextDecoder().decode(note).split("\n")[1])];
}

describe("a replica in a process of its own that is killed while the home grows", () => {
  it("never has a block that no accepted checkpoint covers, and ends with all of them", async () => {
    const home = await startHome({ storage: await lmdbStorage({ path: join(folder, "home") }) });
    await home.grow(50);
    await home.source.look();
    const handler = ledgerHandler({
      ...{ source: home.source, path: "/ledger", reads: "public", requestsPerMinute: 100_000 },
    });
    const server = createServer((request, response) => {
      const leaving = new AbortController();
      response.on("close", () => leaving.abort());
      void (async () => {
        const url = `http://127.0.0.1${request.url}`;
        const answer = await handler(new Request(url, { signal: leaving.signal }));
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        if (answer.body !== null) for await (const part of answer.body) response.write(part);
        response.end();
      })().catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ledger`;
    const file = join(folder, "genesis");
    const copy = join(folder, "copy");
    await writeFile(file, home.genesis);

    const run = (blocks: number) => {
      const child = fileURLToPath(new URL("replica-child.ts", import.meta.url));
      const flags = ["--import", "tsx", "--conditions=healthledger-source"];
      return spawn(process.execPath, [...flags, child, copy, file, url, String(blocks)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
    };
    const sizes = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      const child = run(Infinity);
      const exit = once(child, "exit");
      await once(child.stdout, "data");
      const grew = once(child.stdout, "data");
      // Beyond the checkpoint, always.
      await home.grow(3);
      await home.source.look();
      await home.grow(2);
      // In every other round while it is at work, however slow the machine is.
      if (round % 2 === 1) await grew;
      await new Promise((resolve) => setTimeout(resolve, (round * 37) % 400));
      child.kill("SIGKILL");
      await exit;
      const [stored, accepted] = await sizesIn(copy, home);
      expect([round, stored > accepted]).toEqual([round, false]);
      sizes.add(stored);
    }
    // Killed at several places of the way.
    expect(sizes.size).toBeGreaterThan(1);
    await home.source.look();
    const { size, root } = home.source.newest!;
    await home.grow(1);
    const last = run(size);
    let said = "";
    for await (const chunk of last.stdout) said += String(chunk);
    expect(said.trim().split("\n").at(-1)).toBe(`at ${size}`);
    const storage = await lmdbStorage({ path: copy });
    const verified = await verifyLedger(storage.chains, { genesis: home.genesis });
    expect(verified).toMatchObject({ ok: true, size, root });
    await storage.close();
    server.closeAllConnections();
    server.close();
    await home.source.close();
    await home.sequencer.close();
    await home.chain.close();
    await home.storage.close();
  });
});
