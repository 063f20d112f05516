import type { Role } from "../../src/block/member.ts";
import { decodeTransaction, type TransactionWithEntries } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer, type Sequencer } from "../../src/chain/sequencer.ts";
import { signDescription } from "../../src/chain/description.ts";
import { TransactionRefused } from "../../src/chain/submission.ts";
import { TransportError } from "../../src/errors.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import { createGenesis, type CreateGenesisOptions } from "../../src/ledger/create-genesis.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { publishHeads, type PublishedHeads } from "../../src/network/publish-heads.ts";
import type { PeerFault } from "../../src/network/peer-list.ts";
import { sleep } from "../../src/storage/sleep.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import type { LedgerPeer, SubmitOutcome } from "../../src/transport/types.ts";
import { NONCE, organisation, WRITER } from "./founders.ts";
import { LABELLER } from "./hospital.ts";
import { START } from "./ledger.ts";
import { peerOf } from "./network.ts";

/** A home that orders, and an organisation elsewhere that writes through it. */
export interface TwoHospitals {
  readonly genesis: Uint8Array;
  readonly clock: { now: number };
  readonly homeKeys: KeyStore;
  readonly awayKeys: KeyStore;
  readonly homeStorage: StorageAdapter;
  readonly awayStorage: StorageAdapter;
  readonly source: PublishedHeads;
  readonly sequencer: Sequencer;
  readonly peer: FaultyPeer;
  readonly faults: PeerFault[];
  /** Opens the member elsewhere. */
  open(options?: Partial<OpenLedgerOptions>): Promise<Ledger>;
  close(): Promise<void>;
}

/** A peer whose faults a test chooses; each is asked once before and once after the home has answered. */
export interface FaultyPeer extends LedgerPeer {
  submit(transactions: readonly TransactionWithEntries[]): Promise<readonly SubmitOutcome[]>;
  before: (transactions: readonly TransactionWithEntries[]) => void | Promise<void>;
  after: (outcomes: readonly SubmitOutcome[]) => readonly SubmitOutcome[];
  isDown: boolean;
  /** What was handed in, call by call. */
  readonly handedIn: (readonly TransactionWithEntries[])[];
}

export const away: readonly Role[] = ["custodian"];

/** Founds a ledger of two organisations; only the home appends blocks. */
export async function twoHospitals(
  options: {
    readonly homeStorage?: StorageAdapter;
    readonly awayStorage?: StorageAdapter;
    readonly genesis?: Partial<CreateGenesisOptions>;
  } = {},
): Promise<TwoHospitals> {
  const homeKeys = await organisation("home");
  const awayKeys = await organisation("away");
  const genesis = await createGenesis({
    ...{ origin: "history.example/two", nonce: NONCE },
    members: [
      await signDescription(homeKeys, { name: "home", roles: WRITER, for: NONCE }),
      await signDescription(awayKeys, { name: "away", roles: away, for: NONCE }),
    ],
    ...options.genesis,
  });
  const homeStorage = options.homeStorage ?? memoryStorage();
  const awayStorage = options.awayStorage ?? memoryStorage();
  const clock = { now: START };
  const now = (): number => clock.now;
  const home = await openLedger({
    ...{ storage: homeStorage, keys: homeKeys, genesis, now, policy: { labeller: LABELLER } },
  });
  const chain = await openChain({ storage: homeStorage, genesis });
  const sequencer = createSequencer({
    ...{ chain, storage: homeStorage, signer: homeKeys.signer(), now },
  });
  const source = publishHeads({ ledger: home, chains: homeStorage.chains!, every: 5 });
  const peer = faultyPeer(peerOf(source, { requestsPerMinute: 1e6 }), sequencer);
  const faults: PeerFault[] = [];
  return {
    ...{ genesis, clock, homeKeys, awayKeys, homeStorage, awayStorage, source, sequencer },
    ...{ peer, faults },
    open: (more = {}) =>
      openLedger({
        ...{ storage: awayStorage, keys: awayKeys, genesis, home: peer, now },
        onFault: (fault) => faults.push(fault),
        // Twenty times as fast: the default patience is half a second.
        sleep: (ms, signal) => sleep(ms / 20, signal),
        ...more,
        policy: { labeller: LABELLER, ...more.policy },
      }),
    async close() {
      await source.close();
      await sequencer.close();
      await home.close();
    },
  };
}

function faultyPeer(reads: LedgerPeer, sequencer: Sequencer): FaultyPeer {
  const down = (): void => {
    if (peer.isDown) throw new TransportError("ERR_TRANSPORT_FAILED", "down");
  };
  const peer: FaultyPeer = {
    ...reads,
    before: () => undefined,
    after: (outcomes) => outcomes,
    isDown: false,
    handedIn: [],
    async checkpoint(options) {
      down();
      return reads.checkpoint(options);
    },
    async submit(transactions) {
      down();
      await peer.before(transactions);
      peer.handedIn.push(transactions);
      return peer.after(await submitTo(sequencer, transactions));
    },
  };
  return peer;
}

/** Hands transactions to a sequencer as a home does. */
export async function submitTo(
  sequencer: Sequencer,
  transactions: readonly TransactionWithEntries[],
): Promise<readonly SubmitOutcome[]> {
  const submitted = transactions.map(async (one): Promise<SubmitOutcome> => {
    try {
      const { height, transaction } = await sequencer.submit(one).durable;
      return { ok: true, height, transaction };
    } catch (error) {
      if (error instanceof TransactionRefused) return { ok: false, ...error.refused };
      throw error;
    }
  });
  return Promise.all(submitted);
}

/** Ids of keys, lanes and numbers, to see what was signed again. */
export const placesIn = (transactions: readonly TransactionWithEntries[]): readonly string[] =>
  transactions.map(({ tx }) => {
    const { lane, seq } = decodeTransaction(tx);
    return `${lane}/${seq}`;
  });
