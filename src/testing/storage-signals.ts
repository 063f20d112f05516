import type { Commit, FullStorage, Head, StorageAdapter } from "../storage/types.ts";
import { check, checkSame, collect, outcomeOf, pause, within } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  bytes,
  chainsOf,
  EMPTY,
  fullOf,
  headAfter,
  readAll,
  records,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

/** Reasons of any kind; `undefined` means an abort without a reason. */
const REASONS: readonly unknown[] = [new Error("no longer wanted"), "a text", 0, { code: "OWN" }];

function commitAt(head: Head, label: string): Commit {
  return {
    append: { chain: "a", expected: head, records: records(2, label) },
    blobs: [blobOf(bytes(`blob ${label}`))],
    state: [{ key: bytes("key"), value: bytes(label) }],
  };
}

async function checkAborted(
  call: (signal: AbortSignal) => Promise<unknown>,
  what: string,
): Promise<void> {
  for (const reason of [...REASONS, undefined]) {
    const signal = AbortSignal.abort(reason);
    const { failed, error, text } = await outcomeOf(() => call(signal), what);
    check(failed && error === signal.reason, `${what}: not the signal's reason, but ${text}`);
  }
}

/** What a commit wrote, if anything; fails if it wrote only a part. */
async function wroteAllOrNothing(full: FullStorage, label: string, head: Head): Promise<boolean> {
  const size = (await full.chains.head("a")).size;
  const blob = await full.blobs.has(blobOf(bytes(`blob ${label}`)).cid);
  const value = await full.state.get(bytes("key"));
  const state = value !== undefined && new TextDecoder().decode(value) === label;
  const parts = [size === head.size + 2, blob, state];
  check(
    parts.every((part) => part === parts[0]),
    `records, blob and state of one commit: ${parts.join(", ")}`,
  );
  return parts[0]!;
}

/** A signal that counts its listeners. */
function countingSignal(): { readonly signal: AbortSignal; listening(): number } {
  const { signal } = new AbortController();
  const listeners = new Map<unknown, number>();
  const [add, remove] = [signal.addEventListener, signal.removeEventListener];
  signal.addEventListener = function (...call: Parameters<typeof add>) {
    const [, listener, options] = call;
    listeners.set(listener, 1);
    const until = typeof options === "object" ? options.signal : undefined;
    until?.addEventListener("abort", () => listeners.delete(listener));
    return add.apply(signal, call);
  } as typeof add;
  signal.removeEventListener = function (...call: Parameters<typeof remove>) {
    listeners.delete(call[1]);
    return remove.apply(signal, call);
  } as typeof remove;
  return { signal, listening: () => listeners.size };
}

/** Active resources, if the host can tell. */
function timersOf(): number {
  const host = globalThis as { process?: { getActiveResourcesInfo?(): string[] } };
  const active = host.process?.getActiveResourcesInfo?.() ?? [];
  return active.filter((what) => what === "Timeout" || what === "Immediate").length;
}

