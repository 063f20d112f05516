import type { CID } from "../codec/cid.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
import { ChainError } from "../errors.ts";
import { HASH_LENGTH } from "../merkle/hash.ts";
import type { StateChange, StateStore } from "../storage/types.ts";
import { readCheckpoint } from "./checkpoint-note.ts";
import { isSameHead, type TreeHead } from "./connection.ts";
import { decodeForkEvidence, encodeForkEvidence, type ForkEvidence } from "./fork-evidence.ts";
import { judgeFork } from "./judge-fork.ts";
import type { CheckpointPolicy } from "./policy-at.ts";

/** Fork evidence as a store keeps it. */
export interface KeptFork extends ForkEvidence {
  /** Absent if nobody gave the headers of the other history. */
  readonly diverging?: DivergingHeaders;
}

/** Headers of two histories, from the first height at which they differ, or that the store does not have. */
export interface DivergingHeaders {
  /** Height of the first header of each. */
  readonly from: number;
  /** Of the history that is not the store's own, each proved to be under its checkpoint; at most 256. */
  readonly headers: readonly Uint8Array[];
  /** Of the store's own history; at most 256, and none if it does not go so far. */
  readonly own: readonly Uint8Array[];
}

/** What fork evidence leads to. */
export interface ForkVerdict {
  /** The log's keys in force signed two histories: nothing more is taken, filed or released. */
  readonly frozen: boolean;
  /** Names of the cosigners in force that signed two histories: they count no more. */
  readonly cosigners: readonly string[];
}

/** The forks that one store knows of. */
export interface KnownForks {
  /** Evidence that no trust has decided: nothing more is taken, filed or released. */
  readonly fork: KeptFork | undefined;
  /** Public keys of cosigners that signed two histories. */
  readonly distrusted: readonly Uint8Array[];
  /** Head of the history that the operator decided for. */
  readonly decided: TreeHead | undefined;
  /** Reads again what another process may have kept. */
  refresh(): Promise<void>;
  /** Whether the operator has decided, and the store's blocks were not compared with the decision yet. */
  readonly isDeciding: boolean;
  /** @throws {ChainError} `ERR_CHAIN_FORKED` while evidence is not decided */
  assertNone(): Promise<void>;
  /**
   * As `assertNone`, but lets a copy take what the operator's head covers, or it could never be compared.
   *
   * @throws {ChainError} `ERR_CHAIN_FORKED`
   */
  assertMayTake(): Promise<void>;
  /**
   * Judges evidence, and keeps it durably if it convicts a key in force.
   *
   * @param policy - in force now
   */
  take(evidence: ForkEvidence, policy: CheckpointPolicy): Promise<ForkVerdict>;
  /** Keeps the headers of a fork that is not decided; only the first that are given. */
  keepDiverging(headers: DivergingHeaders): Promise<void>;
  /**
   * Ends a freeze, if the operator's head decides between the two histories. A checkpoint that a copy
   * had accepted beyond its blocks is forgotten then. The store's blocks must be of that head's history. What
   * the head rejects stops nothing when it is shown again.
   *
   * @param rootAt - roots of the head's history; without them the freeze ends by `compared`
   */
  decide(head: TreeHead, rootAt?: (size: number) => Promise<Uint8Array>): Promise<void>;
  /** The store's blocks are proved to be of the history that the operator decided for. */
  compared(): Promise<void>;
}

export const MAX_DIVERGING = 256;
const MAX_DISTRUSTED = 256;
/** Heads that decisions rejected. */
const MAX_REJECTED = 256;
/** A header has at most 1,024 bytes. */
const MAX_ROW_BYTES: number = 4 * 1024 * 1024;

