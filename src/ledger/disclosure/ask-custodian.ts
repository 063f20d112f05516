import { randomBytes, sha256 } from "#crypto";
import { assertPositive } from "../../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { Trust } from "../../chain/trust.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import { assertPadding, type Padding } from "../../envelope/padding.ts";
import { InputError, TransportError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { Signer } from "../../identity/signer.ts";
import type { Terminology } from "../../consent/terminology/terminology.ts";
import { sleep as platformSleep } from "../../storage/sleep.ts";
import { PeerBusy } from "../../transport/errors.ts";
import type { CustodianPeer } from "../../transport/types.ts";
import type { Answer } from "./answer.ts";
import { sealAsk } from "./ask-format.ts";
import { readPages, type PageReading } from "./read-pages.ts";
import { createRequest, type RequestOptions } from "./request.ts";

/** Options of {@link askCustodian}: the request, and who asks whom. */
export interface AskCustodianOptions extends RequestOptions {
  /** The custodian, from your configuration. */
  readonly peer: CustodianPeer;
  /** What is known of the ledger. Answers are verified by it, and it tells which ledger is meant. */
  readonly trust: Trust;
  /** An agreement key of the custodian that is in force: whom the request is about is sealed to it. */
  readonly custodianKey: CoseRecipient;
  /** A signing key of the member that asks. */
  readonly signer: Signer;
  /** Its agreement key, to which the answer is sealed; both must be on the ledger. */
  readonly agreement: KeyAgreement;
  /** Clock, in ms since 1970. Default: the platform's. */
  readonly now?: () => number;
  /** How long the request is good, and asked again after a failure, in ms. Default five minutes. */
  readonly lifetime?: number;
  /** Lists the purposes that may be named. Default: the shipped terminology. */
  readonly terminology?: Terminology;
  /** How the length of what is sent is hidden. Default `stepped`. */
  readonly padding?: Padding;
  /** Most bytes of an answer. It is kept in memory until its items are read. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Cryptographically strong random bytes. Default: the platform's. */
  readonly random?: (length: number) => Uint8Array;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal;
}

const OPTIONS: OptionsOf<AskCustodianOptions> = {
  ...{ patient: true, purposes: true, action: true, query: true, user: true, roles: true },
  ...{ attestations: true, declaration: true, peer: true, trust: true, custodianKey: true },
  ...{ signer: true, agreement: true, now: true, lifetime: true, terminology: true },
  ...{ padding: true, maxBytes: true, random: true, sleep: true, signal: true },
};

/** What an asker with a copy of the ledger adds. */
export type AskerChecks = Pick<PageReading, "seen" | "onCheckpoint" | "onKey"> & {
  /** The newest checkpoint that the asker has accepted. */
  readonly checkpoint?: Uint8Array;
};

const MAX_ANSWER_BYTES: number = 256 * 1024 * 1024;
const TRIES = 6;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/**
 * Asks a custodian for a person's records with nothing but trust in the ledger: for members that have no copy of
 * it, such as an auditor. Members with a ledger call `ask` of it. The same request is sent again after a failure
 * that may pass; the custodian records it once.
 *
 * @returns the answer, once all of it is here and proved to be the custodian's whole answer to this request. Its
 *   items are opened and verified as they are read
 * @throws {TransportError} `ERR_TRANSPORT_REFUSED` when the custodian does not answer the request: it is for
 *   another custodian or ledger, its keys are not in force, a clock is wrong, or it was altered
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when what arrived is not the
 *   custodian's answer
 * @throws {ConsentError} as `createRequest`
 * @throws {TypeError} for an unknown padding
 * @throws {RangeError} for a limit that is none
 * @example
 * const peer = httpPeer({ url: "https://hospital-a.example/ledger", did: custodian });
 * const answer = await askCustodian({
 *   ...{ peer, trust: trustFromGenesis(genesis), custodianKey: hospital.agreement() },
 *   ...{ signer: clinic.signer(), agreement: clinic.agreement() },
 *   patient: { system: "urn:oid:1.2.3", value: "MRN-0012345" },
 *   purposes: ["TREAT"],
 * });
 * for await (const { resource } of answer.items()) console.log(resource?.resourceType);
 */
export async function askCustodian(options: AskCustodianOptions): Promise<Answer> {
  assertOptions(options, OPTIONS, "askCustodian");
  return ask(options, {});
}

/** Asks as {@link askCustodian} does, with the checks of whoever has a copy. */
export async function ask(options: AskCustodianOptions, checks: AskerChecks): Promise<Answer> {
  const { peer, trust, custodianKey, signer, agreement, now = Date.now } = options;
  const { padding = "stepped", random = randomBytes, sleep = platformSleep } = options;
  const { maxBytes = MAX_ANSWER_BYTES, lifetime = 300_000, signal } = options;
  assertPadding(padding);
  assertPositive(maxBytes, "maxBytes");
  assertPositive(lifetime, "lifetime");
  // A custodian that is this process itself would record the access.
  signal?.throwIfAborted();
  const address = { ledger: trust.ledger, custodian: peer.did };
  const until = now() + lifetime;
  const request = await createRequest({
    ...requestOf(options),
    ...{ ...address, custodianKey, signer, agreement, now: now(), lifetime, random },
    ...(options.terminology === undefined ? {} : { terminology: options.terminology }),
  });
  const { checkpoint, ...reading } = checks;
  const { policyHeight, size, root } = trust;
  const from = {
    ...(policyHeight === undefined ? {} : { policyHeight }),
    ...(root === undefined ? {} : { size }),
  };
  const contents = { request, from, ...(checkpoint === undefined ? {} : { checkpoint }) };
  const sealed = sealAsk(contents, address, custodianKey, { padding, random });
  const asked = sha256(request);
  const seen = root === undefined ? 0 : (size ?? 0);
  for (let tries = 1; ; tries++) {
    try {
      const pages = upTo(maxBytes, peer.ask(sealed, signal === undefined ? {} : { signal }));
      return await readPages(pages, { ...address, asked, agreement, trust, seen, ...reading });
    } catch (error) {
      const pause = pauseAfter(error, tries);
      signal?.throwIfAborted();
      if (pause === undefined || tries === TRIES || now() + pause >= until) throw error;
      await sleep(pause, signal ?? new AbortController().signal);
      signal?.throwIfAborted();
    }
  }
}

/** The content of the request, without who asks whom. */
function requestOf({ patient, purposes, ...options }: AskCustodianOptions): RequestOptions {
  const { action, query, user, roles, attestations, declaration } = options;
  return {
    ...{ patient, purposes },
    ...(action === undefined ? {} : { action }),
    ...(query === undefined ? {} : { query }),
    ...(user === undefined ? {} : { user }),
    ...(roles === undefined ? {} : { roles }),
    ...(attestations === undefined ? {} : { attestations }),
    ...(declaration === undefined ? {} : { declaration }),
  };
}

/** Milliseconds after which the same request may be answered; `undefined` if asking again is in vain. */
function pauseAfter(error: unknown, tries: number): number | undefined {
  if (error instanceof PeerBusy) return Math.min(LONGEST_PAUSE, error.retryAfter);
  if (!(error instanceof TransportError)) return undefined;
  const { code } = error;
  const mayPass =
    code === "ERR_TRANSPORT_FAILED" ||
    code === "ERR_TRANSPORT_TIMEOUT" ||
    code === "ERR_TRANSPORT_MALFORMED";
  return mayPass ? Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) : undefined;
}

async function* upTo(most: number, pages: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let bytes = 0;
  for await (const page of pages) {
    bytes += page.length;
    if (bytes > most) {
      throw new TransportError("ERR_TRANSPORT_TOO_LARGE", "the answer is larger than `maxBytes`");
    }
    yield page;
  }
}

/** @throws {InputError} `ERR_INPUT_INVALID` when nobody says where the custodian is, or another one is there */
export function assertPeer(
  peer: CustodianPeer | undefined,
  did: string,
): asserts peer is CustodianPeer {
  if (peer?.did === did) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    peer === undefined
      ? "no peer for this custodian: name it in `custodians` of openLedger, or give `peer`"
      : "`peer` is another organisation than the one that is asked",
  );
}
