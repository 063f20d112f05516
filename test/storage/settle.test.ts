import { describe, expect, it } from "vitest";
import {
  ChainError,
  EncodingError,
  InputError,
  type LedgerError,
  StorageError,
  RecordError,
} from "../../src/errors.ts";
import { AmbiguousAppend, AppendConflict } from "../../src/storage/errors.ts";
import { EMPTY_HEAD } from "../../src/storage/guards.ts";
import { afterWriting, untilSettled } from "../../src/storage/settle.ts";

const failed = (): StorageError => new StorageError("ERR_STORAGE_FAILED", "gone");
const closed = (): StorageError => new StorageError("ERR_STORAGE_CLOSED", "closed");

/** A write that fails in turn, and is then made; and how often it was tried. */
function writing(...errors: unknown[]): { write: () => Promise<string>; tries: () => number } {
  let tries = 0;
  return {
    write: async () => {
      const error = errors[tries++];
      if (error !== undefined) throw error;
      return "written";
    },
    tries: () => tries,
  };
}

describe("afterWriting", () => {
  // By docs/errors.md each of these says that nothing was written.
  it.each([
    failed(),
    closed(),
    new StorageError("ERR_STORAGE_LIMIT", "too large"),
    new AppendConflict(EMPTY_HEAD),
    new InputError("ERR_INPUT_INVALID", "bad"),
    new InputError("ERR_INPUT_RETAINED", "kept"),
    new EncodingError("ERR_ENCODING_LIMIT", "too many"),
    new ChainError("ERR_CHAIN_REFUSED", "refused"),
    new ChainError("ERR_CHAIN_CLOSED", "closed"),
    new ChainError("ERR_CHAIN_BUSY", "full"),
    new ChainError("ERR_CHAIN_CLOCK", "late"),
    new ChainError("ERR_CHAIN_READ_ONLY", "read only"),
    new ChainError("ERR_CHAIN_POLICY", "no witness"),
    new RecordError("ERR_RECORD_NOT_FOUND", "never there"),
    new RecordError("ERR_RECORD_RETRACTED", "entered in error"),
  ] as LedgerError[])("does not let $code say that nothing was written", async (error) => {
    await expect(afterWriting(() => Promise.reject(error))).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: error,
    });
  });

  // These say what became of what was recorded.
  it.each([
    new StorageError("ERR_STORAGE_PENDING", "an erasure"),
    new StorageError("ERR_STORAGE_CONFLICT", "another changed it"),
    new StorageError("ERR_STORAGE_ERASED", "erased"),
    new StorageError("ERR_STORAGE_CORRUPT", "damaged"),
    new RecordError("ERR_RECORD_CONFLICT", "another changed it"),
    new RecordError("ERR_RECORD_ERASED", "erased"),
    new TypeError("a mistake"),
  ])("leaves %s as it is", async (error) => {
    await expect(afterWriting(() => Promise.reject(error))).rejects.toBe(error);
  });
});

describe("untilSettled", () => {
  const quick = { within: 1000, longest: 1 };

  it("believes a failure at once, while nothing is in doubt", async () => {
    const { write, tries } = writing(failed());
    await expect(untilSettled(write, quick)).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    expect(tries()).toBe(1);
  });

  it.each([new AmbiguousAppend(), new Error("ETIMEDOUT"), "no error at all"])(
    "asks on behind %s, and believes no failure after it",
    async (doubt) => {
      const { write, tries } = writing(doubt, failed(), failed());
      expect(await untilSettled(write, quick)).toBe("written");
      expect(tries()).toBe(4);
      const never = writing(doubt, ...Array.from({ length: 10_000 }, failed));
      await expect(untilSettled(never.write, { within: 20, longest: 1 })).rejects.toMatchObject({
        code: "ERR_STORAGE_AMBIGUOUS",
      });
    },
  );

  it("ends with a conflict, which settles it", async () => {
    const conflict = new AppendConflict(EMPTY_HEAD);
    const { write } = writing(new AmbiguousAppend(), failed(), conflict);
    await expect(untilSettled(write, quick)).rejects.toBe(conflict);
  });

  it("says that it is in doubt when the store is closed meanwhile", async () => {
    const { write, tries } = writing(new AmbiguousAppend(), closed());
    await expect(untilSettled(write, quick)).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: { code: "ERR_STORAGE_CLOSED" },
    });
    expect(tries()).toBe(2);
  });

  it("says that it is in doubt when the signal aborts meanwhile, and not before", async () => {
    const stop = new AbortController();
    const before = writing(stop);
    stop.abort(stop);
    await expect(untilSettled(before.write, { ...quick, signal: stop.signal })).rejects.toBe(stop);
    const { write, tries } = writing(new AmbiguousAppend(), failed(), failed());
    await expect(untilSettled(write, { ...quick, signal: stop.signal })).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    expect(tries()).toBe(1);
  });

  it("asks no second time for what another one has asked for long enough", async () => {
    const { write, tries } = writing(
      ...Array.from({ length: 10_000 }, () => new AmbiguousAppend()),
    );
    const inner = (): Promise<string> => untilSettled(write, { within: 0 });
    await expect(untilSettled(inner, quick)).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    expect(tries()).toBe(1);
  });
});
