import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { signDescription } from "../../src/chain/description.ts";
import { fileKeys } from "../../src/identity/file-keys.ts";
import { createGenesis } from "../../src/ledger/create-genesis.ts";
import { simulatedRandom } from "../../src/testing/simulation-random.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";

export const WITNESS = "witness.example/1";
export const VALIDATOR = "validator.example/1";

/** Names of the members, with the did:key of each. */
export type Members = Readonly<Record<"home" | "north" | "south", string>>;

/** Makes keys of three members, and the genesis record of their ledger, which wants both cosigners. */
export async function found(
  base: string,
  passphrase: string,
): Promise<{ readonly genesis: Uint8Array; readonly members: Members }> {
  const nonce = bytesFor("founders");
  const members = [];
  const dids: Record<string, string> = {};
  for (const name of ["home", "north", "south"] as const) {
    const folder = join(base, name);
    await mkdir(folder);
    const cost = { N: 2 ** 14, r: 8, p: 1 };
    const keys = await fileKeys(join(folder, "keys"), { passphrase, create: true, cost });
    for (const use of ["sign", "checkpoint", "agree", "recovery"] as const) {
      await keys.generate({ use });
    }
    dids[name] = keys.signer("sign").actor;
    const roles =
      name === "home" ? (["custodian", "sequencer"] as const) : (["custodian"] as const);
    members.push(await signDescription(keys, { name, roles, for: nonce }));
    await keys.close();
  }
  const cosigner = (name: string) => ({
    of: [{ name, publicKey: signerFor(name).publicKey }],
    required: 1,
  });
  const genesis = await createGenesis({
    ...{ origin: "history.example/real", members, nonce },
    cosignatures: { validators: cosigner(VALIDATOR), witnesses: cosigner(WITNESS) },
  });
  await writeFile(join(base, "genesis.cbor"), genesis);
  return { genesis, members: dids as unknown as Members };
}

/**
 * Gives ports that nobody listens on, and that no connection is given for its own end: whoever is killed
 * must find its port free again.
 */
export async function freePorts(count: number, seed: string): Promise<number[]> {
  const random = simulatedRandom(seed);
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = random.between(15_000, 32_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
