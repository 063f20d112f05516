import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { Terminology } from "../../consent/terminology/terminology.ts";
import type { Answer } from "./answer.ts";
import { blobFetcher } from "./fetch-blobs.ts";
import { readPages } from "./read-pages.ts";
import { createRequest, type RequestOptions } from "./request.ts";
import { send, type AskerChecks, type SendOptions } from "./send-ask.ts";

/** Options of {@link askCustodian}: the request, and who asks whom. */
export interface AskCustodianOptions extends RequestOptions, SendOptions {
  /** Lists the purposes that may be named. Default: the shipped terminology. */
  readonly terminology?: Terminology;
}

const OPTIONS: OptionsOf<AskCustodianOptions> = {
  ...{ patient: true, purposes: true, action: true, query: true, user: true, roles: true },
  ...{ attestations: true, declaration: true, peer: true, trust: true, custodianKey: true },
  ...{ signer: true, agreement: true, now: true, lifetime: true, terminology: true },
  ...{ padding: true, maxBytes: true, random: true, sleep: true, signal: true },
};

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
  const { terminology } = options;
  return send(
    options,
    checks,
    async (to) => ({
      kind: "request",
      signed: await createRequest({
        ...{ ...requestOf(options), ...to },
        ...(terminology === undefined ? {} : { terminology }),
      }),
    }),
    (pages, reading) => readPages(pages, reading, blobFetcher(options, checks)),
  );
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
