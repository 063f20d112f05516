import { appendTo } from "../bytes/lists.ts";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import { atOnce, type Steps } from "../bytes/steps.ts";
import { assertBytes } from "../bytes/guards.ts";
import type { CID } from "../codec/cid.ts";
import { decode, encode, encodeSteps } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectString, expectUint } from "../codec/shape.ts";
import { expectMap, expectVersion } from "../codec/shape.ts";
import { EncodingError, EnvelopeError, InputError, LedgerError } from "../errors.ts";
import { areHashes, leafHash } from "../merkle/hash.ts";
import { type MerkleTree, treeSteps } from "../merkle/tree.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import type { EnvelopeContext, EnvelopeHeader, HeaderRefusal, SigningKey } from "./header.ts";
import { decodeSignedHeader, MAX_HEADER_BYTES, orInvalid, verifyHeader } from "./header.ts";
import type { PartContent } from "./seal.ts";

/** A value that can be disclosed on its own. */
export interface Field {
  /** JSON pointer (RFC 6901) of the value within the resource. */
  readonly path: string;
  /** The value's exact bytes, such as its original JSON text. */
  readonly value: Uint8Array;
}

/** A commitment to fields, and the part that holds its salts and values. */
export interface PreparedFields {
  /** Goes into the header; see {@link SealOptions.disclosed}. */
  readonly disclosed: Uint8Array;
  /**
   * Salts and values, to seal with the other parts. Anyone who reads this part can prove every
   * field.
   */
  readonly part: PartContent;
}

/** Why a proof of fields was refused. */
export type FieldsRefusal =
  | HeaderRefusal
  /** The envelope commits to no fields. */
  | "undisclosed"
  /** A field is not one that the author committed to. */
  | "field";

export type FieldsResult =
  | { readonly ok: true; readonly header: EnvelopeHeader; readonly fields: readonly Field[] }
  | { readonly ok: false; readonly reason: FieldsRefusal };

/** Id of the part with salts and values. */
export const FIELDS_PART = "fields";

const SALT_BYTES = 16;
const MAX_FIELDS = 65_536;
const MAX_PATH = 4096;
/** Longest fields part or proof accepted, in bytes; a proof contains the signed header. */
const MAX_BYTES: number = 4 * MAX_HEADER_BYTES;
const LIMITS = { maxBytes: MAX_BYTES, maxDepth: 5, maxItems: 2_500_000 };

interface SaltedField extends Field {
  readonly salt: Uint8Array;
}

/**
 * Commits to fields, each with its own salt of 128 bits, so that a reader of some fields cannot
 * guess the values of the others. Leaves are sorted by hash and padded with random ones to a power
 * of two: a proof reveals neither the positions of fields in the resource nor their number, except
 * that power.
 *
 * @param random - cryptographically strong
 * @throws {InputError} `ERR_INPUT_INVALID` when there are no fields, too many fields, or a path
 *   occurs twice
 * @example
 * const content = new TextEncoder().encode('{"resourceType":"Observation","status":"final"}');
 * const { disclosed, part } = prepareFields(splitFields(content), random);
 * const parts = [{ id: "content", bytes: content }, part];
 * const sealed = await sealEnvelope({ context, parts, disclosed, signer, random });
 */
export function prepareFields(
  fields: readonly Field[],
  random: (length: number) => Uint8Array,
): PreparedFields {
  return atOnce(preparedSteps(fields, random));
}

/** Fields between two places where work on them can be interrupted. */
const PIECE = 512;

/** As {@link prepareFields}, by steps. */
export function* preparedSteps(
  fields: readonly Field[],
  random: (length: number) => Uint8Array,
): Steps<PreparedFields> {
  if (fields.length === 0 || fields.length > MAX_FIELDS) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `the number of fields must be from 1 to ${MAX_FIELDS}`,
    );
  }
  if (new Set(fields.map(({ path }) => path)).size < fields.length) {
    throw new InputError("ERR_INPUT_INVALID", "a field's path occurs twice");
  }
  if (fields.some(({ path }) => path.length > MAX_PATH)) {
    throw new InputError("ERR_INPUT_INVALID", `a field's path is longer than ${MAX_PATH}`);
  }
  const salts = random(SALT_BYTES * fields.length);
  const salted = fields.map(({ path, value }, i): SaltedField => {
    assertBytes(value, "field.value");
    return { salt: salts.slice(i * SALT_BYTES, (i + 1) * SALT_BYTES), path, value };
  });
  if (fields.length > PIECE) yield;
  const padding = paddingFor(fields.length, random);
  const bytes = yield* encodeSteps({
    v: 1,
    fields: salted.map(({ salt, path, value }) => [salt, path, value]),
    padding,
  });
  if (bytes.length > MAX_BYTES) {
    throw new InputError("ERR_INPUT_TOO_LARGE", `the fields take more than ${MAX_BYTES} bytes`);
  }
  return {
    disclosed: (yield* treeOf(salted, padding)).tree.root,
    part: { id: FIELDS_PART, bytes },
  };
}