/** Cases for signals, and for leftovers of calls: there must be none. */
export const signalCases: readonly StorageCase[] = [
  {
    name: "signals: what was aborted before it began rejects with the reason, whatever that is",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const head = await chains.append("a", EMPTY, records(5));
        await checkAborted((signal) => chains.append("a", head, records(1), { signal }), "append");
        let read = 0;
        await checkAborted(async (signal) => {
          for await (const _ of chains.read("a", { from: 0, signal })) read++;
        }, "read of what is there");
        checkSame(read, 0, "records that an aborted read gave");
        if (chains.tail) {
          let given = 0;
          const follow = async (signal: AbortSignal): Promise<void> => {
            for await (const _ of chains.tail!("a", { from: 0, signal })) given++;
          };
          await checkAborted(follow, "tail");
          checkSame(given, 0, "records that an aborted tail gave");
          await checkAborted(
            (signal) => collect(chains.tail!("a", { from: 5, signal })),
            "tail at the end",
          );
        }
        if (storage.commit) {
          const commit = commitAt(head, "aborted");
          await checkAborted((signal) => storage.commit!(commit, { signal }), "commit");
          await checkAborted(
            (signal) => storage.commit!({ state: commit.state! }, { signal }),
            "commit of state only",
          );
          checkSame(await storage.blobs!.count(), 0, "blobs of aborted commits");
          checkSame(await collect(storage.state!.scan(ANY_KEY)), [], "state of aborted commits");
        }
        checkSame(await readAll(chains, "a"), records(5), "records");
      }),
  },
  {
    name: "signals: a commit aborted at any moment is made whole, or rejects and is not made at all",
    requires: ["commit"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const full = fullOf(storage);
        const other = fullOf(await subject.open());
        const reason = new Error("no longer wanted");
        let head: Head = EMPTY;
        for (let i = 0; i < 30; i++) {
          const controller = new AbortController();
          const label = `commit ${i}`;
          const call = () => full.commit(commitAt(head, label), { signal: controller.signal });
          const ending = outcomeOf(call, "an aborted commit");
          if (i % 6 === 1) await Promise.resolve();
          else if (i % 6 === 2) for (let j = 0; j < 30; j++) await Promise.resolve();
          else if (i % 6 > 2) await pause(i % 6 === 3 ? 0 : i % 6 === 4 ? 1 : 4);
          controller.abort(reason);
          const { failed, error, value, text } = await ending;
          check(!failed || error === reason, `an aborted commit ${text}`);
          // Nothing may come after the call has ended.
          if (i % 5 === 0) await pause(3);
          checkSame(
            await wroteAllOrNothing(other, label, head),
            !failed,
            "whether the commit was made",
          );
          if (!failed) head = value as Head;
        }
        const late = new AbortController();
        const next = await full.commit(commitAt(head, "late"), { signal: late.signal });
        late.abort(reason);
        checkSame(await full.chains.head("a"), next, "head after an abort that came too late");
      }),
  },
  {
    name: "signals: an abort of one call does not disturb those before and behind it",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const reason = new Error("no longer wanted");
        for (let round = 0; round < 6; round++) {
          const controllers = Array.from({ length: 9 }, () => new AbortController());
          const name = (i: number): string => `chain ${round} ${i}`;
          const ends = controllers.map(({ signal }, i) =>
            outcomeOf(() => chains.append(name(i), EMPTY, records(2), { signal }), "append"),
          );
          if (round % 3 > 0) await pause(round % 3 === 1 ? 0 : 1);
          for (const [i, controller] of controllers.entries()) {
            if (i % 3 === 1) controller.abort(reason);
          }
          for (const [i, { failed, error, text }] of (await Promise.all(ends)).entries()) {
            check(!failed || (i % 3 === 1 && error === reason), `append ${i} of nine: ${text}`);
            const expected = failed ? EMPTY : headAfter(records(2));
            checkSame(await chains.head(name(i)), expected, `head of append ${i} of nine`);
          }
        }
      }),
  },
  {
    name: "signals: a tail that waits ends with the reason, also on a chain that is empty yet",
    requires: ["chains", "tail"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const chains = chainsOf(storage);
        const other = chainsOf(await subject.open());
        for (const reason of [...REASONS, undefined]) {
          const controller = new AbortController();
          const seen: number[] = [];
          const following = async (): Promise<void> => {
            const { signal } = controller;
            for await (const { index } of chains.tail!("later", { from: 0, signal })) {
              seen.push(index);
            }
          };
          const ending = outcomeOf(following, "an aborted tail");
          await pause(5);
          const head = await other.head("later");
          await other.append("later", head, records(3, String(head.size)));
          while (seen.length < head.size + 3) await pause(1);
          controller.abort(reason);
          const { failed, error, text } = await ending;
          check(failed && error === controller.signal.reason, `an aborted tail ${text}`);
        }
      }),
  },
  {
    name: "signals: a tail gives a burst of thousands, from where it was asked to begin",
    requires: ["chains", "tail"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [writing, following] = [chainsOf(storage), chainsOf(await subject.open())];
        const seen: number[] = [];
        const follow = async (): Promise<void> => {
          for await (const { index, record } of following.tail!("burst", { from: 2 })) {
            check(new TextDecoder().decode(record) === `record ${index}`, `record ${index}`);
            seen.push(index);
            if (seen.length === 3098) return;
          }
        };
        const done = follow();
        // It may fail while another call is awaited; it is checked below.
        done.catch(() => {});
        await pause(5);
        const head = await writing.append("burst", EMPTY, records(3000));
        const more = Array.from({ length: 100 }, (_, i) => bytes(`record ${3000 + i}`));
        await writing.append("burst", head, more);
        await within(done, "a tail of 3098 records", 25_000);
        check(
          seen.every((index, i) => index === i + 2),
          "a tail with gaps, or out of order",
        );
      }),
  },
  {
    name: "leaks: signals are let go of, whether calls end well, badly or early",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const { signal, listening } = countingSignal();
        let head = await chains.append("a", EMPTY, records(3));
        for (let i = 0; i < 25; i++) {
          head = await chains.append("a", head, records(1), { signal });
          await outcomeOf(() => chains.append("a", EMPTY, records(1, "x"), { signal }), "conflict");
          await collect(chains.read("a", { from: 0, signal }));
          for await (const _ of chains.read("a", { from: 0, signal })) break;
          if (chains.tail) for await (const _ of chains.tail("a", { from: 0, signal })) break;
          if (storage.commit) {
            head = (await storage.commit(commitAt(head, `${i}`), { signal }))!;
          }
        }
        await pause(20);
        check(listening() <= 3, `${listening()} listeners are left on a signal of 25 rounds`);
      }),
  },
  {
    name: "leaks: closing leaves no timer behind, nor anything that listens to the process",
    requires: [],
    run: async (make) => {
      const host = globalThis as {
        process?: { eventNames?(): PropertyKey[]; listenerCount?(name: PropertyKey): number };
      };
      const listeners = (): number => {
        const { process } = host;
        const names = process?.eventNames?.() ?? [];
        return names.reduce<number>((sum, name) => sum + (process?.listenerCount?.(name) ?? 0), 0);
      };
      const cycle = (handles: number): Promise<void> =>
        withStorage(make, async (storage, subject) => {
          await useOnce(storage);
          await storage.close();
          for (let i = 0; i < handles; i++) {
            const next = await subject.open();
            await useOnce(next);
            await next.close();
          }
        });
      // The subject's own clients may live as long as it does, and the first call creates them.
      await cycle(1);
      await pause(20);
      const before = [timersOf(), listeners()] as const;
      await cycle(12);
      // Waiting work may take a while to notice.
      for (let i = 0; i < 100 && timersOf() > before[0] + 2; i++) await pause(20);
      check(timersOf() <= before[0] + 2, `${timersOf() - before[0]} timers go on after close`);
      const more = listeners() - before[1];
      check(more <= 2, `${more} listeners of the process are left by 12 stores that were closed`);
    },
  },
];

async function useOnce({ chains, blobs, state }: StorageAdapter): Promise<void> {
  const key = bytes("key");
  if (chains) {
    const head = await chains.head("a");
    await chains.append("a", head, records(1));
    if (chains.tail) {
      for await (const _ of chains.tail("a", { from: 0 })) break;
      // One that is waiting when its store is closed.
      void collect(chains.tail("a", { from: head.size + 1 })).catch(() => {});
      await pause(1);
    }
  }
  await blobs?.put([blobOf(key)]);
  await state?.batch([{ key, value: key }]);
}
