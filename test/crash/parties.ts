import { foundLedger } from "../support/ledger.ts";

/** The ledger that all processes of the crash test write to. */
export const crashGenesis = (): ReturnType<typeof foundLedger> =>
  foundLedger({ a: ["custodian", "sequencer"], b: ["custodian", "sequencer"] });
