import { equalBytes } from "../../bytes/compare.ts";
import type { Chain } from "../../chain/chain.ts";
import { readCheckpoint, type Checkpoint } from "../../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../../chain/checkpoints.ts";
import { forkedError, type KnownForks } from "../../chain/known-forks.ts";
import { POLICY_KEY } from "../../chain/state.ts";

/**
 * Compares somebody else's checkpoint with this ledger's own.
 *
 * @param own - covers as many blocks as the ledger has, or fewer
 * @returns the checkpoint if it is of this ledger's history; `undefined` if it is not, or if it covers more than
 *   this ledger's own, so that nothing is known of it
 * @throws {ChainError} `ERR_CHAIN_FORKED` when keys of the log in force signed both; the evidence is kept
 */
export async function compareCheckpoint(
  { chain, forks }: { readonly chain: Chain; readonly forks: KnownForks },
  note: Uint8Array,
  own: AcceptedCheckpoint,
): Promise<Checkpoint | undefined> {
  const theirs = readCheckpoint(note);
  if (theirs === undefined || theirs.size > own.size) return undefined;
  if (equalBytes(await chain.rootAt(theirs.size), theirs.root)) return theirs;
  await chain.state.load([POLICY_KEY]);
  const { size } = theirs;
  const notes = { first: note, second: own.note };
  const continuation =
    size === own.size || size === 0
      ? {}
      : {
          continuation: {
            root: await chain.rootAt(size),
            proof: await chain.proveConsistency(size, own.size),
          },
        };
  const verdict = await forks.take({ ...notes, ...continuation }, chain.state.policy());
  if (verdict.frozen) throw forkedError();
  return undefined;
}
