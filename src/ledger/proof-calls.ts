import type { Checkpoints } from "../chain/checkpoints.ts";
import type { Chain } from "../chain/chain.ts";
import { exportLedger } from "../chain/export.ts";
import { makeReceipt } from "../chain/make-receipt.ts";
import { entryIdBytes } from "../codec/ids.ts";
import { RecordError } from "../errors.ts";
import type { Catalogue } from "./entries/catalogue.ts";
import type { Ledger } from "./ledger.ts";

/** The calls that give what others verify. */
export type ProofCalls = Pick<Ledger, "checkpoint" | "receipt" | "export">;

/** Makes the calls. */
export function proofCalls(
  chain: Chain,
  { checkpoints, catalogue }: { readonly checkpoints: Checkpoints; readonly catalogue: Catalogue },
): ProofCalls {
  const checkpoint = async (): Promise<Uint8Array> => (await checkpoints.sign()).note;
  return {
    checkpoint,
    async receipt(entry, { from } = {}) {
      const id = entryIdBytes(entry);
      await catalogue.catchUp();
      const found = await catalogue.find(id);
      if (found.status === "missing") {
        throw new RecordError("ERR_RECORD_NOT_FOUND", "this custodian has no such entry");
      }
      const place = found.status === "present" ? found.item.place : found.place;
      const { note, policyPath } = await checkpoints.provable(from);
      return makeReceipt(chain, place, {
        checkpoint: note,
        policyPath,
        id,
        later: true,
        ...(from === undefined ? {} : { from }),
      });
    },
    export: async () => exportLedger(chain, await checkpoint()),
  };
}