/** Opens the forks that a state store knows of one ledger. */
export async function openKnownForks(
  state: StateStore,
  { ledger, origin }: { readonly ledger: CID; readonly origin: string },
): Promise<KnownForks> {
  const keyOf = (what: string): Uint8Array => utf8ToBytes(`network/${ledger.toString()}/${what}`);
  const names = ["fork", "diverging", "distrusted", "decided"] as const;
  const row = (what: (typeof names)[number] | "accepted", fields: Record<string, unknown> | null) =>
    ({ key: keyOf(what), value: fields && encode({ v: 1, ...fields }) }) satisfies StateChange;
  let fork: KeptFork | undefined;
  let distrusted: readonly Uint8Array[] = [];
  let decided: TreeHead | undefined;
  /** Given in this process only: a process that is started without it stays frozen. */
  let toCompare: TreeHead | undefined;
  let rejected: readonly TreeHead[] = [];
  let reading: Promise<void> | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  async function read(): Promise<void> {
    const [kept, diverging, keys, head] = await state.getMany(names.map(keyOf));
    const evidence = kept && decodeForkEvidence(bytesOf(kept, "fork", "evidence"));
    fork = evidence && {
      ...evidence,
      ...(diverging === undefined ? {} : { diverging: decodeDiverging(diverging) }),
    };
    distrusted = keys === undefined ? [] : decodeKeys(keys);
    const decision = head && decodeDecision(head);
    decided = larger(decided, decision?.head);
    rejected = decision?.rejected ?? [];
  }

  /** Those who ask at the same time share one read. */
  function refresh(): Promise<void> {
    reading ??= read().finally(() => (reading = undefined));
    return reading;
  }

  const isDecidedBy = ({ first }: ForkEvidence, head: TreeHead | undefined): boolean =>
    head !== undefined && (readCheckpoint(first)?.size ?? Infinity) <= head.size;

  const isDeciding = (): boolean => fork !== undefined && isDecidedBy(fork, toCompare);

  const isRejected = ({ first, second }: ForkEvidence): boolean =>
    [first, second].some((note) => {
      const head = readCheckpoint(note);
      return head !== undefined && rejected.some((known) => isSameHead(known, head));
    });

  /** Which of two contradicting checkpoints are not of a history that goes beyond the first. */
  async function rejectedBy(
    { first, second }: ForkEvidence,
    rootAt: (size: number) => Promise<Uint8Array>,
  ): Promise<readonly TreeHead[]> {
    const [a, b] = [readCheckpoint(first)!, readCheckpoint(second)!];
    return equalBytes(a.root, await rootAt(a.size)) ? [b] : [a];
  }

  /** Keeps the decision in place of the evidence, durably. */
  async function thaw(decidedFork: ForkEvidence, head: TreeHead, added: readonly TreeHead[]) {
    const all = [...rejected, ...added].slice(-MAX_REJECTED);
    const heads = all.map((one) => ({ size: one.size, root: one.root }));
    const kept = row("decided", {
      ...{ size: head.size, root: head.root },
      ...{ evidence: encodeForkEvidence(decidedFork), rejected: heads },
    });
    const gone = ["fork", "diverging", "accepted"] as const;
    await state.batch([...gone.map((name) => row(name, null)), kept]);
    fork = undefined;
    toCompare = undefined;
    rejected = heads;
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  await read();
  return {
    get fork() {
      return fork;
    },
    get distrusted() {
      return distrusted;
    },
    get decided() {
      return decided;
    },
    get isDeciding() {
      return isDeciding();
    },
    refresh,
    async assertNone() {
      await refresh();
      if (fork !== undefined) throw forkedError();
    },
    async assertMayTake() {
      await refresh();
      if (fork !== undefined && !isDeciding()) throw forkedError();
    },
    take: (evidence, policy) =>
      inTurn(async () => {
        await refresh();
        const { log, cosigners } = judgeFork(evidence, origin, policy);
        const added = cosigners
          .map(({ publicKey }) => publicKey)
          .filter((key) => !distrusted.some((known) => equalBytes(known, key)));
        const keys = [...distrusted, ...added].slice(-MAX_DISTRUSTED);
        const isOld = isDecidedBy(evidence, decided) || isRejected(evidence);
        const isNew = log && (fork === undefined || isDeciding()) && !isOld;
        const changes = [
          ...(isNew ? [row("fork", { evidence: encodeForkEvidence(evidence) })] : []),
          ...(isNew && fork !== undefined ? [row("diverging", null)] : []),
          ...(added.length > 0 ? [row("distrusted", { keys })] : []),
        ];
        if (changes.length > 0) await state.batch(changes);
        if (isNew) fork = evidence;
        distrusted = keys;
        const frozen = fork !== undefined && !isDeciding();
        return { frozen, cosigners: cosigners.map(({ name }) => name) };
      }),
    keepDiverging: ({ from, headers, own }) =>
      inTurn(async () => {
        if (fork === undefined || fork.diverging !== undefined || isDeciding()) return;
        const first = (some: readonly Uint8Array[]) => some.slice(0, MAX_DIVERGING);
        const diverging = { from, headers: first(headers), own: first(own) };
        await state.batch([row("diverging", diverging)]);
        fork = { ...fork, diverging };
      }),
    decide: ({ size, root }, rootAt) =>
      inTurn(async () => {
        await refresh();
        const head = larger(decided, { size, root })!;
        if (fork !== undefined && isDecidedBy(fork, head)) {
          if (rootAt === undefined) toCompare = head;
          else await thaw(fork, head, await rejectedBy(fork, rootAt));
        }
        decided = head;
      }),
    compared: () =>
      inTurn(async () => {
        await refresh();
        if (fork !== undefined && isDeciding()) await thaw(fork, toCompare!, []);
      }),
  };
}

/** The error of a ledger whose log is convicted. */
export function forkedError(): ChainError {
  return new ChainError(
    "ERR_CHAIN_FORKED",
    "the ledger's log has signed two histories: nothing more is taken, filed or released until the " +
      "ledger is opened with a `trust` whose head is of one of them, at or after the smaller of the two checkpoints",
  );
}

function larger(one: TreeHead | undefined, other: TreeHead | undefined): TreeHead | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return other.size > one.size ? other : one;
}

