// Adds a few keys to a key file, as one of several processes.
import { fileKeys } from "../../src/identity/file-keys.ts";

const [path, count] = process.argv.slice(2);
const keys = await fileKeys(path!, { passphrase: "correct horse" });
for (let i = 0; i < Number(count); i++) await keys.generate({ use: "sign" });
await keys.close();
