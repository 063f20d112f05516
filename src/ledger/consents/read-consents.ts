import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { isInForce, keyStateKey } from "../../chain/state.ts";
import type { CID } from "../../codec/cid.ts";
import { decode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, toEntryId } from "../../codec/ids.ts";
import { decodeDirective, directiveCid } from "../../consent/model/directive.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { SnapshotDirective } from "../../consent/model/snapshot.ts";
import type { DirectiveWitness } from "../../consent/model/witness.ts";
import { EnvelopeError, StorageError } from "../../errors.ts";
import { decodeAttestedKey, type FiledKey } from "./attested-key.ts";
import { type Catalogue, isErasedNow } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { isDamage, lostEntry, openOwn } from "../entries/own-envelope.ts";
import { ownIdentifier } from "../entries/subjects.ts";
import type { LedgerContext } from "../context.ts";
import { decodeIdentifiers, type PersonIdentifier } from "../index/rows.ts";
import {
  readSignedDirective,
  standingOfSigned,
  type AboutWhom,
  type SignedDirective,
} from "./signed-directive.ts";
import {
  decodeWitness,
  readWitnessedDirective,
  standingOfWitnessed,
  type Witness,
  type WitnessedDirective,
} from "./witnessed-directive.ts";
import {
  decodeWitnesses,
  isBefore,
  witnessesBefore,
  witnessesLocal,
  type FiledWitnesses,
} from "./witnesses.ts";
import { lacks } from "../index/lacking.ts";
import {
  erasedPredecessors,
  isUnreadable,
  placeOf,
  standIns,
  type UnreadableDirective,
} from "./unreadable-directives.ts";

/** The filed form of a directive: signed by its grantor, or witnessed by an organisation. */
export type FiledForm = {
  readonly directive: Directive;
  readonly cid: CID;
  /** 32 bytes that commit to the person. */
  readonly about: Uint8Array;
} & (
  | { readonly kind: "signed"; readonly signed: SignedDirective }
  | {
      readonly kind: "witnessed";
      readonly witnessed: WitnessedDirective;
      readonly witness: Witness;
    }
);

/**
 * Reads a signed or witnessed directive, without judging it.
 *
 * @throws {EncodingError} or {ConsentError} when it is neither
 */
export function decodeFiledForm(bytes: Uint8Array): FiledForm {
  const value = decode(bytes);
  if (typeof value === "object" && value !== null && Object.hasOwn(value, "witness")) {
    const witnessed = readWitnessedDirective(value);
    const directive = decodeDirective(witnessed.directive);
    const witness = decodeWitness(witnessed.witness);
    const { about } = witness;
    return {
      kind: "witnessed",
      witnessed,
      witness,
      directive,
      cid: directiveCid(directive),
      about,
    };
  }
  const signed = readSignedDirective(value);
  const directive = decodeDirective(signed.directive);
  return { kind: "signed", signed, directive, cid: directiveCid(directive), about: signed.about };
}

/** A person's directives and the keys that they are judged by, as one custodian filed them. */
export interface FiledConsents {
  readonly directives: readonly SnapshotDirective[];
  readonly keys: readonly (FiledKey & { readonly item: CatalogueItem })[];
  /** The witnesses that the custodian trusts, at the requested height. */
  readonly witnesses: readonly string[];
  /** The link entry that lists them, if there is one. */
  readonly list?: CatalogueItem;
}

/** Reads the directives and keys in a person's entries, as known at a height; see {@link consentReader}. */
export type ConsentReader = (
  items: readonly CatalogueItem[],
  height: number,
) => Promise<FiledConsents>;

/** The facts that a directive is judged by. */
export interface Grounds extends AboutWhom {
  /** Attested before it. */
  readonly keys: readonly FiledKey[];
  /** Organisations trusted then, besides the custodian itself. */
  readonly witnesses: readonly string[];
  /** Height and time at which it is filed. */
  readonly filedAt: { readonly height: number; readonly time: number };
  /** Height from which it was held before it was filed, if it was: its signature is at least as old. */
  readonly heldAt?: number | undefined;
  /** The last known block. */
  readonly height: number;
}

