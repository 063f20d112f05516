import { CID, cidFromDigest, RAW } from "../codec/cid.ts";
import type { UnsignedEnvelope } from "../envelope/seal.ts";
import {
  sealTogether,
  wipeContentKeys,
  type EnvelopeSecrets,
  type EnvelopeToSeal,
  type SealTerms,
} from "../ledger/entries/seal-together.ts";
import { pack, takeFrom, type Packed } from "./packed.ts";

/** Asks to seal envelopes. */
export interface SealJob extends Omit<SealTerms, "ledger"> {
  readonly job: "seal";
  /** Bytes of the ledger's CID. */
  readonly ledger: Uint8Array;
  readonly envelopes: readonly {
    readonly kind: string;
    readonly ids: readonly string[];
    readonly disclosed: Uint8Array | undefined;
  }[];
  /** The parts of all envelopes. */
  readonly parts: Packed;
  /** Of each envelope its content key and its salt; given up by whoever sends them. */
  readonly secrets: Packed;
}

/** What a {@link SealJob} gives. */
export interface SealedByJob {
  /** How many blocks each envelope has. */
  readonly counts: readonly number[];
  /** Of each envelope the header, and then of each block the digest and the bytes. */
  readonly pieces: Packed;
}

/** Writes a job. */
export function sealJob(
  { ledger, author, suite, padding }: SealTerms,
  envelopes: readonly EnvelopeToSeal[],
  secrets: readonly EnvelopeSecrets[],
): SealJob {
  return {
    ...{ job: "seal", author, suite, padding },
    ledger: ledger.bytes.slice(),
    envelopes: envelopes.map(({ kind, parts, disclosed }) => ({
      ...{ kind, disclosed },
      ids: parts.map(({ id }) => id),
    })),
    parts: pack(envelopes.flatMap(({ parts }) => parts.map(({ bytes }) => bytes))),
    secrets: pack(secrets.flatMap(({ cek, salt }) => [cek, salt])),
  };
}

/** Does a job; runs on the other thread, and leaves no key there. */
export async function doSeal(job: SealJob): Promise<SealedByJob> {
  const { author, suite, padding, secrets } = job;
  try {
    const terms = { ledger: CID.decode(job.ledger), author, suite, padding };
    const part = takeFrom(job.parts);
    const secret = takeFrom(secrets);
    const envelopes = job.envelopes.map(({ kind, ids, disclosed }): EnvelopeToSeal => {
      const parts = ids.map((id) => ({ id, bytes: part() }));
      return { kind, parts, ...(disclosed === undefined ? {} : { disclosed }) };
    });
    const sealed = await sealTogether(terms, envelopes, () => secret().slice());
    wipeContentKeys(sealed);
    const pieces = sealed.flatMap(({ header, blocks }) => [
      header,
      ...blocks.flatMap(({ cid, bytes }) => [cid.multihash.digest, bytes]),
    ]);
    return { counts: sealed.map(({ blocks }) => blocks.length), pieces: pack(pieces) };
  } finally {
    secrets.bytes.fill(0);
    job.parts.bytes.fill(0);
  }
}

/**
 * Reads what a job gave.
 *
 * @throws {RangeError} when it did not seal each envelope
 */
export function sealedByJob(
  { counts, pieces }: SealedByJob,
  secrets: readonly EnvelopeSecrets[],
): readonly UnsignedEnvelope[] {
  if (counts.length !== secrets.length) throw new RangeError("not what was wanted");
  const next = takeFrom(pieces);
  return counts.map((count, i) => {
    const header = next();
    const blocks = Array.from({ length: count }, () => {
      const cid = cidFromDigest(next(), RAW);
      return { cid, bytes: next() };
    });
    return { header, blocks, cek: secrets[i]!.cek };
  });
}
