import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import { EncodingError } from "../errors.ts";
import { AppendConflict } from "../storage/errors.ts";
import type { ChainStore, Head } from "../storage/types.ts";
import type { Chain } from "./chain.ts";
import { encodeCheckpoint, parseCheckpoint } from "./checkpoint-note.ts";
import { connectHeads, type TreeHead } from "./connection.ts";
import { makePolicyStep } from "./make-receipt.ts";
import type { NoteKey } from "./note-key.ts";
import { encodeNote, parseNote, splitNote, type NoteSignature } from "./note.ts";
import { policyAt, type CheckpointPolicy } from "./policy-at.ts";
import { MAX_POLICY_STEPS } from "./receipt.ts";
import { followPolicy, judgeCheckpoint, type PolicyStep, type Trust } from "./trust.ts";
import { policyKeys } from "./unsatisfied.ts";

/** A kept checkpoint with all its kept signatures. */
export interface KeptNote extends TreeHead {
  readonly text: Uint8Array;
  readonly signatures: readonly NoteSignature[];
  /** The policy that it proves: that of the state before its last block. */
  readonly policy: CheckpointPolicy;
}

/** A policy that a trust leads to. */
export interface Reached {
  readonly trust: Trust;
  readonly path: readonly PolicyStep[];
}

/**
 * The checkpoints at which a ledger's policy changed, kept for readers who trust an older policy.
 * Such a checkpoint must satisfy both the old policy and the new one, and cannot be made once the
 * old keys are gone.
 */
export interface PolicySteps {
  /** The kept checkpoints of this chain's history, by size. */
  notes(): Promise<readonly KeptNote[]>;
  /** Keeps a checkpoint durably, or those of its signatures that are not kept yet. */
  keep(note: Uint8Array): Promise<void>;
  /**
   * The policies that a trust leads to by kept checkpoints: itself first, then each further policy
   * by a shortest path.
   */
  reach(trust: Trust): Promise<readonly Reached[]>;
  /**
   * Steps that lead a trust to a policy that accepts a checkpoint; `undefined` if there are no such
   * steps.
   */
  find(trust: Trust, note: Uint8Array): Promise<readonly PolicyStep[] | undefined>;
}

/** More than any honest history of changes has; the rest of a hostile store is not read. */
const MAX_NOTES = 4 * MAX_POLICY_STEPS;
const MAX_NOTE_LENGTH = 64 * 1024;
const APPEND_TRIES = 16;

interface Kept {
  readonly head: TreeHead;
  readonly text: Uint8Array;
  signatures: NoteSignature[];
  policy?: CheckpointPolicy;
  step?: PolicyStep | undefined;
  /** Number of signatures and of known keys that the step was made from. */
  made?: string;
  foreign?: boolean;
}

