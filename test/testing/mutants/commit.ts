import { CID } from "../../../src/codec/cid.ts";
import { AmbiguousAppend, AppendConflict } from "../../../src/storage/errors.ts";
import { StorageError } from "../../../src/errors.ts";
import { checkCommit, sameHead } from "../../../src/storage/guards.ts";
import type { AppendOptions, Commit, FullStorage, Head } from "../../../src/storage/types.ts";
import { pause } from "../../../src/testing/kit.ts";
import { codeOf, copy, mutant, type Mutant } from "./wrap.ts";

type Committing = (
  storage: FullStorage,
  batch: Commit,
  options: AppendOptions | undefined,
  shared: Record<string, any>,
) => Promise<Head | undefined>;

const on = (name: string, commit: Committing): Mutant =>
  mutant(`commit: ${name}`, (storage, shared) => ({
    ...storage,
    commit: (batch, options) => commit(storage, batch, options, shared),
  }));

function copied({ append, blobs, state }: Commit): Commit {
  return {
    ...(append && {
      append: {
        chain: append.chain,
        expected: {
          size: append.expected.size,
          hash: append.expected.hash && copy(append.expected.hash),
        },
        records: append.records.map(copy),
      },
    }),
    ...(blobs && {
      blobs: blobs.map(({ cid, bytes }) => ({
        cid: CID.decode(copy(cid.bytes)),
        bytes: copy(bytes),
      })),
    }),
    ...(state && {
      state: state.map(({ key, value }) =>
        value ? { key: copy(key), value: copy(value) } : { key: copy(key), value: null },
      ),
    }),
  };
}

type Part = "append" | "blobs" | "state";

/** A commit whose parts are made one after another, with time between; checked and compared first. */
const inSteps = (order: readonly Part[]): Mutant =>
  on(`in steps: ${order.join(", then ")}`, async (storage, batch, options) => {
    checkCommit(batch, storage.chains.caps);
    options?.signal?.throwIfAborted();
    const copies = copied(batch);
    const { append } = copies;
    // A replay or conflict is told before anything is written.
    if (append && !sameHead(await storage.chains.head(append.chain), append.expected))
      return storage.commit({ append });
    let head: Head | undefined;
    for (const part of order) {
      if (copies[part] === undefined) continue;
      head = (await storage.commit({ [part]: copies[part] })) ?? head;
      await pause();
    }
    return head;
  });

