import type { Trust } from "../../chain/trust.ts";
import type { CustodianPeer } from "../../transport/types.ts";
import type { Answer } from "./answer.ts";
import type { AnswerAskOptions } from "./answer-ask.ts";
import type { Pulled, PullOptions } from "./read-pull.ts";
import type { RequestOptions } from "./request.ts";

/** Options of {@link Asking.ask}. */
export interface AskingOptions {
  /** The custodian's peer. Default: the one of `custodians` that has its did. */
  readonly peer?: CustodianPeer;
  /** The trust that the receipts are made for; see `makeReceipt`. Default: the genesis record alone. */
  readonly from?: Trust;
  readonly signal?: AbortSignal;
}

/** Options of {@link Asking.pull}. */
export interface PullingOptions extends PullOptions, AskingOptions {}

/** The calls by which members ask one another. */
export interface Asking {
  /**
   * Asks a custodian for a person's records, and gives the answer once all of it is here and proved. The request
   * is this member's, signed and sealed; it goes to the peer that `custodians` of `openLedger` names, or to this
   * custodian itself, and is sent again after a failure that may pass. Whatever it is asked for again, the
   * custodian records it once.
   *
   * @param custodian - did:key of the member that has the records
   * @throws {InputError} `ERR_INPUT_INVALID` when nobody says where the custodian is
   * @throws {TransportError} as `askCustodian`
   * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when what arrived is not the
   *   custodian's whole answer to this request
   * @throws {ConsentError} `ERR_CONSENT_REQUEST` as `createRequest`, or when this custodian itself refuses
   * @example
   * const mrn = { system: "urn:oid:1.2.3", value: "MRN-0012345" };
   * const answer = await hl.ask(custodian, { patient: mrn, purposes: ["TREAT"] });
   * for await (const { resource } of answer.items()) console.log(resource?.resourceType);
   */
  ask(custodian: string, request: RequestOptions, options?: AskingOptions): Promise<Answer>;
  /**
   * Pulls what a custodian filed for this member: accesses and erasures for an auditor, directives for a custodian
   * that they name. Yields them in the custodian's order, each once it is verified and opened. The grants are made to
   * this member's key in force now. To go on later, give the last entry as `after`.
   *
   * @param custodian - did:key of the member that filed them
   * @throws by the iteration: {InputError} `ERR_INPUT_INVALID` when nobody says where the custodian is, or `after`
   *   names no entry with that number there: pull from the first on then; {EnvelopeError} `ERR_ENVELOPE_INVALID` or
   *   `ERR_ENVELOPE_DECRYPT` when the custodian leaves out a number, gives an entry twice or sends anything else than
   *   what it filed; {TransportError} as `ask`
   * @example
   * for await (const item of hl.pull(custodian)) {
   *   if (item.kind === "access") console.log(item.number, item.access.requester, item.access.purposes);
   * }
   */
  pull(custodian: string, options?: PullingOptions): AsyncIterable<Pulled>;
  /**
   * Answers a sealed ask of another member, for `custodianHandler`. Resolves once the access is recorded; the
   * pages are made while they are taken, and end with an error once the requester is no longer entitled to them.
   *
   * @throws {ConsentError} `ERR_CONSENT_REQUEST` when it is refused without being judged
   */
  answerAsk(sealed: Uint8Array, options?: AnswerAskOptions): Promise<AsyncIterable<Uint8Array>>;
}
