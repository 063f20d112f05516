import { decodeGenesis } from "../../src/block/genesis.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { witnessHandler } from "../../src/network/witness-handler.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { signerFor } from "../support/ledger.ts";
import { HEAD_MARK } from "./marks.ts";
import { genesisBytes, note, obey, say, serve, told } from "./party.ts";

/** A witness over a store of its own, which the home asks. */
const { chains } = await lmdbStorage({ path: `${told.folder}/store` });
const genesis = await genesisBytes();
const { origin, checkpointKeys } = decodeGenesis(genesis);
const witness = createWitness({
  ...{ chains, signer: signerFor(told.name), name: told.name, now: Date.now, origin },
  keys: checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key)),
});
const handler = witnessHandler({ witnesses: [witness], onError: note });
// One after the other, so that a trace tells which write belongs to which answer.
let turn: Promise<unknown> = Promise.resolve();
serve((request) => {
  const mine = turn.then(() => answer(request));
  turn = mine.catch(note);
  return mine;
});

/** Marks what is asked and answered, for the trace: only a head that was cosigned before needs no write. */
async function answer(request: Request): Promise<Response> {
  const text = await request.clone().text();
  const [, old, size] = /^old (\d+)\n(?:.+\n)*\n.+\n(\d+)\n/.exec(text) ?? [];
  say("asked");
  const { status, headers, body } = await handler(request);
  const marked = { [HEAD_MARK]: old === size ? "again" : "new", ...Object.fromEntries(headers) };
  return new Response(body, { status, headers: marked });
}
obey({ close: async () => setImmediate(() => process.exit(0)) });
