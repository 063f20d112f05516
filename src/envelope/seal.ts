import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { assertBytes } from "../bytes/guards.ts";
import type { CID } from "../codec/cid.ts";
import { cidOf, DAG_CBOR, RAW } from "../codec/cid.ts";
import { InputError } from "../errors.ts";
import { signEachWith, type Signer } from "../identity/signer.ts";
import { giveTurn } from "../loop/give-turn.ts";
import { sealBlock } from "./blocks.ts";
import type { EnvelopeContext, EnvelopePart } from "./header.ts";
import { blockCount, encodeHeader, signedHeader } from "./header.ts";
import { deriveCommit, derivePartKeys, deriveSegmentKey, KEY_BYTES, wipeKeys } from "./keys.ts";
import { assertPadding, type Padding, paddedSize } from "./padding.ts";
import { createPartCipher, isShort, nameBlock, sealShort, TAG_BYTES } from "./part-cipher.ts";
import { type SuiteName, usableSuite } from "./suite.ts";

/** A part to seal. */
export interface PartContent {
  /** 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit; not encrypted. */
  readonly id: string;
  /** Borrowed. */
  readonly bytes: Uint8Array;
}

/** Options of {@link sealEnvelope}. */
export interface SealOptions {
  /** The entry that will name the envelope; its author must be the signer's actor. */
  readonly context: EnvelopeContext;
  /** 1 to 256 parts. */
  readonly parts: readonly PartContent[];
  readonly signer: Signer;
  /** Source of the content key and the salt; cryptographically strong. */
  readonly random: (length: number) => Uint8Array;
  /** Root over values that can be disclosed individually; see {@link prepareFields}. */
  readonly disclosed?: Uint8Array;
  /** The envelope that this one replaces; see {@link verifySupersession}. */
  readonly supersedes?: CID;
  /** Default `chacha`. */
  readonly suite?: SuiteName;
  /** How the lengths of parts are hidden. Default `stepped`. */
  readonly padding?: Padding;
}

/** An envelope and its content key. */
export interface SealedEnvelope {
  /** The envelope's CID, which is the CID of `header`. */
  readonly cid: CID;
  /** The signed header. */
  readonly header: Uint8Array;
  /** The ciphertext, part by part. */
  readonly blocks: readonly { readonly cid: CID; readonly bytes: Uint8Array }[];
  /** 32 bytes, fresh for each envelope; the caller grants them and must wipe them. */
  readonly cek: Uint8Array;
}

const SEAL_OPTIONS: OptionsOf<SealOptions> = {
  ...{ context: true, parts: true, signer: true, random: true },
  ...{ disclosed: true, supersedes: true, suite: true, padding: true },
};

/**
 * Seals parts under a new content key and signs the header.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the signer is not the author
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` on part ids that are malformed or occur twice
 * @example
 * const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
 * const context = { ledger: hl.id, author: signer.actor, kind: "record" };
 * const parts = [{ id: "content", bytes: new TextEncoder().encode("…") }];
 * const { cid, header, blocks, cek } = await sealEnvelope({ context, parts, signer, random });
 * for (const block of [{ cid, bytes: header }, ...blocks]) await put(block.cid, block.bytes);
 */
export async function sealEnvelope(options: SealOptions): Promise<SealedEnvelope> {
  assertOptions(options, SEAL_OPTIONS, "sealEnvelope");
  const [sealed] = await signEnvelopes([await sealUnsigned(options)], options.signer);
  return sealed!;
}

/** An envelope whose header is not signed yet. */
export interface UnsignedEnvelope extends Pick<SealedEnvelope, "blocks" | "cek"> {
  readonly header: Uint8Array;
}

