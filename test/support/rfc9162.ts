import { createHash } from "node:crypto";

/**
 * The definitions of RFC 9162 §2.1 written down recursively as they stand there, over `node:crypto`
 * only: a second implementation to compare the library with.
 */
export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const sha = createHash("sha256");
  for (const part of parts) sha.update(part);
  return new Uint8Array(sha.digest());
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

function split(n: number): number {
  let k = 1;
  while (k < n) k *= 2;
  return k / 2;
}

/** MTH(D[n]), §2.1.1. */
export function mth(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length === 0) return hash();
  if (entries.length === 1) return hash(LEAF, entries[0]!);
  const k = split(entries.length);
  return hash(NODE, mth(entries.slice(0, k)), mth(entries.slice(k)));
}

/** PATH(m, D[n]), §2.1.3.1. */
export function path(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  if (entries.length === 1) return [];
  const k = split(entries.length);
  return m < k
    ? [...path(m, entries.slice(0, k)), mth(entries.slice(k))]
    : [...path(m - k, entries.slice(k)), mth(entries.slice(0, k))];
}

/** PROOF(m, D[n]), §2.1.4.1. */
export function proof(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  return subproof(m, entries, true);
}

function subproof(m: number, entries: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === entries.length) return whole ? [] : [mth(entries)];
  const k = split(entries.length);
  return m <= k
    ? [...subproof(m, entries.slice(0, k), whole), mth(entries.slice(k))]
    : [...subproof(m - k, entries.slice(k), false), mth(entries.slice(0, k))];
}

/** The verification of inclusion proofs as the steps of §2.1.3.2 say, `false` for "fail". */
export function verifyPath(
  claim: { index: number; size: number; leaf: Uint8Array; root: Uint8Array },
  inclusionPath: readonly Uint8Array[],
): boolean {
  if (claim.index >= claim.size) return false;
  let fn = claim.index;
  let sn = claim.size - 1;
  let r = claim.leaf;
  for (const p of inclusionPath) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = hash(NODE, p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1];
    } else {
      r = hash(NODE, r, p);
    }
    [fn, sn] = [fn >> 1, sn >> 1];
  }
  return sn === 0 && Buffer.compare(r, claim.root) === 0;
}

/** The verification of consistency proofs as the steps of §2.1.4.2 say, `false` for "fail". */
export function verifyProof(
  claim: { first: number; second: number; firstRoot: Uint8Array; secondRoot: Uint8Array },
  consistencyPath: readonly Uint8Array[],
): boolean {
  const { first, second, firstRoot, secondRoot } = claim;
  if (first === 0 || first > second) return false;
  if (first === second) {
    return consistencyPath.length === 0 && Buffer.compare(firstRoot, secondRoot) === 0;
  }
  if (consistencyPath.length === 0) return false;
  const list = Number.isInteger(Math.log2(first))
    ? [firstRoot, ...consistencyPath]
    : [...consistencyPath];
  let [fn, sn] = [first - 1, second - 1];
  while (fn % 2 === 1) [fn, sn] = [fn >> 1, sn >> 1];
  let [fr, sr] = [list[0]!, list[0]!];
  for (const c of list.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      [fr, sr] = [hash(NODE, c, fr), hash(NODE, c, sr)];
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1];
    } else {
      sr = hash(NODE, sr, c);
    }
    [fn, sn] = [fn >> 1, sn >> 1];
  }
  return sn === 0 && Buffer.compare(fr, firstRoot) === 0 && Buffer.compare(sr, secondRoot) === 0;
}
