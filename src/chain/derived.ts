import type { CID } from "multiformats/cid";
import { concatBytes } from "../bytes/concat.ts";
import { equalBytes } from "../bytes/compare.ts";
import { MAX_MEMBERS } from "../block/limits.ts";
import { bytesKey } from "../bytes/bytes-key.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectString, expectUint } from "../codec/shape.ts";
import { LedgerError } from "../errors.ts";
import type { NodeId, TreeNode } from "../merkle/frontier.ts";
import { HASH_LENGTH } from "../merkle/hash.ts";
import type { StoredNode } from "../merkle/sparse-map.ts";
import type { StateChange, StateStore } from "../storage/types.ts";
import type { PreparedTransaction } from "./prepare.ts";

/** The place of a transaction. */
export interface TransactionPlace {
  readonly height: number;
  readonly transaction: number;
  /** SHA-256 of the transaction's bytes. */
  readonly hash: Uint8Array;
}

/** A block that changed members or policy. */
export interface GovernanceBlock {
  readonly height: number;
  /** The actors whose membership, roles or keys it changed. */
  readonly actors: readonly string[];
  /** Whether it changed the policy. */
  readonly policy: boolean;
}

/**
 * Coverage of the derived data: they cover the first `size` blocks, and the state root then is
 * `root`.
 */
export interface DerivedMark {
  readonly size: number;
  readonly root: Uint8Array;
  /**
   * SHA-256 of the store's record at `size - 1`: identifies the history that these data belong to.
   */
  readonly record: Uint8Array;
}

/**
 * Data computed from the blocks and kept for speed: nodes of the header tree, nodes of the
 * authenticated state, and the place of each transaction. All of them can be rebuilt.
 *
 * Nodes are addressed by their hash or lead to a root that is checked. The mark determines which
 * root is right: a party that can write to the store can write another, well-formed state and a
 * mark for it. So a mark is only as trustworthy as the store's access control, unless a member
 * signed it: see `anchor.ts`.
 */
export interface DerivedData {
  /** Adds the data of a block, to write with the next commit. */
  add(block: {
    readonly height: number;
    readonly completed: readonly TreeNode[];
    readonly nodes: readonly StoredNode[];
    readonly transactions: readonly PreparedTransaction[];
    readonly root: Uint8Array;
    readonly record: Uint8Array;
  }): void;
  /** Adds what a block changed of members or policy. */
  addGovernance(block: GovernanceBlock): void;
  /** The blocks that changed members or policy, oldest first. */
  governance(): Promise<readonly GovernanceBlock[]>;
  /** Adds the nodes of the genesis state, which come from no block. */
  addState(nodes: readonly StoredNode[]): void;
  /** Whether so many changes are unwritten that they should not wait for the next commit. */
  readonly isFull: boolean;
  /** Whether so many changes are unwritten that no more may be added before they are written. */
  readonly isOverfull: boolean;
  /** The unwritten changes; they stay pending until {@link written}. */
  pending(): readonly StateChange[];
  /** Marks {@link pending} changes as written. */
  written(changes: readonly StateChange[]): void;
  /** Writes pending changes without waiting until they are durable. */
  flush(): Promise<void>;
  mark(): Promise<DerivedMark | undefined>;
  /** Adds a mark signed by a key, to write after the data that it covers. */
  addSigned(key: Uint8Array, mark: DerivedMark, sig: Uint8Array): void;
  /** The mark added for a key; the caller must check its signature. */
  signedMark(
    key: Uint8Array,
  ): Promise<{ readonly mark: DerivedMark; readonly sig: Uint8Array } | undefined>;
  treeNodes(ids: readonly NodeId[]): Promise<(Uint8Array | undefined)[]>;
  /** Forgets the tree nodes in memory, because some were wrong when they were read. */
  forgetTreeNodes(): void;
  /** Whether there are data that only a block at this height or above can have added. */
  reachTo(height: number): Promise<boolean>;
  /** Removes all data from blocks except the state's nodes, and the mark of one key. */
  removeAll(key: Uint8Array | undefined): Promise<void>;
  stateNodes(hashes: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  findTransaction(
    key: Uint8Array,
    lane: number,
    seq: number,
  ): Promise<TransactionPlace | undefined>;
}

/** Number of pending changes after which they should be written, if the store accepts as many. */
const FLUSH_BATCH = 4096;
/** Most changes that wait in memory while the store refuses writes. */
const MOST_UNWRITTEN: number = 32 * FLUSH_BATCH;

interface NamedChange {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly name: string;
}

/** Nodes of the header tree in memory, about 300 bytes each: all upper levels of any ledger. */
const CACHED_NODES = 16_384;

const MARK = 0x00;
const TREE_NODE = 0x01;
const STATE_NODE = 0x02;
const TRANSACTION = 0x03;
const SIGNED_MARK = 0x04;
const GOVERNANCE = 0x05;

/** Opens the derived data of one ledger in a state store that several ledgers may share. */
export function openDerived(store: StateStore, ledger: CID): DerivedData {
  const prefix = concatBytes(utf8ToBytes("chain/"), ledger.multihash.digest.subarray(0, 16));
  const most = Math.max(1, Math.min(FLUSH_BATCH, Math.floor(store.caps.maxBatch / 2)));
  let changes: NamedChange[] = [];
  const byName = new Map<string, Uint8Array>();
  let treeCache = nodeCache(CACHED_NODES);

  const keyOf = (table: number, ...parts: readonly Uint8Array[]): Uint8Array =>
    concatBytes(prefix, Uint8Array.of(table), ...parts);
  const treeKey = ({ level, index }: NodeId): Uint8Array =>
    keyOf(TREE_NODE, Uint8Array.of(level), uint64(index));

  const tableRange = (table: number): { readonly gte: Uint8Array; readonly lt: Uint8Array } => ({
    gte: keyOf(table),
    lt: keyOf(table + 1),
  });

  function put(key: Uint8Array, value: Uint8Array): void {
    const name = bytesKey(key);
    changes.push({ key, value, name });
    byName.set(name, value);
  }

  async function getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (byName.size === 0) return store.getMany(keys);
    const found = keys.map((key) => byName.get(bytesKey(key)));
    const missing = keys.filter((_, i) => found[i] === undefined);
    if (missing.length === 0) return found;
    const stored = (await store.getMany(missing)).values();
    return found.map((value) => value ?? stored.next().value);
  }

