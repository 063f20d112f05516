import { afterAll, beforeAll, describe, it } from "vitest";
import { openBundles, type Bundles } from "../support/threads.ts";
import {
  expectClosed,
  expectNothingDoubled,
  expectRecovered,
  FAULTS,
  HANG,
  TWICE,
} from "./faults.ts";

let bundles: Bundles;
beforeAll(() => {
  bundles = openBundles();
});
afterAll(() => bundles.remove());

describe.each(["describe", "seal"] as const)("a thread that is to %s", (kind) => {
  for (const at of [1, 2, 3]) {
    // A thread whose first job always fails never gets on.
    it.each(at === 1 ? [] : Object.keys(FAULTS))(`and %s, at job ${at}`, async (what) => {
      await expectRecovered(await bundles.faulty(kind, at, FAULTS[what]!));
    });
    it(`and answers twice, at job ${at}`, async () => {
      await expectNothingDoubled(await bundles.faulty(kind, at, TWICE));
    });
    it(`and hangs, at job ${at}`, async () => {
      await expectClosed(await bundles.faulty(kind, at, HANG));
    });
  }
});
