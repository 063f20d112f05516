// A process of its own for copy.sqlite.ts: copy-child.ts <LMDB folder> <SQLite file> <genesis, hex> <writes>
import { copyLedger } from "../../src/chain/copy-ledger.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { openAt } from "./subject.ts";

const [from, to, genesis, most] = process.argv.slice(2) as [string, string, string, string];
let writes = 0;

/** Lets a write through; after so many this process is killed, before it hears of the last. */
function through<T>(write: Promise<T>): Promise<T> {
  if (++writes < Number(most)) return write;
  return write.then(() => {
    process.kill(process.pid, "SIGKILL");
    return new Promise<never>(() => {});
  });
}

const target = await openAt(to);
const { chains, blobs, state } = target;
const caps = { ...blobs.caps, maxBatch: 7 };
const dying: FullStorage = {
  ...target,
  chains: { ...chains, caps, append: (...call) => through(chains.append(...call)) },
  blobs: { ...blobs, caps, put: (list) => through(blobs.put(list)) },
  state: { ...state, caps, batch: (...call) => through(state.batch(...call)) },
};
await using source = await lmdbStorage({ path: from });
await copyLedger(source, dying, { genesis: new Uint8Array(Buffer.from(genesis, "hex")) });
await target.close();
process.stdout.write(`${writes}\n`);
