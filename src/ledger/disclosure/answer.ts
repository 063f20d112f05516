import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { CID } from "multiformats/cid";
import type { Chain } from "../../chain/chain.ts";
import type { ProvableCheckpoint } from "../../chain/checkpoints.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { receiptMaker } from "../../chain/make-receipt.ts";
import type { Trust } from "../../chain/trust.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { ProofError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { signingKeyAt } from "../context.ts";
import type { DisclosureAnswer } from "./disclose.ts";
import { readAnswer, type Answer, type ItemProofs } from "./read-answer.ts";

export type { Answer, OpenedItem } from "./read-answer.ts";

/** Options of {@link openAnswer}. */
export interface OpenAnswerOptions {
  /**
   * The requester's own copy of the ledger, as of the answer's arrival. The grants are judged by the keys
   * in force then, and the records are proved by this copy.
   */
  readonly chain: Chain;
  readonly custodian: string;
  readonly agreement: KeyAgreement;
  /** Fetches ciphertext from the custodian, or takes it from the encoded answer; see `decodeAnswer`. */
  readonly read: (cid: CID) => Promise<Uint8Array | undefined>;
  /**
   * A signed checkpoint of the chain, or a function that gives one covering a height. If the ledger's policy
   * has changed, the function also gives the policy path that leads the receipts' reader to the checkpoint.
   */
  readonly checkpoint:
    | Uint8Array
    | ((height: number) => Promise<Uint8Array | Pick<ProvableCheckpoint, "note" | "policyPath">>);
  /** The trust that the receipts are made for; see `makeReceipt`. Default: the genesis record alone. */
  readonly from?: Trust;
}

const OPEN_ANSWER_OPTIONS: OptionsOf<OpenAnswerOptions> = {
  ...{ chain: true, custodian: true, agreement: true, read: true, checkpoint: true, from: true },
};

/**
 * Makes a custodian's answer readable for its requester. Besides the answer, the requester needs a copy of
 * the ledger, the custodian's name, and the key that the request named.
 *
 * @returns an answer whose items are opened and verified as they are read. Reading ends with an
 *   {@link EnvelopeError} at an item that the custodian did not record, or whose keys it did not grant for
 *   this access, and with {@link ProofError} `ERR_PROOF_RANGE` if an item is in a block that the copy
 *   lacks. Nothing proves the decision itself
 * @example
 * const answer = openAnswer(disclosed, {
 *   chain,
 *   checkpoint,
 *   custodian,
 *   agreement: clinic.agreement(),
 *   read: (cid) => storage.blobs.get(cid),
 * });
 * for await (const { resource, receipt } of answer.items()) {
 *   console.log(resource?.resourceType, verifyReceipt(receipt, trustFromGenesis(genesis)).ok);
 * }
 */
export function openAnswer(answer: DisclosureAnswer, given: OpenAnswerOptions): Answer {
  assertOptions(given, OPEN_ANSWER_OPTIONS, "openAnswer");
  const { chain, custodian, agreement, read } = given;
  // Items that are read later were granted at this size.
  const arrivedAt = chain.size;
  return readAnswer(answer, {
    ...{ ledger: chain.ledger, custodian, agreement, read },
    grantorKey: (key) => signingKeyAt(chain, custodian, key, arrivedAt),
    proofs: () => proofsOfChain(answer, given),
  });
}

/** Proves items by a copy of the ledger. */
async function proofsOfChain(
  { items }: DisclosureAnswer,
  { chain, custodian, checkpoint: given, from }: OpenAnswerOptions,
): Promise<ItemProofs> {
  const highest = items.reduce((most, { place }) => Math.max(most, place.height), 0);
  if (highest >= chain.size) {
    const why = `the answer refers to block ${highest}, which this copy of the ledger lacks`;
    throw new ProofError("ERR_PROOF_RANGE", why);
  }
  const made = given instanceof Uint8Array ? given : await given(highest);
  const { note: checkpoint, policyPath } =
    made instanceof Uint8Array ? { note: made, policyPath: [] } : made;
  const receiptOf = receiptMaker(chain, {
    ...{ checkpoint, policyPath },
    ...(from === undefined ? {} : { from }),
  });
  const entryAt = entryReader(chain);
  return {
    async entryOf({ place }) {
      const found = await entryAt(place);
      return found && { ...found, receipt: () => receiptOf(place) };
    },
    authorKey: ({ place }, key) => signingKeyAt(chain, custodian, key, place.height),
  };
}

type EntryReader = (
  place: EntryPlace,
) => Promise<{ readonly author: string; readonly bytes: Uint8Array } | undefined>;

/** Reads entries; consecutive reads from one block read the block once. */
function entryReader(chain: Chain): EntryReader {
  let height: number | undefined;
  let block: ReturnType<Chain["readBlock"]> | undefined;
  return async (place) => {
    if (block === undefined || height !== place.height) {
      height = place.height;
      block = chain.readBlock(place.height);
    }
    const signed = (await block).block.transactions[place.transaction];
    const bytes = signed?.entries[place.entry];
    if (signed === undefined || bytes === undefined) return undefined;
    return { author: decodeTransaction(signed.tx).author, bytes };
  };
}
