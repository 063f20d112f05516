import { equalBytes } from "../../bytes/compare.ts";
import { fromHex } from "../../bytes/hex.ts";
import type { Steps } from "../../bytes/steps.ts";
import { decode, encodeReadable, encodeReadableSteps } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectNoLostText,
  expectNoLostTextSteps,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
  type Fields,
} from "../../codec/shape.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { EncodingError } from "../../errors.ts";
import { copyBytes } from "../../storage/guards.ts";
import { freezeData, giveResult } from "../give-results.ts";
import { expectEntitlements, type ErasedEntitlement } from "./entitlements.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { ResourceDescription } from "../../fhir/describe-resource.ts";
import { MAX_REFERS } from "../../fhir/links.ts";

/** Maximum number of attachments of one record. */
export const MAX_ATTACHMENTS = 250;

/** Maximum length of a `fullUrl` in UTF-16 units. */
export const MAX_URL = 4096;

/** Maximum number of identifiers of a resource that names nobody. */
export const MAX_NAMED_BY = 64;

/** Maximum length of a source's name in UTF-16 units. */
export const MAX_SOURCE = 256;

/** The `manifest` part of every envelope that this layer seals. */
export interface Manifest {
  readonly v: 1;
  readonly op: Operation;
  /** The custodian's random id of the person, 16 bytes; the index is rebuilt from it. */
  readonly local: Uint8Array;
  /**
   * The person whom `local` is one with, or no longer, or may be: 16 bytes. In a `merge` and an `unmerge`
   * always, in a `propose` and a `dismiss` if the proposal is about two.
   */
  readonly other?: Uint8Array;
  /** The entry that this one follows. */
  readonly replaces?: EntryId;
  /** The entry of another custodian that delivered the directive: later ones name that as their predecessor. */
  readonly origin?: EntryId;
  /** Media type of the `content` part, if there is one. */
  readonly mediaType?: string;
  /** Media types of the attachments, in the order of the parts `attachment-0` and on. */
  readonly attachments?: readonly string[];
  /** A description of the content, for consent and search. */
  readonly resource?: ResourceDescription;
  /** Original URL of the resource, which its references are resolved by: `Bundle.entry.fullUrl`. */
  readonly fullUrl?: string;
  readonly labels?: ResourceLabels | null;
  /** The reason, in the custodian's words; for a hold, the rule. */
  readonly reason?: string;
  /** Name of the request that an access answers, used to recognise a replay: 32 bytes. */
  readonly request?: Uint8Array;
  /** Whether an access must be reviewed. */
  readonly review?: true;
  /** Name of the caller's idempotency key, for the person: 32 bytes. */
  readonly idempotency?: Uint8Array;
  /** Name of an alias of the person and of the member that it is for: 32 bytes. */
  readonly alias?: Uint8Array;
  /** The resource at its source that the entry is about. */
  readonly source?: SourceNote;
  /** Set if the resource names nobody, such as a Medication: how it came to be filed. */
  readonly nobody?: NobodyMark;
  /**
   * Names of what the resource refers to that may be about nobody, at most 1,000: `Type/id` or a URL,
   * `Type?identifier=system|value`, or what is written where nothing tells what it names.
   */
  readonly refers?: readonly string[];
  /** Those among `refers`, without their servers, that were not on record of the source; at most 1,000. */
  readonly awaits?: readonly string[];
  /** Identifiers of a resource that names nobody, by which others may refer to it; at most 64. */
  readonly identifiers?: readonly { readonly system: string; readonly value: string }[];
  /** did:keys of the members that may open the content: at most 64, in ascending order. */
  readonly entitled?: readonly string[];
  /** In an erase entry: who was entitled to what it erases. */
  readonly erased?: readonly ErasedEntitlement[];
  /** Set where the source ended a record, or deleted what is not on record: what it said of when. */
  readonly ending?: SourceVersion;
}

/** A resource as its source names it. */
export interface SourceNote {
  /** The source's name, which the caller gave. */
  readonly name: string;
  readonly type: string;
  readonly id: string;
  /** The server's URL, with a slash at its end, where no `fullUrl` states it. */
  readonly base?: string;
  /** Keyed digest of the resource's text, 32 bytes: the same text is recognised by it. */
  readonly text?: Uint8Array;
}

/** What a source says of a version of a resource. */
export interface SourceVersion {
  readonly versionId?: string;
  /** In ms since 1970. */
  readonly lastUpdated?: number;
}

/** How a resource that names nobody came to be filed. */
export type NobodyMark =
  /** It is kept once for everybody, and released to nobody. */
  | "kept"
  /** About a person, because something about them refers to it: it goes out with that only. */
  | "served"
  /** About a person, because the caller said so. */
  | "filed";

/** The parts of a manifest by which entries are looked up. */
export type ManifestBrief = Pick<
  Manifest,
  | ("op" | "local" | "other" | "replaces" | "fullUrl" | "review" | "idempotency" | "alias")
  | ("nobody" | "awaits" | "identifiers" | "entitled")
> & {
  readonly resource?: Pick<ResourceDescription, "id">;
  readonly source?: Omit<SourceNote, "text">;
};