/**
 * Decodes a fields part.
 *
 * @param disclosed - the root in the header, which the part must match
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when it does not
 * @example
 * const opened = await openEnvelope({ envelope, header, keys, context, author, read });
 * const part = opened.parts.get(FIELDS_PART);
 * const { disclosed } = opened.header;
 * const fields = part && disclosed && readFields(part, disclosed);
 */
export function readFields(part: Uint8Array, disclosed: Uint8Array): readonly Field[] {
  return openFields(part, disclosed).salted.map(({ path, value }) => ({ path, value }));
}

/**
 * Proves single fields to a reader who has neither the envelope nor a key. A proof shows the
 * requested fields and the envelope's signed header.
 *
 * @param options.header - the signed header
 * @param options.part - plaintext of the part `fields`
 * @param options.paths - paths of the fields to show
 * @returns the proof's bytes
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the part does not match the header's
 *   commitment
 * @throws {InputError} `ERR_INPUT_INVALID` when there is no such field
 * @example
 * const { parts } = await openEnvelope({ envelope, header, keys, context, author, read });
 * const part = parts.get(FIELDS_PART);
 * if (part === undefined) throw new Error("the envelope has no fields to prove");
 * const proof = proveFields({ header, part, paths: ["/status"] });
 */
export function proveFields(options: {
  readonly header: Uint8Array;
  readonly part: Uint8Array;
  readonly paths: readonly string[];
}): Uint8Array {
  const { disclosed } = decodeSignedHeader(options.header).header;
  if (disclosed === undefined) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "the envelope commits to no fields");
  }
  const { salted, tree, indexOf } = openFields(options.part, disclosed);
  const byPath = new Map(salted.map((field, i) => [field.path, i]));
  const shown = [...new Set(options.paths)].map((path) => {
    const i = byPath.get(path);
    if (i === undefined) throw new InputError("ERR_INPUT_INVALID", "there is no such field");
    const { salt, value } = salted[i]!;
    const index = indexOf[i]!;
    return [salt, path, value, index, tree.proveInclusion(index)];
  });
  if (shown.length === 0)
    throw new InputError("ERR_INPUT_INVALID", "`paths` must name at least one field");
  return encode({ v: 1, header: options.header, size: tree.size, fields: shown });
}

/**
 * Verifies a proof of fields: that the author signed this envelope for this entry and committed to
 * these values in it. Never throws on hostile bytes.
 *
 * It proves what the author wrote, not that the content is true, and not that the resource holds
 * nothing else. A holder of the content can compare the two.
 *
 * @param expected - the ledger's data about the entry that names the envelope, as for
 *   {@link verifyHeader}
 * @example
 * const result = verifyFields(proof, { envelope, context, author });
 * if (!result.ok) throw new Error(`not proved: ${result.reason}`);
 * for (const { path, value } of result.fields) console.log(path, new TextDecoder().decode(value));
 */
export function verifyFields(
  proof: Uint8Array,
  expected: {
    readonly envelope: CID;
    readonly context: EnvelopeContext;
    readonly author: SigningKey;
  },
): FieldsResult {
  const refuse = (reason: FieldsRefusal): FieldsResult => ({ ok: false, reason });
  let read: ReturnType<typeof decodeProof>;
  try {
    read = decodeProof(proof);
  } catch (error) {
    if (error instanceof LedgerError) return refuse("malformed");
    throw error;
  }
  const verified = verifyHeader(read.header, expected);
  if (!verified.ok) return refuse(verified.reason);
  const { header } = verified;
  if (header.disclosed === undefined) return refuse("undisclosed");
  for (const { index, siblings, ...field } of read.fields) {
    const claim = { index, size: read.size, leafHash: hashOf(field), proof: siblings };
    if (!verifyInclusion({ ...claim, root: header.disclosed }).ok) return refuse("field");
  }
  return { ok: true, header, fields: read.fields.map(({ path, value }) => ({ path, value })) };
}

