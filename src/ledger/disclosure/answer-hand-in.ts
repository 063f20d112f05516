import type { Checkpoints } from "../../chain/checkpoints.ts";
import { receiptMaker } from "../../chain/make-receipt.ts";
import type { Trust } from "../../chain/trust.ts";
import { entryIdBytes } from "../../codec/ids.ts";
import { EncodingError, ProofError } from "../../errors.ts";
import type { Consenting, DeliveredDirective } from "../consents/file-consent.ts";
import { decodeFiledForm } from "../consents/read-consents.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { refused } from "./answer-message.ts";
import type { MessageToAnswer } from "./check-request.ts";
import { decodeHandIn, encodeTakenIn } from "./hand-in-format.ts";

interface HandInContext extends LedgerContext {
  readonly catalogue: Catalogue;
  readonly checkpoints: Checkpoints;
}

/**
 * Files a directive that a person hands in about whom they act for, as if it had been given to `consent`, and proves
 * its entry. The same directive again gets the same entry.
 */
export async function* answerHandIn(
  context: HandInContext,
  takeIn: Consenting["takeIn"],
  { person, message }: MessageToAnswer,
  trust: Trust,
): AsyncIterable<Uint8Array> {
  if (person === undefined) throw refused("not-answered");
  const { catalogue, chain, checkpoints } = context;
  const entry = entryIdBytes(
    await takeIn({ local: person.local }, expectDirective(message.content)),
  );
  await catalogue.catchUp();
  const provable = await checkpoints.provable(trust);
  const found = await catalogue.find(entry);
  if (found.status !== "present") {
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "the consent entry cannot be proved");
  }
  const receiptOf = receiptMaker(chain, {
    ...{ checkpoint: provable.note, policyPath: provable.policyPath, later: true },
    ...(trust.root === undefined ? {} : { from: trust }),
  });
  yield encodeTakenIn({ entry, receipt: await receiptOf(found.item.place) });
}

/** @throws {ConsentError} `ERR_CONSENT_REQUEST` when the content is none */
function expectDirective(content: Uint8Array): DeliveredDirective {
  try {
    const directive = decodeHandIn(content);
    decodeFiledForm(directive.signed);
    return directive;
  } catch (error) {
    if (error instanceof EncodingError) throw refused("malformed");
    throw error;
  }
}
