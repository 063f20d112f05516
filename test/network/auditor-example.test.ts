import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { entryId } from "../../src/block/entry.ts";
import { decodeBlock } from "../../src/block/block.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { decodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { folderTarget } from "../../src/transport/folder.ts";
import { bundleExample } from "../support/bundle-example.ts";
import { twins } from "../support/forks.ts";
import type { Home } from "../support/network.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const NOBODY = "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf";

describe("examples/auditor.mjs", () => {
  let folder: string;
  let program: string;
  let homes: { readonly ours: Home; readonly theirs: Home };
  const at = (name: string): string => join(folder, name);

  /** What it prints, and its exit code. */
  async function audit(...args: readonly string[]): Promise<[number, string]> {
    try {
      const { stdout } = await run(process.execPath, [program, ...args], { cwd: folder });
      return [0, stdout];
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return [code, stdout + stderr];
    }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(root, "node_modules", ".auditor-"));
    program = await bundleExample("auditor", folder);
    homes = await twins(3, 5, 6);
    const { ours } = homes;
    await writeFile(at("genesis.cbor"), ours.genesis);
    const state = [`sys/member/${ours.signers["c"]!.actor}`, `sys/member/${NOBODY}`];
    await publishLedger(ours.source, folderTarget(at("ledger")), { state });
    const place = { height: 1, transaction: 0, entry: 0 };
    const { note } = ours.source.newest!;
    await writeFile(at("receipt.cbor"), await makeReceipt(ours.chain, place, { checkpoint: note }));
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("proves an entry, a member, and the absence of both, from a folder and from a static host", async () => {
    const { chain, signers } = homes.ours;
    const { bytes } = await chain.readBlock(1);
    const [entry] = decodeBlock(bytes).transactions[0]!.entries;
    const id = toHex(entryId(chain.ledger, signers["a"]!.actor, entry!));
    const server = createServer((request, response) => {
      readFile(at(join("ledger", decodeURIComponent(request.url!)))).then(
        (found) => response.end(found),
        () => response.writeHead(404).end(),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      for (const place of ["ledger", address]) {
        const args = ["genesis.cbor", place, "--receipt", "receipt.cbor"];
        const there = await audit(...args, "--entry", id, "--member", signers["c"]!.actor);
        expect(there).toEqual([
          0,
          [
            "5 blocks as of 2026-01-01T00:00:00.000Z, cosigned by nobody",
            "the receipt holds: a record entry in block 1",
            "before block 4, it was auditor",
            "the entry is in block 1: all 5 were read",
            "",
          ].join("\n"),
        ]);
        const absent = await audit(...args, "--entry", "00".repeat(32), "--member", NOBODY);
        expect(absent[0]).toBe(0);
        expect(absent[1]).toContain("before block 4, it was no member");
        expect(absent[1]).toContain("the entry is NOT on the ledger: all 5 were read");
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }, 60_000);

  it("finds files that were tampered with, and a second history after it has kept trust", async () => {
    const args = ["genesis.cbor", "ledger", "--trust", "trust.cbor"];
    expect((await audit(...args))[0]).toBe(0);
    await cp(at("ledger"), at("tampered"), { recursive: true });
    const file = at("tampered/tile/blocks/000.p/5");
    const blocks = await readFile(file);
    blocks[100]! ^= 1;
    await writeFile(file, blocks);
    const [code, said] = await audit("genesis.cbor", "tampered", "--entry", "00".repeat(32));
    expect(code).toBe(2);
    expect(said).toContain("is not the one under the checkpoint");
    const receipt = await readFile(at("receipt.cbor"));
    receipt[receipt.length >> 1]! ^= 1;
    await writeFile(at("altered.cbor"), receipt);
    const altered = await audit("genesis.cbor", "ledger", "--receipt", "altered.cbor");
    expect(altered).toEqual([1, expect.stringContaining("the receipt does NOT hold")]);

    await publishLedger(homes.theirs.source, folderTarget(at("theirs")));
    const forked = await audit("genesis.cbor", "theirs", "--trust", "trust.cbor");
    expect(forked).toEqual([1, "there are TWO HISTORIES: show fork.cbor to the members\n"]);
    const evidence = decodeForkEvidence(await readFile(at("fork.cbor")));
    expect(evidence.continuation?.root).toHaveLength(32);
    // Without what was kept, nothing contradicts what it is shown.
    expect((await audit("genesis.cbor", "theirs"))[0]).toBe(0);
  }, 60_000);
});
