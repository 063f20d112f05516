import { toHex } from "../../bytes/hex.ts";
import { InputError } from "../../errors.ts";
import type { CatalogueFind, CatalogueItem } from "../entries/catalogue-item.ts";
import { openManifest, openOwn } from "../entries/own-envelope.ts";
import { decodeAttestedKey } from "../consents/attested-key.ts";
import { CONSENT_PARTS, decodeFiledForm } from "../consents/read-consents.ts";
import type { LedgerContext } from "../context.ts";
import { decodeIdentifiers } from "../index/rows.ts";
import { isUnreadable } from "../consents/unreadable-directives.ts";

/**
 * Makes sure that an entry may be given up: it must be one that cannot be decrypted here, or a
 * directive (filed or held) or attested key that cannot be read.
 *
 * @returns its kind
 * @throws {InputError} `ERR_INPUT_INVALID` for anything else
 */
export async function assertGone(
  context: LedgerContext,
  id: Uint8Array,
  found: CatalogueFind,
): Promise<string> {
  if (found.status === "present") {
    if (await isReadable(context, found.item)) throw isNotLost();
    return found.item.kind;
  }
  if (found.status !== "lost") throw isNotLost();
  if ((await openManifest(context, found)) !== undefined) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `entry ${toHex(id)} can be decrypted again: open with repair.index to recover it`,
    );
  }
  return found.kind;
}

const isNotLost = (): InputError =>
  new InputError("ERR_INPUT_INVALID", "only lost entries can be given up");

/** Whether a directive or an attested key can be read; entries of other kinds count as readable. */
async function isReadable(context: LedgerContext, item: CatalogueItem): Promise<boolean> {
  const { kind, envelope, place, manifest } = item;
  const isDirective = kind === "consent" || manifest.op === "held";
  if (!isDirective && manifest.op !== "attest") return true;
  try {
    const parts = isDirective ? CONSENT_PARTS : ["content"];
    const opened = await openOwn(context, { kind, envelope, height: place.height, parts });
    if (opened === undefined) return false;
    const content = opened.get("content")!;
    if (isDirective) {
      decodeFiledForm(content);
      decodeIdentifiers(opened.get("identifier")!);
    } else decodeAttestedKey(content);
    return true;
  } catch (error) {
    if (isUnreadable(error)) return false;
    throw error;
  }
}
