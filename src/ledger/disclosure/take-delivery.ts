import { equalBytes } from "../../bytes/compare.ts";
import { entryIdBytes } from "../../codec/ids.ts";
import { ConsentError, EncodingError } from "../../errors.ts";
import type { Consenting } from "../consents/file-consent.ts";
import { CONSENT_PARTS, decodeFiledForm, type FiledForm } from "../consents/read-consents.ts";
import { commitToPerson } from "../consents/signed-directive.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { decodeIdentifiers, type PersonIdentifier } from "../index/rows.ts";
import { refused, type MessageAnswerer } from "./answer-message.ts";
import type { MessageToAnswer } from "./check-request.ts";
import { decodeDeliver, encodeDeliverReply, type DeliverContent } from "./delivery-format.ts";
import { openShown, showEntry } from "./shown-entry.ts";

/** The part of a filed directive that the recipient shows: the directive as its grantor signed it. */
export const FILED_PARTS: readonly string[] = ["content"];

/** Makes what answers deliveries: proves the sender's entry, files or holds the directive, and shows what was filed. */
export function deliveryTaker(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly takeDelivery: Consenting["takeDelivery"];
    readonly bring: () => Promise<void>;
  },
): MessageAnswerer {
  const { catalogue, takeDelivery, bring } = options;

  async function take({ message }: MessageToAnswer): Promise<Uint8Array> {
    const { entry, after } = contentOf(message.content);
    const whose = { author: message.from, kind: "consent", parts: CONSENT_PARTS };
    const shown = await openShown(context, entry, whose, bring);
    if (shown === undefined) throw refused("not-proved");
    const { id: alias, parts } = shown;
    try {
      const [identifier] = decodeIdentifiers(parts.get("identifier")!);
      if (identifier === undefined) throw refused("malformed");
      const [signed, salt] = [parts.get("content")!, parts.get("salt")!];
      // Also before it is held: nothing would ever cure that.
      if (!isAboutThem(context, decodeFiledForm(signed), salt, identifier)) {
        return encodeDeliverReply({ status: "refused" });
      }
      const taken = await takeDelivery({ signed, salt, identifier, alias, after });
      if (taken.status === "held") return encodeDeliverReply({ status: "held" });
      await catalogue.catchUp();
      const found = await catalogue.find(entryIdBytes(taken.id));
      const filed = found.status === "present" ? found.item : undefined;
      const proof = filed && (await showEntry(context, filed, FILED_PARTS));
      // Erased again: it is not in force here.
      if (proof === undefined) return encodeDeliverReply({ status: "refused" });
      return encodeDeliverReply({ status: "filed", entry: proof });
    } catch (error) {
      const isVoid =
        error instanceof EncodingError ||
        (error instanceof ConsentError && error.code === "ERR_CONSENT_INVALID");
      if (!isVoid) throw error;
      return encodeDeliverReply({ status: "refused" });
    }
  }

  return async function* (message) {
    yield await take(message);
  };
}

/** Whether a directive was given for this ledger, and about who has the identifier. */
function isAboutThem(
  { chain }: LedgerContext,
  form: FiledForm,
  salt: Uint8Array,
  identifier: PersonIdentifier,
): boolean {
  const { ledger } = form.kind === "signed" ? form.signed : form.witness;
  const isWhole = salt.length === 32 && ledger.equals(chain.ledger);
  return isWhole && equalBytes(form.about, commitToPerson(salt, identifier));
}

function contentOf(bytes: Uint8Array): DeliverContent {
  try {
    return decodeDeliver(bytes);
  } catch (error) {
    throw error instanceof EncodingError ? refused("malformed") : error;
  }
}
