// Raises a counter in a memory of signed heads, as one of several processes that share it.
import { CID } from "multiformats/cid";
import { fileSignedHeads } from "../../src/identity/file-heads.ts";
import { memoryOf } from "../../src/identity/signed-heads.ts";

const [path, ledger, name, count] = process.argv.slice(2);
const memory = memoryOf(fileSignedHeads(path!), CID.parse(ledger!));
for (let n = 1; n <= Number(count); n++) await memory.noteIndex(name!, n);
