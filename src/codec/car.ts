import { decodeVarint, encodeVarint, MAX_VARINT_BYTES } from "../bytes/varint.ts";
import { EncodingError, InputError } from "../errors.ts";
import { byteReader } from "./byte-reader.ts";
import type { ByteReader } from "./byte-reader.ts";
import { anyCidFromBytes, CID, cidFromBytes, matchesCid } from "./cid.ts";
import { decode, encode } from "./dag-cbor.ts";
import { expectArray, expectMap } from "./shape.ts";

/** Bytes and their CID. */
export interface CarBlock {
  readonly cid: CID;
  readonly bytes: Uint8Array;
}

/** Options of {@link readCar}. */
export interface CarOptions {
  /**
   * `own` (default): CIDv1 of SHA-256 with the DAG-CBOR or raw codec, as this library writes.
   * `any`: CIDs of any version and codec; the hash must still be SHA-256, because it is checked.
   */
  readonly cids?: "own" | "any";
  /** Longest header, in bytes. Default 64 KiB. */
  readonly maxHeaderBytes?: number;
  /** Longest block with its CID, in bytes. Default 64 MiB. */
  readonly maxBlockBytes?: number;
}

/** A CAR whose header has been read. */
export interface CarReader {
  readonly roots: readonly CID[];
  /**
   * The blocks in file order, each checked against its CID; can be iterated once. `offset` is the
   * position in the file of the block's length prefix.
   *
   * Throws {@link EncodingError} `ERR_ENCODING_CAR`, naming the block and its offset, at the first
   * block that is malformed or does not match its CID.
   */
  readonly blocks: AsyncIterable<CarBlock & { readonly offset: number }>;
}

const OWN_CID_BYTES = 36;
const MAX_ROOTS = 1024;

/**
 * Writes a CARv1 stream: the same roots and blocks always give the same bytes.
 *
 * @param blocks - in the order in which to write them
 * @throws {InputError} `ERR_INPUT_INVALID` when a block does not match its CID
 * @see https://ipld.io/specs/transport/car/carv1/
 */
export async function* writeCar(
  roots: readonly CID[],
  blocks: AsyncIterable<CarBlock> | Iterable<CarBlock>,
): AsyncIterable<Uint8Array> {
  const header = encode({ roots, version: 1 });
  yield encodeVarint(header.length);
  yield header;
  let index = 0;
  for await (const { cid, bytes } of blocks) {
    if (!matchesCid(cid, bytes)) {
      throw new InputError("ERR_INPUT_INVALID", `block ${index} does not match its CID`);
    }
    const name = cid.bytes;
    const length = encodeVarint(name.length + bytes.length);
    const prefix = new Uint8Array(length.length + name.length);
    prefix.set(length);
    prefix.set(name, length.length);
    yield prefix;
    if (bytes.length > 0) yield bytes;
    index++;
  }
}

/**
 * Reads a CARv1 stream block by block and checks every hash. Memory use depends only on the largest
 * block.
 *
 * @param source - chunks of any size; released when the blocks end, fail or are abandoned
 * @throws {EncodingError} `ERR_ENCODING_CAR` when the header is not a CARv1 header
 * @see https://ipld.io/specs/transport/car/carv1/
 */
export async function readCar(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CarOptions = {},
): Promise<CarReader> {
  const reader = byteReader(source);
  try {
    const roots = await readHeader(reader, options);
    return { roots, blocks: readBlocks(reader, options) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function readHeader(reader: ByteReader, options: CarOptions): Promise<readonly CID[]> {
  const bytes = await readSection(reader, "header", options.maxHeaderBytes ?? 64 * 1024);
  if (bytes === undefined) throw broken("header: is missing");
  try {
    const header = expectMap(decode(bytes, { maxDepth: 2 }), "header", ["roots", "version"]);
    if (header["version"] !== 1) throw broken("header: is not of version 1");
    return expectArray(header["roots"], "header.roots", MAX_ROOTS).map((root) => {
      if (!(root instanceof CID)) throw broken("header: has a root that is not a CID");
      return checkCid(root.bytes, options);
    });
  } catch (cause) {
    throw toBroken("header", cause);
  }
}

async function* readBlocks(
  reader: ByteReader,
  options: CarOptions,
): AsyncGenerator<CarBlock & { readonly offset: number }> {
  const maxBytes = options.maxBlockBytes ?? 64 * 1024 * 1024;
  try {
    for (let index = 0; ; index++) {
      const offset = reader.position;
      const where = `block ${index} at offset ${offset}`;
      const section = await readSection(reader, where, maxBytes);
      if (section === undefined) return;
      let cid: CID;
      let bytes: Uint8Array;
      try {
        const length = options.cids === "any" ? cidLength(section) : OWN_CID_BYTES;
        cid = checkCid(section.subarray(0, length), options);
        bytes = section.slice(length);
      } catch (cause) {
        throw toBroken(where, cause);
      }
      if (!matchesCid(cid, bytes)) throw broken(`${where}: does not match its CID`);
      yield { cid, bytes, offset };
    }
  } finally {
    await reader.close();
  }
}

/** Reads a varint and the number of bytes that it gives; `undefined` at the end of the stream. */
async function readSection(
  reader: ByteReader,
  where: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const ahead = await reader.peek(MAX_VARINT_BYTES);
  if (ahead.length === 0) return undefined;
  let prefix: ReturnType<typeof decodeVarint>;
  try {
    prefix = decodeVarint(ahead);
  } catch (cause) {
    throw toBroken(where, cause);
  }
  if (prefix === undefined) throw broken(`${where}: ends in the middle of its length`);
  if (prefix.value === 0) throw broken(`${where}: is empty`);
  if (prefix.value > maxBytes) throw broken(`${where}: is longer than ${maxBytes} bytes`);
  await reader.take(prefix.length);
  const bytes = await reader.take(prefix.value);
  if (bytes === undefined) throw broken(`${where}: ends before its ${prefix.value} bytes`);
  return bytes;
}

function cidLength(section: Uint8Array): number {
  const { size } = CID.inspectBytes(section.subarray(0, 64));
  if (size > section.length) throw broken("the CID is longer than its block");
  return size;
}

/** Copies the CID, so that it does not keep the block's memory alive. */
function checkCid(bytes: Uint8Array, options: CarOptions): CID {
  if (options.cids !== "any") return cidFromBytes(bytes);
  return anyCidFromBytes(bytes.slice());
}

function broken(what: string, cause?: unknown): EncodingError {
  return new EncodingError("ERR_ENCODING_CAR", what, { cause });
}

function toBroken(where: string, cause: unknown): EncodingError {
  if (cause instanceof EncodingError && cause.code === "ERR_ENCODING_CAR") return cause;
  return broken(
    `${where}: ${cause instanceof EncodingError ? cause.message : "the bytes are not a CID"}`,
    cause,
  );
}
