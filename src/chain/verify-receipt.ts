import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { decodeEntry, entryId, isCustom, type Entry } from "../block/entry.ts";
import {
  decodeTransaction,
  encodeSignedTransaction,
  type Transaction,
} from "../block/transaction.ts";
import { encode } from "../codec/dag-cbor.ts";
import { toEntryId, type EntryId } from "../codec/ids.ts";
import { ed25519Verifier } from "../crypto/ed25519-verifier.ts";
import { signingInput, type SignatureVerifier } from "../crypto/signing-input.ts";
import { decodeHeader } from "../block/header.ts";
import { EncodingError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyMap } from "../merkle/map-proof.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import { decodeReceipt, policyStepFields, type KeyProof, type Receipt } from "./receipt.ts";
import { decodeKeyState, isInForce, keyStateKey, type KeyState } from "./state.ts";
import {
  followStep,
  includedHeader,
  judgeCheckpoint,
  type JudgedCheckpoint,
  type JudgeResult,
  type Trust,
  type TrustReason,
} from "./trust.ts";

/** Why a receipt was refused. */
export type ReceiptReason =
  | TrustReason
  | "transaction-not-included"
  | "entry-not-included"
  | "key-not-proved"
  | "key-of-another-actor"
  | "key-use"
  | "key-not-in-force"
  | "key-compromised"
  | "not-later"
  | "algorithm-not-supported"
  | "bad-signature";

/** The facts that a receipt proves. */
export interface ProvedEntry extends JudgedCheckpoint {
  /** The entry's canonical bytes; a copy. */
  readonly entry: Uint8Array;
  readonly decoded: Entry;
  /** Names the entry. */
  readonly id: EntryId;
  /** did:key of the entry's author. */
  readonly author: string;
  /** Height of its block. */
  readonly height: number;
  /**
   * Latest time at which the entry was on the ledger, according to its block's proposer, in ms
   * since 1970.
   */
  readonly time: number;
  /** Status of the signing key in the state as of a height. */
  readonly key: { readonly status: "in-force" | "retired"; readonly asOf: number };
}

export type ReceiptResult =
  ({ readonly ok: true } & ProvedEntry) | { readonly ok: false; readonly reason: ReceiptReason };

export interface VerifyReceiptOptions {
  /** Signature algorithms to accept. Default: Ed25519 alone. */
  readonly verifiers?: readonly SignatureVerifier[];
}

const VERIFY_RECEIPT_OPTIONS: OptionsOf<VerifyReceiptOptions> = { verifiers: true };

/**
 * Verifies a receipt using only public keys. Pure, and never throws on hostile bytes.
 *
 * If trust has a root, the receipt must be of that root's history: under a checkpoint of the same
 * size and root, or with a proof that one extends the other. Otherwise it is `not-connected`. With
 * trust from genesis alone, it proves that the ledger's signers vouch for the entry, but not that
 * they vouch for no other history.
 *
 * @param bytes - an encoded receipt; borrowed
 * @param trust - from {@link trustFromGenesis}, or advanced from it
 * @example
 * const result = verifyReceipt(receipt, trustFromGenesis(genesis));
 * if (!result.ok) throw new Error(`not proved: ${result.reason}`);
 * result.author; // did:key of the member that filed the entry
 */
export function verifyReceipt(
  bytes: Uint8Array,
  trust: Trust,
  options: VerifyReceiptOptions = {},
): ReceiptResult {
  assertOptions(options, VERIFY_RECEIPT_OPTIONS, "verifyReceipt");
  const verified = receiptVerifier(trust, options.verifiers ?? [ed25519Verifier])(bytes);
  return verified.ok ? { ok: true, ...verified.proved } : verified;
}

/** A receipt that holds, or why it does not. */
export type VerifiedReceipt =
  | { readonly ok: true; readonly proved: ProvedEntry; readonly receipt: Receipt }
  | { readonly ok: false; readonly reason: ReceiptReason };

/**
 * Makes what verifies many receipts, each as {@link verifyReceipt} does. Those of one block share their checkpoint and
 * their transaction: what was found of the same bytes the last time is not checked again.
 */
export function receiptVerifier(
  trust: Trust,
  verifiers: readonly SignatureVerifier[],
): (bytes: Uint8Array) => VerifiedReceipt {
  const judged = lastResult<ReturnType<typeof judgePath>>();
  const signed = lastResult<boolean>();
  const checks: Checks = {
    judge(receipt) {
      const { checkpoint, policyPath, consistency = null } = receipt;
      const path = encode([policyPath.map(policyStepFields), consistency]);
      return judged([checkpoint, path], () => judgePath(receipt, trust));
    },
    isSigned: (verifier, signature, input, publicKey) =>
      signed([utf8ToBytes(verifier.alg), signature, input, publicKey], () =>
        verifier.verify(signature, input, publicKey),
      ),
  };
  return (bytes) => {
    try {
      const receipt = decodeReceipt(bytes);
      const result = checkReceipt(receipt, trust, verifiers, checks);
      return result.ok ? { ok: true, proved: result, receipt } : result;
    } catch (error) {
      if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
      throw error;
    }
  };
}

/** The checks of a receipt that take signatures. */
interface Checks {
  readonly judge: (receipt: Receipt) => ReturnType<typeof judgePath>;
  readonly isSigned: (
    verifier: SignatureVerifier,
    ...what: Parameters<SignatureVerifier["verify"]>
  ) => boolean;
}

