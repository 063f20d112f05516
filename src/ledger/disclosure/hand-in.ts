import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { EncodingError } from "../../errors.ts";
import type { PersonIdentifier } from "../entries/subjects.ts";
import { decodeTakenIn, encodeHandIn, type TakenIn } from "./hand-in-format.ts";
import { proveEntry } from "./prove-entry.ts";
import { wrong } from "./read-replies.ts";
import { sendMessage, type SendOptions } from "./send-ask.ts";

/** Options of {@link handInDirective}: a directive, and who hands it in where. */
export interface HandInOptions extends SendOptions {
  /** Whom it is about, as the custodian knows them. */
  readonly patient: PersonIdentifier;
  /** The directive as its grantor signed it; see `signDirective`. */
  readonly signed: Uint8Array;
  /** The 32 bytes under which it commits to the person. */
  readonly salt: Uint8Array;
}

/** A directive that a custodian has filed. */
export interface HandedIn {
  /** Names the consent entry, by which later directives name this one. */
  readonly id: EntryId;
  /** Offline proof that it is on the ledger; see `verifyReceipt`. */
  readonly receipt: Uint8Array;
}

const OPTIONS: OptionsOf<HandInOptions> = {
  ...{ patient: true, signed: true, salt: true, peer: true, trust: true, custodianKey: true },
  ...{ signer: true, agreement: true, now: true, lifetime: true, padding: true, maxBytes: true },
  ...{ random: true, sleep: true, signal: true },
};

/**
 * Hands a directive in at a custodian, as the patient or who speaks for them, by keys that the custodian attested.
 * Resolves once it is filed there: from then on it decides. Handing it in again is harmless.
 *
 * @throws {TransportError} `ERR_TRANSPORT_REFUSED` when the custodian does not file it: the keys are not attested, or
 *   the directive is about somebody else, or would be void
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when the reply is not the custodian's
 * @example
 * const trust = trustFromGenesis(genesis);
 * const salt = crypto.getRandomValues(new Uint8Array(32));
 * const signed = await signDirective(directive, signer, { ledger: trust.ledger, person, salt });
 * const { id } = await handInDirective({
 *   ...{ peer: httpPeer({ url: "https://hospital-a.example/ledger", did: custodian }), trust },
 *   ...{ custodianKey: hospital.agreement(), signer, agreement },
 *   ...{ patient: person, signed, salt },
 * });
 */
export async function handInDirective(options: HandInOptions): Promise<HandedIn> {
  assertOptions(options, OPTIONS, "handInDirective");
  const { patient: about, signed, salt, peer, trust } = options;
  const content = encodeHandIn({ signed, salt });
  const pages = await sendMessage(options, {}, { kind: "deliver", content, about });
  let taken: TakenIn | undefined;
  for await (const page of pages) {
    if (taken !== undefined) throw wrong("it has more than one page");
    taken = expectTaken(page.content);
  }
  if (taken === undefined) throw wrong("it is empty");
  const { entry, receipt } = taken;
  const { proved } = proveEntry(receipt, { trust });
  const { decoded, author, id } = proved;
  if (author !== peer.did || id !== toEntryId(entry) || decoded.kind !== "consent") {
    throw wrong("the directive's entry is not proved");
  }
  return { id, receipt };
}

function expectTaken(content: Uint8Array): TakenIn {
  try {
    return decodeTakenIn(content);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a page is malformed");
    throw error;
  }
}
