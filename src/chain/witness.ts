import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { cidOf, RAW } from "../codec/cid.ts";
import { ChainError } from "../errors.ts";
import {
  memoryError,
  memoryOf,
  type SignedHead,
  type SignedHeads,
} from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ChainStore } from "../storage/types.ts";
import {
  cosignatureSigner,
  openCheckpoint,
  parseCheckpoint,
  readUnsigned,
} from "./checkpoint-note.ts";
import { openSignedHeads, type SignedBefore } from "./signed-heads.ts";
import {
  checkNoteSignature,
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  type NoteKey,
} from "./note-key.ts";
import { encodeSignatureLine, splitNote } from "./note.ts";

/**
 * Why a checkpoint is not cosigned:
 *
 * - `bad-checkpoint`: it is not a checkpoint, or is smaller than the size that the proof starts from
 * - `unknown-log`: it is of a log that this witness does not watch
 * - `refused`: no key of the log signed it, or a validator's own check refuses it
 * - `other-root`: it has the size of the last one cosigned, and another root: the log has forked
 * - `inconsistent`: the proof does not show that it extends the last one cosigned
 */
export type CosignRefusal =
  "bad-checkpoint" | "unknown-log" | "refused" | "other-root" | "inconsistent";

/** A witness's answer. */
export type CosignResult =
  | {
      readonly ok: true;
      /** A signature line to add to the note. */
      readonly line: string;
    }
  | {
      readonly ok: false;
      /** The proof does not start from the last checkpoint that this witness cosigned. */
      readonly reason: "stale";
      /** Its size: a proof that starts there may be accepted. */
      readonly size: number;
    }
  | { readonly ok: false; readonly reason: CosignRefusal };

/** Cosigns checkpoints that extend the one it cosigned before. */
export interface Witness {
  /**
   * @param note - the signed checkpoint
   * @param oldSize - size that the proof starts from, which must be the one that this witness
   *   cosigned last
   * @param proof - RFC 9162 consistency proof; empty from size 0
   */
  cosign(note: Uint8Array, oldSize: number, proof: readonly Uint8Array[]): Promise<CosignResult>;
}

/** A witness of one log in this process, made by {@link createWitness}. */
export interface LogWitness extends Witness {
  /** The log's origin. */
  readonly origin: string;
  /**
   * @throws {ChainError} `ERR_CHAIN_MEMORY` when its memory lacks a head that its store says it
   *   cosigned, or knows another head; and from then on, until {@link LogWitness.resume}, when the
   *   note has a cosignature of this witness beyond what it remembers: then its store was restored
   *   from an older copy, and nobody knows what else it cosigned since
   */
  cosign(note: Uint8Array, oldSize: number, proof: readonly Uint8Array[]): Promise<CosignResult>;
  /**
   * Goes on after such a stop, from the largest head that this witness cosigned as far as is known.
   * First ask everybody who may hold checkpoints of this log. Cosignatures beyond the largest of
   * them stay unknown: if one may exist, retire the key instead.
   *
   * @param notes - checkpoints with a cosignature of this witness, which others hold
   * @throws {ChainError} `ERR_CHAIN_MEMORY` when this witness has cosigned two histories: its key
   *   must be retired
   */
  resume(notes?: readonly Uint8Array[]): Promise<void>;
}

const CREATE_WITNESS_OPTIONS: OptionsOf<NonNullable<Parameters<typeof createWitness>[0]>> = {
  ...{ chains: true, signedHeads: true, adoptSignedHeads: true, signer: true, name: true },
  ...{ origin: true, keys: true, now: true, accepts: true },
};

const TRIES = 16;
/** Lines under this witness's key id that are checked; nobody has a reason to send more. */
const MAX_OWN_LINES = 8;

/**
 * Makes a witness of one log, or a validator of a ledger if `accepts` runs every rule first.
 *
 * @param options.chains - keeps each head durably before it is cosigned
 * @param options.signedHeads - also remembers it outside the storage. Without it, a chain store
 *   restored from an older copy makes the witness contradict itself, unless somebody shows it what
 *   it cosigned.
 * @see c2sp.org/tlog-witness
 * @example
 * const { origin, checkpointKeys } = decodeGenesis(genesis);
 * const witness = createWitness({
 *   ...{ signer, name: "witness.example", chains: storage.chains, now: Date.now, origin },
 *   keys: checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key)),
 * });
 * const answer = await witness.cosign(note, 0, []); // the first checkpoint that it sees
 */
