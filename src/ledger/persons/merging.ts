import { equalBytes } from "../../bytes/compare.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { InputError, RecordError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { LedgerContext } from "../context.ts";
import type { Access, UnreadableAccess } from "../disclosure/audit.ts";
import { findMixedAccesses } from "../disclosure/mixed-accesses.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { sealEntry, type Filed, type Filing, type SealedEntry } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { assertReason } from "../records/reason.ts";
import {
  bothMeanwhile,
  readMeanwhile,
  sealForOther,
  type FiledMeanwhile,
} from "./filed-meanwhile.ts";
import { findLink } from "./find-link.ts";
import { personName, sharedOfAll, type Turns } from "../turns.ts";

/** Why two persons are merged, or parted again. */
export interface MergeOptions {
  /** In the custodian's words, sealed; at most 4,096 characters. */
  readonly reason: string;
}

/** Two persons who are no longer joined. */
export interface UnmergedPersons {
  /** Names the link entry that parted them. */
  readonly id: EntryId;
  /** What was filed while the two were joined. Whose each really is only people can tell. */
  readonly filed: FiledMeanwhile;
}

/** Joins persons who are one, and parts them again. Nothing is sealed anew. */
export interface Merging {
  merge(from: Subject, into: Subject, options: MergeOptions): Promise<EntryId>;
  unmerge(link: EntryId, options: MergeOptions): Promise<UnmergedPersons>;
  mixed(link: EntryId): AsyncIterable<Access | UnreadableAccess>;
}

/** Starts merging. */
export function createMerging(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly turns: Turns;
  },
): Merging {
  const { catalogue, filing, subjects, turns } = options;

  async function file(manifest: Manifest, more: readonly SealedEntry[] = []): Promise<Filed> {
    const sealed = await sealEntry(context, { kind: "link", manifest, parts: [] });
    catalogue.remember(sealed);
    const [filed] = await filing.file([sealed, ...more]);
    return filed!;
  }

  /** Runs work that joins or parts persons while no other such work runs and nobody is forgotten. */
  const inTurn = <T>(people: readonly Uint8Array[], work: () => Promise<T>): Promise<T> =>
    sharedOfAll(
      turns,
      people.map((local) => personName({ local })),
      () => turns.exclusive("merges", work),
    );

  /** The merge that an entry is, while it is in effect. */
  async function findMerge(link: EntryId): Promise<CatalogueItem> {
    const item = await findLink(catalogue, link);
    const { merges } = await catalogue.joinedWith(item.manifest.local);
    if (merges.some(({ id }) => equalBytes(id, item.id))) return item;
    throw new RecordError("ERR_RECORD_RETRACTED", "this merge is not in effect");
  }

  return {
    mixed: (link) => findMixedAccesses(context, catalogue, link),
    async merge(from, into, { reason }) {
      assertReason(reason);
      const { local } = from;
      if (equalBytes(local, into.local)) {
        throw new InputError("ERR_INPUT_INVALID", "a person cannot be merged with themselves");
      }
      return inTurn([local, into.local], async () => {
        await catalogue.catchUp();
        for (const one of [from, into]) (await subjects.read(one)).key.fill(0);
        if (await subjects.areOne(from, into)) {
          throw new InputError("ERR_INPUT_INVALID", "these persons are joined already");
        }
        const { id } = await file({ v: 1, op: "merge", local, other: into.local, reason });
        return afterWriting(async () => {
          await catalogue.catchUp();
          const { merges } = await catalogue.joinedWith(local);
          if (merges.some((one) => equalBytes(one.id, id))) return toEntryId(id);
          throw new RecordError(
            "ERR_RECORD_CONFLICT",
            "another process joined these persons, or forgot one of them, meanwhile",
          );
        });
      });
    },
    async unmerge(link, { reason }) {
      assertReason(reason);
      await catalogue.catchUp();
      const { local, other } = (await findMerge(link)).manifest;
      return inTurn([local, other!], async () => {
        await catalogue.catchUp();
        const merge = await findMerge(link);
        const manifest = { v: 1, op: "unmerge", local, other: other!, replaces: link } as const;
        const end = await file(
          { ...manifest, reason },
          await sealForOther(context, catalogue, merge),
        );
        return afterWriting(async () => {
          await catalogue.catchUp();
          const ofOne = await readMeanwhile(catalogue, local, merge.place, end.place);
          const ofOther = await readMeanwhile(catalogue, other!, merge.place, end.place);
          return { id: toEntryId(end.id), filed: bothMeanwhile(ofOne, ofOther) };
        });
      });
    },
  };
}