function fieldsOf(bytes: Uint8Array, what: string, fields: readonly string[]) {
  const map = expectMap(decode(bytes, { maxBytes: MAX_ROW_BYTES }), what, ["v", ...fields]);
  expectVersion(map["v"], what);
  return map;
}

const bytesOf = (bytes: Uint8Array, what: string, field: string): Uint8Array =>
  expectBytes(fieldsOf(bytes, what, [field])[field], field);

function decodeDiverging(bytes: Uint8Array): DivergingHeaders {
  const { from, headers, own } = fieldsOf(bytes, "diverging", ["from", "headers", "own"]);
  const list = (value: unknown, what: string): readonly Uint8Array[] =>
    expectArray(value, what, MAX_DIVERGING).map((one) => expectBytes(one, what));
  return {
    from: expectUint(from, "from"),
    headers: list(headers, "headers"),
    own: list(own, "own"),
  };
}

function decodeKeys(bytes: Uint8Array): readonly Uint8Array[] {
  const { keys } = fieldsOf(bytes, "distrusted", ["keys"]);
  return expectArray(keys, "keys", MAX_DISTRUSTED).map((one) => expectBytes(one, "key", 32));
}

function decodeDecision(bytes: Uint8Array): {
  readonly head: TreeHead;
  readonly rejected: readonly TreeHead[];
} {
  const fields = fieldsOf(bytes, "decided", ["size", "root", "evidence", "rejected"]);
  const headOf = ({ size, root }: Readonly<Record<string, unknown>>): TreeHead => ({
    size: expectUint(size, "size"),
    root: expectBytes(root, "root", HASH_LENGTH),
  });
  return {
    head: headOf(fields),
    rejected: expectArray(fields["rejected"], "rejected", MAX_REJECTED).map((one) =>
      headOf(expectMap(one, "rejected", ["size", "root"])),
    ),
  };
}
