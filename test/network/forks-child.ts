import { readFile } from "node:fs/promises";
import { openReplica } from "../../src/network/open-replica.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { startHome, peerOf } from "../support/network.ts";

/** A copy that takes evidence, says so, and goes on until it is killed. Argument: folder. */
const [folder] = process.argv.slice(2) as [string];
const home = await startHome();
const replica = await openReplica({
  genesis: home.genesis,
  storage: await lmdbStorage({ path: `${folder}/copy` }),
  peers: [peerOf(home.source)],
});
process.stdout.write("ready\n");
const { frozen } = await replica.takeFork(
  new Uint8Array(await readFile(`${folder}/evidence.cbor`)),
);
process.stdout.write(`frozen ${frozen}\n`);
setInterval(() => undefined, 1000);