  /** Nodes of complete subtrees are final, so they need not be read again. */
  async function treeNodes(ids: readonly NodeId[]): Promise<(Uint8Array | undefined)[]> {
    const nodes: (Uint8Array | undefined)[] = ids.map((id) => treeCache.get(id)?.slice());
    const missing = ids.filter((_, i) => nodes[i] === undefined);
    if (missing.length === 0) return nodes;
    const read = await getMany(missing.map(treeKey));
    for (let i = 0, next = 0; i < ids.length; i++) {
      if (nodes[i] !== undefined) continue;
      const node = read[next++];
      if (node?.length === HASH_LENGTH) treeCache.set(ids[i]!, node.slice());
      nodes[i] = node;
    }
    return nodes;
  }

  function written(batch: readonly StateChange[]): void {
    const done = new Set(batch);
    const left: NamedChange[] = [];
    for (const change of changes) {
      if (!done.has(change)) left.push(change);
      else if (byName.get(change.name) === change.value) byName.delete(change.name);
    }
    changes = left;
  }

  return {
    add({ height, completed, nodes, transactions, root, record }) {
      for (const node of completed) put(treeKey(node), node.hash);
      for (const node of nodes) put(keyOf(STATE_NODE, node.hash), node.bytes);
      for (const [i, { transaction, hash }] of transactions.entries()) {
        put(
          keyOf(TRANSACTION, transaction.key, uint64(transaction.lane), uint64(transaction.seq)),
          concatBytes(uint64(height), uint64(i), hash),
        );
      }
      put(keyOf(MARK), encode({ size: height + 1, root, record }));
    },
    addGovernance({ height, actors, policy }) {
      put(keyOf(GOVERNANCE, uint64(height)), encode({ height, actors, policy }));
    },
    async governance() {
      const rows = new Map<string, Uint8Array>();
      const { gte, lt } = tableRange(GOVERNANCE);
      for await (const { key, value } of store.scan({ gte, lt })) rows.set(bytesKey(key), value);
      for (const [name, value] of byName) {
        if (name.startsWith(bytesKey(gte))) rows.set(name, value);
      }
      return [...rows]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([, value]) => ifWhole(() => [decodeGovernance(value)]) ?? []);
    },
    addState(nodes) {
      for (const node of nodes) put(keyOf(STATE_NODE, node.hash), node.bytes);
    },
    get isFull() {
      return changes.length > most;
    },
    get isOverfull() {
      return changes.length > MOST_UNWRITTEN;
    },
    pending: () => changes.slice(),
    written,
    async flush() {
      // In order, so that a mark is never written before the data that it covers.
      while (changes.length > 0) {
        const batch = changes.slice(0, most);
        await store.batch(batch, { sync: false });
        written(batch);
      }
    },
    async mark() {
      const [bytes] = await getMany([keyOf(MARK)]);
      return bytes === undefined ? undefined : ifWhole(() => decodeMark(bytes, []).mark);
    },
    addSigned(key, mark, sig) {
      put(keyOf(SIGNED_MARK, key), encode({ ...mark, sig }));
    },
    async signedMark(key) {
      const [bytes] = await getMany([keyOf(SIGNED_MARK, key)]);
      if (bytes === undefined) return undefined;
      return ifWhole(() => {
        const { mark, map } = decodeMark(bytes, ["sig"]);
        return { mark, sig: expectBytes(map["sig"], "sig", 64) };
      });
    },
    treeNodes,
    forgetTreeNodes() {
      treeCache = nodeCache(CACHED_NODES);
    },
    async reachTo(height) {
      if (height > 0) {
        const [leaf] = await getMany([treeKey({ level: 0, index: height })]);
        return leaf !== undefined;
      }
      for (const table of [MARK, TREE_NODE, TRANSACTION, SIGNED_MARK]) {
        for await (const _ of store.scan({ ...tableRange(table), limit: 1 })) return true;
      }
      return false;
    },
    async removeAll(key) {
      for (const table of [MARK, TREE_NODE, TRANSACTION, GOVERNANCE]) {
        for (;;) {
          const keys: Uint8Array[] = [];
          for await (const row of store.scan({ ...tableRange(table), limit: most })) {
            keys.push(row.key);
          }
          if (keys.length === 0) break;
          await store.batch(keys.map((row) => ({ key: row, value: null })));
        }
      }
      if (key !== undefined) await store.batch([{ key: keyOf(SIGNED_MARK, key), value: null }]);
      treeCache = nodeCache(CACHED_NODES);
    },
    stateNodes: (hashes) => getMany(hashes.map((hash) => keyOf(STATE_NODE, hash))),
    async findTransaction(key, lane, seq) {
      const [value] = await getMany([keyOf(TRANSACTION, key, uint64(lane), uint64(seq))]);
      if (value?.length !== 48) return undefined;
      const view = new DataView(value.buffer, value.byteOffset);
      return {
        height: Number(view.getBigUint64(0)),
        transaction: Number(view.getBigUint64(8)),
        hash: value.slice(16),
      };
    },
  };
}

