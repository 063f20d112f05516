import { parseEntryId, toEntryId, type EntryId } from "../../codec/ids.ts";
import { InputError, RecordError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { KeptAccess, KeptEntries } from "../elsewhere/kept-entries.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { reviewsLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import { sealEntry, type Filing } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Turns } from "../turns.ts";
import { pendingFields, readOrSay, toAccess, type Access, type UnreadableAccess } from "./audit.ts";

/** Reviews of accesses that broke the glass. */
export interface Reviews {
  /** Accesses that must be reviewed and have not been yet; first those that are not on the ledger yet. */
  pending(): AsyncIterable<Access | UnreadableAccess>;
  /**
   * Files that an access was reviewed.
   *
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND` when no such access is pending
   */
  markReviewed(access: EntryId): Promise<void>;
  /** @throws {InputError} `ERR_INPUT_INVALID` if a transaction in the outbox holds an access that nobody has reviewed */
  assertDismissable(id: string): Promise<void>;
}

export function createReviews(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly turns: Turns;
    readonly kept: KeptEntries | undefined;
  },
): Reviews {
  const { catalogue, filing, turns, kept } = options;

  async function pendingItems(): Promise<readonly (CatalogueItem | KeptAccess)[]> {
    // The outbox first: what leaves it is on the ledger by then.
    const waiting = ((await kept?.accesses()) ?? []).filter(({ item }) => item.manifest.review);
    await catalogue.catchUp();
    const all = await catalogue.itemsOf(reviewsLocal(context), ["access", "erase", "link"]);
    const reviewed = new Set(
      all.flatMap(({ manifest: { op, replaces } }) =>
        op === "reviewed" && replaces !== undefined ? [replaces] : [],
      ),
    );
    const listed = new Set(all.map(({ id }) => toEntryId(id)));
    const isDue = ({ id }: CatalogueItem): boolean => !reviewed.has(toEntryId(id));
    return [
      ...waiting.filter(({ item }) => isDue(item) && !listed.has(toEntryId(item.id))),
      ...all.filter((item) => item.kind === "access" && isDue(item)),
    ];
  }

  return {
    async *pending() {
      for (const one of await pendingItems()) {
        const item = itemOf(one);
        const content = await readOrSay(context, catalogue, item);
        const { recordedAt } = item;
        const told = "kept" in one ? pendingFields(one) : {};
        const id = toEntryId(item.id);
        if (typeof content === "string") yield { id, recordedAt, unreadable: content, ...told };
        else if (content !== undefined) yield { ...toAccess(item, content), ...told };
      }
    },
    markReviewed: (access) =>
      turns.exclusive("reviews", async () => {
        const named = parseEntryId(access);
        const items = (await pendingItems()).map(itemOf);
        const item = items.find(({ id }) => toEntryId(id) === named);
        if (item === undefined) {
          throw new RecordError("ERR_RECORD_NOT_FOUND", "no such access is waiting for review");
        }
        const { local } = item.manifest;
        const manifest: Manifest = { v: 1, op: "reviewed", local, replaces: named };
        const entry = await sealEntry(context, { kind: "link", manifest, parts: [] });
        catalogue.remember(entry);
        await filing.file([entry]);
      }),
    async assertDismissable(id) {
      if (!(await pendingItems()).some((one) => "kept" in one && one.kept === id)) return;
      throw new InputError(
        "ERR_INPUT_INVALID",
        "it holds an access that broke the glass, and that only this store knows of: `markReviewed` first",
      );
    },
  };
}

const itemOf = (one: CatalogueItem | KeptAccess): CatalogueItem => ("kept" in one ? one.item : one);