/** Judges a directive by the entries before it on the ledger. */
export async function judgeFiled(
  { chain, signer }: LedgerContext,
  form: FiledForm,
  grounds: Grounds,
): Promise<Pick<SnapshotDirective, "cid" | "directive" | "standing" | "witness">> {
  const { cid, directive } = form;
  const { filedAt, height, witnesses, heldAt: takenAt = filedAt.height } = grounds;
  if (form.kind === "signed") {
    return { cid, directive, standing: standingOfSigned(form, grounds, filedAt.time) };
  }
  const { by, key, user, form: how } = form.witness;
  await chain.state.load([keyStateKey(key)]);
  const state = chain.state.key(key);
  const inForce =
    state !== undefined &&
    state.actor === by &&
    state.use === "sign" &&
    (state.alg === "Ed25519" || state.alg === "ES256") &&
    isInForce(state, takenAt)
      ? { alg: state.alg, publicKey: state.publicKey }
      : undefined;
  const since = state?.compromisedSince ?? null;
  // A theft is known from the block that records it on, the last one in which the key was in force.
  const stolen = since !== null && since <= takenAt && (state?.until ?? 0) <= height + 1;
  const believed = by === signer.actor || witnesses.includes(by);
  const witness: DirectiveWitness = {
    ...{ by, user, form: how, takenAt: form.witness.takenAt },
    ...(stolen || !believed ? { doubted: true } : {}),
  };
  return { cid, directive, standing: standingOfWitnessed(form, grounds, inForce), witness };
}

/**
 * Reads a person's directives and attested keys, and caches what it opened for as long as the catalogue
 * keeps the item. Rejects with `ERR_STORAGE_MISSING` when an entry that no erasure destroyed does not open,
 * and with `ERR_STORAGE_CORRUPT`, naming the entry, when one cannot be read: without it nobody can tell
 * what is permitted. If a later directive replaces the unreadable one, a stand-in takes its place instead;
 * see {@link standIns}.
 */
export function consentReader(context: LedgerContext, catalogue: Catalogue): ConsentReader {
  const opened = new WeakMap<CatalogueItem, ReadonlyMap<string, Uint8Array>>();

  async function partsOf(
    item: CatalogueItem,
    ids: readonly string[],
  ): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
    const known = opened.get(item);
    if (known !== undefined) return known;
    const parts = await openParts(context, catalogue, item, ids);
    if (parts !== undefined) opened.set(item, parts);
    return parts;
  }

  /** The lists of trusted witnesses up to a height, in ledger order. */
  async function listsUpTo(height: number): Promise<FiledWitnesses[]> {
    const lists: FiledWitnesses[] = [];
    for (const item of await catalogue.itemsOf(witnessesLocal(context), ["erase", "link"])) {
      if (item.manifest.op !== "witnesses" || item.place.height > height) continue;
      lists.push({ item, witnesses: await listIn(item) });
    }
    return lists;
  }

  /** The witnesses on one list; an unreadable list trusts nobody. */
  async function listIn(item: CatalogueItem): Promise<readonly string[]> {
    try {
      const parts = await partsOf(item, ["content"]);
      return parts === undefined ? [] : decodeWitnesses(parts.get("content")!);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return [];
    }
  }

  /**
   * The height from which an entry's directive was held, if the entry names a held one. If the held entry
   * is gone, the custodian's own word for it counts, as it does for the entry itself.
   */
  async function heldAt(item: CatalogueItem, signed: Uint8Array): Promise<number | undefined> {
    const { replaces, local } = item.manifest;
    if (replaces === undefined) return undefined;
    const found = await catalogue.find(entryIdBytes(replaces));
    if (found.status === "missing") return undefined;
    const { place } = found.status === "present" ? found.item : found;
    if (!isBefore(place, item.place)) return undefined;
    if (found.status === "erased") return place.height;
    if (found.status === "lost") return found.kind === "link" ? place.height : undefined;
    const { manifest } = found.item;
    if (manifest.op !== "held" || !equalBytes(manifest.local, local)) return undefined;
    const parts = await partsOf(found.item, ["content"]).catch((error: unknown) => {
      if (!isUnreadable(error)) throw error;
    });
    return parts === undefined || equalBytes(parts.get("content")!, signed)
      ? place.height
      : undefined;
  }

  return async (items, height) => {
    const keys: (FiledKey & { readonly item: CatalogueItem })[] = [];
    const directives: SnapshotDirective[] = [];
    const unreadable: UnreadableDirective[] = [];
    const lists = await listsUpTo(height);
    const people = new Map<string, readonly PersonIdentifier[] | null>();
    for (const item of items) {
      if (item.kind === "link" && item.manifest.op === "attest") {
        const parts = await partsOf(item, ["content"]);
        if (parts === undefined) continue;
        keys.push({
          ...(await namingEntry(item, () => decodeAttestedKey(parts.get("content")!))),
          local: item.manifest.local,
          item,
        });
      } else if (item.kind === "consent") {
        const { local } = item.manifest;
        const person = people.get(toHex(local)) ?? (await identifiersOf(catalogue, local)) ?? null;
        people.set(toHex(local), person);
        try {
          if (item.lost === true) throw lacks([item]);
          const parts = await partsOf(item, CONSENT_PARTS);
          if (parts === undefined) continue;
          const signed = parts.get("content")!;
          const held = await heldAt(item, signed);
          const judged = await namingEntry(item, () =>
            judgeFiled(context, decodeFiledForm(signed), {
              ledger: context.chain.ledger,
              salt: parts.get("salt")!,
              identifiers: sealedIdentifiers(parts.get("identifier")!, person),
              keys,
              witnesses: witnessesBefore(lists, item.place),
              filedAt: { height: item.place.height, time: item.recordedAt },
              heldAt: held,
              height,
            }),
          );
          const { id, recordedAt, manifest } = item;
          const named = manifest.origin === undefined ? {} : { aliases: [manifest.origin] };
          const place = placeOf(item);
          directives.push({ entry: toEntryId(id), ...named, place, recordedAt, ...judged });
        } catch (error) {
          if (!isUnreadable(error)) throw error;
          unreadable.push({ item, error });
        }
      }
    }
    const erased = await erasedPredecessors(context, catalogue, directives, unreadable);
    const list = lists.at(-1);
    return {
      directives: [...directives, ...standIns([...unreadable, ...erased], directives)],
      keys,
      witnesses: list?.witnesses ?? [],
      ...(list === undefined ? {} : { list: list.item }),
    };
  };
}