/** Keeps the last result of a check, under all the bytes that it depends on. */
function lastResult<T>(): (of: readonly Uint8Array[], check: () => T) => T {
  let last: { readonly of: readonly Uint8Array[]; readonly result: T } | undefined;
  return (of, check) => {
    const isSame = last?.of.every((bytes, i) => equalBytes(bytes, of[i]!)) === true;
    if (!isSame) last = { of, result: check() };
    return last!.result;
  };
}

function checkReceipt(
  receipt: Receipt,
  initial: Trust,
  verifiers: readonly SignatureVerifier[],
  { judge, isSigned }: Checks,
): ReceiptResult {
  const refuse = (reason: ReceiptReason): ReceiptResult => ({ ok: false, reason });
  if (!receipt.ledger.equals(initial.ledger)) return refuse("other-ledger");
  const { judged, trust } = judge(receipt);
  if (!judged.ok) return judged;
  const included = includedHeader(receipt.header, receipt.ledgerPath, judged.checkpoint, trust);
  if (!included.ok) return included;
  const { header } = included;

  const { tx, alg, sig } = receipt;
  const transactionIncluded = verifyInclusion({
    index: receipt.txIndex,
    size: header.count,
    leafHash: leafHash(encodeSignedTransaction({ tx, alg, sig })),
    proof: receipt.txPath,
    root: header.transactions,
  });
  if (!transactionIncluded.ok) return refuse("transaction-not-included");
  const transaction = decodeTransaction(tx);
  if (!transaction.ledger.equals(trust.ledger)) return refuse("other-ledger");
  const entryIncluded = verifyInclusion({
    index: receipt.entryIndex,
    size: transaction.count,
    leafHash: leafHash(receipt.entry),
    proof: receipt.entryPath,
    root: transaction.entries,
  });
  if (!entryIncluded.ok) return refuse("entry-not-included");
  const decoded = decodeEntry(receipt.entry);

  const key = provedKey(transaction, header.state, receipt.key);
  if (key === undefined) return refuse("key-not-proved");
  if (key.actor !== transaction.author) return refuse("key-of-another-actor");
  if (!isInForce(key, header.height)) return refuse("key-not-in-force");
  if (key.use !== "sign" && !(key.use === "recovery" && isRecovery(decoded))) {
    return refuse("key-use");
  }
  const verifier = verifiers.find((one) => one.alg === alg);
  if (key.alg !== alg) return refuse("bad-signature");
  if (verifier === undefined) return refuse("algorithm-not-supported");
  if (!isSigned(verifier, sig, signingInput("transaction", tx), key.publicKey))
    return refuse("bad-signature");

  let status: ProvedEntry["key"] = { status: "in-force", asOf: header.height };
  const { later } = receipt;
  if (later !== undefined) {
    const laterHeader = includedHeader(later.header, later.path, judged.checkpoint, trust);
    if (!laterHeader.ok) return laterHeader;
    if (laterHeader.header.height < header.height) return refuse("not-later");
    const laterKey = provedKey(transaction, laterHeader.header.state, later);
    if (laterKey === undefined) return refuse("key-not-proved");
    const { compromisedSince } = laterKey;
    if (compromisedSince !== null && compromisedSince <= header.height) {
      return refuse("key-compromised");
    }
    const asOf = laterHeader.header.height;
    status = { status: isInForce(laterKey, asOf) ? "in-force" : "retired", asOf };
  }
  const { ok: _ok, ...checkpoint } = judged;
  return {
    ok: true,
    ...checkpoint,
    entry: receipt.entry,
    decoded,
    id: toEntryId(entryId(trust.ledger, transaction.author, receipt.entry)),
    author: transaction.author,
    height: header.height,
    time: header.time,
    key: status,
  };
}

/**
 * Verifies a checkpoint at the end of a policy path. Every checkpoint of the path counts as seen,
 * so that all of them are of one history, which is the trusted root's if there is one.
 *
 * @returns the verdict, and the trust whose policy the checkpoint was verified by
 */
export function judgePath(
  {
    checkpoint,
    policyPath,
    consistency,
  }: Pick<Receipt, "checkpoint" | "policyPath" | "consistency">,
  initial: Trust,
): { readonly judged: JudgeResult; readonly trust: Trust } {
  // Skip the steps up to the policy that trust already has: they add nothing, and were signed by
  // keys that it no longer trusts.
  const passed = policyPath.findIndex(
    ({ header }) => decodeHeader(header).height >= (initial.policyHeight ?? 0),
  );
  let trust = initial;
  for (const step of passed < 0 ? [] : policyPath.slice(passed)) {
    const followed = followStep(trust, step);
    if (!followed.ok) return { judged: followed, trust };
    trust = followed.trust;
  }
  const judged = judgeCheckpoint(checkpoint, trust, consistency);
  if (!judged.ok || initial.root !== undefined) {
    return { judged: judged.ok ? { ...judged, connectedTo: initial.size } : judged, trust };
  }
  const { connectedTo: _ownStep, ...unconnected } = judged;
  return { judged: unconnected, trust };
}

function provedKey(
  transaction: Transaction,
  state: Uint8Array,
  { value, proof }: KeyProof,
): KeyState | undefined {
  const name = utf8ToBytes(keyStateKey(transaction.key));
  return verifyMap(state, name, value, proof).ok ? decodeKeyState(value) : undefined;
}

function isRecovery(entry: Entry): boolean {
  return !isCustom(entry) && entry.kind === "key" && entry.op === "recover";
}
