import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { expectNothingLost } from "../support/lanes.ts";

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

describe("several processes of one member, on one LMDB store", () => {
  it("find lanes of their own, and lose no write", { timeout: 120_000 }, async () => {
    const path = await mkdtemp(join(tmpdir(), "healthledger-lanes-"));
    folders.push(path);
    await expectNothingLost("lmdb", path, () => lmdbStorage({ path }), 80);
  });
});
