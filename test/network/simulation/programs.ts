import { encodeSubjectEntry } from "../../../src/block/subject-entry.ts";
import type { Chain } from "../../../src/chain/chain.ts";
import { createAuthor } from "../../../src/chain/author.ts";
import { createCheckpointer } from "../../../src/chain/checkpointer.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../../src/chain/note-key.ts";
import { openChain } from "../../../src/chain/open-chain.ts";
import { createSequencer } from "../../../src/chain/sequencer.ts";
import { TransactionRefused } from "../../../src/chain/submission.ts";
import { createWitness } from "../../../src/chain/witness.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import type { KeyStore } from "../../../src/identity/key-store.ts";
import type { Signer } from "../../../src/identity/signer.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { ledgerHandler } from "../../../src/network/ledger-handler.ts";
import { openReplica } from "../../../src/network/open-replica.ts";
import { publishHeads } from "../../../src/network/publish-heads.ts";
import { witnessHandler } from "../../../src/network/witness-handler.ts";
import { witnessPeer } from "../../../src/network/witness-peer.ts";
import { memoryStorage, type MemoryData } from "../../../src/storage/memory.ts";
import type { StorageAdapter } from "../../../src/storage/types.ts";
import type { SimulatedMachine } from "../../../src/testing/simulate-network.ts";
import { faultyStorage } from "../../../src/testing/storage-faults.ts";
import { httpPeer } from "../../../src/transport/http.ts";
import type { LedgerPeer } from "../../../src/transport/types.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";

/** What the programs of one scenario share. */
export interface Setting {
  readonly genesis: Uint8Array;
  readonly origin: string;
  readonly homeKeys: KeyStore;
  readonly memberKeys: KeyStore;
  readonly witnessSigners: ReadonlyMap<string, Signer>;
  /** Whether nothing goes wrong any more. */
  readonly isCalm: () => boolean;
  /** Sees what a machine answers. */
  watched(handler: Handler): Handler;
}

export type Handler = (request: Request) => Promise<Response>;

/** What was acknowledged to whoever wrote it. */
export interface Acknowledged {
  readonly entry: Uint8Array;
  readonly height: number;
  /** Name of the state row, and the blob, that belong to it. */
  readonly key: string;
}

export interface Home {
  readonly data: MemoryData;
  /** Writes that are still to be made. */
  left: number;
  readonly acknowledged: Acknowledged[];
  /** First lane of its transactions: another one at each start. */
  lane: number;
  /** Set while it runs. */
  chain?: Chain;
}

const quick = ({ now, sleep }: SimulatedMachine) => ({ now, sleep, requestsPerMinute: 1e6 });

export function peerAt({ fetch, now, sleep }: SimulatedMachine, name: string): LedgerPeer {
  return httpPeer({
    ...{ fetch, now, sleep },
    url: `http://${name}.invalid/`,
    did: `did:key:${name}`,
  });
}

/** A storage that writes a block, and what belongs to it, one after the other. */
function inParts({ chains, blobs, state, close }: StorageAdapter): StorageAdapter {
  return {
    ...{ chains: chains!, blobs: blobs!, state: state!, close },
    [Symbol.asyncDispose]: close,
  };
}

/** The organisation that orders; a twin of it has the same keys and a store of its own. */
export async function runHome(
  machine: SimulatedMachine,
  home: Home,
  setting: Setting,
  { isAtomic, publishes }: { readonly isAtomic: boolean; readonly publishes: boolean },
): Promise<void> {
  const { now, sleep, wallClock, random } = machine;
  const { genesis, homeKeys } = setting;
  const timers = { now, sleep };
  const memory = memoryStorage({ data: home.data });
  const storage = faultyStorage(machine.storage(isAtomic ? memory : inParts(memory)), () => {
    const [drawn] = random(1) as [number] & Uint8Array;
    if (setting.isCalm()) return undefined;
    return drawn < 6 ? "response-lost" : drawn < 10 ? "not-written" : undefined;
  });
  const chain = await openChain({ storage, genesis, timers });
  home.chain = chain;
  const signer = homeKeys.signer();
  const sequencer = createSequencer({ chain, storage, signer, timers, now: wallClock });
  if (publishes) {
    const witnesses = [...setting.witnessSigners].map(([name, { publicKey }]) =>
      witnessPeer({
        ...{ url: `http://${name}.invalid/`, fetch: machine.fetch, now, sleep },
        key: noteKey(`${name}.example`, NOTE_COSIGNATURE, publicKey),
      }),
    );
    const checkpointer = createCheckpointer({
      ...{ chain, chains: storage.chains!, witnesses, signer: homeKeys.signer("checkpoint") },
      cosigningTimes: { optional: (signal) => sleep(1000, signal) },
    });
    const source = publishHeads({
      ledger: { chain, checkpoint: async () => (await checkpointer.sign()).note },
      ...{ chains: storage.chains!, every: 2000, now, sleep },
    });
    const admitted = { sequencer, authorize: () => true };
    machine.serve(setting.watched(ledgerHandler({ source, ...admitted, ...quick(machine) })));
  }
  const ledger = chain.ledger;
  const author = createAuthor({
    ...{ ledger, sequencer, signer, lane: home.lane++, lastSeq: -1, now: wallClock },
  });
  while (home.left > 0) {
    await sleep(machine.random(1)[0]! * 40);
    home.left--;
    const id = random(32);
    const body = cidOf(id, DAG_CBOR);
    const entry = encodeSubjectEntry("record", random(16), random(32), body);
    const key = `key/${body.toString()}`;
    const writes = {
      blobs: [{ cid: body, bytes: id }],
      state: [{ key: new TextEncoder().encode(key), value: id }],
    };
    try {
      const { height } = await (await author.write([entry], writes)).durable;
      home.acknowledged.push({ entry, height, key });
    } catch {
      // Not acknowledged: it may be there or not.
    }
  }
}

