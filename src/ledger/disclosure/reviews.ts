import { parseEntryId, toEntryId, type EntryId } from "../../codec/ids.ts";
import { RecordError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { reviewsLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import { sealEntry, type Filing } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Turns } from "../turns.ts";
import { readOrSay, toAccess, type Access, type UnreadableAccess } from "./audit.ts";

/** Reviews of accesses that broke the glass. */
export interface Reviews {
  /** Accesses that must be reviewed and have not been yet. */
  pending(): AsyncIterable<Access | UnreadableAccess>;
  /**
   * Files that an access was reviewed.
   *
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND` when no such access is pending
   */
  markReviewed(access: EntryId): Promise<void>;
}

export function createReviews(
  context: LedgerContext,
  options: { readonly catalogue: Catalogue; readonly filing: Filing; readonly turns: Turns },
): Reviews {
  const { catalogue, filing, turns } = options;

  async function pendingItems(): Promise<CatalogueItem[]> {
    await catalogue.catchUp();
    const all = await catalogue.itemsOf(reviewsLocal(context), ["access", "erase", "link"]);
    const reviewed = new Set(
      all.flatMap(({ manifest: { op, replaces } }) =>
        op === "reviewed" && replaces !== undefined ? [replaces] : [],
      ),
    );
    return all.filter(({ id, kind }) => kind === "access" && !reviewed.has(toEntryId(id)));
  }

  return {
    async *pending() {
      for (const item of await pendingItems()) {
        const content = await readOrSay(context, catalogue, item);
        const { recordedAt } = item;
        const id = toEntryId(item.id);
        if (typeof content === "string") yield { id, recordedAt, unreadable: content };
        else if (content !== undefined) yield toAccess(item, content);
      }
    },
    markReviewed: (access) =>
      turns.exclusive("reviews", async () => {
        const named = parseEntryId(access);
        const item = (await pendingItems()).find(({ id }) => toEntryId(id) === named);
        if (item === undefined) {
          throw new RecordError("ERR_RECORD_NOT_FOUND", "no such access is waiting for review");
        }
        const { local } = item.manifest;
        const manifest: Manifest = { v: 1, op: "reviewed", local, replaces: named };
        const entry = await sealEntry(context, { kind: "link", manifest, parts: [] });
        catalogue.remember(entry);
        await filing.file([entry]);
      }),
  };
}
