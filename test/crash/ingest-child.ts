import { readFile } from "node:fs/promises";
import { decodeBlock } from "../../src/block/block.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { decode } from "../../src/codec/dag-cbor.ts";
import { buildTree } from "../../src/merkle/tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { appendLeaves, emptyFrontier } from "../../src/merkle/frontier.ts";
import { proveConsistency } from "../../src/merkle/proof.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";

/**
 * Ingests the blocks of a file into a copy in LMDB, in batches, until it is killed or done.
 *
 * Arguments: folder of the copy, file with genesis and blocks, blocks in a batch.
 */
const [path, file, batch] = process.argv.slice(2) as [string, string, string];
const { genesis, blocks } = decode(new Uint8Array(await readFile(file)), {
  ...{ maxBytes: 2 ** 30, maxItems: 2 ** 20, maxDepth: 4 },
}) as { genesis: Uint8Array; blocks: Uint8Array[] };
const leaves = blocks.map((block) => leafHash(decodeBlock(block).header));
const accepted = { size: blocks.length, root: buildTree(leaves).root };
const nodes = new Map(
  appendLeaves(emptyFrontier, leaves).completed.map(({ level, index, hash }) => [
    `${level} ${index}`,
    hash,
  ]),
);

const storage = await lmdbStorage({ path });
const chain = await openChain({ storage, genesis, trustStore: true });
console.log(`at ${chain.size}`);
while (chain.size < accepted.size) {
  const to = Math.min(accepted.size, chain.size + Number(batch));
  const proof =
    to === accepted.size
      ? []
      : await proveConsistency(to, accepted.size, async (ids) =>
          ids.map(({ level, index }) => nodes.get(`${level} ${index}`)),
        );
  const result = await chain.ingest(blocks.slice(chain.size, to), { accepted, proof });
  if (!result.ok) throw new Error(JSON.stringify(result));
  console.log(`at ${result.size}`);
}
await chain.close();
await storage.close();