/**
 * Opens parts of an entry about a person.
 *
 * @returns `undefined` when it was erased
 */
export async function openParts(
  context: LedgerContext,
  catalogue: Catalogue,
  item: CatalogueItem,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const { kind, envelope, place } = item;
  const own = { kind, envelope, height: place.height, parts: ids };
  const parts = await openOwn(context, own).catch((cause: unknown) => {
    // Its header is invalid, or has no such part.
    const invalid = cause instanceof EnvelopeError && cause.code === "ERR_ENVELOPE_INVALID";
    throw invalid ? cannotBeRead(item, cause) : cause;
  });
  if (parts !== undefined || (await isErasedNow(catalogue, item.id))) return parts;
  throw lostEntry(kind, item.id);
}

/** The parts of a consent's envelope that decisions use; evidence lies beside them. */
export const CONSENT_PARTS: readonly string[] = ["content", "salt", "identifier"];

/** What directives about a person may commit to; `undefined` if the person was forgotten. */
export async function identifiersOf(
  catalogue: Catalogue,
  local: Uint8Array,
): Promise<readonly PersonIdentifier[] | undefined> {
  const known = await catalogue.subject(local);
  known?.key.fill(0);
  return known && [...known.identifiers, ownIdentifier(local)];
}

/** The identifier that a consent was bound to, if it is one of the person's, or if they are forgotten. */
function sealedIdentifiers(
  bytes: Uint8Array,
  person: readonly PersonIdentifier[] | null,
): readonly PersonIdentifier[] {
  const sealed = decodeIdentifiers(bytes);
  if (person === null) return sealed;
  return sealed.filter((one) =>
    person.some(({ system, value }) => one.system === system && one.value === value),
  );
}

/** An unreadable entry may refuse everything, so nobody can tell what is permitted despite it. */
const cannotBeRead = ({ kind, id }: CatalogueItem, cause: unknown): StorageError =>
  new StorageError(
    "ERR_STORAGE_CORRUPT",
    `the ${kind} entry ${toHex(id)} cannot be read, so what is permitted is unknown`,
    { cause },
  );

/** Reads an entry's content; if it is damaged, throws an error that names the entry. */
export async function namingEntry<T>(item: CatalogueItem, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw isDamage(cause) ? cannotBeRead(item, cause) : cause;
  }
}
