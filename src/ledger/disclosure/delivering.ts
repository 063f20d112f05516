import type { EntryId } from "../../codec/ids.ts";
import type { LedgerError } from "../../errors.ts";

/** A directive on its way to another custodian. */
export interface Delivery {
  /** Id of the consent entry here. */
  readonly consent: EntryId;
  /** did:key of the custodian that it is delivered to. */
  readonly to: string;
  /**
   * - `queued`: it may not have arrived
   * - `handed`: it arrived, and nothing proves that it counts there: it was refused, or the proof does not hold
   * - `held`: it is kept there and permits nothing, since nothing vouches for its grantor or witness yet, or it follows
   *   what is not there
   * - `filed`: proved to be filed there; only then it is in force there as the custodian's own is
   */
  readonly status: "queued" | "handed" | "held" | "filed";
  /** Since when, in ms since 1970. */
  readonly since: number;
  /** The recipient's consent entry, once it is filed. */
  readonly entry?: EntryId;
  /**
   * What the last attempt of this process ended with, if it failed. With `ERR_INPUT_TOO_LARGE` none will succeed: the
   * directive, with what shows it, is longer than 512 KiB. Let its grantor give a shorter one, or bring the custodian
   * `signed` and `salt` of it otherwise, for its `receive`.
   */
  readonly error?: LedgerError;
}

/** Options of {@link Delivering.deliver}. */
export interface DeliverOptions {
  /** did:key of each custodian, at most 64. There is no way to name all: it would tell them that the person exists. */
  readonly to: readonly string[];
  readonly signal?: AbortSignal;
}

/** The calls by which directives reach other custodians. */
export interface Delivering {
  /**
   * Delivers a filed directive to other custodians, behind the earlier ones of its lineage that they lack. What is to
   * be delivered is durable first; then each custodian is asked once over its peer in `custodians` of `openLedger`.
   * A custodian that does not answer stays queued: call {@link deliverPending} from a timer of yours. Withdrawals and
   * amendments are delivered alike.
   *
   * @param consent - id of the consent entry
   * @returns what became of it at each custodian, as {@link deliveries} tells
   * @throws {InputError} `ERR_INPUT_INVALID` when there is no such directive here, or for a recipient that is this
   *   custodian itself or no member
   * @example
   * const { id } = await hl.consent(patient, directive, { signer });
   * const told = await hl.deliver(id, { to: [hospitalB] });
   * if (told.some(({ status }) => status !== "filed")) console.warn("not in force everywhere yet");
   */
  deliver(consent: EntryId, options: DeliverOptions): Promise<readonly Delivery[]>;
  /** What was to be delivered and what became of it, oldest first. */
  deliveries(): Promise<readonly Delivery[]>;
  /** Delivers again what is not filed yet, and tells as {@link deliveries} does. */
  deliverPending(options?: { readonly signal?: AbortSignal }): Promise<readonly Delivery[]>;
}
