import { bytesKey } from "../../bytes/bytes-key.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import {
  awaitedLocal,
  copiesLocal,
  identifiedLocal,
  isPool,
  poolLocals,
  poolOf,
  sourceLocal,
  type SourceResource,
} from "../entries/source-names.ts";
import type { Subject } from "../entries/subjects.ts";
import { currentRecords, type FoldedRecord } from "./current-record.ts";
import { baseOf } from "./sources.ts";

/** A resource that the custodian keeps for everybody, as it is now. */
export interface KeptResource {
  readonly resource: SourceResource;
  readonly record: FoldedRecord;
  /** URL of its server, if it is known. */
  readonly base: string | undefined;
}

/** Reads the resources of sources that the custodian keeps for everybody since they name nobody. */
export interface KeptResources {
  /**
   * The only resource of a source that each of some names can mean, as of the last `catchUp` of the
   * catalogue; also one that has ended.
   *
   * @param names - as in a manifest's `refers`
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when an entry that may be about it is lost
   */
  named(source: string, names: Iterable<string>): Promise<ReadonlyMap<string, KeptResource>>;
  /** All records kept of some resources, those that have ended included. */
  of(resources: readonly SourceResource[]): Promise<readonly (readonly KeptResource[])[]>;
  /**
   * The persons about whom something is on record that refers to each of some resources, directly or by way of
   * what is kept, and that was filed when the resource was not on record.
   */
  awaiting(resources: readonly AwaitedResource[]): Promise<readonly (readonly Subject[])[]>;
  /** The pseudo-person whom a resource is about that the custodian keeps. */
  poolOf(resource: SourceResource): Subject;
  isPool(subject: Subject): boolean;
  /** The persons who have a copy of each of some resources. */
  holders(resources: readonly SourceResource[]): Promise<readonly (readonly Subject[])[]>;
}

/** A resource that arrives, and its names without their servers. */
export interface AwaitedResource {
  readonly resource: SourceResource;
  readonly names: readonly string[];
  readonly base: string | undefined;
}

/** A name taken apart. */
type Name =
  | { readonly kind: "id"; readonly type: string; readonly id: string; readonly base?: string }
  | {
      readonly kind: "identifier";
      readonly type: string;
      readonly system: string;
      readonly value: string;
    };

/** Takes a name of a manifest's `refers` apart; `undefined` if it names nothing across bundles. */
export function nameParts(name: string): Name | undefined {
  const at = serverNameIn(name);
  if (at !== undefined) return { kind: "id", ...at };
  const [, type, system, value] =
    /^([A-Z][A-Za-z]{1,63})\?identifier=([^|]+)\|(.+)$/s.exec(name) ?? [];
  if (type === undefined || system === undefined || value === undefined) return undefined;
  return { kind: "identifier", type, system, value };
}

/** A name without its server, by which what refers to something is listed. */
export function bareName(name: string): string | undefined {
  const parts = nameParts(name);
  if (parts === undefined) return undefined;
  return parts.kind === "id" ? `${parts.type}/${parts.id}` : name;
}