/** What {@link sealEnvelope} does before it signs. */
export async function sealUnsigned(
  options: Omit<SealOptions, "signer"> & { readonly signer: Pick<Signer, "actor"> },
): Promise<UnsignedEnvelope> {
  const { context, signer, random, disclosed, supersedes, padding = "stepped" } = options;
  if (signer.actor !== context.author) {
    throw new InputError("ERR_INPUT_INVALID", "the signer must be the envelope's author");
  }
  for (const { bytes } of options.parts) assertBytes(bytes, "part.bytes");
  const suite = usableSuite(options.suite ?? "chacha");
  assertPadding(padding);
  const cek = random(KEY_BYTES);
  const salt = random(32);
  const unsealed = { suite, context, salt };
  const ids = options.parts.map(({ id }) => id);
  const keys = derivePartKeys(unsealed, cek, ids);
  try {
    const parts: EnvelopePart[] = [];
    const blocks: SealedPart["blocks"][number][] = [];
    let before = 0;
    for (const { id, bytes } of options.parts) {
      if (before >= AT_ONCE) await giveTurn();
      const key = keys.parts[id]!;
      const size = paddedSize(bytes.length, padding);
      const sealed = isShort(suite, size)
        ? sealShortPart(suite, key, { id, bytes }, size)
        : await sealPart(suite, key, { id, bytes }, size);
      parts.push(sealed.part);
      for (const block of sealed.blocks) blocks.push(block);
      before += size;
    }
    const header = encodeHeader({
      ...unsealed,
      parts,
      ...(disclosed === undefined ? {} : { disclosed }),
      ...(supersedes === undefined ? {} : { supersedes }),
    });
    return { header, blocks, cek };
  } catch (error) {
    cek.fill(0);
    throw error;
  } finally {
    wipeKeys(keys);
  }
}

/**
 * Signs the headers of envelopes by one author; several take less than one after another. Wipes the content
 * keys if it fails.
 */
export async function signEnvelopes(
  unsigned: readonly UnsignedEnvelope[],
  signer: Signer,
): Promise<readonly SealedEnvelope[]> {
  try {
    const headers = unsigned.map(({ header }) => header);
    const signatures = await signEachWith(signer, "envelope", headers, giveTurn);
    const sealed: SealedEnvelope[] = [];
    for (const [i, { header, blocks, cek }] of unsigned.entries()) {
      if (i > 0) await giveTurn();
      const signed = signedHeader(header, signer, signatures[i]!);
      sealed.push({ cid: cidOf(signed, DAG_CBOR), header: signed, blocks, cek });
    }
    return sealed;
  } catch (error) {
    for (const { cek } of unsigned) cek.fill(0);
    throw error;
  }
}

/** Bytes that are sealed without yielding, so that envelopes sealed at once are filed together. */
const AT_ONCE = 1_048_576;

interface SealedPart {
  readonly part: EnvelopePart;
  readonly blocks: SealedEnvelope["blocks"];
}

function sealShortPart(
  suite: SuiteName,
  partKey: Uint8Array,
  { id, bytes }: PartContent,
  size: number,
): SealedPart {
  const sealed = new Uint8Array(size + TAG_BYTES);
  sealShort(suite, deriveSegmentKey(partKey), bytes, sealed);
  const cid = cidOf(sealed, RAW);
  const part = { id, size, commit: deriveCommit(partKey), data: [cid] };
  return { part, blocks: [{ cid, bytes: sealed }] };
}

async function sealPart(
  suite: SuiteName,
  partKey: Uint8Array,
  { id, bytes }: PartContent,
  size: number,
): Promise<SealedPart> {
  const commit = deriveCommit(partKey);
  const cipher = createPartCipher(suite, deriveSegmentKey(partKey));
  const blocks: { readonly cid: CID; readonly bytes: Uint8Array }[] = [];
  try {
    for (let block = 0; block < blockCount(size); block++) {
      if (block > 0) await giveTurn();
      const sealed = await sealBlock(cipher, bytes, size, block);
      blocks.push({ cid: await nameBlock(sealed), bytes: sealed });
    }
  } finally {
    cipher.close();
  }
  return { part: { id, size, commit, data: blocks.map(({ cid }) => cid) }, blocks };
}