function decodeMark(
  bytes: Uint8Array,
  more: readonly string[],
): { readonly mark: DerivedMark; readonly map: Readonly<Record<string, unknown>> } {
  const map = expectMap(decode(bytes), "mark", ["size", "root", "record", ...more]);
  const mark = {
    size: expectUint(map["size"], "size"),
    root: expectBytes(map["root"], "root", 32),
    record: expectBytes(map["record"], "record", 32),
  };
  return { mark, map };
}

function decodeGovernance(bytes: Uint8Array): GovernanceBlock {
  const map = expectMap(decode(bytes), "governance", ["height", "actors", "policy"]);
  return {
    height: expectUint(map["height"], "height"),
    actors: expectArray(map["actors"], "actors", MAX_MEMBERS).map((one) =>
      expectString(one, "actor"),
    ),
    policy: map["policy"] === true,
  };
}

/** Reads derived data; `undefined` if they are damaged, and everything is then rebuilt. */
function ifWhole<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof LedgerError) return undefined;
    throw error;
  }
}

/** Whether a place is that of the transaction with this hash. */
export function isSameTransaction(place: TransactionPlace, hash: Uint8Array): boolean {
  return equalBytes(place.hash, hash);
}

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  for (let i = 7, rest = value; rest > 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

interface NodeCache {
  get(id: NodeId): Uint8Array | undefined;
  set(id: NodeId, hash: Uint8Array): void;
}

/**
 * Keeps between `capacity` and twice as many nodes, in two generations, of which the older is
 * dropped.
 */
function nodeCache(capacity: number): NodeCache {
  let young = new Map<number, Uint8Array>();
  let old = new Map<number, Uint8Array>();
  const numberOf = ({ level, index }: NodeId): number => index * 64 + level;
  function keep(at: number, hash: Uint8Array): void {
    if (young.size >= capacity) {
      old = young;
      young = new Map();
    }
    young.set(at, hash);
  }
  return {
    get(id) {
      const at = numberOf(id);
      const node = young.get(at);
      if (node !== undefined) return node;
      const kept = old.get(at);
      if (kept !== undefined) keep(at, kept);
      return kept;
    },
    set: (id, hash) => keep(numberOf(id), hash),
  };
}
