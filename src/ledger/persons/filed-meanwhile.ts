import { equalBytes } from "../../bytes/compare.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import {
  CONSENT_PARTS,
  decodeFiledForm,
  namingEntry,
  openParts,
} from "../consents/read-consents.ts";
import type { LedgerContext } from "../context.ts";
import { comparePlaces, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { sealEntry, type SealedEntry } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Operation } from "../entries/operations.ts";
import type { Subject } from "../entries/subjects.ts";
import { holdsOf } from "../erasure/targets.ts";
import { currentRecords } from "../records/current-record.ts";
import { personsIn } from "./fold-links.ts";

/** What was filed while two persons were joined, each with the person with whom it stays, by person and then by age. */
export interface FiledMeanwhile {
  /** Records that were filed or amended; `reattribute` moves one. */
  readonly records: readonly { readonly record: RecordId; readonly subject: Subject }[];
  /** Directives. One of the other person is filed about them by `consent`. */
  readonly directives: readonly { readonly directive: EntryId; readonly subject: Subject }[];
  /** What else was said of either. */
  readonly facts: readonly {
    readonly entry: EntryId;
    /**
     * An attested key; more numbers; a delivered directive that is held; a name agreed with a member, or its end; a
     * hold, or its lifting.
     */
    readonly what: FactOfPerson;
    readonly subject: Subject;
  }[];
}

/** Operations of `link` entries that say something of a person. */
export type FactOfPerson =
  "attest" | "identify" | "held" | "alias" | "unalias" | "hold" | "release";

const FACTS: readonly Operation[] = [
  ...(["attest", "identify", "held", "alias"] as const),
  ...(["unalias", "hold", "release"] as const),
];

const isFact = (op: Operation): op is FactOfPerson => FACTS.includes(op);

/** Whether an entry lies between two others; without an end, whether it follows the first. */
const liesBetween =
  (start: EntryPlace, end?: EntryPlace) =>
  ({ place }: CatalogueItem): boolean =>
    comparePlaces(place, start) > 0 && (end === undefined || comparePlaces(place, end) < 0);

/** What was filed about a person, and those joined with them, between two places on the ledger. */
export async function readMeanwhile(
  catalogue: Catalogue,
  local: Uint8Array,
  start: EntryPlace,
  end: EntryPlace,
): Promise<FiledMeanwhile> {
  const items = await catalogue.itemsOf(local);
  const isBetween = liesBetween(start, end);
  const records = [...currentRecords(items).values()].flatMap(({ record, history, retracted }) => {
    // An amendment too: it may have come under the other person's number.
    const isFiled = history.some((one) => one.manifest.mediaType !== undefined && isBetween(one));
    return isFiled && !retracted ? [{ record, subject: subjectOf(history[0]!) }] : [];
  });
  const others = items.filter(isBetween);
  return {
    records,
    directives: others
      .filter(({ kind }) => kind === "consent")
      .map((item) => ({ directive: toEntryId(item.id), subject: subjectOf(item) })),
    facts: others.flatMap((item) => {
      const { op: what } = item.manifest;
      if (item.kind !== "link" || !isFact(what)) return [];
      return [{ entry: toEntryId(item.id), what, subject: subjectOf(item) }];
    }),
  };
}

/** Both lists, one behind the other. */
export const bothMeanwhile = (one: FiledMeanwhile, other: FiledMeanwhile): FiledMeanwhile => ({
  records: [...one.records, ...other.records],
  directives: [...one.directives, ...other.directives],
  facts: [...one.facts, ...other.facts],
});

const subjectOf = ({ manifest: { local } }: CatalogueItem): Subject => ({ local: local.slice() });

/** The entries about one of two sides that a merge joins, and the person who stands for the side. */
interface Side {
  readonly local: Uint8Array;
  readonly items: readonly CatalogueItem[];
}

/**
 * Seals what is to count for the other person too once a merge ends, because only people can tell whose it is: what this
 * custodian took down for either while they were joined, as directives that are held, and holds. Nothing of it permits
 * anything.
 *
 * @param merge - in effect
 */
export async function sealForOther(
  context: LedgerContext,
  catalogue: Catalogue,
  merge: CatalogueItem,
): Promise<readonly SealedEntry[]> {
  const { local, other } = merge.manifest as { local: Uint8Array; other: Uint8Array };
  const { merges } = await catalogue.joinedWith(local);
  const rest = merges.filter(({ id }) => !equalBytes(id, merge.id));
  const all = await catalogue.itemsOf(local);
  const sideOf = (one: Uint8Array): Side => {
    const people = personsIn(rest, one);
    const isAbout = ({ manifest }: CatalogueItem): boolean =>
      people.some((person) => equalBytes(person, manifest.local));
    return { local: one, items: all.filter(isAbout) };
  };
  const [mine, theirs] = [sideOf(local), sideOf(other)];
  const sealed = [
    ...(await sealSide(context, catalogue, merge, mine, theirs)),
    ...(await sealSide(context, catalogue, merge, theirs, mine)),
  ];
  for (const one of sealed) catalogue.remember(one);
  return sealed;
}

async function sealSide(
  context: LedgerContext,
  catalogue: Catalogue,
  { place: start }: CatalogueItem,
  from: Side,
  { local, items }: Side,
): Promise<readonly SealedEntry[]> {
  const filed = items.filter(liesBetween(start));
  const known = await statementsIn(context, catalogue, filed);
  const sealed: SealedEntry[] = [];
  for (const item of await statementsIn(
    context,
    catalogue,
    from.items.filter(liesBetween(start)),
  )) {
    if (known.some(({ cid }) => cid.equals(item.cid))) continue;
    const parts = CONSENT_PARTS.map((id) => ({ id, bytes: item.parts.get(id)! }));
    const manifest: Manifest = { v: 1, op: "held", local };
    sealed.push(await sealEntry(context, { kind: "link", manifest, parts }));
  }
  const hold = holdsOf(from.items).find((one) => comparePlaces(one.place, start) > 0);
  const isOn = (one: { readonly local: Uint8Array }): boolean => equalBytes(one.local, local);
  if (hold !== undefined && !holdsOf(items).some(isOn)) {
    const manifest: Manifest = { v: 1, op: "hold", local, reason: hold.rule };
    sealed.push(await sealEntry(context, { kind: "link", manifest, parts: [] }));
  }
  return sealed;
}

/** The directives among some entries that this custodian took down itself, filed or held. */
async function statementsIn(
  context: LedgerContext,
  catalogue: Catalogue,
  items: readonly CatalogueItem[],
): Promise<readonly { readonly cid: CID; readonly parts: ReadonlyMap<string, Uint8Array> }[]> {
  const found: { readonly cid: CID; readonly parts: ReadonlyMap<string, Uint8Array> }[] = [];
  for (const item of items) {
    if (item.kind !== "consent" && item.manifest.op !== "held") continue;
    const parts = await openParts(context, catalogue, item, CONSENT_PARTS);
    if (parts === undefined) continue;
    const form = await namingEntry(item, () => decodeFiledForm(parts.get("content")!));
    const isOwn = form.kind === "witnessed" && form.witness.by === context.signer.actor;
    if (isOwn) found.push({ cid: form.cid, parts });
  }
  return found;
}
