import { sha256 } from "#crypto";
import { compareBytes, equalBytes } from "../../bytes/compare.ts";

/**
 * Root of the directory without names, and hash of every child that a branch does not have: 32 zero
 * bytes. Callers must not write to it.
 */
export const EMPTY_DIRECTORY: Uint8Array = /* @__PURE__ */ new Uint8Array(32);

/** The node at the root. The children of the node at p are at 16p to 16p + 15. */
export const ROOT_PLACE = 1;

const HASH_BYTES = 32;
const ENTRY_BYTES = 2 * HASH_BYTES;
const CHILDREN = 16;
/** Most names in a bucket; with more of them it becomes a branch. */
const BUCKET_ENTRIES = 24;
/** Levels of branches. Names are hashes under a key: nobody can choose many that begin alike. */
const MOST_LEVELS = 12;

const BUCKET = 0x00;
const BRANCH = 0x01;

/** A change of the directory: the value of a path, or `null` to remove it. */
export interface PathChange {
  readonly path: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Some sorted paths, and the child that they all lead through. */
export interface Way {
  readonly place: number;
  /** Of the child's node. */
  readonly hash: Uint8Array;
  readonly level: number;
  /** The first of the paths, and the one behind the last. */
  readonly from: number;
  readonly to: number;
}

/** The way from the root. */
export const wayFrom = (root: Uint8Array, paths: number): Way => ({
  ...{ place: ROOT_PLACE, hash: root, level: 0, from: 0, to: paths },
});

/** Whether there is nothing below. */
export const isEmpty = (hash: Uint8Array): boolean => equalBytes(hash, EMPTY_DIRECTORY);

/** Finds the ways on from a node: none from a bucket. */
export function waysOn(
  node: Uint8Array,
  { place, level, from, to }: Omit<Way, "hash">,
  paths: readonly { readonly path: Uint8Array }[],
): Way[] {
  const ways: Way[] = [];
  if (node[0] !== BRANCH) return ways;
  for (let at = from; at < to;) {
    const digit = digitOf(paths[at]!.path, level);
    const first = at;
    while (at < to && digitOf(paths[at]!.path, level) === digit) at++;
    const hash = childOf(node, digit);
    ways.push({ place: place * CHILDREN + digit, hash, level: level + 1, from: first, to: at });
  }
  return ways;
}

/** The value of a path in a bucket; `undefined` if it has none. */
export function valueIn(bucket: Uint8Array, path: Uint8Array): Uint8Array | undefined {
  for (let at = 1; at < bucket.length; at += ENTRY_BYTES) {
    if (!equalBytes(bucket.subarray(at, at + HASH_BYTES), path)) continue;
    return bucket.subarray(at + HASH_BYTES, at + ENTRY_BYTES);
  }
  return undefined;
}

interface Entry {
  readonly path: Uint8Array;
  readonly value: Uint8Array;
}

/** A node after an update, by its place; `undefined` if it is gone. */
export type ChangedNodes = ReadonlyMap<
  number,
  { readonly hash: Uint8Array; readonly bytes: Uint8Array } | undefined
>;

/**
 * Applies changes. A node that becomes empty goes; branches are not joined to buckets again.
 *
 * @param changes - sorted by their paths, which are 32 bytes and different
 * @param nodes - must have every node on the way to a path
 */
export function changeNodes(
  root: Uint8Array,
  changes: readonly PathChange[],
  nodes: (place: number) => Uint8Array,
): { readonly root: Uint8Array; readonly changed: ChangedNodes } {
  const changed = new Map<number, { hash: Uint8Array; bytes: Uint8Array } | undefined>();

  function put(place: number, bytes: Uint8Array): Uint8Array {
    const hash = sha256(bytes);
    changed.set(place, { hash, bytes });
    return hash;
  }

  /** Writes a new subtree. */
  function build(place: number, level: number, entries: readonly Entry[]): Uint8Array {
    if (entries.length <= BUCKET_ENTRIES || level === MOST_LEVELS) {
      return put(place, bucketOf(entries));
    }
    const branch = newBranch();
    for (let at = 0; at < entries.length;) {
      const digit = digitOf(entries[at]!.path, level);
      const first = at;
      while (at < entries.length && digitOf(entries[at]!.path, level) === digit) at++;
      const child = build(place * CHILDREN + digit, level + 1, entries.slice(first, at));
      branch.set(child, 1 + HASH_BYTES * digit);
    }
    return put(place, branch);
  }

  function remove(place: number): Uint8Array {
    changed.set(place, undefined);
    return EMPTY_DIRECTORY;
  }

  function change({ place, hash, level, from, to }: Way): Uint8Array {
    const node = isEmpty(hash) ? undefined : nodes(place);
    if (node?.[0] !== BRANCH) {
      const entries = merge(node === undefined ? [] : entriesOf(node), changes.slice(from, to));
      if (entries.length > 0) return build(place, level, entries);
      return node === undefined ? EMPTY_DIRECTORY : remove(place);
    }
    const next = node.slice();
    for (const way of waysOn(node, { place, level, from, to }, changes)) {
      next.set(change(way), 1 + HASH_BYTES * (way.place % CHILDREN));
    }
    return next.every((byte, at) => at === 0 || byte === 0) ? remove(place) : put(place, next);
  }

  const hash = changes.length === 0 ? root : change(wayFrom(root, changes.length));
  return { root: hash, changed };
}

function merge(entries: readonly Entry[], changes: readonly PathChange[]): Entry[] {
  const merged: Entry[] = [];
  let at = 0;
  for (const { path, value } of changes) {
    while (at < entries.length && compareBytes(entries[at]!.path, path) < 0) {
      merged.push(entries[at++]!);
    }
    if (at < entries.length && equalBytes(entries[at]!.path, path)) at++;
    if (value !== null) merged.push({ path, value });
  }
  return [...merged, ...entries.slice(at)];
}

function entriesOf(bucket: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  for (let at = 1; at < bucket.length; at += ENTRY_BYTES) {
    const path = bucket.subarray(at, at + HASH_BYTES);
    entries.push({ path, value: bucket.subarray(at + HASH_BYTES, at + ENTRY_BYTES) });
  }
  return entries;
}

function bucketOf(entries: readonly Entry[]): Uint8Array {
  const bucket = new Uint8Array(1 + ENTRY_BYTES * entries.length);
  bucket[0] = BUCKET;
  for (const [i, { path, value }] of entries.entries()) {
    bucket.set(path, 1 + ENTRY_BYTES * i);
    bucket.set(value, 1 + ENTRY_BYTES * i + HASH_BYTES);
  }
  return bucket;
}

function newBranch(): Uint8Array {
  const branch = new Uint8Array(1 + HASH_BYTES * CHILDREN);
  branch[0] = BRANCH;
  return branch;
}

const childOf = (branch: Uint8Array, digit: number): Uint8Array =>
  branch.subarray(1 + HASH_BYTES * digit, 1 + HASH_BYTES * (digit + 1));

/** A path's hexadecimal digit at a level. */
const digitOf = (path: Uint8Array, level: number): number =>
  (path[level >> 1]! >> (level % 2 === 0 ? 4 : 0)) & 15;