export function createWitness(options: {
  readonly chains: ChainStore;
  readonly signedHeads?: SignedHeads;
  /** Copies the store's head into a memory that was lost or restored, before anything is signed. */
  readonly adoptSignedHeads?: boolean;
  readonly signer: Signer;
  /** Key name of the cosignatures. */
  readonly name: string;
  /** Of the log. One key cosigns one log of this origin, since a cosignature names nothing else. */
  readonly origin: string;
  /** Keys that sign the log's checkpoints; one of them must have signed. See `parseVkey`. */
  readonly keys: readonly NoteKey[];
  /** Clock, in ms since 1970; a cosignature states the whole second. */
  readonly now: () => number;
  /** A validator's own check of the head; absent in a witness. */
  readonly accepts?: (size: number, root: Uint8Array) => Promise<boolean>;
}): LogWitness {
  assertOptions(options, CREATE_WITNESS_OPTIONS, "createWitness");
  const { chains, signer, name, origin, now, accepts } = options;
  const keys = [...options.keys];
  if (keys.length === 0 || keys.some(({ type }) => type !== NOTE_ED25519)) {
    throw new RangeError("`keys` must be one or more keys of type NOTE_ED25519");
  }
  const cosigner = cosignatureSigner(signer, name, now);
  const own = noteKey(name, NOTE_COSIGNATURE, signer.publicKey);
  const log = cidOf(utf8ToBytes(origin), RAW);
  const memory = memoryOf(options.signedHeads ?? "store", log);
  const heads = openSignedHeads({ chains, ledger: log, memory }, signer.key, "cosignature");
  let adopt = options.adoptSignedHeads === true;

  /**
   * The heads in store and memory; throws if they show that something was lost.
   *
   * @param met - a head that this witness has cosigned, whatever they say
   */
  async function before(met: SignedHead | undefined): Promise<SignedBefore> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if (adopt) await heads.adopt();
      adopt = false;
      const read = await heads.read();
      const known = read.stored.stopped === undefined ? bindingHead(read) : read.newest;
      const why = met === undefined ? undefined : contradiction(known, met);
      if (met === undefined || why === undefined || read.stored.stopped === "forked") {
        if (read.stored.stopped === undefined) return read;
        throw stoppedError(read.stored.stopped);
      }
      if (await heads.stop(read, met, why)) throw stoppedError(why);
    }
    throw busyError();
  }

  /** What a checkpoint is refused for, given the head that binds; `undefined` if nothing is. */
  function judge(
    next: SignedHead,
    oldSize: number,
    proof: readonly Uint8Array[],
    last: SignedHead | undefined,
  ): Exclude<CosignResult, { ok: true }> | undefined {
    const size = last?.size ?? 0;
    if (oldSize > next.size) return { ok: false, reason: "bad-checkpoint" };
    if (oldSize !== size) return { ok: false, reason: "stale", size };
    const inconsistent = { ok: false, reason: "inconsistent" } as const;
    if (next.size === 0 && !equalBytes(next.root, EMPTY_ROOT)) return inconsistent;
    if (last !== undefined && next.size === size) {
      if (!equalBytes(next.root, last.root)) return { ok: false, reason: "other-root" };
      return proof.length > 0 ? inconsistent : undefined;
    }
    // RFC 9162 defines no proof from the empty tree, because every tree extends it.
    if (last === undefined || size === 0) return proof.length > 0 ? inconsistent : undefined;
    const { root: oldRoot } = last;
    const { size: newSize, root: newRoot } = next;
    const ends = { oldSize, oldRoot, newSize, newRoot };
    return verifyConsistency({ ...ends, proof }).ok ? undefined : inconsistent;
  }

  return {
    origin,
    async cosign(note, oldSize, proof) {
      const claimed = readUnsigned(note);
      if (claimed === undefined) return { ok: false, reason: "bad-checkpoint" };
      if (claimed.origin !== origin) return { ok: false, reason: "unknown-log" };
      const opened = openCheckpoint(note, { origin, keys });
      const met = ownHead(note, origin, own);
      if (!opened.ok) {
        // A stranger's request touches no store, unless this witness's own signature is on it.
        if (met !== undefined) await before(met);
        return { ok: false, reason: "refused" };
      }
      const { checkpoint, text } = opened;
      for (let attempt = 0; attempt < TRIES; attempt++) {
        const read = await before(met);
        const { size, root } = checkpoint;
        const last = bindingHead(read);
        const refused = judge(checkpoint, oldSize, proof, last);
        if (refused !== undefined) return refused;
        if (accepts !== undefined && !(await accepts(size, root))) {
          return { ok: false, reason: "refused" };
        }
        // Another request or process may have kept a head meanwhile: then judge by that one.
        const isKept = last !== undefined && last.size === size;
        if (!isKept && !(await heads.keep(read, { size, root }))) continue;
        const signature = await cosigner.sign(text);
        return { ok: true, line: encodeSignatureLine({ name, keyId: cosigner.keyId, signature }) };
      }
      throw busyError();
    },
    async resume(notes = []) {
      const met = notes.flatMap((note) => ownHead(note, origin, own) ?? []);
      for (let attempt = 0; attempt < TRIES; attempt++) {
        const read = await heads.read();
        const all = [...read.all, ...met].sort((a, b) => b.size - a.size);
        const [last] = all;
        if (last === undefined) return;
        const forked = all.some((one, i) => i > 0 && contradiction(all[i - 1], one) === "forked");
        if (forked || read.stored.stopped === "forked") throw stoppedError("forked");
        const isThere =
          read.stored.stopped === undefined && contradiction(bindingHead(read), last) === undefined;
        if (isThere || (await heads.resume(read, last))) return;
      }
      throw busyError();
    },
  };
}

