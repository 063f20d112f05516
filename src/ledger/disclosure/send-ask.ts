import { randomBytes, sha256 } from "#crypto";
import { assertPositive } from "../../bytes/guards.ts";
import type { Trust } from "../../chain/trust.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import { assertPadding, type Padding } from "../../envelope/padding.ts";
import { InputError, TransportError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { Signer } from "../../identity/signer.ts";
import { sleep as platformSleep } from "../../storage/sleep.ts";
import { PeerBusy } from "../../transport/errors.ts";
import { MAX_ASK_BYTES, type CustodianPeer } from "../../transport/types.ts";
import { sealAsk, type Ask, type AskAddress } from "./ask-format.ts";
import { signMessage, type Message } from "./message.ts";
import { readMessagePages, type SignedContent } from "./read-message-pages.ts";
import type { PageReading } from "./read-replies.ts";

/** Who asks whom, and how. */
export interface SendOptions {
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

/** What an asker with a copy of the ledger adds. */
export type AskerChecks = Pick<PageReading, "seen" | "onCheckpoint" | "onKey"> & {
  /** The newest checkpoint that the asker has accepted. */
  readonly checkpoint?: Uint8Array;
};

/** What something that is asked is made with. */
export interface MadeWith extends AskAddress {
  readonly custodianKey: CoseRecipient;
  readonly signer: Signer;
  readonly agreement: KeyAgreement;
  readonly now: number;
  readonly lifetime: number;
  readonly random: (length: number) => Uint8Array;
}

const MAX_ANSWER_BYTES: number = 256 * 1024 * 1024;
const TRIES = 6;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/**
 * Sends a message, and the same message again after a failure that may pass.
 *
 * @returns the contents of the reply's pages, once the first is here and proved to be the custodian's. Each is verified
 *   before it is given; whoever takes them all learns that they are all
 * @throws {TransportError} and {EnvelopeError} as `askCustodian`, also while they are taken
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` for what no custodian would read; nothing is sent
 */
export function sendMessage(
  options: SendOptions,
  checks: AskerChecks,
  { kind, content, about }: Pick<Message, "kind" | "content" | "about">,
): Promise<AsyncIterable<SignedContent>> {
  return send(
    options,
    checks,
    async ({ ledger, custodian: to, signer, agreement, now: time, lifetime, random }) => {
      const what = { id: random(16), recipient: agreement.key, kind, content };
      const when = { time, expires: time + lifetime };
      const whom = about === undefined ? {} : { about };
      return {
        kind: "message",
        signed: await signMessage({ ledger, to, ...what, ...when, ...whom }, signer),
      };
    },
    readMessagePages,
  );
}

/** Sends what is made once, until what comes back can be read or trying again is in vain. */
export async function send<T>(
  options: SendOptions,
  checks: AskerChecks,
  make: (to: MadeWith) => Promise<Pick<Ask, "kind" | "signed">>,
  read: (pages: AsyncIterable<Uint8Array>, reading: PageReading) => Promise<T>,
): Promise<T> {
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
  const made = await make({
    ...{ ...address, custodianKey, signer, agreement, now: now(), lifetime, random },
  });
  const { checkpoint, ...reading } = checks;
  const { policyHeight, size, root } = trust;
  const from = {
    ...(policyHeight === undefined ? {} : { policyHeight }),
    ...(root === undefined ? {} : { size }),
  };
  const contents = { ...made, from, ...(checkpoint === undefined ? {} : { checkpoint }) };
  const sealed = sealAsk(contents, address, custodianKey, { padding, random });
  if (sealed.length > MAX_ASK_BYTES) {
    throw new InputError("ERR_INPUT_TOO_LARGE", "what is asked is longer than 512 KiB");
  }
  const asked = sha256(made.signed);
  const seen = root === undefined ? 0 : (size ?? 0);
  for (let tries = 1; ; tries++) {
    try {
      const pages = upTo(maxBytes, peer.ask(sealed, signal === undefined ? {} : { signal }));
      return await read(pages, { ...address, asked, agreement, trust, seen, ...reading });
    } catch (error) {
      const pause = pauseAfter(error, tries);
      signal?.throwIfAborted();
      if (pause === undefined || tries === TRIES || now() + pause >= until) throw error;
      await sleep(pause, signal ?? new AbortController().signal);
      signal?.throwIfAborted();
    }
  }
}

/** Milliseconds after which the same ask may be answered; `undefined` if asking again is in vain. */
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
