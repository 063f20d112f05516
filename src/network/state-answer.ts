import { utf8ToBytes } from "../bytes/utf8.ts";
import type { Chain } from "../chain/chain.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import {
  includedHeader,
  judgeCheckpoint,
  type JudgedCheckpoint,
  type Trust,
  type TrustReason,
} from "../chain/trust.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import { EncodingError } from "../errors.ts";
import { decodeMapProof, encodeMapProof, verifyMap, type MapProof } from "../merkle/map-proof.ts";

/** Outcome of {@link verifyStateAnswer}. */
export type StateAnswer =
  | {
      readonly ok: true;
      /** `null`: the state has no value under this key. */
      readonly value: Uint8Array | null;
      /** The state is that before the block at this height, the last one under the checkpoint. */
      readonly height: number;
      /** Time of that block, in ms since 1970. */
      readonly time: number;
      readonly checkpoint: JudgedCheckpoint;
    }
  | {
      readonly ok: false;
      readonly reason: TrustReason | "not-the-last-header" | "value-not-proved";
    };

/** Proves a value of the state, or its absence, under a checkpoint. */
export async function makeStateAnswer(
  chain: Chain,
  { note, size }: AcceptedCheckpoint,
  key: string,
): Promise<Uint8Array> {
  const { block } = await chain.readBlock(size - 1);
  const { value, proof } = await chain.proveState(key, size - 1);
  return encode({
    v: 1,
    checkpoint: note,
    header: block.header,
    path: await chain.proveInclusion(size - 1, size),
    value,
    proof: encodeMapProof(proof),
  });
}

/**
 * Verifies what a peer answers about a value of the ledger's state. Never throws, whatever the answer
 * contains.
 *
 * @param trust - the reader's; with a root, the answer's checkpoint must be of its history
 * @param consistency - RFC 9162 proof between the trusted root and the answer's checkpoint
 * @example
 * const answer = verifyStateAnswer(await peer.state("sys/policy"), "sys/policy", trustFromGenesis(genesis));
 * if (!answer.ok) throw new Error(`not proved: ${answer.reason}`);
 */
export function verifyStateAnswer(
  bytes: Uint8Array,
  key: string,
  trust: Trust,
  consistency?: readonly Uint8Array[],
): StateAnswer {
  const answer = readStateAnswer(bytes);
  if (answer === undefined) return { ok: false, reason: "malformed" };
  const judged = judgeCheckpoint(answer.checkpoint, trust, consistency);
  if (!judged.ok) return judged;
  const included = includedHeader(answer.header, answer.path, judged.checkpoint, trust);
  if (!included.ok) return included;
  const { height, state, time } = included.header;
  if (height !== judged.checkpoint.size - 1) return { ok: false, reason: "not-the-last-header" };
  if (!verifyMap(state, utf8ToBytes(key), answer.value, answer.proof).ok) {
    return { ok: false, reason: "value-not-proved" };
  }
  const { ok: _, ...checkpoint } = judged;
  return { ok: true, value: answer.value, height, time, checkpoint };
}

/** A value of the state with its proof, as it is claimed. */
export interface ClaimedState {
  readonly checkpoint: Uint8Array;
  readonly header: Uint8Array;
  readonly path: readonly Uint8Array[];
  readonly value: Uint8Array | null;
  readonly proof: MapProof;
}

/** Reads an answer without verifying it; `undefined` if it is malformed. */
export function readStateAnswer(bytes: Uint8Array): ClaimedState | undefined {
  try {
    const map = expectMap(
      decode(bytes, { maxBytes: 4 * 1024 * 1024, maxDepth: 6, maxItems: 2048 }),
      "state answer",
      ["v", "checkpoint", "header", "path", "value", "proof"],
    );
    expectVersion(map["v"], "state answer");
    const value = map["value"];
    return {
      checkpoint: expectBytes(map["checkpoint"], "checkpoint"),
      header: expectBytes(map["header"], "header"),
      path: expectArray(map["path"], "path", 64).map((hash) => expectBytes(hash, "path", 32)),
      value: value === null ? null : expectBytes(value, "value"),
      proof: decodeMapProof(map["proof"]),
    };
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}