/** Opens the kept checkpoints of one ledger. */
export function openPolicySteps(chain: Chain, chains: ChainStore): PolicySteps {
  const name = `${chain.ledger.toString()}/policy`;
  const kept = new Map<string, Kept>();
  let read: Head = { size: 0, hash: null };

  function add(note: Uint8Array): boolean {
    const split = note.length > MAX_NOTE_LENGTH ? undefined : splitNote(note);
    if (split?.ok !== true) return false;
    const { text, signatures } = split.note;
    const parsed = parseCheckpoint(text);
    if (!parsed.ok || parsed.checkpoint.size === 0) return false;
    // This process may sign the note, so it must hold only a size and a root of this ledger, which
    // are then proved.
    const { size, root, origin } = parsed.checkpoint;
    if (origin !== chain.genesis.origin) return false;
    if (!equalBytes(encodeCheckpoint({ origin, size, root }), text)) return false;
    const id = toHex(text);
    let one = kept.get(id);
    if (one === undefined) {
      if (kept.size >= MAX_NOTES) return false;
      kept.set(id, (one = { head: parsed.checkpoint, text, signatures: [] }));
    }
    const fresh = signatures.filter((line) => !one.signatures.some((old) => isSame(old, line)));
    if (one.signatures.length + fresh.length > 100) return false;
    one.signatures = one.signatures.concat(fresh);
    return fresh.length > 0;
  }

  async function catchUp(): Promise<void> {
    const head = await chains.head(name);
    const limit = Math.min(head.size, MAX_NOTES) - Math.min(read.size, MAX_NOTES);
    if (limit > 0) {
      for await (const { record } of chains.read(name, { from: read.size, limit })) {
        const note = decodeKept(record);
        if (note !== undefined) add(note);
      }
    }
    read = head;
  }

  /**
   * Whether a head is of this chain's history; false for a head beyond the chain, which cannot be
   * checked yet.
   */
  async function isOurs(one: Kept): Promise<boolean> {
    const { head } = one;
    if (one.policy !== undefined) return true;
    if (one.foreign === true || head.size > chain.size) return false;
    const now = { size: chain.size, root: chain.root };
    const proof = head.size === now.size ? [] : await chain.proveConsistency(head.size, now.size);
    if (connectHeads(head, now, proof) !== "connected") {
      one.foreign = true;
      return false;
    }
    one.policy = await policyAt(chain, head.size);
    return true;
  }

  async function ours(): Promise<Kept[]> {
    await catchUp();
    const found: Kept[] = [];
    for (const one of kept.values()) if (await isOurs(one)) found.push(one);
    return found.sort((a, b) => a.head.size - b.head.size);
  }

  /**
   * The step that a kept checkpoint makes; `undefined` without a valid signature by a known key.
   */
  async function stepOf(one: Kept, known: readonly NoteKey[]): Promise<PolicyStep | undefined> {
    const made = `${one.signatures.length} ${known.length}`;
    if (one.made !== made) {
      // A party that can write to the store can add invalid signatures, which would make the valid
      // ones useless.
      const good = one.signatures.filter(
        (line) => parseNote(encodeNote(one.text, [line]), known).ok,
      );
      one.made = made;
      one.step =
        good.length === 0
          ? undefined
          : await makePolicyStep(chain, one.head.size - 1, encodeNote(one.text, good));
    }
    return one.step;
  }

  async function reach(trust: Trust): Promise<readonly Reached[]> {
    const all = await ours();
    const policies = all.map(({ policy }) => policy!);
    const known = policyKeys(chain.genesis.origin, [chain.genesis, trust, ...policies]);
    const left = new Set(all.reverse());
    // Consistency is proved when the receipt is made; only signatures matter here.
    const { root: _seen, ...start } = trust;
    const reached: Reached[] = [{ trust: start, path: [] }];
    for (let at = 0; at < reached.length; at++) {
      const from = reached[at]!;
      if (from.path.length >= MAX_POLICY_STEPS) continue;
      for (const one of left) {
        const step = await stepOf(one, known);
        const followed = step && followPolicy(from.trust, step);
        if (step === undefined || followed?.ok !== true) continue;
        left.delete(one);
        reached.push({ trust: followed.trust, path: [...from.path, step] });
      }
    }
    return reached;
  }

  return {
    async notes() {
      return (await ours()).map(({ head, text, signatures, policy }) => ({
        ...{ size: head.size, root: head.root, text, signatures, policy: policy! },
      }));
    },
    async keep(note) {
      for (let attempt = 0; attempt < APPEND_TRIES; attempt++) {
        await catchUp();
        if (!add(note)) return;
        try {
          read = await chains.append(name, read, [encode({ v: 1, note })]);
          return;
        } catch (error) {
          // What is not durable was not kept.
          forget(note);
          if (!(error instanceof AppendConflict)) throw error;
        }
      }
    },
    reach,
    async find(trust, note) {
      const { root: _seen, ...rootless } = trust;
      if (judgeCheckpoint(note, rootless).ok) return [];
      const found = (await reach(trust)).find((one) => judgeCheckpoint(note, one.trust).ok);
      return found?.path;
    },
  };

  function forget(note: Uint8Array): void {
    const split = splitNote(note);
    if (!split.ok) return;
    // Read again, with the notes that others wrote.
    kept.delete(toHex(split.note.text));
    read = { size: 0, hash: null };
  }
}

function decodeKept(record: Uint8Array): Uint8Array | undefined {
  try {
    const map = expectMap(decode(record, { maxBytes: MAX_NOTE_LENGTH + 64 }), "kept checkpoint", [
      ...["v", "note"],
    ]);
    expectVersion(map["v"], "kept checkpoint");
    return expectBytes(map["note"], "kept checkpoint.note");
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

function isSame(a: NoteSignature, b: NoteSignature): boolean {
  return a.name === b.name && a.keyId === b.keyId && equalBytes(a.signature, b.signature);
}
