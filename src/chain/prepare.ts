import { appendTo } from "../bytes/lists.ts";
import type { CID } from "multiformats/cid";
import { equalBytes } from "../bytes/compare.ts";
import { decodeEntry, isCustom, type Entry } from "../block/entry.ts";
import { MAX_ENTRY_BYTES, MAX_LANES, MAX_TRANSACTION_BYTES } from "../block/limits.ts";
import { subjectEntryKind } from "../block/subject-entry.ts";
import {
  decodeTransaction,
  encodeSignedTransaction,
  rootOfSigned,
  transactionHash,
  type Transaction,
  type TransactionWithEntries,
} from "../block/transaction.ts";
import { verifySignature, type SignatureClaim } from "../crypto/sign.ts";
import type { Contract } from "../contract/contract.ts";
import { EncodingError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { governanceReads } from "./governance.ts";
import { ruleReads, type KindRule } from "./kind-rule.ts";
import type { Refused } from "./refusal.ts";
import { keyStateKey, memberKey, POLICY_KEY, seqKey, type KeyState } from "./state.ts";

/** A transaction for which everything that does not need the state was checked. */
export interface PreparedTransaction {
  readonly signed: TransactionWithEntries;
  readonly transaction: Transaction;
  /** SHA-256 of the transaction's bytes. */
  readonly hash: Uint8Array;
  /** RFC 6962 leaf hash of the signed transaction. */
  readonly leaf: Uint8Array;
  /** Kinds of the entries, in order. */
  readonly kinds: readonly string[];
  /** The entries other than subject entries, by index. */
  readonly decoded: ReadonlyMap<number, Entry>;
  /** State keys that the rules will read. */
  readonly reads: readonly string[];
}

/** What a node can run of what a ledger's policy registers. */
export interface LedgerRules {
  /** Rules of kinds by name. */
  readonly kinds: ReadonlyMap<string, KindRule>;
  /** Versions of contracts by the CID of their manifest, as text. */
  readonly contracts: ReadonlyMap<string, Contract>;
}

/** The rules that a caller gives, by their names. */
export function ledgerRules({ kinds = [], contracts = [] }: GivenRules): LedgerRules {
  return {
    kinds: new Map(kinds.map((rule) => [rule.name, rule])),
    contracts: new Map(contracts.map((contract) => [contract.rule.toString(), contract])),
  };
}

/** Rules as an application installs them. */
export interface GivenRules {
  /** Rules of the entry kinds that the policy registers. */
  readonly kinds?: readonly KindRule[];
  /** Versions of the contracts that the policy registers, those of the past as well. */
  readonly contracts?: readonly Contract[];
}

/**
 * Checks the structure of a transaction and its entries: schemas, counts, sizes, and the entries'
 * root.
 *
 * @returns the prepared transaction, or the reason why it can never be recorded
 */
export function prepareTransaction(
  signed: TransactionWithEntries,
  ledger: CID,
  rules: LedgerRules,
): PreparedTransaction | Refused {
  let transaction: Transaction;
  try {
    transaction = decodeTransaction(signed.tx);
  } catch (error) {
    if (error instanceof EncodingError) return { reason: "malformed" };
    throw error;
  }
  if (!transaction.ledger.equals(ledger)) return { reason: "wrong-ledger" };
  if (transaction.lane >= MAX_LANES) return { reason: "over-limit" };
  const { entries } = signed;
  if (entries.length === 0 || entries.length !== transaction.count) {
    return { reason: "entry-count-mismatch" };
  }
  if (entries.reduce((bytes, entry) => bytes + entry.length, 0) > MAX_TRANSACTION_BYTES) {
    return { reason: "over-limit" };
  }
  if (!equalBytes(rootOfSigned(signed), transaction.entries)) {
    return { reason: "entries-root-mismatch" };
  }
  const kinds: string[] = [];
  const decoded = new Map<number, Entry>();
  const reads = [
    POLICY_KEY,
    memberKey(transaction.author),
    keyStateKey(transaction.key),
    seqKey(transaction.key, transaction.lane),
  ];
  for (let i = 0; i < entries.length; i++) {
    const bytes = entries[i]!;
    if (bytes.length > MAX_ENTRY_BYTES) return { reason: "over-limit", entry: i };
    const subjectKind = subjectEntryKind(bytes);
    if (subjectKind !== undefined) {
      kinds.push(subjectKind);
      continue;
    }
    let entry: Entry;
    try {
      entry = decodeEntry(bytes);
    } catch (error) {
      if (error instanceof EncodingError) return { reason: "malformed", entry: i };
      throw error;
    }
    kinds.push(entry.kind);
    decoded.set(i, entry);
    if (isCustom(entry)) appendTo(reads, ruleReads(rules.kinds.get(entry.kind), entry));
    else if (entry.kind === "key" || entry.kind === "member" || entry.kind === "policy") {
      appendTo(reads, governanceReads(entry));
    }
  }
  return {
    signed,
    transaction,
    hash: transactionHash(signed.tx),
    leaf: leafHash(encodeSignedTransaction(signed)),
    kinds,
    decoded,
    reads,
  };
}

/**
 * The earliest time that a transaction allows its block: the `clock` of its first entry, a policy
 * entry. Its other entries must also be approved by members, so that the block can also remove the
 * member whose clock was wrong.
 */
export function clockOf({ decoded, kinds }: PreparedTransaction): number | undefined {
  if (!kinds.every((kind) => kind === "policy" || kind === "member")) return undefined;
  const entry = decoded.get(0);
  if (entry === undefined || isCustom(entry) || entry.kind !== "policy") return undefined;
  return entry.changes.clock;
}

/** Whether preparing failed. */
export function isRefused(result: PreparedTransaction | Refused): result is Refused {
  return "reason" in result;
}

/** Verifies a transaction's signature with the key that the state holds under its key id. */
export function isSignedBy({ signed }: PreparedTransaction, key: KeyState): boolean {
  return key.alg === signed.alg && verifySignature(signatureOf(signed, key));
}

/** What {@link isSignedBy} verifies, if the algorithm is the key's. */
export function signatureOf(signed: TransactionWithEntries, key: KeyState): SignatureClaim {
  return {
    alg: signed.alg,
    publicKey: key.publicKey,
    signature: signed.sig,
    what: "transaction",
    bytes: signed.tx,
  };
}
