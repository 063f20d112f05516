import { expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { observation } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";

it("a home's process gives out what another process of it records, until it is closed", async () => {
  const w = await ward();
  const before = await w.hl.record(w.me, observation("before"));
  const other = await w.again();
  const entries = other.follow({ kinds: ["record"] })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => toHex((await entries.next()).value!.id);
  expect(await next()).toBe(before.id);
  // Waited for: nothing else is there yet.
  const waited = next();
  const during = await w.hl.record(w.me, observation("during"));
  expect(await waited).toBe(during.id);
  const ended = expect(next()).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
  await other.close();
  await ended;
});
