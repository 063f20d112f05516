import { expect, it, vi } from "vitest";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { folder } from "./lmdb-subject.ts";

vi.mock("lmdb", () => {
  throw new Error("Cannot find package 'lmdb'");
});

it("lmdbStorage says which package to install when it is absent", async () => {
  const { path, remove } = await folder();
  await expect(lmdbStorage({ path })).rejects.toMatchObject({
    code: "ERR_INPUT_UNSUPPORTED",
    message: expect.stringContaining("npm install lmdb"),
  });
  await remove();
});
