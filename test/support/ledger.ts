import { sha256 } from "#crypto";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encodeGenesis, ledgerId, type Genesis } from "../../src/block/genesis.ts";
import { encodeEntry } from "../../src/block/entry.ts";
import type { Role } from "../../src/block/member.ts";
import type { LedgerPolicy } from "../../src/block/policy.ts";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import type { AppendableChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { describeMember } from "../../src/chain/founding.ts";
import type { KindRule } from "../../src/chain/kind-rule.ts";
import type { Contract } from "../../src/contract/contract.ts";
import { createSequencer, type Sequencer } from "../../src/chain/sequencer.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";

/** 32 bytes that a name stands for, the same every time. */
export const bytesFor = (name: string): Uint8Array => sha256(utf8ToBytes(name));

const signersByName = new Map<string, Signer>();

/** A signer whose key is fixed by a name; made once, since importing a key takes its time. */
export function signerFor(name: string, actor?: string): Signer {
  const which = JSON.stringify([name, actor]);
  const known = signersByName.get(which);
  if (known !== undefined) return known;
  const secret = bytesFor(name);
  const made = memorySigner({ alg: "Ed25519", secret, ...(actor === undefined ? {} : { actor }) });
  signersByName.set(which, made);
  return made;
}

export const START = Date.UTC(2026, 0, 1);

/** A founded ledger of named members, each with a signing, a checkpoint and a recovery key. */
export async function foundLedger(
  members: Readonly<Record<string, readonly Role[]>>,
  policy: Partial<LedgerPolicy> & { readonly nonce?: Uint8Array } = {},
): Promise<{
  readonly genesis: Uint8Array;
  readonly parsed: Genesis;
  readonly signers: Record<string, Signer>;
}> {
  const nonce = policy.nonce ?? bytesFor("nonce");
  const signers: Record<string, Signer> = {};
  const described = [];
  for (const [name, roles] of Object.entries(members)) {
    const signer = signerFor(name);
    signers[name] = signer;
    const recovery = [signerFor(`${name} recovery`, signer.actor)];
    described.push(await describeMember({ sign: [signer], recovery }, roles, nonce));
  }
  const parsed: Genesis = {
    v: 1,
    origin: "ledger.example/test",
    members: described,
    threshold: 2,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [signerFor("checkpoint").publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    kinds: [],
    contracts: [],
    ...policy,
    nonce,
  };
  return { genesis: encodeGenesis(parsed), parsed, signers };
}

/** A ledger of three members that runs over a storage, with a clock of its own. */
export interface TestLedger {
  readonly genesis: Uint8Array;
  readonly signers: Record<string, Signer>;
  readonly storage: StorageAdapter;
  readonly chain: AppendableChain;
  readonly sequencer: Sequencer;
  readonly clock: { now: number };
}

export async function startLedger(
  options: {
    readonly storage?: StorageAdapter;
    readonly policy?: Partial<LedgerPolicy> & { readonly nonce?: Uint8Array };
    readonly kinds?: readonly KindRule[];
    readonly contracts?: readonly Contract[];
    readonly trustStore?: boolean;
    readonly proposer?: string;
    readonly clock?: { now: number };
    readonly settleWithin?: number;
  } = {},
): Promise<TestLedger> {
  const { genesis, signers } = await foundLedger(
    { a: ["custodian", "sequencer"], b: ["custodian", "sequencer"], c: ["auditor"] },
    options.policy,
  );
  const storage = options.storage ?? memoryStorage();
  const clock = options.clock ?? { now: START };
  const chain = await openChain({
    storage,
    genesis,
    kinds: options.kinds ?? [],
    contracts: options.contracts ?? [],
    trustStore: options.trustStore ?? false,
  });
  const sequencer = createSequencer({
    chain,
    storage,
    signer: signers[options.proposer ?? "a"]!,
    now: () => clock.now,
    ...(options.settleWithin === undefined ? {} : { settleWithin: options.settleWithin }),
  });
  return { genesis, signers, storage, chain, sequencer, clock };
}

let counter = 0;

/** Encoded record entries, no two alike. */
export function recordEntries(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => {
    const id = bytesFor(`entry ${counter++}`);
    return encodeSubjectEntry(
      "record",
      id.slice(0, 16),
      bytesFor(`tag ${counter}`),
      cidOf(id, DAG_CBOR),
    );
  });
}

export { encodeEntry, ledgerId };
