import { createCheckpointer } from "../chain/checkpointer.ts";
import type { CheckpointKey } from "../chain/checkpoints.ts";
import { equalBytes } from "../bytes/compare.ts";
import { SignatureError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { Signer } from "../identity/signer.ts";

/** A key store's checkpoint signers in use; the one that the store itself would choose comes last. */
export function checkpointSigners(keys: KeyStore): readonly Signer[] {
  const own = keys
    .list()
    .filter(({ use, retired }) => use === "checkpoint" && !retired)
    .map(({ key }) => keys.signer(key))
    .filter((signer) => keys.list().some((info) => isCheckpointKey(info, signer)));
  const chosen = chosenSigner(keys);
  if (chosen === undefined) return own;
  return [...own.filter(({ key }) => !equalBytes(key, chosen.key)), chosen];
}

/** A custom key store may know its keys by their purpose only. */
function isCheckpointKey({ key, use }: ReturnType<KeyStore["list"]>[number], signer: Signer) {
  return use === "checkpoint" && equalBytes(key, signer.key);
}

function chosenSigner(keys: KeyStore): Signer | undefined {
  try {
    return keys.signer("checkpoint");
  } catch (error) {
    if (error instanceof SignatureError) return undefined;
    throw error;
  }
}

/** What signs checkpoints with each of a member's keys. */
export function checkpointKeysOf(
  keys: KeyStore,
  where: Omit<Parameters<typeof createCheckpointer>[0], "signer">,
): readonly CheckpointKey[] {
  return checkpointSigners(keys).map((signer) => ({
    signer,
    checkpointer: createCheckpointer({ ...where, signer }),
  }));
}
