import { sha256 } from "#crypto";
import { toHex } from "../../bytes/hex.ts";
import type { RecordId } from "../../codec/ids.ts";
import { InputError } from "../../errors.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { sealEntry, type SealedEntry } from "../entries/filing.ts";
import { MAX_SOURCE, type Manifest, type SourceVersion } from "../entries/manifest.ts";
import {
  copiesLocal,
  isPool,
  listOf,
  sourceLocal,
  type ListedResource,
  type SourceResource,
} from "../entries/source-names.ts";
import type { Subject } from "../entries/subjects.ts";
import { currentRecords, type FoldedRecord } from "./current-record.ts";

export type { SourceResource } from "../entries/source-names.ts";

/** A record that a resource of a source is. */
export interface SourceRecord {
  readonly id: RecordId;
  /** The person that it is about. */
  readonly subject: Subject;
  /** Whether it was deleted at its source, retracted, or moved to another person. */
  readonly ended: boolean;
}

/** What is on record of a resource of a source. */
export interface OnRecord {
  readonly resource: SourceResource;
  /** Its records, by the persons that they are about, in ledger order. */
  readonly byPerson: ReadonlyMap<string, readonly FoldedRecord[]>;
  /** Who is named by it, if it is a Patient, in ledger order: also if its resource has not come. */
  readonly claims: readonly NameClaim[];
  /** Deletions of it that came before the resource. */
  readonly deletions: readonly EarlyDeletion[];
}

/** That a source's name of a patient is the name of a person. */
export interface NameClaim {
  readonly local: Uint8Array;
  /** URL of the server whose name it is, if it was stated. */
  readonly base: string | undefined;
}

/** A deletion of a resource that was not on record: what the source said of when, and of its server. */
export interface EarlyDeletion {
  readonly stated: SourceVersion;
  readonly base: string | undefined;
}

/** Finds what is on record by the names that sources give to their resources. */
export interface Sources {
  /**
   * What is on record of some resources, as of the last `catchUp` of the catalogue.
   *
   * @param about - the persons on whose entries the answer rests; all, if it is `undefined`
   */
  onRecord(
    resources: readonly ListedResource[],
    about?: readonly Subject[],
  ): Promise<readonly OnRecord[]>;
  /** Whether something on record of each of some resources was erased. */
  wereErased(resources: readonly ListedResource[]): Promise<readonly boolean[]>;
  /** The records of a resource, for callers. */
  find(resource: SourceResource): Promise<readonly SourceRecord[]>;
  /**
   * The name of a caller's idempotency key, for a person: 32 bytes.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` unless it can be a key
   */
  keyOf(subject: Subject, key: string): Uint8Array;
  /** Keyed digest of a text, 32 bytes. */
  digestOf(text: Uint8Array): Uint8Array;
  /** Seals the entry that a source deleted a resource that is not on record. */
  sealDeletion(resource: SourceResource, deletion: EarlyDeletion): Promise<SealedEntry>;
}

/** @throws {InputError} `ERR_INPUT_INVALID` unless it can be the name of a source */
export function assertSource(source: unknown): asserts source is string {
  if (isName(source, MAX_SOURCE)) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    `a source must be a string of 1 to ${MAX_SOURCE} characters without U+0000`,
  );
}

/** @throws {InputError} `ERR_INPUT_INVALID` unless they can be the type and the id of a resource */
export function assertResource({ type, id }: Omit<SourceResource, "source">): void {
  if (isName(type, 64) && isName(id, 64)) return;
  throw new InputError("ERR_INPUT_INVALID", "type and id must be those of a FHIR resource");
}

const isName = (value: unknown, most: number): boolean =>
  typeof value === "string" && value !== "" && value.length <= most && !value.includes("\0");

/** Opens the look-up of resources by their sources. */
export function openSources(
  context: LedgerContext,
  { catalogue }: { readonly catalogue: Catalogue },
): Sources {
  const { vault } = context;

  async function onRecord(
    resources: readonly ListedResource[],
    about?: readonly Subject[],
  ): Promise<readonly OnRecord[]> {
    const lists = resources.map((resource) => listOf(context, resource));
    const found = await catalogue.listed(
      lists,
      about?.map(({ local }) => local),
    );
    return resources.map((resource, i) => ({ resource, ...fold(found[i]!) }));
  }

  return {
    onRecord,
    wereErased: (resources) =>
      catalogue.haveErased(resources.map((resource) => listOf(context, resource))),
    async find({ source, type, id }) {
      assertSource(source);
      assertResource({ type, id });
      await catalogue.catchUp();
      const resource = { source, type, id };
      const lists = [sourceLocal(context, resource), copiesLocal(context, resource)];
      return (await catalogue.listed(lists))
        .flatMap((items) => [...fold(items).byPerson.values()].flat())
        .filter(({ head }) => !isPool(context, head.manifest.local))
        .filter(({ repeats }) => repeats === undefined)
        .map(({ record, head, retracted }) => ({
          id: record,
          subject: { local: head.manifest.local.slice() },
          ended: retracted,
        }));
    },
    keyOf({ local }, key) {
      if (isName(key, MAX_SOURCE)) return vault.name("idempotency key", local, key);
      throw new InputError(
        "ERR_INPUT_INVALID",
        `an idempotency key must be a string of 1 to ${MAX_SOURCE} characters without U+0000`,
      );
    },
    digestOf: (text) => vault.name("text", sha256(text)),
    async sealDeletion(resource, { stated, base }) {
      const { source: name, type, id } = resource;
      const manifest: Manifest = {
        v: 1,
        op: "deleted",
        local: sourceLocal(context, resource),
        source: { name, type, id, ...(base === undefined ? {} : { base }) },
        ending: stated,
      };
      const sealed = await sealEntry(context, { kind: "link", manifest, parts: [] });
      catalogue.remember(sealed);
      return sealed;
    },
  };
}

function fold(items: readonly CatalogueItem[]): Omit<OnRecord, "resource"> {
  const ofPerson = new Map<string, CatalogueItem[]>();
  const claims: NameClaim[] = [];
  const deletions: EarlyDeletion[] = [];
  for (const item of items) {
    const { op, local, ending, source } = item.manifest;
    if (op === "deleted") deletions.push({ stated: ending ?? {}, base: source?.base });
    else if (op === "identify") claims.push({ local, base: source?.base });
    else {
      const person = toHex(local);
      const theirs = ofPerson.get(person);
      if (theirs === undefined) ofPerson.set(person, [item]);
      else theirs.push(item);
    }
  }
  const folded = Array.from(ofPerson, ([person, theirs]) => {
    return [person, [...currentRecords(theirs).values()]] as const;
  });
  return { byPerson: new Map(folded), claims, deletions };
}

/** The server of a record, if an entry about it states the server's URL. */
export const baseOf = ({ history }: FoldedRecord): string | undefined =>
  history
    .map(({ manifest }) => serverNameIn(manifest.fullUrl)?.base)
    .find((base) => base !== undefined);

/** The records among some that can be what a server with this URL, if it is known, has. */
export const ofServer = <T extends { readonly base: string | undefined }>(
  records: readonly T[],
  base: string | undefined,
): readonly T[] => records.filter((one) => isSameServer(one.base, base));
