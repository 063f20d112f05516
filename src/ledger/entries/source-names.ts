import { bytesKey } from "../../bytes/bytes-key.ts";
import { toHex } from "../../bytes/hex.ts";
import type { LedgerContext } from "../context.ts";

/** A resource as one source names it. */
export interface SourceResource {
  /** The name that the caller gave to the source. */
  readonly source: string;
  readonly type: string;
  readonly id: string;
}

/** A resource of a source, or the copy of it that is about one person. */
export interface ListedResource extends SourceResource {
  /** The person, as hex; absent if no copy is meant. */
  readonly copy?: string;
}

type Names = Pick<LedgerContext, "vault">;

/** The local id under which the index lists everything about a resource of a source, but for copies of it. */
export const sourceLocal = ({ vault }: Names, { source, type, id }: SourceResource): Uint8Array =>
  vault.name("source", source, type, id).slice(0, 16);

/** The local id under which the index lists the copy of a resource that is about a person. */
const copyLocal = (
  { vault }: Names,
  { source, type, id }: SourceResource,
  person: string,
): Uint8Array => vault.name("copy", source, type, id, person).slice(0, 16);

/** The local id under which the index lists a resource of a source, or a copy of one. */
export const listOf = (context: Names, resource: ListedResource): Uint8Array =>
  resource.copy === undefined
    ? sourceLocal(context, resource)
    : copyLocal(context, resource, resource.copy);

/** The local id under which the index lists the copies of a resource, of all persons. */
export const copiesLocal = ({ vault }: Names, { source, type, id }: SourceResource): Uint8Array =>
  vault.name("copies", source, type, id).slice(0, 16);

/** The local id under which the index lists the resources of a source that have an identifier. */
export const identifiedLocal = (
  { vault }: Names,
  source: string,
  type: string,
  { system, value }: { readonly system: string; readonly value: string },
): Uint8Array => vault.name("identified", source, type, system, value).slice(0, 16);

/**
 * The local id under which the index lists what refers to a resource of a source that was not on record then.
 *
 * @param name - `Type/id`, or `Type?identifier=system|value`
 */
export const awaitedLocal = ({ vault }: Names, source: string, name: string): Uint8Array =>
  vault.name("awaited", source, name).slice(0, 16);

/** The lists over which resources that name nobody are spread. */
const POOLS = 256;

interface Pools {
  readonly locals: readonly Uint8Array[];
  readonly keys: ReadonlySet<string>;
}

const poolsByVault = new WeakMap<LedgerContext["vault"], Pools>();

function poolsOf({ vault }: Names): Pools {
  let pools = poolsByVault.get(vault);
  if (pools === undefined) {
    const locals = Array.from({ length: POOLS }, (_, at) =>
      vault.name("pool", String(at)).slice(0, 16),
    );
    pools = { locals, keys: new Set(locals.map(bytesKey)) };
    poolsByVault.set(vault, pools);
  }
  return pools;
}

/** All pools: pseudo-persons whom the resources are about that the custodian keeps for everybody. */
export const poolLocals = (context: Names): readonly Uint8Array[] => poolsOf(context).locals;

/** The pool of a resource, by the first byte of the list that it is on. */
export const poolOf = (context: Names, resource: SourceResource): Uint8Array =>
  poolsOf(context).locals[sourceLocal(context, resource)[0]!]!;

export const isPool = (context: Names, local: Uint8Array): boolean =>
  poolsOf(context).keys.has(bytesKey(local));

/** The key by which entries about a pool are tagged; it is never destroyed. */
export const poolKey = ({ vault }: Names, pool: Uint8Array): Uint8Array =>
  vault.name("pool key", pool).slice();

/** A person's local id as in {@link ListedResource.copy}. */
export const copyOf = (local: Uint8Array): string => toHex(local);
