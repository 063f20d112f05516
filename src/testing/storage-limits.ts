import { equalBytes } from "../bytes/compare.ts";
import type { NamedBlob, Commit, StateChange, StorageAdapter } from "../storage/types.ts";
import { check, checkSame, collect, outcomeOf } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  blobsOf,
  bytes,
  chainsOf,
  EMPTY,
  fullOf,
  noise,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

const LIMITS = { maxBatch: 8, maxAppendBytes: 1000 };

/** Records with a total of `bytes` bytes. */
function recordsOf(count: number, size: number, seed: number): Uint8Array[] {
  const each = Math.floor(size / count);
  return Array.from({ length: count }, (_, i) =>
    noise(i === 0 ? size - each * (count - 1) : each, seed + i),
  );
}

function blobsWith(count: number, size: number, seed: number): NamedBlob[] {
  return recordsOf(count, size, seed * 1000).map(blobOf);
}

/** Changes whose keys and values have a total of `bytes` bytes; each key has two. */
function changesOf(count: number, size: number, seed: number): StateChange[] {
  return recordsOf(count, size - 2 * count, seed * 100).map((value, i) => ({
    key: Uint8Array.of(1 + i, seed),
    value,
  }));
}

/**
 * Sizes just within the limit, which must be accepted, and just beyond it, which must be refused.
 */
interface Side {
  readonly what: string;
  readonly fits: boolean;
  write(seed: number): Promise<unknown>;
}

async function checkSides(
  sides: readonly Side[],
  count: () => Promise<unknown>,
  again: () => Promise<unknown>,
): Promise<void> {
  for (const [seed, { what, fits, write }] of sides.entries()) {
    const before = JSON.stringify(await count());
    const { failed, code, text } = await outcomeOf(() => write(seed + 1), what);
    if (fits) {
      check(!failed, `${what}, just within the limits: ${text}`);
      continue;
    }
    check(code === "ERR_STORAGE_LIMIT", `${what}, just beyond the limits: ${text}`);
    checkSame(JSON.stringify(await count()), before, `what is there after ${what} was refused`);
  }
  await again();
}

/** Sizes around the default of caps; above the limits of most databases. */
const MANY = 70_000;
const MANY_BLOBS = 33_000;
const LARGE = (17 << 20) + 3;

