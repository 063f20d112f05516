import { readFile } from "node:fs/promises";
import { openReplica } from "../../src/network/open-replica.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";

/**
 * Follows a home over HTTP into a copy in LMDB until it is killed, or has so many blocks.
 *
 * Arguments: folder of the copy, file with the genesis record, address, number of blocks.
 */
const [path, file, url, blocks] = process.argv.slice(2) as [string, string, string, string];
const storage = await lmdbStorage({ path });
const replica = await openReplica({
  genesis: new Uint8Array(await readFile(file)),
  ...{ storage, trustStore: true, peers: [httpPeer({ url, did: "did:key:home" })] },
});
console.log(`at ${replica.chain.size}`);
const stopping = new AbortController();
let said = replica.chain.size;
const timer = setInterval(() => {
  if (replica.chain.size > said) console.log(`at ${(said = replica.chain.size)}`);
  if (replica.chain.size >= Number(blocks)) stopping.abort();
}, 20);
await replica.follow({ signal: stopping.signal });
clearInterval(timer);
console.log(`at ${replica.chain.size}`);
await replica.close();
await storage.close();
