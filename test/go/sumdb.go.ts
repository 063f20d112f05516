import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { encodeVkey, NOTE_ED25519, noteKey, parseVkey } from "../../src/chain/note-key.ts";
import { proveInclusion } from "../../src/merkle/proof.ts";
import { tileTree } from "../../src/merkle/tile-tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { folderTarget } from "../../src/transport/folder.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { describeWith } from "../support/describe-with.ts";
import { signerFor } from "../support/ledger.ts";
import { startHome } from "../support/network.ts";

// golang.org/x/mod/sumdb reads what this library publishes, and the other way round.

const run = promisify(execFile);
const GOPATH = "/usr/share/gocode";
const isThere = await run("go", ["list", "golang.org/x/mod/sumdb/tlog"], {
  env: {
    ...process.env,
    GO111MODULE: "off",
    GOPATH,
    GOCACHE: join(tmpdir(), "healthledger-go-list"),
  },
}).then(
  () => true,
  () => false,
);
const missing = isThere
  ? undefined
  : "needs Go and golang.org/x/mod: apt-get install golang-go golang-golang-x-mod-dev";

describeWith("golang.org/x/mod/sumdb", missing, () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "healthledger-go-"));
    program = join(folder, "check");
    const source = fileURLToPath(new URL("check.go", import.meta.url));
    const env = { ...process.env, GO111MODULE: "off", GOPATH, GOCACHE: join(folder, "cache") };
    await run("go", ["build", "-o", program, source], { env });
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const vkey = encodeVkey(
    noteKey("ledger.example/test", NOTE_ED25519, signerFor("checkpoint").publicKey),
  );

  it("opens our notes, and proves every header and any two checkpoints of a published folder", async () => {
    const home = await startHome();
    const published = join(folder, "ours");
    const notes: string[] = [];
    for (const more of [1, 2, 253, 1, 300]) {
      await home.grow(more);
      await home.source.look();
      await publishLedger(home.source, folderTarget(published));
      notes.push(join(folder, `note ${notes.length}`));
      await writeFile(notes.at(-1)!, home.source.newest!.note);
    }
    const { stdout } = await run(program, ["check", published, vkey, ...notes]);
    // Six checkpoints, of which two are the newest: 1, 3, 256, 257, 557, 557.
    expect(stdout).toBe("557 headers, 22 pairs\n");
    const damage = async (path: string, text: string) => {
      const file = join(published, path);
      const before = await readFile(file);
      const after = before.slice();
      after[40]! ^= 1;
      await writeFile(file, after);
      const failed = run(program, ["check", published, vkey, ...notes]);
      await expect(failed, text).rejects.toMatchObject({ code: 1 });
      await writeFile(file, before);
    };
    await damage("tile/0/001", "a tile");
    await damage("tile/entries/000", "a header");
    await damage("checkpoint", "a note");
  }, 300_000);

  it.each([1, 256, 700])(
    "makes a log of %i records that our reader proves",
    async (count) => {
      const made = join(folder, `theirs ${count}`);
      await run("mkdir", [made]);
      const { stdout } = await run(program, ["make", made, String(count)]);
      const peer = httpPeer({
        ...{ url: "http://static.invalid/", did: "did:key:go" },
        fetch: async (url) => new Response(await readFile(join(made, new URL(url).pathname))),
      });
      const key = parseVkey(stdout.trim());
      const opened = openCheckpoint(await peer.checkpoint(), {
        origin: "go.example/log",
        keys: [key],
      });
      if (!opened.ok) throw new Error(opened.reason);
      const { size, root } = opened.checkpoint;
      expect(size).toBe(count);
      const tree = tileTree({ size, root }, (tile) => peer.tile(tile));
      for (let index = 0; index < count; index++) {
        const leaf = leafHash(new TextEncoder().encode(`record ${index}`));
        const proof = await proveInclusion(index, size, tree.readNodes);
        expect(verifyInclusion({ index, size, leafHash: leaf, proof, root }).ok).toBe(true);
      }
    },
    300_000,
  );
});