/** Cases on both sides of `caps.maxBatch` and `caps.maxAppendBytes`. */
export const limitCases: readonly StorageCase[] = [
  {
    name: "limits: an append just within them is taken, one just beyond is refused whole",
    requires: ["chains"],
    run: (make) =>
      withStorage(
        make,
        async (storage) => {
          const chains = chainsOf(storage);
          checkCaps(storage);
          const side = (what: string, fits: boolean, count: number, size: number): Side => ({
            what,
            fits,
            write: (seed) => chains.append(`chain ${seed}`, EMPTY, recordsOf(count, size, seed)),
          });
          await checkSides(
            [
              side("8 records", true, 8, 80),
              side("9 records", false, 9, 90),
              side("a record of 1000 bytes", true, 1, 1000),
              side("a record of 1001 bytes", false, 1, 1001),
              side("8 records of 1000 bytes", true, 8, 1000),
              side("8 records of 1001 bytes", false, 8, 1001),
              side("2 records of 1001 bytes", false, 2, 1001),
              side("9 records of 1001 bytes", false, 9, 1001),
            ],
            async () => (await collect(chains.list())).sort(),
            () => chains.append("after", EMPTY, recordsOf(8, 1000, 1)),
          );
        },
        LIMITS,
      ),
  },
  {
    name: "limits: a put just within them is taken, one just beyond is refused whole",
    requires: ["blobs"],
    run: (make) =>
      withStorage(
        make,
        async (storage) => {
          const blobs = blobsOf(storage);
          checkCaps(storage);
          const side = (what: string, fits: boolean, count: number, size: number): Side => ({
            what,
            fits,
            write: (seed) => blobs.put(blobsWith(count, size, seed)),
          });
          await checkSides(
            [
              side("8 blobs", true, 8, 80),
              side("9 blobs", false, 9, 90),
              side("a blob of 1000 bytes", true, 1, 1000),
              side("a blob of 1001 bytes", false, 1, 1001),
              side("3 blobs of 1000 bytes", true, 3, 1000),
              side("3 blobs of 1001 bytes", false, 3, 1001),
            ],
            () => blobs.count(),
            () => blobs.put(blobsWith(8, 1000, 99)),
          );
          // Reading and deleting have no limit.
          const many = blobsWith(8, 80, 1);
          const cids = [...many, ...blobsWith(8, 1000, 99)].map(({ cid }) => cid);
          const found = await blobs.getMany(cids);
          check(
            found.every((value) => value !== undefined),
            "getMany of more than maxBatch",
          );
          await blobs.delete(cids);
          checkSame(await blobs.has(cids[0]!), false, "deletion of more than maxBatch");
        },
        LIMITS,
      ),
  },
  {
    name: "limits: a batch just within them is made, one just beyond is refused whole",
    requires: ["state"],
    run: (make) =>
      withStorage(
        make,
        async (storage) => {
          const state = stateOf(storage);
          checkCaps(storage);
          const side = (what: string, fits: boolean, changes: StateChange[]): Side => ({
            what,
            fits,
            write: (seed) =>
              state.batch(
                changes.map(({ key, value }) => ({
                  key: key.length === 2 ? Uint8Array.of(key[0]!, seed) : key,
                  value: value as Uint8Array,
                })),
              ),
          });
          const longKey = new Uint8Array(1000).fill(3);
          const removal = (key: Uint8Array): StateChange => ({ key, value: null });
          await checkSides(
            [
              side("8 changes", true, changesOf(8, 80, 1)),
              side("9 changes", false, changesOf(9, 90, 2)),
              side("a key and value of 1000 bytes", true, changesOf(1, 1000, 3)),
              side("a key and value of 1001 bytes", false, changesOf(1, 1001, 4)),
              side("8 changes of 1001 bytes", false, changesOf(8, 1001, 5)),
              side("a key of 1000 bytes", true, [{ key: longKey, value: new Uint8Array() }]),
              side("a key of 1001 bytes", false, [removal(new Uint8Array(1001).fill(3))]),
              side("9 removals", false, Array(9).fill(removal(Uint8Array.of(1, 1)))),
            ],
            async () => (await collect(state.scan(ANY_KEY))).length,
            () => state.batch(changesOf(8, 1000, 99)),
          );
          const keys = Array.from({ length: 20 }, (_, i) => Uint8Array.of(1 + (i % 8), 99));
          check(
            (await state.getMany(keys)).every((value) => value !== undefined),
            "getMany of more than maxBatch",
          );
        },
        LIMITS,
      ),
  },
  {
    name: "limits: of a commit count everything in it, and one beyond them writes nothing",
    requires: ["commit"],
    run: (make) =>
      withStorage(
        make,
        async (storage) => {
          const full = fullOf(storage);
          checkCaps(storage);
          const side = (
            what: string,
            fits: boolean,
            parts: {
              readonly [part in "records" | "blobs" | "state"]?: readonly [number, number];
            },
          ): Side => ({
            what,
            fits,
            write(seed) {
              const { records, blobs, state } = parts;
              const batch: Commit = {
                ...(records && {
                  append: {
                    chain: `chain ${seed}`,
                    expected: EMPTY,
                    records: recordsOf(...records, seed),
                  },
                }),
                ...(blobs && { blobs: blobsWith(...blobs, seed) }),
                ...(state && { state: changesOf(...state, seed) }),
              };
              return full.commit(batch);
            },
          });
          await checkSides(
            [
              side("3 + 3 + 2 items", true, { records: [3, 30], blobs: [3, 30], state: [2, 20] }),
              side("3 + 3 + 3 items", false, { records: [3, 30], blobs: [3, 30], state: [3, 30] }),
              side("5 + 4 items", false, { records: [5, 50], state: [4, 40] }),
              side("4 + 5 items", false, { blobs: [4, 40], state: [5, 50] }),
              side("9 records", false, { records: [9, 90] }),
              side("9 blobs", false, { blobs: [9, 90] }),
              side("9 changes", false, { state: [9, 90] }),
              side("1000 bytes", true, { records: [1, 400], blobs: [1, 300], state: [1, 300] }),
              side("1001 bytes", false, { records: [1, 400], blobs: [1, 300], state: [1, 301] }),
              side("501 + 500 bytes", false, { records: [1, 501], state: [1, 500] }),
              side("blobs of 1001 bytes", false, { blobs: [2, 1001], state: [1, 10] }),
            ],
            async () => [
              (await collect(full.chains.list())).sort(),
              await full.blobs.count(),
              (await collect(full.state.scan(ANY_KEY))).length,
            ],
            () => full.commit({ blobs: blobsWith(8, 1000, 99) }),
          );
        },
        LIMITS,
      ),
  },

  {
    name: "caps: as many records and changes as they promise are taken at once, up to 70,000",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const { maxBatch } = chains.caps;
        const count = Math.min(maxBatch, MANY);
        const many = Array.from({ length: count }, (_, i) => bytes(`${i}`));
        const head = await chains.append("a", EMPTY, many);
        checkSame(head.size, count, "size");
        let next = 0;
        for await (const { index, record } of chains.read("a", { from: 0 })) {
          check(index === next && equalBytes(record, many[next]!), `record ${next} is another`);
          next++;
        }
        checkSame(next, count, "number of records");
        const { state } = storage;
        if (!state) return;
        const changes = many.slice(0, state.caps.maxBatch).map((value) => ({ key: value, value }));
        await state.batch(changes);
        const values = await state.getMany(changes.map(({ key }) => key));
        check(
          values.length === changes.length &&
            values.every((value, i) => value !== undefined && equalBytes(value, many[i]!)),
          "values that were put at once",
        );
        await state.batch(changes.map(({ key }) => ({ key, value: null })));
        checkSame(await collect(state.scan(ANY_KEY)), [], "after all are removed");
      }),
  },
  {
    name: "caps: as many blobs as they promise are taken, given and deleted at once, up to 33,000",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        const { maxBatch, atomicBlobs } = blobs.caps;
        const count = Math.min(maxBatch, atomicBlobs === false ? 1100 : MANY_BLOBS);
        const many = Array.from({ length: count }, (_, i) => blobOf(bytes(`${i}`)));
        const cids = many.map(({ cid }) => cid);
        await blobs.put(many);
        checkSame(await blobs.count(), count, "count");
        const values = await blobs.getMany(cids);
        check(
          values.length === count &&
            values.every((value, i) => value !== undefined && equalBytes(value, many[i]!.bytes)),
          "blobs that were put at once",
        );
        await blobs.delete(cids);
        checkSame(await blobs.count(), 0, "count after all are deleted");
      }),
  },
  {
    name: "caps: as many bytes as they promise are taken at once, up to 17 MiB",
    requires: [],
    run: (make) =>
      withStorage(make, async ({ chains, blobs, state }) => {
        const sizeOf = (store: { readonly caps: { readonly maxAppendBytes: number } }): number =>
          Math.min(store.caps.maxAppendBytes, LARGE);
        const content = noise(LARGE, 1);
        if (chains) {
          const size = sizeOf(chains);
          const record = content.subarray(0, size);
          await chains.append("a", EMPTY, [record]);
          const [first] = await collect(chains.read("a", { from: 0 }));
          check(first && equalBytes(first.record, record), `a record of ${size} bytes`);
        }
        if (blobs) {
          const blob = blobOf(content.subarray(0, sizeOf(blobs)));
          await blobs.put([blob]);
          const got = await blobs.get(blob.cid);
          check(got && equalBytes(got, blob.bytes), `a blob of ${blob.bytes.length} bytes`);
        }
        if (state) {
          const key = bytes("key");
          const value = content.subarray(0, sizeOf(state) - key.length);
          await state.batch([{ key, value }]);
          const got = await state.get(key);
          check(got && equalBytes(got, value), `a value of ${value.length} bytes`);
          const [entry] = await collect(state.scan(ANY_KEY));
          check(
            entry && equalBytes(entry.value, value),
            `a scanned value of ${value.length} bytes`,
          );
        }
      }),
  },
];

function checkCaps({ chains, blobs, state }: StorageAdapter): void {
  for (const store of [chains, blobs, state]) {
    if (store) {
      const { maxBatch, maxAppendBytes } = store.caps;
      checkSame(
        { maxBatch, maxAppendBytes },
        LIMITS,
        "caps of a store that was opened with limits",
      );
    }
  }
}
