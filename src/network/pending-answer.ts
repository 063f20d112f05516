import { equalBytes } from "../bytes/compare.ts";
import type { Quorum } from "../block/policy.ts";
import { parseCheckpoint } from "../chain/checkpoint-note.ts";
import { checkNoteSignature, type NoteKey } from "../chain/note-key.ts";
import { encodeSignatureLine, splitNote } from "../chain/note.ts";
import type { PolledCosigners, WaitingCheckpoint } from "../chain/polled-cosigners.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { keyId } from "../identity/actor.ts";
import { MAX_COSIGNATURE_BYTES, MAX_PENDING_BLOCKS } from "../transport/pending.ts";
import { encodeAddCheckpoint } from "./add-checkpoint.ts";
import { blockBundle } from "./bundles.ts";
import { inTime, numberOf, waitOf } from "./query.ts";
import { requestReader, type BodySetting } from "./request-body.ts";
import type { LedgerSource } from "./source.ts";
import { Status } from "./status.ts";

/** What a cosigner attests: that the rules were kept, or consistency alone. */
export type CosignerRole = "validator" | "witness";

/** What a home answers to cosigners that poll. */
export interface PendingAnswers {
  /** The public key of the cosigner whose key has an id; `undefined` if the policy lists none. */
  cosignerOf(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** As what the policy lists a key. */
  roleOf(publicKey: Uint8Array): Promise<CosignerRole | undefined>;
  /**
   * Answers a cosigner.
   *
   * @returns the body, or the parts of one that is streamed
   * @throws {Status} 401 for what is only for validators; 400 for a query or body that is not in its one form;
   *   404 if nothing waits for this cosignature, or the blocks are beyond what has waited; 422 for a cosignature
   *   of another text, or one that is not good
   */
  answer(path: string, asked: CosignerRequest): Promise<Uint8Array | AsyncIterable<Uint8Array>>;
}

/** What a cosigner asks. */
export interface CosignerRequest {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly role: CosignerRole;
  readonly publicKey: Uint8Array;
  /** Holds a place of the caller while it waits. */
  readonly hold: (wait: () => Promise<void>) => Promise<void>;
  /** Counts what is read. */
  readonly charged: (blocks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

/** Paths that only cosigners may ask for. */
export const OF_COSIGNERS: readonly string[] = ["pending", "pending/blocks", "cosignature"];

export function pendingAnswers(
  { chain }: Pick<LedgerSource, "chain">,
  polled: PolledCosigners,
  setting: BodySetting,
): PendingAnswers {
  async function quorums(): Promise<{ readonly validators: Quorum; readonly witnesses: Quorum }> {
    await chain.state.load([POLICY_KEY]);
    return chain.state.policy().cosignaturePolicy;
  }

  /** The waiting checkpoint, if it lacks a cosignature by this key. */
  function waitingFor(publicKey: Uint8Array): WaitingCheckpoint | undefined {
    const { waiting } = polled;
    return waiting?.keys.some((key) => isOf(key, publicKey) && waiting.lacks(key)) === true
      ? waiting
      : undefined;
  }

  return {
    async cosignerOf(id) {
      const { validators, witnesses } = await quorums();
      // While the policy changes, those that it listed before must sign too.
      const all = [...validators.keys, ...witnesses.keys, ...(polled.waiting?.keys ?? [])];
      return all.find(({ publicKey }) => equalBytes(keyId("Ed25519", publicKey), id))?.publicKey;
    },
    async roleOf(publicKey) {
      const { validators, witnesses } = await quorums();
      const lists = ({ keys }: Quorum): boolean => keys.some((key) => isOf(key, publicKey));
      const { waiting } = polled;
      // Or by the policy of before, under which what waits must be accepted too.
      const isOne = (key: Uint8Array): boolean => equalBytes(key, publicKey);
      if (lists(validators) || waiting?.validators.some(isOne) === true) return "validator";
      const waits = waiting?.keys.some((key) => isOf(key, publicKey)) === true;
      return lists(witnesses) || waits ? "witness" : undefined;
    },
    async answer(path, asked) {
      if (path === "cosignature") return take(asked);
      return path === "pending" ? pending(asked) : blocks(asked);
    },
  };

  /** The checkpoint that waits for this key, with the proof from a smaller size; empty if none does. */
  async function pending({
    query,
    request,
    publicKey,
    hold,
  }: CosignerRequest): Promise<Uint8Array> {
    const old = numberOf(query, "old") ?? 0;
    const wait = waitOf(query);
    if (wait > 0 && waitingFor(publicKey) === undefined) {
      await hold(() => inTime(wait, request.signal, setting.sleep, (end) => waits(publicKey, end)));
    }
    const waiting = waitingFor(publicKey);
    if (waiting === undefined) return new Uint8Array();
    const { size, note } = waiting;
    const oldSize = Math.min(old, size);
    const isApart = oldSize > 0 && oldSize < size;
    const proof = isApart ? await chain.proveConsistency(oldSize, size) : [];
    return encodeAddCheckpoint({ oldSize, proof, note });
  }

  /** Resolves once a checkpoint waits for this key. */
  async function waits(publicKey: Uint8Array, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && waitingFor(publicKey) === undefined) await polled.changed(signal);
  }

  function blocks({ query, role, charged }: CosignerRequest): AsyncIterable<Uint8Array> {
    if (role !== "validator") throw new Status(401, { "www-authenticate": "Bearer" });
    const [from, limit] = [numberOf(query, "from"), numberOf(query, "count")];
    if (from === undefined || limit === undefined || limit < 1 || limit > MAX_PENDING_BLOCKS) {
      throw new Status(400);
    }
    if (from + limit > polled.size) throw new Status(404);
    const range = { from, limit };
    return blockBundle({ readBlocks: () => charged(chain.readBlocks(range)) }, range);
  }

  async function take({ request, publicKey }: CosignerRequest): Promise<Uint8Array> {
    const body = await requestReader(request, MAX_COSIGNATURE_BYTES, setting).rest();
    const split = splitNote(body);
    const [line, ...more] = split.ok ? split.note.signatures : [];
    const parsed = split.ok ? parseCheckpoint(split.note.text) : undefined;
    if (!split.ok || line === undefined || more.length > 0 || parsed?.ok !== true) {
      throw new Status(400);
    }
    const waiting = waitingFor(publicKey);
    if (waiting === undefined || parsed.checkpoint.size !== waiting.size) throw new Status(404);
    const { text } = split.note;
    const own = splitNote(waiting.note);
    const key = waiting.keys.find(
      (one) => isOf(one, publicKey) && one.name === line.name && one.keyId === line.keyId,
    );
    const isGood =
      own.ok &&
      equalBytes(own.note.text, text) &&
      key !== undefined &&
      checkNoteSignature(key, text, line.signature) !== undefined;
    if (!isGood) throw new Status(422);
    waiting.add(encodeSignatureLine(line));
    return new Uint8Array();
  }
}

const isOf = ({ publicKey }: Pick<NoteKey, "publicKey">, other: Uint8Array): boolean =>
  equalBytes(publicKey, other);
