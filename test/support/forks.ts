import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { encodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { noteSigner, signNote, type NoteSigner } from "../../src/chain/note.ts";
import type { Signer } from "../../src/identity/signer.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { snapshotOf, storageFrom } from "./loss-scene.ts";
import { startHome, type Home } from "./network.ts";

/** Two homes of one ledger and one checkpoint key, whose histories part after so many blocks. */
export async function twins(
  common: number,
  ours: number,
  theirs: number,
): Promise<{ readonly ours: Home; readonly theirs: Home }> {
  const first = await startHome();
  await first.grow(common);
  const storage = await storageFrom(await snapshotOf(first.storage as FullStorage));
  const second = await startHome({ storage, lastSeq: common + 99 });
  await first.grow(ours - common);
  await second.grow(theirs - common);
  await first.source.look();
  await second.source.look();
  return { ours: first, theirs: second };
}

/** Two checkpoints of one size with different roots, as fork evidence. */
export async function forgedEvidence(
  origin: string,
  signers: readonly (Signer | NoteSigner)[],
  size = 5,
): Promise<Uint8Array> {
  const note = (byte: number): Promise<Uint8Array> =>
    signNote(
      encodeCheckpoint({ origin, size, root: new Uint8Array(32).fill(byte) }),
      signers.map((signer) => ("keyId" in signer ? signer : noteSigner(signer, origin))),
    );
  return encodeForkEvidence({ first: await note(1), second: await note(2) });
}
