import { describe, it } from "vitest";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { lmdbSubjects } from "./lmdb-subject.ts";

describe("lmdbStorage", () => {
  it.each(storageCases)("$name", ({ run }) => run(lmdbSubjects));
});