/** An organisation that only follows. */
export async function runReplica(
  machine: SimulatedMachine,
  data: MemoryData,
  peers: readonly string[],
  { genesis, watched }: Setting,
): Promise<void> {
  const { now, sleep } = machine;
  const replica = await openReplica({
    ...{ genesis, now, sleep, storage: machine.storage(memoryStorage({ data })) },
    peers: peers.map((name) => peerAt(machine, name)),
  });
  machine.serve(watched(ledgerHandler({ source: replica, reads: "public", ...quick(machine) })));
  try {
    await replica.follow();
  } catch (error) {
    if (replica.fork === undefined) throw error;
  }
}

export function runWitness(
  machine: SimulatedMachine,
  data: MemoryData,
  signer: Signer,
  name: string,
  { origin, homeKeys, watched }: Setting,
): void {
  const { now, sleep, wallClock } = machine;
  const witness = createWitness({
    ...{ chains: machine.storage(memoryStorage({ data })).chains!, signer, origin, now: wallClock },
    name: `${name}.example`,
    keys: [noteKey(origin, NOTE_ED25519, homeKeys.signer("checkpoint").publicKey)],
  });
  machine.serve(watched(witnessHandler({ witnesses: [witness], now, sleep })));
}

export interface Member {
  readonly data: MemoryData;
  left: number;
  /** Whether it has yet to write what the rules refuse: a key that it has. */
  asksForRefusal: boolean;
  /** Whether that call heard of the refusal. */
  isTold: boolean;
  /** Names of records that were acknowledged, and their text. */
  readonly acknowledged: Map<string, string>;
  /** Reads a record, while the member runs. */
  read?: (id: string) => Promise<string>;
  waiting?: () => Promise<number>;
}

/** Another organisation that writes, through the home. */
export async function runMember(
  machine: SimulatedMachine,
  member: Member,
  peers: readonly string[],
  { genesis, memberKeys }: Setting,
): Promise<void> {
  delete member.read;
  delete member.waiting;
  const { sleep, random, wallClock } = machine;
  const [home, ...others] = peers.map((name) => peerAt(machine, name));
  const hl = await openLedger({
    ...{ genesis, keys: memberKeys, home: home!, peers: others, random, sleep, now: wallClock },
    ...{ storage: machine.storage(memoryStorage({ data: member.data })), signedHeads: "store" },
    policy: { labeller: LABELLER },
  });
  member.read = async (id) => new TextDecoder().decode(await hl.read(id as never));
  member.waiting = async () =>
    (await hl.outbox()).filter(({ refused }) => refused === undefined).length;
  const asked = async (): Promise<void> => {
    member.asksForRefusal = false;
    const { key } = memberKeys.list().find(({ use }) => use === "agree")!;
    await hl.governance.changeKey({ op: "add", key }).catch((error: unknown) => {
      if (error instanceof TransactionRefused) member.isTold = true;
    });
  };
  if (member.asksForRefusal) void asked();
  while (member.left > 0) {
    await sleep(machine.random(1)[0]! * 40);
    member.left--;
    const text = observation(`o${member.left}`);
    try {
      const patient = await hl.ensureSubject(MRN);
      const { id } = await hl.record(patient, text);
      member.acknowledged.set(id, text);
    } catch {
      // Not acknowledged: it waits in the outbox, or it is lost with the process.
    }
  }
}
