import { utf8ToBytes } from "../bytes/utf8.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap } from "../codec/shape.ts";
import { EncodingError } from "../errors.ts";
import { verifyMap } from "../merkle/map-proof.ts";
import type { Chain } from "./chain.ts";
import { checkpointOf, connectPath, laterProof, type MakeReceiptOptions } from "./make-receipt.ts";
import {
  expectConsistency,
  expectLater,
  expectPolicyStep,
  laterFields,
  MAX_POLICY_STEPS,
  policyStepFields,
  type Receipt,
} from "./receipt.ts";
import { decodeKeyState, keyStateKey, type KeyState } from "./state.ts";
import { includedHeader, type Trust, type TrustReason } from "./trust.ts";
import { judgePath } from "./verify-receipt.ts";

/** Why a key is not proved. */
export type KeyProofReason = TrustReason | "not-the-last-header" | "key-not-proved";

/** Outcome of {@link verifyKeyProof}. */
export type KeyProofResult =
  | {
      readonly ok: true;
      readonly key: KeyState;
      /** The state is that before the block at this height, the last one under the checkpoint. */
      readonly asOf: number;
    }
  | { readonly ok: false; readonly reason: KeyProofReason };

type ProofOfKey = Required<Pick<Receipt, "checkpoint" | "policyPath" | "later">> &
  Pick<Receipt, "consistency">;

/**
 * Proves a key's value in the newest state under a checkpoint, where no entry is at hand whose receipt would.
 *
 * @param key - id of the key
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when that state does not hold the key yet
 */
export async function makeKeyProof(
  chain: Chain,
  key: Uint8Array,
  options: MakeReceiptOptions,
): Promise<Uint8Array> {
  const head = checkpointOf(options.checkpoint);
  const { policyPath, ...rest } = await connectPath(chain, head, options);
  return encode({
    ...rest,
    checkpoint: options.checkpoint,
    policyPath: policyPath.map(policyStepFields),
    later: laterFields(await laterProof(chain, keyStateKey(key), head.size)),
  });
}

/** Verifies a proof of {@link makeKeyProof}. Never throws, whatever it contains. */
export function verifyKeyProof(bytes: Uint8Array, key: Uint8Array, initial: Trust): KeyProofResult {
  try {
    const proof = decodeKeyProof(bytes);
    const { judged, trust } = judgePath(proof, initial);
    if (!judged.ok) return judged;
    const { header: encoded, path, value, proof: inState } = proof.later;
    const included = includedHeader(encoded, path, judged.checkpoint, trust);
    if (!included.ok) return included;
    const { height, state } = included.header;
    if (height !== judged.checkpoint.size - 1) return { ok: false, reason: "not-the-last-header" };
    const name = utf8ToBytes(keyStateKey(key));
    if (!verifyMap(state, name, value, inState).ok) return { ok: false, reason: "key-not-proved" };
    return { ok: true, key: decodeKeyState(value), asOf: height };
  } catch (error) {
    if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
    throw error;
  }
}

/**
 * Reads a proof of {@link makeKeyProof}, without verifying it.
 *
 * @throws {EncodingError} when the bytes are none
 */
export function decodeKeyProof(bytes: Uint8Array): ProofOfKey {
  const map = expectMap(
    decode(bytes, { maxBytes: 4 * 1024 * 1024, maxDepth: 8, maxItems: 100_000 }),
    "key proof",
    ["checkpoint", "policyPath", "later"],
    ["consistency"],
  );
  return {
    checkpoint: expectBytes(map["checkpoint"], "key proof.checkpoint"),
    policyPath: expectArray(map["policyPath"], "key proof.policyPath", MAX_POLICY_STEPS).map(
      expectPolicyStep,
    ),
    later: expectLater(map["later"]),
    ...expectConsistency(map, "key proof"),
  };
}
