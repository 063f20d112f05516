import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "multiformats/cid";
import { ledgerId } from "../block/genesis.ts";
import { MAX_BLOCK_BYTES } from "../block/limits.ts";
import { readCar, writeCar, type CarBlock } from "../codec/car.ts";
import { cidOf, DAG_CBOR, RAW } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectCid, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
import { verifySignature } from "../crypto/sign.ts";
import {
  ChainError,
  EncodingError,
  InputError,
  LedgerError,
  ProofError,
  StorageError,
} from "../errors.ts";
import type { Chain } from "./chain.ts";
import type { StoredBlock } from "./stored-block.ts";
import { readCheckpoint, type Checkpoint } from "./checkpoint-note.ts";
import { connectHeads } from "./connection.ts";
import { policyAt } from "./policy-at.ts";
import { keyStateKey } from "./state.ts";
import { judgeCheckpoint, trustFromGenesis, withPolicy } from "./trust.ts";
import { unacceptedError } from "./unsatisfied.ts";
import {
  verifyBlocks,
  type VerifyLedgerOptions,
  type VerifyLedgerResult,
} from "./verify-ledger.ts";

/** First block of an export, which describes the rest. */
export interface ExportHeader {
  readonly v: 1;
  readonly ledger: CID;
  /** Number of blocks. */
  readonly size: number;
  /** CID of the signed checkpoint over exactly these blocks. */
  readonly checkpoint: CID;
}

/**
 * Writes a ledger as a CARv1 stream: header record, genesis, checkpoint, blocks in height order.
 * The same ledger and checkpoint always give the same bytes. The stream never contains envelopes or
 * grants.
 *
 * Either the export verifies, or the stream ends in an error. The checkpoint is verified first, by
 * the policy in force at its size. Each block is compared with the chain's root, which was verified
 * when the blocks were applied. Its proposer's signature, which no root covers, is checked again:
 * one signature per block.
 *
 * @param checkpoint - a signed checkpoint of this chain; its size is the number of blocks written
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` when `checkpoint` is not a checkpoint
 * @returns a stream that rejects with {@link ChainError} `ERR_CHAIN_POLICY` when the ledger's
 *   policy does not accept the checkpoint, `ERR_CHAIN_CHECKPOINT` when it is not of this chain, and
 *   `ERR_CHAIN_INVALID`, naming the height, at a block that is not the one verified before
 * @example
 * for await (const piece of exportLedger(chain, checkpoint)) await file.write(piece);
 */
export function exportLedger(chain: Chain, checkpoint: Uint8Array): AsyncIterable<Uint8Array> {
  const claimed = readCheckpoint(checkpoint);
  if (claimed === undefined)
    throw new EncodingError("ERR_ENCODING_MALFORMED", "`checkpoint` is not a signed checkpoint");
  const note = toBlock(checkpoint, RAW);
  const header: ExportHeader = {
    v: 1,
    ledger: chain.ledger,
    size: claimed.size,
    checkpoint: note.cid,
  };
  const first = toBlock(encode(header), DAG_CBOR);
  async function* blocks(): AsyncIterable<CarBlock> {
    await assertAccepted(chain, checkpoint, claimed!);
    yield first;
    yield toBlock(chain.genesisBytes, DAG_CBOR);
    yield note;
    for (let height = 0; height < claimed!.size; height++) {
      const block = await chain.readBlock(height);
      await assertProposed(chain, block);
      yield toBlock(block.bytes, DAG_CBOR);
    }
  }
  return writeCar([first.cid], blocks());
}

async function assertAccepted(chain: Chain, note: Uint8Array, head: Checkpoint): Promise<void> {
  const { genesis, genesisBytes, size } = chain;
  if (head.size > size)
    throw notOfThisChain("the checkpoint covers more blocks than the ledger has");
  const policy = await policyAt(chain, head.size);
  const trust = withPolicy(trustFromGenesis(genesisBytes), policy, 0);
  if (!judgeCheckpoint(note, trust).ok) throw unacceptedError(note, genesis.origin, policy);
  const now = { size, root: chain.root };
  const proof =
    head.size === 0 || head.size === size ? [] : await chain.proveConsistency(head.size, size);
  if (connectHeads(head, now, proof) !== "connected") {
    throw notOfThisChain("the checkpoint is of another history");
  }
}

/**
 * Checks the proposer's signature: the header tree commits to headers but not to their signatures.
 */
async function assertProposed(chain: Chain, { block, header }: StoredBlock): Promise<void> {
  await chain.state.load([keyStateKey(header.key)]);
  const key = chain.state.key(header.key);
  const { alg, sig } = block;
  const good =
    key !== undefined &&
    key.alg === alg &&
    verifySignature({
      alg,
      publicKey: key.publicKey,
      signature: sig,
      what: "header",
      bytes: block.header,
    });
  if (!good) {
    const what = `block ${header.height} in the store: bad-signature`;
    throw new ChainError("ERR_CHAIN_INVALID", what);
  }
}

