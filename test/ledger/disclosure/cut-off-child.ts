// Breaks the glass at a member elsewhere that cannot reach its home, until it is killed by itself.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { TransportError } from "../../../src/errors.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import type { StorageAdapter } from "../../../src/storage/types.ts";
import type { LedgerPeer } from "../../../src/transport/types.ts";
import { organisation } from "../../support/founders.ts";
import { LABELLER, MRN } from "../../support/hospital.ts";
import { collect } from "../../support/ward.ts";

export const CHILD: string = fileURLToPath(import.meta.url);
/** Where the child kills itself: before or after the entry is durable in the outbox, or once it has released. */
export type Stop = "before" | "kept" | "released";

const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  for (;;);
};

function deadly(inner: StorageAdapter, stop: Stop): StorageAdapter {
  return {
    ...inner,
    async commit(batch, options) {
      const isKept = batch.state?.some(({ key }) =>
        new TextDecoder().decode(key).startsWith("outbox/"),
      );
      if (isKept && stop === "before") die();
      const result = await inner.commit!(batch, options);
      if (isKept && stop === "kept") die();
      return result;
    },
  };
}

const down = async (): Promise<never> => {
  throw new TransportError("ERR_TRANSPORT_FAILED", "down");
};

const [folder, stop, time] = process.argv.slice(2) as [string, Stop, string];
if (process.argv[1] === CHILD) {
  const keys = await organisation("away");
  const unreachable = { did: "did:key:home", checkpoint: down, submit: down, policy: down };
  const hl = await openLedger({
    ...{ storage: deadly(await lmdbStorage({ path: `${folder}/away` }), stop), keys },
    ...{ genesis: new Uint8Array(await readFile(`${folder}/genesis.cbor`)), signedHeads: "store" },
    ...{ home: unreachable as unknown as LedgerPeer, now: () => Number(time) },
    breakGlass: { roles: ["physician"], whileCutOff: true },
    policy: { labeller: LABELLER },
  });
  const requester = { signer: keys.signer(), agreement: keys.agreement() };
  const answer = await hl.request(requester, {
    ...{ patient: MRN, purposes: ["BTG"] },
    roles: [{ code: "physician", attestedBy: hl.member }],
    declaration: { reason: "unconscious", until: Number(time) + 60_000 },
  });
  const [opened] = await collect(answer.items());
  // A pipe is written before the next line runs; what is released is out.
  process.stdout.write(`${answer.access} ${bytesToUtf8(opened!.text!)}\n`);
  setTimeout(die, 50);
}
