import type { LedgerContext } from "../context.ts";
import type { Index } from "../index/index-store.ts";
import { assertNoneLack, mayBeAbout } from "../index/lacking.ts";
import type { Lacking } from "../index/rows.ts";
import type { CatalogueItem } from "./catalogue-item.ts";
import type { Manifest } from "./manifest.ts";
import { isPool, poolKey } from "./source-names.ts";

/**
 * Consents that do not open and that are about a person by their tags. Their readers must find out whether
 * a later one replaces them.
 *
 * @throws {StorageError} when another entry of these kinds that may be about the person does not open
 */
export async function consentsLostOf(
  context: Pick<LedgerContext, "chain" | "signer" | "vault">,
  index: Pick<Index, "lacking" | "subject" | "idRow">,
  local: Uint8Array,
  kinds: readonly string[],
): Promise<CatalogueItem[]> {
  const all = await index.lacking();
  if (all.length === 0) return [];
  const { chain, signer } = context;
  const key = isPool(context, local) ? poolKey(context, local) : (await index.subject(local))?.key;
  const made = { ledger: chain.ledger, author: signer.actor };
  const about = all.filter((one) => mayBeAbout(one, { local, key }, made));
  const isConsent = ({ kind, tag }: Lacking): boolean =>
    kind === "consent" && tag !== undefined && key !== undefined;
  assertNoneLack(about.filter((one) => kinds.includes(one.kind) && !isConsent(one)));
  const lost: CatalogueItem[] = [];
  for (const { id, kind } of about.filter(isConsent)) {
    const known = await index.idRow(id);
    if (known === undefined || known.local !== undefined) continue;
    const { envelope, place } = known;
    const { header } = await chain.readBlock(place.height);
    const manifest: Manifest = { v: 1, op: "directive", local };
    lost.push({ id, kind, envelope, place, recordedAt: header.time, manifest, lost: true });
  }
  return lost;
}
