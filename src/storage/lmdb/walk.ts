import { readSync } from "node:fs";
import { greatest } from "../../bytes/lists.ts";
import { corrupt } from "./errors.ts";

/** LMDB's description of a tree. */
export interface Tree {
  readonly depth: number;
  readonly entries: number;
  /** Number of its root page; `undefined` if it is empty. */
  readonly root: number | undefined;
}

export interface Walk {
  readonly fd: number;
  readonly pageSize: number;
  /** Number of pages in the file. */
  readonly pages: number;
  /** Whether to inspect every page, rather than only the root of each tree. */
  readonly all: boolean;
}

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const TREE_BYTES = 48;
const PLACE_BYTES = 24;
const [BRANCH, LEAF, OVERFLOW] = [0x01, 0x02, 0x04] as const;
const PAGE_KINDS = 0x6f;
const [BIG, SUB] = [0x01, 0x02] as const;
/** LMDB's own cursor goes no deeper. */
const DEEPEST = 32;

/**
 * Inspects the pages of a tree: each states its own number, its pointers lead to existing pages,
 * and no page is reached twice. Only then is the tree safe for LMDB to read.
 *
 * @param visited - pages that were reached, in words of 32; grows
 * @param transaction - the newest one: no page may be of a later one
 * @throws {StorageError} `ERR_STORAGE_CORRUPT`
 */
export function walkTree(
  walk: Walk,
  tree: Tree,
  visited: Map<number, number>,
  transaction: number,
): void {
  if (tree.root === undefined) {
    if (tree.entries !== 0) throw corrupt("a tree of the store is missing");
    return;
  }
  if (tree.depth < 1 || tree.depth > DEEPEST) throw corrupt("a tree of the store is damaged");
  const subtrees: Tree[] = [];
  const entries = walkPage(tree.root, tree.depth);
  if (entries !== undefined && entries !== tree.entries) {
    throw corrupt("a tree of the store has the wrong number of entries");
  }
  for (const subtree of subtrees) walkTree(walk, subtree, visited, transaction);

  /** Number of entries below a page, if all pages are inspected. */
  function walkPage(number: number, depth: number): number | undefined {
    const page = readPage(walk, number);
    visit(visited, number, 1);
    if (Number(page.readBigUInt64LE(8)) > transaction) throw damagedPageError(number);
    const kind = page.readUInt16LE(16 + 2) & PAGE_KINDS;
    if (kind !== (depth === 1 ? LEAF : BRANCH)) throw damagedPageError(number);
    const nodes = nodesOf(page, number);
    if (kind === LEAF) {
      for (const node of nodes) walkNode(page, node, number);
      return nodes.length;
    }
    if (nodes.length < 1) throw damagedPageError(number);
    let entries = 0;
    for (const node of nodes) {
      const child = page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 0x1_0000_0000;
      if (child < 2 || child >= walk.pages) throw damagedPageError(number);
      if (walk.all) entries += walkPage(child, depth - 1)!;
    }
    return walk.all ? entries : undefined;
  }

  function walkNode(page: Buffer, node: number, number: number): void {
    const size = page.readUInt32LE(node);
    const flags = page.readUInt16LE(node + 4);
    const data = node + NODE_BYTES + page.readUInt16LE(node + 6);
    const inPage = flags & BIG ? PLACE_BYTES : size;
    if (data + inPage > page.length) throw damagedPageError(number);
    if (flags & SUB) {
      if (size !== TREE_BYTES) throw damagedPageError(number);
      subtrees.push(decodeTree(page, data));
    }
    if (!(flags & BIG)) return;
    const first = Number(page.readBigUInt64LE(data));
    const count = Math.floor((HEADER_BYTES - 1 + size) / walk.pageSize) + 1;
    if (first < 2 || first + count > walk.pages) throw damagedPageError(number);
    if (!walk.all) return;
    const header = readPage(walk, first, HEADER_BYTES);
    const isOverflow = (header.readUInt16LE(18) & PAGE_KINDS) === OVERFLOW;
    if (!isOverflow || header.readUInt32LE(20) < count) throw damagedPageError(first);
    visit(visited, first, count);
  }
}

/** The newest transaction that wrote a root of these trees; 0 if they are empty. */
export function newestOf(walk: Walk, ...trees: readonly Tree[]): number {
  const written = trees.map(({ root }) =>
    root === undefined ? 0 : Number(readPage(walk, root).readBigUInt64LE(8)),
  );
  return greatest(written);
}

/** Decodes LMDB's description of a tree, 48 bytes. */
export function decodeTree(bytes: Buffer, at: number): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  return {
    depth: bytes.readUInt16LE(at + 6),
    entries: Number(bytes.readBigUInt64LE(at + 32)),
    root: root === 0xffff_ffff_ffff_ffffn ? undefined : Number(root),
  };
}

/** Offsets of the nodes in a page. */
function nodesOf(page: Buffer, number: number): number[] {
  const lower = page.readUInt16LE(20);
  const upper = page.readUInt16LE(22);
  if (lower % 2 !== 0 || lower > upper || HEADER_BYTES + upper > page.length)
    throw damagedPageError(number);
  return Array.from({ length: lower / 2 }, (_, i) => {
    const node = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * i);
    if (node < HEADER_BYTES + upper || node + NODE_BYTES > page.length)
      throw damagedPageError(number);
    if (node + NODE_BYTES + page.readUInt16LE(node + 6) > page.length)
      throw damagedPageError(number);
    return node;
  });
}

function readPage({ fd, pageSize, pages }: Walk, number: number, length = pageSize): Buffer {
  const page = Buffer.alloc(length);
  if (number < 2 || number >= pages)
    throw corrupt("the store was cut short, or refers beyond its end");
  if (readSync(fd, page, 0, length, number * pageSize) !== length) {
    throw corrupt("the store was cut short");
  }
  if (page.readBigUInt64LE(0) !== BigInt(number)) throw damagedPageError(number);
  return page;
}

/** Marks pages as reached; each may be reached once. */
function visit(visited: Map<number, number>, first: number, count: number): void {
  for (let page = first; page < first + count; page++) {
    const word = visited.get(page >>> 5) ?? 0;
    const bit = 1 << (page & 31);
    if (word & bit) throw damagedPageError(page);
    visited.set(page >>> 5, word | bit);
  }
}

const damagedPageError = (number: number): Error =>
  corrupt(`page ${number} of the store is damaged`);