export function openKept(
  context: LedgerContext,
  { catalogue }: { readonly catalogue: Catalogue },
): KeptResources {
  const keptAmong = (items: readonly CatalogueItem[]): readonly FoldedRecord[] =>
    [
      ...currentRecords(items.filter(({ manifest }) => isPool(context, manifest.local))).values(),
    ].filter(({ repeats }) => repeats === undefined);

  async function of(resources: readonly SourceResource[]) {
    const pools = new Map(
      resources.map((one) => poolOf(context, one)).map((pool) => [bytesKey(pool), pool]),
    );
    const found = await catalogue.listed(
      resources.map((one) => sourceLocal(context, one)),
      [...pools.values()],
    );
    return resources.map((resource, i) =>
      keptAmong(found[i]!).map((record) => ({ resource, record, base: baseOf(record) })),
    );
  }

  /** The resources of a source with each of some identifiers. */
  async function identified(
    source: string,
    names: readonly (Name & { readonly kind: "identifier" })[],
  ): Promise<readonly (readonly SourceResource[])[]> {
    const lists = await catalogue.listed(
      names.map((one) => identifiedLocal(context, source, one.type, one)),
      // What is lost of any may have had one of the identifiers.
      poolLocals(context),
    );
    return lists.map((items) => {
      const all = new Map<string, SourceResource>();
      for (const { manifest } of items) {
        const { type, id } = manifest.source!;
        all.set(`${type}/${id}`, { source, type, id });
      }
      return [...all.values()];
    });
  }

  async function holders(resources: readonly SourceResource[]) {
    const lists = await catalogue.listed(
      resources.map((one) => copiesLocal(context, one)),
      [],
    );
    return lists.map((items) => {
      const byPerson = new Map<string, CatalogueItem[]>();
      for (const item of items) {
        const key = bytesKey(item.manifest.local);
        byPerson.set(key, [...(byPerson.get(key) ?? []), item]);
      }
      return [...byPerson.values()]
        .filter((own) => [...currentRecords(own).values()].some(({ retracted }) => !retracted))
        .map(([first]): Subject => ({ local: first!.manifest.local.slice() }));
    });
  }

  async function awaiting(resources: readonly AwaitedResource[]) {
    const wanted = resources.flatMap(({ resource, names }, at) =>
      names.map((name) => ({ at, name, list: awaitedLocal(context, resource.source, name) })),
    );
    const lists = await catalogue.listed(
      wanted.map(({ list }) => list),
      [],
    );
    const found = resources.map(() => new Map<string, Subject>());
    const seen = resources.map(() => new Set<string>());
    for (const [i, { at, name }] of wanted.entries()) {
      for (const item of lists[i]!) await take(item, at, name);
    }
    return found.map((people) => [...people.values()]);

    /** Adds the persons whom a resource serves because of an entry that refers to it. */
    async function take(item: CatalogueItem, at: number, name: string): Promise<void> {
      const { local, refers = [], source } = item.manifest;
      const { base } = resources[at]!;
      const isMeant = refers.some(
        (one) => bareName(one) === name && isSameServer(serverNameIn(one)?.base, base),
      );
      if (!isMeant) return;
      if (isPool(context, local)) {
        const { name: of, type, id } = source!;
        if (seen[at]!.has(`${type}/${id}`)) return;
        seen[at]!.add(`${type}/${id}`);
        const [people] = await holders([{ source: of, type, id }]);
        for (const one of people!) found[at]!.set(bytesKey(one.local), one);
        return;
      }
      const person = bytesKey(local);
      if (found[at]!.has(person)) return;
      // It may have ended, or moved to somebody else, since.
      const [record] = currentRecords(await catalogue.recordItems(local, item.id)).values();
      if (record?.retracted === false) found[at]!.set(person, { local: local.slice() });
    }
  }

  return {
    of,
    poolOf: (resource) => ({ local: poolOf(context, resource) }),
    isPool: ({ local }) => isPool(context, local),
    holders,
    awaiting,
    async named(source, names) {
      const wanted: { name: string; parts: Name }[] = [];
      for (const name of names) {
        const parts = nameParts(name);
        if (parts !== undefined) wanted.push({ name, parts });
      }
      const byIdentifier = wanted.flatMap(({ parts }) =>
        parts.kind === "identifier" ? [parts] : [],
      );
      const bearers = byIdentifier.length === 0 ? [] : await identified(source, byIdentifier);
      const candidates = wanted.map(({ parts }): readonly SourceResource[] =>
        parts.kind === "id"
          ? [{ source, type: parts.type, id: parts.id }]
          : bearers[byIdentifier.indexOf(parts)]!,
      );
      const distinct = new Map(
        candidates.flat().map((one) => [`${one.type}/${one.id}`, one] as const),
      );
      const resources = [...distinct.values()];
      const kept = resources.length === 0 ? [] : await of(resources);
      const byName = new Map([...distinct.keys()].map((key, i) => [key, kept[i]!]));
      const found = new Map<string, KeptResource>();
      for (const [i, { name, parts }] of wanted.entries()) {
        const all = candidates[i]!.flatMap(({ type, id }) => byName.get(`${type}/${id}`) ?? []);
        const meant = all.filter((one) => isMeant(one, parts));
        const one = onlyOf(meant);
        if (one !== undefined) found.set(name, one);
      }
      return found;
    },
  };
}

function isMeant({ record, base }: KeptResource, name: Name): boolean {
  if (name.kind === "id") return isSameServer(base, name.base);
  const { identifiers = [] } = record.head.manifest;
  return (
    !record.retracted &&
    identifiers.some(({ system, value }) => system === name.system && value === name.value)
  );
}

/** The only one of several, the newest if all are one resource of one server. */
function onlyOf(all: readonly KeptResource[]): KeptResource | undefined {
  const names = new Set(all.map(({ resource: { type, id } }) => `${type}/${id}`));
  const bases = new Set(all.flatMap(({ base }) => base ?? []));
  if (names.size !== 1 || bases.size > 1) return undefined;
  return all.findLast(({ record }) => !record.retracted) ?? all.at(-1);
}
