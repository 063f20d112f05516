import { MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import { encodeSubjectEntry, subjectEntryKind } from "../../block/subject-entry.ts";
import type { Entry } from "../../block/entry.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { cidFromDigest, DAG_CBOR } from "../../codec/cid.ts";
import { toEntryId } from "../../codec/ids.ts";
import type { LedgerContext } from "../context.ts";
import type { Manifest } from "./manifest.ts";

/** An entry that is to be filed. */
interface ToArrange {
  readonly id: Uint8Array;
  readonly entry: Uint8Array;
  readonly manifest: Pick<Manifest, "source" | "replaces">;
}

/** The entries of a transaction in the order in which they are filed, and where each of those given is. */
export interface Arranged {
  readonly all: readonly Uint8Array[];
  readonly places: readonly number[];
}

/** Leaves entries in their order. */
export const inOrder = (entries: readonly ToArrange[]): Arranged => ({
  all: entries.map(({ entry }) => entry),
  places: [...entries.keys()],
});

/**
 * Whether an entry of this member is a decoy. Its tag and body can be made only with the vault's root, so that
 * nobody who lacks that can pass off a lost entry as one.
 */
export function isDecoy({ vault }: Pick<LedgerContext, "vault">, entry: Entry): boolean {
  if (entry.kind !== "record" || !("subject" in entry)) return false;
  const { salt, subject, body } = entry;
  return equalBytes(subject, vault.decoy("tag", salt)) && body.equals(decoyBody(vault, salt));
}

const decoyBody = (vault: LedgerContext["vault"], salt: Uint8Array) =>
  cidFromDigest(vault.decoy("body", salt), DAG_CBOR);

function makeDecoy({ vault, random }: Pick<LedgerContext, "vault" | "random">): Uint8Array {
  const salt = random(16);
  return encodeSubjectEntry("record", salt, vault.decoy("tag", salt), decoyBody(vault, salt));
}

/**
 * Adds decoys to the entries that one call files in a transaction, and shuffles all, if several are of records:
 * a receipt shows its transaction's count and its own index, and so would show which positions were withheld.
 *
 * Whose the records are makes no difference. Persons may be found to be one later, and a transaction with decoys
 * must not tell that it has two entries of one person.
 */
export function withDecoys(
  context: Pick<LedgerContext, "vault" | "random">,
  entries: readonly ToArrange[],
): Arranged {
  const records = entries.filter(({ entry }) => subjectEntryKind(entry) === "record");
  if (records.length < 2) return inOrder(entries);
  const next = uint32s(context.random);
  const count = drawDecoys(next, MAX_TRANSACTION_ENTRIES - entries.length);
  const threads = threadsOf(entries);
  const ofThread = new Map<string, number[]>();
  for (const [i, thread] of threads.entries()) {
    const known = ofThread.get(thread);
    if (known === undefined) ofThread.set(thread, [i]);
    else known.push(i);
  }
  const followed = new Map(Array.from(ofThread, ([thread, all]) => [thread, all.values()]));
  const order = shuffled<string | null>([...threads, ...Array(count).fill(null)], next);
  const places: number[] = [];
  const all = order.map((thread, place) => {
    if (thread === null) return makeDecoy(context);
    const i = followed.get(thread)!.next().value!;
    places[i] = place;
    return entries[i]!.entry;
  });
  return { all, places };
}

/**
 * What each entry belongs to: entries about one resource, or that follow one another, keep their order, since
 * that order says which version is the newest.
 */
function threadsOf(entries: readonly ToArrange[]): readonly string[] {
  const threads = new Map<string, string>();
  return entries.map(({ id, manifest: { source, replaces } }) => {
    const own = toEntryId(id);
    const before = replaces === undefined ? undefined : threads.get(replaces);
    const named = source && JSON.stringify([source.name, source.type, source.id]);
    const thread = before ?? named ?? own;
    threads.set(own, thread);
    return thread;
  });
}

/**
 * Draws a number of decoys: d with probability ⅛·(⅞)^d.
 *
 * @param room - how many there may be at most
 */
function drawDecoys(next: () => number, room: number): number {
  if (room <= 0) return 0;
  for (;;) {
    let count = 0;
    while ((next() & 7) !== 0) count++;
    if (count <= room) return count;
  }
}

function shuffled<T>(list: T[], next: () => number): T[] {
  for (let left = list.length; left > 1; left--) {
    const other = below(left, next);
    [list[left - 1], list[other]] = [list[other]!, list[left - 1]!];
  }
  return list;
}

/** An integer from 0 to `limit` − 1, each as likely as the others. */
function below(limit: number, next: () => number): number {
  const most = 2 ** 32 - (2 ** 32 % limit);
  for (;;) {
    const drawn = next();
    if (drawn < most) return drawn % limit;
  }
}

/** Random integers below 2³². */
function uint32s(random: (length: number) => Uint8Array): () => number {
  const numbers = (function* (): Generator<number, never> {
    for (;;) {
      const { buffer, byteOffset, byteLength } = random(256);
      const view = new DataView(buffer, byteOffset, byteLength);
      for (let at = 0; at < byteLength; at += 4) yield view.getUint32(at);
    }
  })();
  return () => numbers.next().value;
}
