// A witness over LMDB behind node:http: witness-child.ts <path>. Writes its port, and a line for each answer.
import { createServer } from "node:http";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { witnessHandler } from "../../src/network/witness-handler.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { signerFor } from "../support/ledger.ts";

const [path] = process.argv.slice(2) as [string];
const storage = await lmdbStorage({ path });
const origin = "log.example/1";
const witness = createWitness({
  ...{ chains: storage.chains, signer: signerFor("w"), name: "w.example", now: Date.now, origin },
  keys: [noteKey(origin, NOTE_ED25519, signerFor("log").publicKey)],
});
const handler = witnessHandler({ witnesses: [witness], onError: console.error });

const server = createServer((incoming, outgoing) => {
  const chunks: Buffer[] = [];
  incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
  incoming.on("end", () => {
    const url = `http://127.0.0.1${incoming.url}`;
    const body = Buffer.concat(chunks);
    void handler(new Request(url, { method: "POST", body })).then(async (response) => {
      const answer = await response.text();
      // Before the answer leaves: what is not synced by this line was sent too early.
      process.stdout.write(`answer ${response.status}\n`);
      outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(answer);
    });
  });
});
process.stdin.on("end", () => process.exit()).resume();
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`port ${(server.address() as { port: number }).port}\n`);
});