function notOfThisChain(why: string): ChainError {
  return new ChainError("ERR_CHAIN_CHECKPOINT", why);
}

export interface VerifyExportOptions extends Omit<VerifyLedgerOptions, "genesis" | "checkpoint"> {
  /** The expected ledger: the CID of its genesis record. */
  readonly ledger: CID;
}

export type VerifyExportResult =
  | VerifyLedgerResult
  | {
      readonly ok: false;
      readonly reason: "not-an-export" | "other-ledger" | "corrupt" | "too-many-blocks";
      /** Height of the block where reading stopped, if it reached the blocks. */
      readonly height?: number;
    };

const VERIFY_EXPORT_OPTIONS: OptionsOf<VerifyExportOptions> = {
  ...{ ledger: true, trust: true, kinds: true, contracts: true, scratch: true, maxState: true },
  ...{ onProgress: true, signal: true },
};

/**
 * Checks an export as a stream: every hash and every rule. Memory does not grow with the number of
 * blocks. It grows with the keys, members and lanes in the state up to `maxState`, or not at all if
 * `scratch` is given.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the state exceeds `maxState` and there is no
 *   `scratch`; nothing was found wrong up to there
 * @throws {StorageError} or {ProofError} when `scratch` fails, or has lost data written to it
 * @example
 * await using scratch = await lmdbStorage({ path: temporaryFolder });
 * await verifyExport(createReadStream("ledger.car"), { ledger, scratch: scratch.state });
 */
export async function verifyExport(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: VerifyExportOptions,
): Promise<VerifyExportResult> {
  assertOptions(options, VERIFY_EXPORT_OPTIONS, "verifyExport");
  const { ledger, onProgress, ...rest } = options;
  let height: number | undefined;
  try {
    const car = await readCar(source, { maxBlockBytes: MAX_BLOCK_BYTES + 64 });
    const blocks = car.blocks[Symbol.asyncIterator]();
    const next = async (): Promise<CarBlock | undefined> => {
      const item = await blocks.next();
      return item.done === true ? undefined : item.value;
    };
    const [first, genesis, note] = [await next(), await next(), await next()];
    const header = first === undefined ? undefined : readHeader(first, car.roots);
    if (header === undefined || genesis === undefined || note === undefined) {
      return { ok: false, reason: "not-an-export" };
    }
    if (!header.ledger.equals(ledger) || !ledgerId(genesis.bytes).equals(ledger)) {
      return { ok: false, reason: "other-ledger" };
    }
    const claimed = readCheckpoint(note.bytes);
    if (!note.cid.equals(header.checkpoint) || claimed?.size !== header.size) {
      return { ok: false, reason: "not-an-export" };
    }
    height = 0;
    async function* ledgerBlocks(): AsyncIterable<Uint8Array> {
      for (let item = await next(); item !== undefined; item = await next()) {
        yield item.bytes;
        height!++;
        // One block too many is read, so that the fault can name it; further blocks are ignored.
        if (height! > header!.size) return;
      }
    }
    const result = await verifyBlocks(ledgerBlocks(), {
      ...rest,
      genesis: genesis.bytes,
      checkpoint: note.bytes,
      ...(onProgress === undefined
        ? {}
        : { onProgress: ({ done }) => onProgress({ done, total: header.size }) }),
    });
    if (!result.ok) return result;
    return result.size === header.size
      ? result
      : { ok: false, reason: "too-many-blocks", height: header.size };
  } catch (error) {
    if (!(error instanceof LedgerError) || isOfVerifier(error)) throw error;
    return { ok: false, reason: "corrupt", ...(height === undefined ? {} : { height }) };
  }
}

/**
 * Whether an error says nothing about the export: a memory limit, or a fault of the scratch store.
 */
function isOfVerifier(error: LedgerError): boolean {
  return (
    error instanceof StorageError ||
    error instanceof ProofError ||
    (error instanceof InputError && error.code === "ERR_INPUT_TOO_LARGE")
  );
}

function readHeader({ cid, bytes }: CarBlock, roots: readonly CID[]): ExportHeader | undefined {
  if (roots.length !== 1 || !roots[0]!.equals(cid)) return undefined;
  try {
    const map = expectMap(decode(bytes), "export header", ["v", "ledger", "size", "checkpoint"]);
    return {
      v: expectVersion(map["v"], "export header"),
      ledger: expectCid(map["ledger"], "export header.ledger"),
      size: expectUint(map["size"], "export header.size"),
      checkpoint: expectCid(map["checkpoint"], "export header.checkpoint", RAW),
    };
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

function toBlock(bytes: Uint8Array, codec: typeof DAG_CBOR | typeof RAW): CarBlock {
  return { cid: cidOf(bytes, codec), bytes };
}