/** Hash of the leaf dag-cbor([salt, path, value]). */
function hashOf({ salt, path, value }: SaltedField): Uint8Array {
  return leafHash(encode([salt, path, value]));
}

/** Random hashes that pad the tree to a power of two; they cannot be distinguished from leaves. */
function paddingFor(count: number, random: (length: number) => Uint8Array): Uint8Array[] {
  const wanted = 2 ** Math.ceil(Math.log2(count)) - count;
  const bytes = random(32 * wanted);
  return Array.from({ length: wanted }, (_, i) => bytes.slice(32 * i, 32 * (i + 1)));
}

/** The tree, and the index of each field in it. */
function* treeOf(
  salted: readonly SaltedField[],
  padding: readonly Uint8Array[],
): Steps<{ readonly tree: MerkleTree; readonly indexOf: readonly number[] }> {
  const hashes: Uint8Array[] = [];
  for (const field of salted) {
    if (hashes.length % PIECE === PIECE - 1) yield;
    hashes.push(hashOf(field));
  }
  appendTo(hashes, padding);
  const order = yield* orderOf(hashes);
  const indexOf: number[] = [];
  for (const [index, i] of order.entries()) indexOf[i] = index;
  return { tree: yield* treeSteps(order.map((i) => hashes[i]!)), indexOf };
}

/** Places of hashes in their order; sorted by their first byte first, so that no sort is long. */
function* orderOf(hashes: readonly Uint8Array[]): Steps<readonly number[]> {
  const compare = (a: number, b: number): number => compareBytes(hashes[a]!, hashes[b]!);
  if (hashes.length <= PIECE) return hashes.map((_, i) => i).sort(compare);
  const byFirst = Array.from({ length: 256 }, (): number[] => []);
  for (const [i, hash] of hashes.entries()) byFirst[hash[0]!]!.push(i);
  const order: number[] = [];
  for (const some of byFirst) {
    appendTo(order, some.sort(compare));
    yield;
  }
  return order;
}

function openFields(part: Uint8Array, disclosed: Uint8Array) {
  const { salted, padding } = orInvalid("fields part", () => {
    const map = expectMap(decode(part, LIMITS), "fields", ["v", "fields", "padding"]);
    expectVersion(map["v"], "fields");
    const fields = expectArray(map["fields"], "fields.fields", MAX_FIELDS).map((item) =>
      readSalted(tupleOf(item, 3)),
    );
    const given = expectArray(map["padding"], "fields.padding", MAX_FIELDS);
    if (!areHashes(given)) throw new EncodingError("ERR_ENCODING_SHAPE", "fields.padding");
    return { salted: fields, padding: given };
  });
  const built = atOnce(treeOf(salted, padding));
  const paths = new Set(salted.map(({ path }) => path));
  if (paths.size < salted.length || !equalBytes(built.tree.root, disclosed)) {
    throw new EnvelopeError(
      "ERR_ENVELOPE_INVALID",
      "the fields do not match the commitment in the header",
    );
  }
  return { salted, ...built };
}

function decodeProof(bytes: Uint8Array) {
  const map = expectMap(decode(bytes, LIMITS), "proof", ["v", "header", "size", "fields"]);
  expectVersion(map["v"], "proof");
  const fields = expectArray(map["fields"], "proof.fields", MAX_FIELDS).map((item) => {
    const [salt, path, value, index, siblings] = tupleOf(item, 5);
    return {
      ...readSalted([salt, path, value]),
      index: expectUint(index, "proof.index", 2 * MAX_FIELDS),
      siblings: expectArray(siblings, "proof.siblings", 32) as readonly Uint8Array[],
    };
  });
  if (fields.length === 0 || new Set(fields.map(({ path }) => path)).size < fields.length) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "proof.fields");
  }
  return {
    header: expectBytes(map["header"], "proof.header"),
    size: expectUint(map["size"], "proof.size", 2 * MAX_FIELDS),
    fields,
  };
}

function tupleOf(value: unknown, length: number): readonly unknown[] {
  const items = expectArray(value, "field", length);
  if (items.length !== length) throw new EncodingError("ERR_ENCODING_SHAPE", "field");
  return items;
}

function readSalted([salt, path, value]: readonly unknown[]): SaltedField {
  return {
    salt: expectBytes(salt, "field.salt", SALT_BYTES),
    path: expectString(path, "field.path", MAX_PATH),
    value: expectBytes(value, "field.value"),
  };
}
