import { toHex } from "../bytes/hex.ts";
import { decodeDirective } from "../consent/directive.ts";
import { InputError } from "../errors.ts";
import { openManifest, openOwn, type CatalogueFind, type CatalogueItem } from "./catalogue.ts";
import { decodeAttestedKey, decodeSignedDirective } from "./consents.ts";
import type { LedgerContext } from "./context.ts";
import { isUnreadable } from "./unreadable-directives.ts";

/**
 * Makes sure that an entry may be given up: that it does not open here, or is a directive or an
 * attested key that cannot be read.
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
      `entry ${toHex(id)} opens again: open with rebuildIndex, and it is lost no more`,
    );
  }
  return found.kind;
}

const isNotLost = (): InputError =>
  new InputError("ERR_INPUT_INVALID", "only what is lost is given up");

/** Whether a directive or an attested key can be read; anything else is taken to be. */
async function isReadable(context: LedgerContext, item: CatalogueItem): Promise<boolean> {
  const { kind, envelope, place, manifest } = item;
  if (kind !== "consent" && manifest.op !== "attest") return true;
  try {
    const own = { kind, envelope, height: place.height, parts: ["content"] };
    const bytes = (await openOwn(context, own))?.get("content");
    if (bytes === undefined) return false;
    if (kind === "consent") decodeDirective(decodeSignedDirective(bytes).directive);
    else decodeAttestedKey(bytes);
    return true;
  } catch (error) {
    if (isUnreadable(error)) return false;
    throw error;
  }
}