const REQUIRED = ["v", "op", "local"];
const OPTIONAL = [
  ...["replaces", "mediaType", "attachments", "resource", "fullUrl", "labels", "reason"],
  ...["request", "review", "source", "ending", "idempotency", "other", "alias", "origin"],
  ...["nobody", "refers", "identifiers", "awaits", "entitled", "erased"],
];

/**
 * Writes a manifest.
 *
 * @throws {EncodingError} when the result could not be decoded
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const wire = wireOf(manifest);
  expectNoLostText(expectManifest(wire), "manifest");
  return encodeReadable(wire);
}

/** A manifest in its encoded form. */
function wireOf(manifest: Manifest): object {
  const { replaces, origin } = manifest;
  if (replaces === undefined && origin === undefined) return manifest;
  return {
    ...manifest,
    ...(replaces === undefined ? {} : { replaces: fromHex(replaces) }),
    ...(origin === undefined ? {} : { origin: fromHex(origin) }),
  };
}

/** Number of values in a list above which encoding the description takes more than one time slice. */
const FEW = 4096;

/**
 * Like {@link encodeManifest}, but in steps if the manifest is long. The manifest must not change meanwhile.
 */
export function* manifestSteps(manifest: Manifest): Steps<Uint8Array> {
  const { resource, labels } = manifest;
  const lists = [
    ...[resource?.codes, resource?.references, resource?.authors, resource?.profiles],
    ...[resource?.labels, labels?.codes],
  ];
  if (lists.every((list = []) => list.length <= FEW)) return encodeManifest(manifest);
  const wire = wireOf(manifest);
  expectManifest(wire);
  yield* expectNoLostTextSteps(wire, "manifest");
  return yield* encodeReadableSteps(wire);
}

/** Offset of `local`'s value in a manifest: after the map's head, `v`, `op` and the name `local`. */
const LOCAL_BEHIND_OP = 15;

/**
 * Changes the person that an encoded manifest is about. Gives the same bytes as {@link encodeManifest}, but
 * faster.
 *
 * @param encoded - of a manifest that differs in `local` only; borrowed
 * @param local - 16 bytes
 * @returns newly allocated bytes
 */
export function manifestAbout(encoded: Uint8Array, local: Uint8Array): Uint8Array {
  expectBytes(local, "manifest.local", 16);
  const bytes = encoded.slice();
  // The shortest names come first, and no operation has 24 letters.
  bytes.set(local, LOCAL_BEHIND_OP + (bytes[7]! & 0x1f));
  return bytes;
}

/**
 * Reads a manifest. Its description and labels are the author's claims: they are only checked to be
 * well-formed values from which no text was lost.
 *
 * @throws {EncodingError} when it is not a manifest
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const map = expectManifest(decode(bytes));
  expectNoLostText(map, "manifest");
  const { replaces, origin } = map;
  const named = {
    ...(replaces === undefined ? {} : { replaces: toEntryId(replaces as Uint8Array) }),
    ...(origin === undefined ? {} : { origin: toEntryId(origin as Uint8Array) }),
  };
  return freezeParts({ ...map, ...named } as unknown as Manifest);
}

/** A manifest to be kept: its bytes and labels are copies, and its data is frozen. */
export function ownManifest(manifest: Manifest): Manifest {
  const { labels } = manifest;
  return freezeParts({
    ...copyManifest(manifest),
    // The labeller may keep the object that it returned, and change it.
    ...(labels === undefined ? {} : { labels: giveResult(labels) as ResourceLabels | null }),
  });
}

/**
 * A copy of the parts by which an entry is looked up.
 *
 * @param former - a brief whose copy of `local` is shared if it is the same
 */
export function briefOf(manifest: Manifest, former?: ManifestBrief): ManifestBrief {
  const { op, local, replaces, fullUrl, resource, source, idempotency } = manifest;
  const { nobody, identifiers, awaits, entitled } = manifest;
  return {
    op,
    local:
      former !== undefined && equalBytes(former.local, local) ? former.local : copyBytes(local),
    ...(replaces === undefined ? {} : { replaces }),
    ...(fullUrl === undefined ? {} : { fullUrl }),
    ...(resource?.id === undefined ? {} : { resource: { id: resource.id } }),
    ...(source === undefined ? {} : { source: nameOf(source) }),
    ...(idempotency === undefined ? {} : { idempotency: copyBytes(idempotency) }),
    ...(nobody === undefined ? {} : { nobody }),
    ...(identifiers === undefined ? {} : { identifiers: identifiers.map((one) => ({ ...one })) }),
    ...(awaits === undefined ? {} : { awaits: [...awaits] }),
    ...(entitled === undefined ? {} : { entitled: [...entitled] }),
  };
}

const nameOf = ({ name, type, id, base }: SourceNote): Omit<SourceNote, "text"> => ({
  ...{ name, type, id },
  ...(base === undefined ? {} : { base }),
});

