import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../src/testing/memory-subject.ts";
import { storageControls } from "../../src/testing/storage-controls.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";

/** By the rule that each control breaks: what the kit says of it, and of nothing else. */
const FAILURES: Readonly<Record<string, RegExp>> = {
  "append without compare": /^genesis again: expected an error/,
  "append that compares sizes only": /^right size, other hash: expected an error/,
  "append that compares, then waits, then writes": /^size after an append that won: expected 2/,
  "append in several steps": /^too many: expected an error/,
  "replays refused": /^the chain has 4 records, and its head is not the expected one/,
  "replays written again": /^replay of the last append: expected {"size":4.* got {"size":6/,
  "partial replays taken for whole": /^second record differs: expected an error/,
  "numbers from 1": /^records: expected \[{"index":0.* got \[{"index":1/,
  "limit ignored": /^from 7, three: /,
  "chains not told apart": /^the chain has 1 records, and its head is not the expected one/,
  "records kept by reference": /^head: expected {"size":1.* got {"size":2/,
  "the head in a conflict handed out from a cache": /^head: .* got {"size":2,"hash":"bytes 0{64}"}/,
  "append acknowledged before it is written": /^head.*: expected {"size":[12].* got {"size":0/,
  "a head from a cache that others do not clear":
    /^head.*: expected {"size":[24].* got {"size":[01]/,
  "abort ignored": /^aborted append: expected an error/,
  "an abort that rejects and writes all the same": /^head after an abort: expected {"size":0/,
  "an append that shows its parts": /^records of an append that is there in part: expected 0/,
  "a tail that begins at the end": /^item: expected {"index":1,.* got {"index":2/,
  "a tail that misses what comes while it hands out": /^the next index: /,
  "a tail that outlives its store": /^the case: has not ended after/,
  "appends the part that fits": /^too large: code of the error: expected "ERR_STORAGE_LIMIT"/,
  "put acknowledged before it is stored": /^has 0: expected true, got false/,
  "wrong bytes of large blobs": /^other bytes of 32001/,
  "blobs kept by reference": /^bytes: expected .* got "undefined"/,
  "blobs handed out from a shared buffer": /^bytes: expected .* got "bytes 0{99}/,
  "codec of the name ignored": /^has: expected \[true,false\], got \[true,true\]/,
  "names kept by reference": /^names: expected .* got \[\["bytes 0{72}"/,
  "names of two bytes' codec cut short": /^list: /,
  "deletion forgotten": /^deleted: expected \["undefined",false\], got \["bytes /,
  "deletion of one too many": /^kept: .*"undefined"\]$/,
  "puts what fits and then fails": /^count: expected 0, got 9/,
  "batch in several steps": /^values: expected .*6f6c64.* got .*6e6577/,
  "the first change of a key counts": /^values: expected \["bytes 32".* got \["bytes 31"/,
  "keys in the order of numbers":
    /^all: expected \["bytes 00","bytes 0000".* got \["bytes 00","bytes 01"/,
  "upper bound included": /^all: .*ffffffff/,
  "a scan stops after a page": /^up: .*,253,254,255\]$/,
  "unsynced batches dropped": /^a node that the proof needs is missing/,
  "a commit that leaves what lost in the state":
    /^state: expected "bytes 6f6e65", got "bytes 74776f"/,
  "commit in three steps, blobs first": /^blobs: expected 5, got 10/,
  "commit in three steps, append first": /^state is not set back: /,
  "compaction brings the deleted back": /^deleted blob: expected false, got true/,
};

describe("storageControls", () => {
  it("are those whose failures are known here", () => {
    expect(storageControls.map(({ name }) => name).sort()).toEqual(Object.keys(FAILURES).sort());
  });

  it.concurrent.each(storageControls)(
    "$name: fails the kit, for its own fault",
    async (control) => {
      const cases = storageCases.filter(({ name }) => name.includes(control.fails));
      const results = await runKit(cases, control.make, { features: ALL_FEATURES, timeout: 5000 });
      const failed = results.flatMap((one) => (one.outcome === "failed" ? [one.error] : []));
      expect(failed.length).toBeGreaterThan(0);
      for (const error of failed) {
        expect((error as Error).message).toMatch(FAILURES[control.name]!);
      }
    },
  );
});

describe("runKit", () => {
  it("skips cases that require what the subject does not offer", async () => {
    const some = storageCases.filter(({ requires = [] }) => requires.length > 0);
    const results = await runKit(some, () => Promise.reject(new Error("no store")), {
      features: [],
    });
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["skipped"]));
  });

  it("fails a case that does not end", async () => {
    const endless = [{ name: "endless", run: () => new Promise<void>(() => {}) }];
    const [result] = await runKit(endless, undefined, { features: [], timeout: 10 });
    expect(result).toMatchObject({ outcome: "failed" });
  });
});
