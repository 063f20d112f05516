import { join } from "node:path";
import { expect, it } from "vitest";
import { expectNothingLost } from "../support/lanes.ts";
import { folder, openAt } from "./subject.ts";

it("several processes of one member, on one SQLite file, lose no write", async () => {
  expect.hasAssertions();
  const { path, remove } = await folder();
  try {
    const file = join(path, "ledger.db");
    await expectNothingLost("sqlite", file, () => openAt(file), 40);
  } finally {
    await remove();
  }
});
