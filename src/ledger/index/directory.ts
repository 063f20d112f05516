import { sha256 } from "#crypto";
import { compareBytes, equalBytes } from "../../bytes/compare.ts";
import { ProofError } from "../../errors.ts";
import type { StateChange, StateStore } from "../../storage/types.ts";
import {
  changeNodes,
  isEmpty,
  valueIn,
  wayFrom,
  waysOn,
  type PathChange,
  type Way,
} from "./directory-node.ts";

/** Names with their values in the state store: a root proves each name's value, or that it has none. */
export interface Directory {
  /**
   * Reads values, in the order of their names; `undefined` if a name provably has no value.
   *
   * @param names - their first 32 bytes tell them apart
   * @throws {ProofError} if nodes of this root are missing from the store or wrong
   */
  read(
    root: Uint8Array,
    names: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * Makes the store changes for changes of values. They overwrite nodes of the old root, so they must be
   * made at once, together with whatever says which root is current.
   *
   * @param changes - a name and its value, 32 bytes, or `null` to remove it; of each name one
   * @throws as {@link read}
   */
  update(
    root: Uint8Array,
    changes: readonly (readonly [name: Uint8Array, value: Uint8Array | null])[],
  ): Promise<{ readonly root: Uint8Array; readonly nodes: readonly StateChange[] }>;
}

interface CachedNode {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Most bytes of nodes held in memory; others are read again. */
const CACHED_BYTES: number = 8 * 1024 * 1024;
const PATH_BYTES = 32;

/** Opens a directory whose nodes are stored under `keyOf(place)`; see {@link encodePlace}. */
export function openDirectory(
  state: Pick<StateStore, "getMany">,
  keyOf: (place: Uint8Array) => Uint8Array,
): Directory {
  let nodes = new Map<number, CachedNode>();
  let bytes = 0;

  /** A node may be cached that a later root, or one that was never stored, no longer has. */
  function cached({ place, hash }: Way): Uint8Array | undefined {
    const node = nodes.get(place);
    return node !== undefined && equalBytes(node.hash, hash) ? node.bytes : undefined;
  }

  function keep(place: number, node: CachedNode): void {
    bytes += node.bytes.length - (nodes.get(place)?.bytes.length ?? 0);
    nodes.set(place, node);
  }

  async function fetch(missing: readonly Way[]): Promise<void> {
    if (missing.length === 0) return;
    const found = await state.getMany(missing.map(({ place }) => keyOf(encodePlace(place))));
    for (const [i, { place, hash }] of missing.entries()) {
      const node = found[i];
      if (node === undefined) {
        throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the directory is missing");
      }
      if (!equalBytes(sha256(node), hash)) {
        throw new ProofError(
          "ERR_PROOF_INVALID",
          "a node of the directory is not the one expected",
        );
      }
      keep(place, { hash, bytes: node });
    }
  }

  /** Loads the nodes on the way to sorted paths, level by level. */
  async function load(root: Uint8Array, paths: readonly { path: Uint8Array }[]): Promise<void> {
    if (bytes > CACHED_BYTES) [nodes, bytes] = [new Map(), 0];
    let ends: Way[] = [wayFrom(root, paths.length)];
    while (ends.length > 0) {
      const missing: Way[] = [];
      for (let way = ends.pop(); way !== undefined; way = ends.pop()) {
        if (way.from === way.to || isEmpty(way.hash)) continue;
        const node = cached(way);
        if (node === undefined) missing.push(way);
        else for (const next of waysOn(node, way, paths)) ends.push(next);
      }
      await fetch(missing);
      ends = missing;
    }
  }

  function find(root: Uint8Array, path: Uint8Array): Uint8Array | undefined {
    const only = [{ path }];
    let way: Way | undefined = wayFrom(root, 1);
    while (way !== undefined && !isEmpty(way.hash)) {
      const node: Uint8Array = cached(way)!;
      const next: Way | undefined = waysOn(node, way, only)[0];
      if (next === undefined) return valueIn(node, path);
      way = next;
    }
    return undefined;
  }

  return {
    async read(root, names) {
      const paths = names.map((name) => ({ path: pathOf(name) })).sort(byPath);
      await load(root, paths);
      return names.map((name) => find(root, pathOf(name)));
    },
    async update(root, changes) {
      const sorted = changes
        .map(([name, value]): PathChange => ({ path: pathOf(name), value }))
        .sort(byPath);
      await load(root, sorted);
      const updated = changeNodes(root, sorted, (place) => nodes.get(place)!.bytes);
      const stored: StateChange[] = [];
      for (const [place, node] of updated.changed) {
        stored.push({ key: keyOf(encodePlace(place)), value: node?.bytes ?? null });
        if (node !== undefined) keep(place, node);
      }
      return { root: updated.root, nodes: stored };
    },
  };
}

const byPath = (one: { readonly path: Uint8Array }, other: { readonly path: Uint8Array }): number =>
  compareBytes(one.path, other.path);

const pathOf = (name: Uint8Array): Uint8Array => name.subarray(0, PATH_BYTES);

/** A node's place in a key: 7 bytes, the most significant first. */
function encodePlace(place: number): Uint8Array {
  const encoded = new Uint8Array(7);
  let rest = place;
  for (let at = 6; at >= 0; at--) {
    encoded[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return encoded;
}
