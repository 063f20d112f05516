import type { Walk } from "../bytes/steps.ts";
import { choiceStem, isChoiceOf, isObject, type JsonObject } from "./resource.ts";

/** Paths of elements by their steps, to find the values at all of them in one pass. */
export interface PathTree {
  /** Positions, in the list, of the paths that end here. */
  readonly ends: number[];
  readonly exact: Map<string, PathTree>;
  /** Steps such as `value[x]`, by the part before the bracket. */
  readonly stems: Map<string, PathTree>;
  /** What names that occurred mean; names repeat. */
  readonly known: Map<string, readonly PathTree[]>;
}

const emptyTree = (): PathTree => ({
  ends: [],
  exact: new Map(),
  stems: new Map(),
  known: new Map(),
});

/** The values at each of a list of paths, by the path's position; absent where there are none. */
export type PathValues = (unknown[] | undefined)[];

/** Compiles paths as for `valuesAt`. */
export function compilePaths(paths: readonly string[]): PathTree {
  const root = emptyTree();
  for (const [position, path] of paths.entries()) {
    let tree = root;
    for (const step of path.split(".")) {
      const stem = choiceStem(step);
      const below = stem === undefined ? tree.exact : tree.stems;
      const name = stem ?? step;
      const next = below.get(name) ?? emptyTree();
      below.set(name, next);
      tree = next;
    }
    tree.ends.push(position);
  }
  return root;
}

/** Most names that are kept for a tree, and their greatest length: elements of FHIR are fewer. */
const MOST_KNOWN = 256;
const LONGEST_KNOWN = 64;
const NONE: readonly PathTree[] = [];

function treesAt(tree: PathTree, name: string): readonly PathTree[] {
  const known = tree.known.get(name);
  if (known !== undefined) return known;
  const exact = tree.exact.get(name);
  const found = exact === undefined ? [] : [exact];
  for (const [stem, below] of tree.stems) if (isChoiceOf(stem, name)) found.push(below);
  const trees = found.length === 0 ? NONE : found;
  if (tree.known.size < MOST_KNOWN && name.length <= LONGEST_KNOWN) tree.known.set(name, trees);
  return trees;
}

/**
 * Finds the values at each of the paths, as `valuesAt` does for one.
 *
 * @param into - receives them
 * @param walk - `into` is complete when it is finished
 */
export function collectAt(from: JsonObject, tree: PathTree, into: PathValues, walk: Walk): void {
  for (const name of Object.keys(from)) {
    for (const below of treesAt(tree, name)) collectAll(from[name], below, into, walk);
  }
}

function collectAll(value: unknown, tree: PathTree, into: PathValues, walk: Walk): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) collectOne(value, tree, into, walk);
  else collectItems(value, 0, tree, into, walk);
}

function collectItems(
  items: readonly unknown[],
  start: number,
  tree: PathTree,
  into: PathValues,
  walk: Walk,
): void {
  for (let at = start; at < items.length; at++) {
    if (walk.left-- <= 0) return walk.later(() => collectItems(items, at, tree, into, walk));
    collectOne(items[at], tree, into, walk);
  }
}

function collectOne(value: unknown, tree: PathTree, into: PathValues, walk: Walk): void {
  for (const position of tree.ends) {
    const values = into[position];
    if (values === undefined) into[position] = [value];
    else values.push(value);
  }
  if (isObject(value) && tree.exact.size + tree.stems.size > 0) collectAt(value, tree, into, walk);
}
