import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "multiformats/cid";
import { equalBytes } from "../bytes/compare.ts";
import {
  memoryError,
  memoryOf,
  type LedgerMemory,
  type SignedHead,
} from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ChainStore } from "../storage/types.ts";
import { cosignatureSigner, openCheckpoint } from "./checkpoint-note.ts";
import { openSignedHeads, type SignedBefore } from "./signed-heads.ts";
import { noteKey, NOTE_ED25519 } from "./note-key.ts";
import { encodeSignatureLine } from "./note.ts";

/** A witness's answer. */
export type CosignResult =
  | {
      readonly ok: true;
      /** A signature line to add to the note. */
      readonly line: string;
    }
  | {
      readonly ok: false;
      readonly reason: "bad-checkpoint" | "stale" | "inconsistent" | "refused";
      /** The size of the last checkpoint that this witness saw. */
      readonly size: number;
    };

/** Cosigns checkpoints that extend the one it cosigned before. */
export interface Witness {
  /**
   * @param note - the signed checkpoint
   * @param oldSize - size that the proof starts from, which must be the one that this witness saw
   *   last
   * @param proof - RFC 9162 consistency proof; empty from size 0
   * @throws {ChainError} in a witness of {@link createWitness}, `ERR_CHAIN_MEMORY` when its memory
   *   lacks a head that its store says it cosigned, or knows another head
   */
  cosign(note: Uint8Array, oldSize: number, proof: readonly Uint8Array[]): Promise<CosignResult>;
}

const CREATE_WITNESS_OPTIONS: OptionsOf<NonNullable<Parameters<typeof createWitness>[0]>> = {
  ...{ chains: true, memory: true, adoptSignedHeads: true, signer: true, name: true },
  ...{ ledger: true, origin: true, checkpointKeys: true, now: true, accepts: true },
};

/**
 * Makes a witness of one ledger, or a validator if `accepts` runs every rule first.
 *
 * @param options.chains - keeps each head durably before it is cosigned
 * @param options.memory - also remembers it outside the storage; see `memoryOf`. Without it, a
 *   chain store restored from an older copy makes the witness contradict itself.
 * @see c2sp.org/tlog-witness
 * @example
 * const { origin, checkpointKeys } = decodeGenesis(genesis);
 * const witness = createWitness({
 *   ...{ signer, name: "witness.example", ledger: ledgerId(genesis), origin, checkpointKeys },
 *   chains: storage.chains,
 *   now: Date.now,
 * });
 * const answer = await witness.cosign(note, 0, []); // the first checkpoint that it sees
 */
export function createWitness(options: {
  readonly chains: ChainStore;
  readonly memory?: LedgerMemory;
  /** Copies the store's head into a memory that was lost or restored, before anything is signed. */
  readonly adoptSignedHeads?: boolean;
  readonly signer: Signer;
  /** Key name of the cosignatures. */
  readonly name: string;
  readonly ledger: CID;
  readonly origin: string;
  readonly checkpointKeys: readonly Uint8Array[];
  /** Clock, in ms since 1970; a cosignature states the whole second. */
  readonly now: () => number;
  /** A validator's own check of the head; absent in a witness. */
  readonly accepts?: (size: number, root: Uint8Array) => Promise<boolean>;
}): Witness {
  assertOptions(options, CREATE_WITNESS_OPTIONS, "createWitness");
  const { chains, signer, name, ledger, origin, checkpointKeys, now, accepts } = options;
  const cosigner = cosignatureSigner(signer, name, now);
  const memory = options.memory ?? memoryOf("store", ledger);
  const heads = openSignedHeads({ chains, ledger, memory }, signer.key, "cosignature");
  const keys = checkpointKeys.map((pub) => noteKey(origin, NOTE_ED25519, pub));
  let adopt = options.adoptSignedHeads === true;
  return {
    async cosign(note, oldSize, proof) {
      if (adopt) await heads.adopt();
      adopt = false;
      const before = await heads.read();
      const signed = bindingHead(before);
      const size = signed?.size ?? 0;
      const refuse = (reason: Extract<CosignResult, { ok: false }>["reason"]): CosignResult => ({
        ok: false,
        reason,
        size,
      });
      const opened = openCheckpoint(note, { origin, keys });
      if (!opened.ok) return refuse("bad-checkpoint");
      const { checkpoint, text } = opened;
      if (oldSize !== size || checkpoint.size < size) return refuse("stale");
      if (checkpoint.size === 0 && !equalBytes(checkpoint.root, EMPTY_ROOT)) {
        return refuse("inconsistent");
      }
      if (signed === undefined || signed.size === 0) {
        // RFC 9162 defines no proof from the empty tree, because every tree extends it.
        if (proof.length > 0) return refuse("inconsistent");
      } else if (checkpoint.size === size) {
        if (proof.length > 0 || !equalBytes(checkpoint.root, signed.root)) {
          return refuse("inconsistent");
        }
      } else {
        const consistent = verifyConsistency({
          oldSize: size,
          oldRoot: signed.root,
          newSize: checkpoint.size,
          newRoot: checkpoint.root,
          proof,
        });
        if (!consistent.ok) return refuse("inconsistent");
      }
      if (accepts !== undefined && !(await accepts(checkpoint.size, checkpoint.root))) {
        return refuse("refused");
      }
      if (checkpoint.size !== size || signed === undefined) {
        if (!(await heads.keep(before, checkpoint))) return refuse("stale");
      }
      const { keyId } = cosigner;
      const signature = await cosigner.sign(text);
      return { ok: true, line: encodeSignatureLine({ name, keyId, signature }) };
    },
  };
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
