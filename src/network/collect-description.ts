import { assertMilliseconds } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import {
  DescriptionRefused,
  verifyDescription,
  type OrganisationDescription,
} from "../chain/description.ts";
import type { CID } from "../codec/cid.ts";
import { baseOf } from "../transport/address.ts";
import { createExchange } from "../transport/exchange.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { encodeDescribe, MAX_DESCRIPTION_BYTES } from "./description-request.ts";

export interface CollectDescriptionOptions {
  /**
   * Where the organisation mounts its `descriptionHandler`, without `describe`: `http:` or `https:`, without
   * query and fragment. From your configuration.
   */
  readonly url: string;
  /** The 32-byte nonce of the party that founds, or the id of the ledger to join. */
  readonly for: CID | Uint8Array;
  /** The did that the organisation gave over another channel. Default: any, for people to compare. */
  readonly did?: string;
  /** Sends a request, with what the other side admits it by; redirects are refused. Default: the platform's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds for the answer to begin and for each pause in it. Default 10,000. */
  readonly deadline?: number;
  readonly signal?: AbortSignal;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A description that was verified, and its bytes for `createGenesis` or a proposal. */
export interface CollectedDescription extends OrganisationDescription {
  readonly bytes: Uint8Array;
}

const OPTIONS: OptionsOf<CollectDescriptionOptions> = {
  ...{ url: true, for: true, did: true, fetch: true, deadline: true, signal: true },
  ...{ now: true, sleep: true },
};

/**
 * Asks an organisation to describe itself, and verifies what it answers: that it holds the keys, for this
 * nonce or ledger. That it is the organisation it says it is, people find out by comparing its did.
 *
 * @throws {DescriptionRefused} when the description is not believed, or is of another did than was given
 * @throws {TransportError} when there is no answer in time
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or an address that is not one
 * @example
 * const url = "https://clinic.example/ledger";
 * const { bytes, name, member } = await collectDescription({ url, for: nonce });
 * console.log(`${name}: ${member.actor}`);
 */
export async function collectDescription(
  options: CollectDescriptionOptions,
): Promise<CollectedDescription> {
  assertOptions(options, OPTIONS, "collectDescription");
  const { did, signal, deadline = 10_000 } = options;
  assertMilliseconds(deadline, "deadline");
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const exchange = createExchange({
    ...{ base: baseOf(options.url), fetch: options.fetch, deadline, now, sleep },
    leastRate: MAX_DESCRIPTION_BYTES / 8,
  });
  const posted = encodeDescribe(options.for);
  const response = await exchange.begin("describe", { posted, signal });
  const bytes = await exchange.read(response, MAX_DESCRIPTION_BYTES, signal).rest();
  const described = verifyDescription(bytes, options.for);
  if (did !== undefined && described.member.actor !== did) {
    throw new DescriptionRefused("other-actor");
  }
  return { ...described, bytes };
}