/** A copy of a manifest that copies its bytes and shares its other data. */
export function copyManifest(manifest: Manifest): Manifest {
  const { local, other, request, idempotency, alias, source } = manifest;
  const { text } = source ?? {};
  return {
    ...manifest,
    local: copyBytes(local),
    ...(other === undefined ? {} : { other: copyBytes(other) }),
    ...(request === undefined ? {} : { request: copyBytes(request) }),
    ...(idempotency === undefined ? {} : { idempotency: copyBytes(idempotency) }),
    ...(alias === undefined ? {} : { alias: copyBytes(alias) }),
    ...(text === undefined ? {} : { source: { ...source!, text: copyBytes(text) } }),
  };
}

function freezeParts(manifest: Manifest): Manifest {
  freezeData(manifest.resource);
  freezeData(manifest.labels);
  freezeData(manifest.attachments);
  freezeData(manifest.refers);
  freezeData(manifest.identifiers);
  freezeData(manifest.awaits);
  freezeData(manifest.entitled);
  freezeData(manifest.erased);
  return manifest;
}

/** Checks a manifest in its encoded form. */
function expectManifest(value: unknown): Fields {
  const map = expectMap(value, "manifest", REQUIRED, OPTIONAL);
  expectVersion(map["v"], "manifest");
  expectOneOf(map["op"], "manifest.op", OPERATIONS);
  expectBytes(map["local"], "manifest.local", 16);
  if (map["replaces"] !== undefined) expectBytes(map["replaces"], "manifest.replaces", 32);
  if (map["origin"] !== undefined) expectBytes(map["origin"], "manifest.origin", 32);
  expectOther(map);
  if (map["mediaType"] !== undefined) expectString(map["mediaType"], "manifest.mediaType");
  const attachments = map["attachments"] ?? [];
  for (const mediaType of expectArray(attachments, "manifest.attachments", MAX_ATTACHMENTS)) {
    expectString(mediaType, "manifest.attachments", 256);
  }
  if (map["fullUrl"] !== undefined) expectString(map["fullUrl"], "manifest.fullUrl", MAX_URL);
  if (map["request"] !== undefined) expectBytes(map["request"], "manifest.request", 32);
  if (map["review"] !== undefined && map["review"] !== true) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "manifest.review must be true, or absent");
  }
  if (map["reason"] !== undefined) expectString(map["reason"], "manifest.reason", 4096);
  if (map["idempotency"] !== undefined) {
    expectBytes(map["idempotency"], "manifest.idempotency", 32);
  }
  if (map["alias"] !== undefined) expectBytes(map["alias"], "manifest.alias", 32);
  if (map["nobody"] !== undefined) {
    expectOneOf(map["nobody"], "manifest.nobody", ["kept", "served", "filed"]);
  }
  for (const list of ["refers", "awaits"]) {
    for (const name of expectArray(map[list] ?? [], `manifest.${list}`, MAX_REFERS)) {
      expectString(name, `manifest.${list}`, MAX_URL);
    }
  }
  for (const one of expectArray(map["identifiers"] ?? [], "manifest.identifiers", MAX_NAMED_BY)) {
    const { system, value } = expectMap(one, "manifest.identifiers", ["system", "value"]);
    expectString(system, "manifest.identifiers", MAX_URL);
    expectString(value, "manifest.identifiers", MAX_URL);
  }
  expectEntitlements(map["entitled"], map["erased"]);
  if (map["source"] !== undefined) expectSource(map["source"]);
  if (map["ending"] !== undefined) expectEnding(map["ending"]);
  return map;
}

/** Checks that a manifest names two different persons where it may, and where it must. */
function expectOther({ op, local, other, replaces }: Fields): void {
  const joins = op === "merge" || op === "unmerge";
  const proposes = op === "propose" || op === "dismiss";
  const follows = op === "unmerge" || op === "dismiss";
  const isMisplaced = joins ? other === undefined : other !== undefined && !proposes;
  if (isMisplaced || ((joins || proposes) && follows !== (replaces !== undefined))) {
    throw new EncodingError(
      "ERR_ENCODING_SHAPE",
      "manifest.other must be in a merge and an unmerge, and may be in a proposal",
    );
  }
  if (other === undefined) return;
  if (equalBytes(expectBytes(other, "manifest.other", 16), local as Uint8Array)) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "manifest.other must be another person");
  }
}

function expectSource(value: unknown): void {
  const map = expectMap(value, "manifest.source", ["name", "type", "id"], ["base", "text"]);
  expectString(map["name"], "manifest.source.name", MAX_SOURCE);
  expectString(map["type"], "manifest.source.type", 64);
  expectString(map["id"], "manifest.source.id", 64);
  if (map["base"] !== undefined) expectString(map["base"], "manifest.source.base", MAX_URL);
  if (map["text"] !== undefined) expectBytes(map["text"], "manifest.source.text", 32);
}

function expectEnding(value: unknown): void {
  const map = expectMap(value, "manifest.ending", [], ["versionId", "lastUpdated"]);
  if (map["versionId"] !== undefined) expectString(map["versionId"], "manifest.ending.versionId");
  if (map["lastUpdated"] !== undefined) {
    expectUint(map["lastUpdated"], "manifest.ending.lastUpdated");
  }
}
