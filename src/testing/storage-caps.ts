import type { Durability, StorageAdapter, StorageCaps } from "../storage/types.ts";
import { check, checkSame, collect } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  bytes,
  EMPTY,
  headAfter,
  readAll,
  records,
  withStorage,
  type MakeStorage,
  type StorageCase,
} from "./storage-subject.ts";

const DURABILITIES: readonly Durability[] = ["none", "process", "power", "quorum"];

function capsIn({ chains, blobs, state }: StorageAdapter): StorageCaps[] {
  return [chains, blobs, state].flatMap((store) => (store ? [store.caps] : []));
}

/** The caps of a subject's store. */
export async function capsOf(make: MakeStorage): Promise<StorageCaps | undefined> {
  let caps: StorageCaps | undefined;
  await withStorage(make, async (storage) => {
    caps = capsIn(storage)[0];
  });
  return caps;
}

/**
 * Runs work while the clock shows what `read` makes of the true time. Timers run as usual.
 */
async function withClock(read: (now: number) => number, run: () => Promise<void>): Promise<void> {
  const host = globalThis as { Date: DateConstructor };
  const { Date: Real } = host;
  const now = (): number => read(Real.now());
  host.Date = new Proxy(Real, {
    get: (target, name, receiver): unknown =>
      name === "now" ? now : Reflect.get(target, name, receiver),
    construct: (target, args, made) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, made) as object,
  });
  try {
    await run();
  } finally {
    host.Date = Real;
  }
}

/** Cases for what caps claim, and for clocks, about which they claim nothing. */
export const capsCases: readonly StorageCase[] = [
  {
    name: "caps: make sense, are those of every handle, and stay as they are",
    requires: [],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [first] = capsIn(storage);
        check(first, "the storage has no store");
        const other = await subject.open();
        for (const caps of [...capsIn(storage), ...capsIn(other)]) {
          const { durability, multiProcess, maxAppendBytes, maxBatch, tail, atomicBlobs } = caps;
          check(DURABILITIES.includes(durability), `durability ${String(durability)}`);
          checkSame(typeof multiProcess, "boolean", "type of multiProcess");
          checkSame(typeof tail, "boolean", "type of tail");
          check(
            atomicBlobs === undefined || typeof atomicBlobs === "boolean",
            `atomicBlobs ${String(atomicBlobs)}`,
          );
          for (const [name, value] of Object.entries({ maxAppendBytes, maxBatch })) {
            check(Number.isSafeInteger(value) && value > 0, `${name} ${String(value)}`);
          }
          // A promise of one store for a write holds for a commit with the others too.
          checkSame([durability, multiProcess], [first.durability, first.multiProcess], "caps");
        }
        const { chains, commit, blobs, state } = storage;
        if (chains) {
          checkSame(
            typeof chains.tail === "function",
            chains.caps.tail,
            "tail, and that caps claim it",
          );
        }
        check(!commit || (chains && blobs && state), "commit without all three stores");
        checkSame(typeof storage[Symbol.asyncDispose], "function", "type of [Symbol.asyncDispose]");
        const before = JSON.stringify(capsIn(storage));
        await chains?.append("a", EMPTY, records(1));
        checkSame(JSON.stringify(capsIn(storage)), before, "caps after a write");
      }),
  },
  {
    name: "caps: durability beyond none is there for whoever opens the store once it was closed",
    requires: [],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [caps] = capsIn(storage);
        if (caps?.durability === "none") return;
        const { chains, blobs, state } = storage;
        const [key, blob] = [bytes("key"), blobOf(bytes("blob"))];
        await chains?.append("a", EMPTY, records(3));
        await blobs?.put([blob, blobOf(bytes("gone"))]);
        await blobs?.delete([blobOf(bytes("gone")).cid]);
        await state?.batch([{ key, value: bytes("value") }]);
        await state?.batch([{ key, value: bytes("unsynced") }], { sync: false });
        await storage.close();
        // Twice, since the one who finds data may remove it.
        for (let i = 0; i < 2; i++) {
          const again = await subject.open();
          if (again.chains) {
            checkSame(await again.chains.head("a"), headAfter(records(3)), "head");
            checkSame(await readAll(again.chains, "a"), records(3), "records");
            checkSame(await collect(again.chains.list()), ["a"], "names");
          }
          if (again.blobs) {
            checkSame(await again.blobs.get(blob.cid), blob.bytes, "blob");
            checkSame(await again.blobs.count(), 1, "number of blobs");
          }
          if (again.state) {
            const found = await collect(again.state.scan(ANY_KEY));
            checkSame(found, [{ key, value: bytes("unsynced") }], "entries");
          }
          await again.close();
        }
      }),
  },
  {
    name: "clocks: that stand, run back or leap change nothing",
    requires: [],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const other = await subject.open();
        const stands = Date.now();
        // Minutes, not years: a client may have to send the true time to its server.
        const clocks: readonly ((now: number) => number)[] = [
          (now) => now + 240_000,
          (now) => now - 240_000,
          () => stands,
          (now) => 2 * stands - now,
          (now) => now,
        ];
        let step = 0;
        let head = EMPTY;
        const [key, blob] = [bytes("key"), blobOf(bytes("blob"))];
        for (const clock of clocks) {
          await withClock(clock, async () => {
            for (const handle of [storage, other, storage]) {
              const seen = handle === storage ? other : storage;
              step++;
              if (handle.chains) {
                head = await handle.chains.append("a", head, records(1, `${step}`));
                checkSame(await seen.chains!.head("a"), head, "head");
              }
              if (handle.state) {
                await handle.state.batch([{ key, value: bytes(`${step}`) }]);
                checkSame(await seen.state!.get(key), bytes(`${step}`), "the value put last");
                if (step % 2 === 0) {
                  await seen.state!.batch([{ key, value: null }]);
                  checkSame(await handle.state.get(key), undefined, "a value that was removed");
                }
              }
              if (handle.blobs) {
                await handle.blobs.put([blob]);
                checkSame(await seen.blobs!.get(blob.cid), blob.bytes, "a blob");
                await seen.blobs!.delete([blob.cid]);
                checkSame(await handle.blobs.has(blob.cid), false, "a blob that was deleted");
              }
            }
          });
        }
        if (storage.chains) {
          const wanted = Array.from({ length: step }, (_, i) => bytes(`${i + 1} 0`));
          checkSame(await readAll(storage.chains, "a"), wanted, "records in their order");
        }
      }),
  },
];
