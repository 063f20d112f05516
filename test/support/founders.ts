import type { KeyStore } from "../../src/identity/key-store.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { signDescription } from "../../src/chain/description.ts";
import type { Role } from "../../src/block/member.ts";
import type { ProposedChange } from "../../src/chain/proposal.ts";
import { createGenesis, type CreateGenesisOptions } from "../../src/ledger/create-genesis.ts";
import type { EnactedChange, EnactOptions } from "../../src/ledger/governance.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { LABELLER } from "./hospital.ts";
import { bytesFor, START } from "./ledger.ts";

/** An organisation with a key of each use, fixed by its name. */
export async function organisation(name: string): Promise<KeyStore> {
  const keys = memoryKeys();
  for (const use of ["sign", "checkpoint", "agree", "recovery"] as const) {
    await keys.add({ use, secret: bytesFor(`${name} ${use}`) });
  }
  return keys;
}

export const NONCE: Uint8Array = bytesFor("founders");
export const WRITER: readonly Role[] = ["custodian", "sequencer"];

/** Organisations that found a ledger by descriptions, all on one storage. */
export interface Founders {
  readonly genesis: Uint8Array;
  readonly storage: StorageAdapter;
  readonly clock: { now: number };
  readonly keys: Readonly<Record<string, KeyStore>>;
  open(name: string, options?: Partial<OpenLedgerOptions>): Promise<Ledger>;
  /** Proposes, has the named approve and enacts, each by a ledger of its own. */
  change(
    by: Ledger,
    change: ProposedChange,
    approvers: readonly string[],
    options?: EnactOptions,
  ): Promise<EnactedChange>;
}

export async function found(
  names: readonly string[],
  options: Partial<CreateGenesisOptions> & { readonly roles?: readonly Role[] } = {},
): Promise<Founders> {
  const { roles = WRITER, ...genesisOptions } = options;
  const keys: Record<string, KeyStore> = {};
  const members: Uint8Array[] = [];
  for (const name of names) {
    keys[name] = await organisation(name);
    members.push(await signDescription(keys[name], { name, roles, for: NONCE }));
  }
  const genesis = await createGenesis({
    ...{ origin: "history.example/founders", members, nonce: NONCE },
    ...genesisOptions,
  });
  const storage = memoryStorage();
  const clock = { now: START };
  const founders: Founders = {
    ...{ genesis, storage, clock, keys },
    async open(name, more = {}) {
      keys[name] ??= await organisation(name);
      return openLedger({
        ...{ storage, keys: keys[name], genesis, policy: { labeller: LABELLER } },
        now: () => clock.now,
        ...more,
      });
    },
    async change(by, change, approvers, how) {
      const proposal = await by.governance.propose(change);
      const approvals: Uint8Array[] = [];
      for (const name of approvers) {
        const hl = await founders.open(name, { readOnly: true });
        approvals.push(await hl.governance.approve(proposal));
        await hl.close();
      }
      return by.governance.enact(proposal, approvals, how);
    },
  };
  return founders;
}