export const commitMutants: readonly Mutant[] = [
  inSteps(["append", "blobs", "state"]),
  inSteps(["append", "state", "blobs"]),
  inSteps(["blobs", "append", "state"]),
  inSteps(["blobs", "state", "append"]),
  inSteps(["state", "append", "blobs"]),
  inSteps(["state", "blobs", "append"]),
  on("signal ignored", (storage, batch) => storage.commit(batch)),
  on("signal ignored without an append", (storage, batch, options) =>
    storage.commit(batch, batch.append ? options : undefined),
  ),
  on("an abort rejects with an error of its own", (storage, batch, options) =>
    storage.commit(batch, options).catch((error: unknown) => {
      throw options?.signal?.aborted ? new DOMException("aborted", "AbortError") : error;
    }),
  ),
  on("an abort rejects with the reason wrapped", (storage, batch, options) =>
    storage.commit(batch, options).catch((error: unknown) => {
      throw options?.signal?.aborted
        ? new StorageError("ERR_STORAGE_FAILED", "aborted", { cause: error })
        : error;
    }),
  ),
  on("an abort with a reason that is no error is none", (storage, batch, options) =>
    storage.commit(
      batch,
      options?.signal?.reason instanceof Error || !options?.signal?.aborted ? options : {},
    ),
  ),
  on("an abort after it was made rejects", async (storage, batch, options) => {
    const head = await storage.commit(batch, options);
    await pause(1);
    options?.signal?.throwIfAborted();
    return head;
  }),
  on("an abort between its steps leaves the first", async (storage, batch, options) => {
    const copies = copied(batch);
    checkCommit(batch, storage.chains.caps);
    options?.signal?.throwIfAborted();
    if (
      !copies.append ||
      !sameHead(await storage.chains.head(copies.append.chain), copies.append.expected)
    )
      return storage.commit(batch);
    await storage.commit({ ...(copies.blobs && { blobs: copies.blobs }) });
    await pause();
    options?.signal?.throwIfAborted();
    return storage.commit({ append: copies.append, ...(copies.state && { state: copies.state }) });
  }),
  on("maxBatch counts records only", (storage, batch, options) =>
    withoutLimit(storage, batch, options, "items", ({ append }) => append?.records.length ?? 0),
  ),
  on("maxBatch counts each part for itself", (storage, batch, options) =>
    withoutLimit(storage, batch, options, "items", ({ append, blobs, state }) =>
      Math.max(append?.records.length ?? 0, blobs?.length ?? 0, state?.length ?? 0),
    ),
  ),
  on("maxAppendBytes counts records only", (storage, batch, options) =>
    withoutLimit(
      storage,
      batch,
      options,
      "bytes",
      ({ append }) => append?.records.reduce((n, r) => n + r.length, 0) ?? 0,
    ),
  ),
  on("maxAppendBytes counts no keys", (storage, batch, options) =>
    withoutLimit(storage, batch, options, "bytes", ({ append, blobs, state }) =>
      [
        ...(append?.records ?? []),
        ...(blobs ?? []).map((b) => b.bytes),
        ...(state ?? []).map((c) => c.value ?? new Uint8Array()),
      ].reduce((n, r) => n + r.length, 0),
    ),
  ),
  on("maxAppendBytes counts no blobs", (storage, batch, options) =>
    withoutLimit(storage, batch, options, "bytes", ({ append, state }) =>
      [
        ...(append?.records ?? []),
        ...(state ?? []).flatMap((c) => [c.key, c.value ?? new Uint8Array()]),
      ].reduce((n, r) => n + r.length, 0),
    ),
  ),
  on("beyond its limits a bare RangeError", (storage, batch, options) =>
    storage.commit(batch, options).catch((error: unknown) => {
      throw codeOf(error) === "ERR_STORAGE_LIMIT" ? new RangeError("too large") : error;
    }),
  ),
  on("beyond its limits the blobs are put all the same", (storage, batch, options) =>
    storage.commit(batch, options).catch(async (error: unknown) => {
      if (codeOf(error) === "ERR_STORAGE_LIMIT" && batch.blobs)
        for (const blob of batch.blobs) await storage.blobs.put([blob]).catch(() => {});
      throw error;
    }),
  ),
  on("a replay puts blobs and state once more", async (storage, batch, options) => {
    const copies = batch.append?.records.length ? copied(batch) : batch;
    const before =
      batch.append && (await storage.chains.head(batch.append.chain).catch(() => undefined));
    const head = await storage.commit(copies, options);
    if (before && head && before.size >= head.size)
      await storage.commit({
        ...(copies.blobs && { blobs: copies.blobs }),
        ...(copies.state && { state: copies.state }),
      });
    return head;
  }),
  on("a replay is a conflict", async (storage, batch, options) => {
    const before =
      batch.append && (await storage.chains.head(batch.append.chain).catch(() => undefined));
    const head = await storage.commit(
      batch.append?.records.length ? copied(batch) : batch,
      options,
    );
    if (before && head && before.size >= head.size) throw new AppendConflict(before);
    return head;
  }),
  on("a replay gives undefined", async (storage, batch, options, shared) => {
    const head = await storage.commit(batch, options);
    const done: Set<string> = (shared["done"] ??= new Set());
    const key = String(head?.size);
    if (head && done.has(key)) return undefined;
    done.add(key);
    return head;
  }),
  on("a conflict is called ambiguous", (storage, batch, options) =>
    storage.commit(batch, options).catch((error: unknown) => {
      throw error instanceof AppendConflict ? new AmbiguousAppend(error) : error;
    }),
  ),
  on("a conflict tells the expected head", (storage, batch, options) =>
    storage.commit(batch, options).catch((error: unknown) => {
      throw error instanceof AppendConflict ? new AppendConflict(batch.append!.expected) : error;
    }),
  ),
  on("a conflict puts the blobs", (storage, batch, options) =>
    storage.commit(batch, options).catch(async (error: unknown) => {
      if (error instanceof AppendConflict && batch.blobs) await storage.blobs.put(batch.blobs);
      throw error;
    }),
  ),
  on("a conflict changes the state", (storage, batch, options) =>
    storage.commit(batch, options).catch(async (error: unknown) => {
      if (error instanceof AppendConflict && batch.state) await storage.state.batch(batch.state);
      throw error;
    }),
  ),
  on(
    "without an append gives an empty head",
    async (storage, batch, options) =>
      (await storage.commit(batch, options)) ?? { size: 0, hash: null },
  ),
  on("of nothing fails", (storage, batch, options) =>
    Object.keys(batch).length === 0
      ? Promise.reject(new RangeError("nothing"))
      : storage.commit(batch, options),
  ),
  on("without an append writes nothing", async (storage, batch, options) =>
    batch.append ? storage.commit(batch, options) : storage.commit({}, options),
  ),
  on("removals in it are left out", (storage, batch, options) =>
    storage.commit(
      {
        ...batch,
        ...(batch.state && { state: batch.state.filter(({ value }) => value !== null) }),
      },
      options,
    ),
  ),
  on("of several changes of a key the first counts", (storage, batch, options) =>
    storage.commit(
      { ...batch, ...(batch.state && { state: [...batch.state].reverse() }) },
      options,
    ),
  ),
  on("arguments are read after the call returned", async (storage, batch, options) => {
    await Promise.resolve();
    return storage.commit(batch, options);
  }),
  on("the expected head is read after the call returned", async (storage, batch, options) => {
    const { expected } = batch.append ?? {};
    if (!batch.append?.records.length) return storage.commit(batch, options);
    checkCommit(batch, storage.chains.caps);
    const copies = copied(batch);
    await pause();
    return storage.commit(
      { ...copies, append: { ...copies.append!, expected: expected! } },
      options,
    );
  }),
  on("acknowledged, and made a moment later", async (storage, batch, options) => {
    if (batch.append) return storage.commit(batch, options);
    checkCommit(batch, storage.chains.caps);
    options?.signal?.throwIfAborted();
    const copies = copied(batch);
    setTimeout(() => void storage.commit(copies).catch(() => {}), 1);
    return undefined;
  }),
  on("gives the hash of the first record", async (storage, batch, options) => {
    const head = await storage.commit(batch, options);
    return head && { size: head.size, hash: new Uint8Array(32) };
  }),
  on("a blob that is there already makes it fail", async (storage, batch, options) => {
    const copies =
      batch.append?.records.length !== 0 && batch.blobs?.every(({ cid }) => cid instanceof CID)
        ? copied(batch)
        : batch;
    for (const { cid } of copies.blobs ?? [])
      if (cid instanceof CID && (await storage.blobs.has(cid)))
        throw new StorageError("ERR_STORAGE_FAILED", "duplicate key");
    return storage.commit(copies, options);
  }),
  mutant("commit: compact loses what is empty", (storage) => ({
    ...storage,
    async compact() {
      for await (const cid of storage.blobs.list())
        if ((await storage.blobs.get(cid))?.length === 0) await storage.blobs.delete([cid]);
      return storage.compact();
    },
  })),
  mutant("commit: compact removes state", (storage) => ({
    ...storage,
    async compact() {
      const done = await storage.compact();
      for await (const { key } of storage.state.scan({
        gte: new Uint8Array(),
        lt: Uint8Array.of(255),
      }))
        await storage.state.batch([{ key, value: null }]);
      return done;
    },
  })),
  mutant("commit: compact breaks writing by other handles", (storage, shared) => ({
    ...storage,
    async compact() {
      shared["by"] = storage;
      return storage.compact();
    },
    async commit(batch, options) {
      if (shared["by"] && shared["by"] !== storage)
        throw new StorageError("ERR_STORAGE_FAILED", "moved");
      return storage.commit(batch, options);
    },
  })),
];

/** Counts by a rule of its own, and writes what is beyond the right one in pieces. */
async function withoutLimit(
  storage: FullStorage,
  batch: Commit,
  options: AppendOptions | undefined,
  which: "items" | "bytes",
  count: (batch: Commit) => number,
): Promise<Head | undefined> {
  try {
    return await storage.commit(batch, options);
  } catch (error) {
    const { maxBatch, maxAppendBytes } = storage.chains.caps;
    const within = count(batch) <= (which === "items" ? maxBatch : maxAppendBytes);
    if (
      codeOf(error) !== "ERR_STORAGE_LIMIT" ||
      !within ||
      !String(error).includes(which === "items" ? "items" : "bytes")
    )
      throw error;
    const { append, blobs, state } = batch;
    for (const blob of blobs ?? []) await storage.blobs.put([blob]);
    for (const change of state ?? []) await storage.state.batch([change]);
    return append && storage.commit({ append });
  }
}
