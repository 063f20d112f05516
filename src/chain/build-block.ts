import { encodeBlock } from "../block/block.ts";
import { encodeHeader, headerCid, type Header } from "../block/header.ts";
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import type { CID } from "../codec/cid.ts";
import { verifySignature } from "../crypto/sign.ts";
import { ChainError, SignatureError } from "../errors.ts";
import { ownKeyOf, signWith, type Signer } from "../identity/signer.ts";
import { treeRoot } from "../merkle/tree.ts";
import { checkProposer, type AppliedBlock, type Tip } from "./apply-block.ts";
import { aheadOf } from "./clock.ts";
import { clockOf, type LedgerRules, type PreparedTransaction } from "./prepare.ts";
import type { Refused } from "./refusal.ts";
import { applyTransaction } from "./rules.ts";
import { headerSignature, type Verdicts } from "./signature-checks.ts";
import { overlayState, type SystemState } from "./state.ts";

/** A transaction that waits for a block. */
export interface Candidate {
  readonly prepared: PreparedTransaction;
}

/** The ledger that a block extends. */
export interface BlockBase {
  readonly ledger: CID;
  readonly tip: Tip;
  /** The state at the tip, with all keys loaded that the rules read. */
  readonly state: SystemState;
  readonly rules: LedgerRules;
}

/** The candidates that the next block admits, and the outcome of the others. */
export interface Admission<C extends Candidate> {
  /** In the block's order. */
  readonly admitted: readonly C[];
  readonly refused: readonly { readonly candidate: C; readonly refusal: Refused }[];
  /**
   * Left for the block after: the first transaction of this one sets the clock that they must be
   * checked by.
   */
  readonly postponed: readonly C[];
  /** Copies of an admitted transaction under another signature; they share its place. */
  readonly duplicates: readonly C[];
  readonly time: number;
  /** Changes of the state by the admitted ones. */
  readonly changes: AppliedBlock["changes"];
}

/**
 * Throws if the rules refuse blocks of a proposer.
 *
 * @throws {ChainError} `ERR_CHAIN_REFUSED`
 */
export function assertMayPropose(
  { tip, state }: BlockBase,
  proposer: { readonly proposer: string; readonly key: Uint8Array },
): void {
  const refused = checkProposer(proposer, tip.size, state);
  if (refused === undefined) return;
  throw new ChainError(
    "ERR_CHAIN_REFUSED",
    `this sequencer may not propose block ${tip.size}: ${refused.reason}`,
  );
}

/**
 * Applies the rules to candidates, in their order. If the clock is so far behind the ledger that no
 * other candidate could be admitted, a candidate that sets the ledger's time back is admitted
 * alone.
 *
 * @param clock - in ms since 1970
 * @param verdicts - of signatures that are already checked
 * @param unread - receives the keys that calls of contracts lacked: then the result does not count
 * @throws {ChainError} `ERR_CHAIN_CLOCK` when the ledger is ahead of the clock and no candidate sets
 *   its time
 */
export function admitCandidates<C extends Candidate>(
  candidates: readonly C[],
  base: BlockBase,
  {
    clock,
    verdicts,
    unread,
  }: { readonly clock: number; readonly verdicts: Verdicts; readonly unread: Set<string> },
): Admission<C> {
  const { tip, state } = base;
  const ahead = aheadOf(clock, tip.time, state.policy().maxDrift);
  const setting = ahead === 0 ? undefined : candidates.find((one) => setsClock(one, tip.time));
  if (ahead > 0 && setting === undefined) {
    throw new ChainError(
      "ERR_CHAIN_CLOCK",
      `the ledger's newest block is ${ahead} ms ahead of this clock, so nothing was written: check the clock`,
    );
  }
  const time = Math.max(clock, setting === undefined ? tip.time : clockOf(setting.prepared)!);
  const within = overlayState(state);
  const admitted: C[] = [];
  const refused: { candidate: C; refusal: Refused }[] = [];
  const duplicates: C[] = [];
  const hashes = new Set<string>();
  for (const candidate of setting === undefined ? candidates : [setting]) {
    const { prepared } = candidate;
    // On its own layer, so that a refused transaction leaves no changes.
    const layer = overlayState(within);
    const refusal = applyTransaction(prepared, {
      ledger: base.ledger,
      height: tip.size,
      time,
      before: state,
      within: layer,
      ...{ rules: base.rules, verdicts, unread },
    });
    if (refusal === undefined) {
      for (const [key, value] of layer.changes) within.set(key, value);
      admitted.push(candidate);
      hashes.add(toHex(prepared.hash));
    } else if (hashes.has(toHex(prepared.hash))) {
      duplicates.push(candidate);
    } else {
      refused.push({ candidate, refusal });
    }
  }
  const postponed = setting === undefined ? [] : candidates.filter((one) => one !== setting);
  return { admitted, refused, postponed, duplicates, time, changes: within.changes };
}

/**
 * Signs a block of the admitted transactions.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_INVALID` when the signer's signature is not valid: with it
 *   in the store nobody could read the ledger any more
 */
export async function buildBlock(
  { admitted, time, changes }: Admission<Candidate>,
  { ledger, tip, state }: BlockBase,
  { signer, stateRoot }: { readonly signer: Signer; readonly stateRoot: Uint8Array },
): Promise<{
  readonly applied: AppliedBlock;
  readonly header: Uint8Array;
  readonly block: Uint8Array;
}> {
  const transactions = admitted.map(({ prepared }) => prepared);
  const header: Header = {
    v: 1,
    ledger,
    height: tip.size,
    prev: tip.header === null ? null : headerCid(tip.header),
    transactions: treeRoot(transactions.map(({ leaf }) => leaf)),
    count: transactions.length,
    state: stateRoot,
    time,
    proposer: signer.actor,
    key: signer.key,
  };
  const headerBytes = encodeHeader(header);
  const { alg } = signer;
  const own = ownKeyOf(signer);
  const sig = await signWith(signer, "header", headerBytes);
  const key = state.key(signer.key)!;
  const isOwn = own !== undefined && equalBytes(own, key.publicKey);
  const claim = headerSignature({ alg, sig, header: headerBytes }, key);
  if (key.alg !== alg || !(isOwn || verifySignature(claim))) {
    throw new SignatureError(
      "ERR_SIGNATURE_INVALID",
      "the signer did not sign the block's header with its key",
    );
  }
  const block = encodeBlock({
    header: headerBytes,
    alg,
    sig,
    transactions: transactions.map(({ signed }) => signed),
  });
  return { applied: { header, transactions, changes }, header: headerBytes, block };
}

/** Whether a transaction may set the ledger's time back, in a block of its own. */
function setsClock({ prepared }: Candidate, time: number): boolean {
  const clock = clockOf(prepared);
  return clock !== undefined && clock < time;
}
