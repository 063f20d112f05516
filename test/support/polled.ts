import { createGenesis } from "../../src/ledger/create-genesis.ts";
import { decodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519, type NoteKey } from "../../src/chain/note-key.ts";
import { signDescription } from "../../src/chain/description.ts";
import { polledCosigners, type PolledCosigners } from "../../src/chain/polled-cosigners.ts";
import { createWitness, type LogWitness } from "../../src/chain/witness.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import type { Signer } from "../../src/identity/signer.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import {
  cosignPending,
  type CosignPendingOptions,
  type RefusedCheckpoint,
} from "../../src/network/cosign-pending.ts";
import { ledgerHandler, type LedgerHandlerOptions } from "../../src/network/ledger-handler.ts";
import type { PeerFault } from "../../src/network/peer-list.ts";
import { publishHeads, type PublishedHeads } from "../../src/network/publish-heads.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { sleep } from "../../src/storage/sleep.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { HomePeer } from "../../src/transport/types.ts";
import { NONCE, organisation, WRITER } from "./founders.ts";
import { LABELLER } from "./hospital.ts";
import { signerFor } from "./ledger.ts";
import { serve } from "./serve.ts";

/** A home over HTTP whose policy needs a validator `v` and a witness `w`, both of which only poll. */
export interface PolledHome {
  readonly genesis: Uint8Array;
  readonly keys: KeyStore;
  /** Of a member elsewhere. */
  readonly awayKeys: KeyStore;
  readonly hl: Ledger;
  readonly source: PublishedHeads;
  readonly polled: PolledCosigners;
  readonly url: string;
  readonly did: string;
  /** Keys that sign the ledger's checkpoints. */
  readonly logKeys: readonly NoteKey[];
  /** Serves the ledger, or what pretends to be it. */
  serve(more?: Partial<LedgerHandlerOptions>): Promise<string>;
  peer(signer: Signer, url?: string): HomePeer;
  witness(name: string, storage: StorageAdapter, signer?: Signer): LogWitness;
  /** Appends a block. */
  grow(): Promise<unknown>;
  close(): Promise<void>;
}

export async function polledHome(): Promise<PolledHome> {
  const keys = await organisation("home");
  const awayKeys = await organisation("away");
  const genesis = await createGenesis({
    ...{ origin: "history.example/polled", nonce: NONCE },
    members: [
      await signDescription(keys, { name: "home", roles: WRITER, for: NONCE }),
      await signDescription(awayKeys, { name: "away", roles: ["custodian"], for: NONCE }),
    ],
    threshold: 1,
    cosignatures: {
      validators: { required: 1, of: [{ name: "v", publicKey: signerFor("v").publicKey }] },
      witnesses: { required: 1, of: [{ name: "w", publicKey: signerFor("w").publicKey }] },
    },
  });
  const storage = memoryStorage();
  const polled = polledCosigners();
  const hl = await openLedger({
    ...{ storage, keys, genesis, policy: { labeller: LABELLER } },
    ...{ cosigners: [polled], cosignWithin: 120 },
  });
  const source = publishHeads({ ledger: hl, chains: storage.chains!, every: 5 });
  const did = hl.member;
  const { sequencer } = hl;
  const servers: { close(): Promise<void> }[] = [];
  async function serveMore(more: Partial<LedgerHandlerOptions> = {}): Promise<string> {
    const sessions = { did };
    const server = await serve(ledgerHandler({ source, polled, sessions, sequencer, ...more }));
    servers.push(server);
    return server.url;
  }
  const url = await serveMore();
  const { origin, checkpointKeys } = decodeGenesis(genesis);
  const logKeys = checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key));
  let patients = 0;
  return {
    ...{ genesis, keys, awayKeys, hl, source, polled, url, did, logKeys, serve: serveMore },
    peer: (signer, to = url) =>
      httpPeer({ url: to, did, session: { ledger: ledgerId(genesis), signer } }),
    witness: (name, { chains }, signer = signerFor(name)) =>
      createWitness({
        ...{ chains: chains!, signer, name, origin, keys: logKeys, now: Date.now },
      }),
    grow: () => hl.ensureSubject({ system: "urn:oid:1.2.3", value: `MRN-${patients++}` }),
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await source.close();
      await hl.close();
    },
  };
}

/** The note key of a cosigner of that home. */
export const cosignerKey = (name: string): NoteKey =>
  noteKey(name, NOTE_COSIGNATURE, signerFor(name).publicKey);

/** A cosigner that runs, with what it told. */
export interface Running {
  readonly refused: RefusedCheckpoint[];
  readonly faults: PeerFault[];
  /** Ends with the call. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** Runs a cosigner, with pauses twenty times as short. */
export function run(options: CosignPendingOptions): Running {
  const ending = new AbortController();
  const refused: RefusedCheckpoint[] = [];
  const faults: PeerFault[] = [];
  const ended = cosignPending({
    ...{ signal: ending.signal, sleep: (ms, signal) => sleep(ms / 20, signal) },
    ...{ onRefused: (one) => refused.push(one), onFault: (one) => faults.push(one) },
    ...options,
  });
  ended.catch(() => undefined);
  return {
    ...{ refused, faults, ended },
    async stop() {
      ending.abort();
      await ended;
    },
  };
}

/** Waits until something holds; if it never does, the test's own limit ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    await sleep(10);
  }
}