/**
 * The head that a note shows this witness to have cosigned, whoever else signed it: nobody else can
 * make that signature.
 */
function ownHead(note: Uint8Array, origin: string, own: NoteKey): SignedHead | undefined {
  const split = splitNote(note);
  if (!split.ok) return undefined;
  const { text, signatures } = split.note;
  const parsed = parseCheckpoint(text);
  if (!parsed.ok || parsed.checkpoint.origin !== origin) return undefined;
  const isOwn = signatures
    .filter(({ name, keyId }) => name === own.name && keyId === own.keyId)
    .slice(0, MAX_OWN_LINES)
    .some(({ signature }) => checkNoteSignature(own, text, signature) !== undefined);
  const { size, root } = parsed.checkpoint;
  return isOwn ? { size, root } : undefined;
}

/** What a head that this witness cosigned says about the head that it remembers as its last. */
function contradiction(
  known: SignedHead | undefined,
  met: SignedHead,
): "rolled-back" | "forked" | undefined {
  if (known === undefined || met.size > known.size) return "rolled-back";
  return met.size === known.size && !equalBytes(met.root, known.root) ? "forked" : undefined;
}

/**
 * The binding head. A witness cannot determine which of two heads it signed: it has no ledger, and
 * a proof starts from only one of them. The memory is written before the store, so it is never
 * older than the store.
 */
function bindingHead({ stored, kept, newest }: SignedBefore): SignedHead | undefined {
  if (kept === undefined || stored.signed === undefined) return newest;
  const { size, root } = stored.signed;
  if (size > kept.size || (size === kept.size && !equalBytes(root, kept.root))) {
    throw memoryError("the store and the memory of signed heads hold different cosigned heads");
  }
  return kept;
}

function stoppedError(why: "rolled-back" | "forked"): ChainError {
  return memoryError(
    why === "forked"
      ? "this witness has cosigned two histories of the log, so its key must be retired"
      : "this witness has cosigned a checkpoint that it does not remember, so it signs nothing " +
          "until resume() is called",
  );
}

function busyError(): ChainError {
  return new ChainError("ERR_CHAIN_BUSY", "other processes kept cosigning with the same key");
}
