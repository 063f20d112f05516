import type { Role } from "../../src/block/member.ts";
import { decodeTransaction, type TransactionWithEntries } from "../../src/block/transaction.ts";
import { signDescription } from "../../src/chain/description.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { LedgerError, TransportError } from "../../src/errors.ts";
import { followEntries } from "../../src/network/follow-entries.ts";
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
  /** The home's own ledger. */
  readonly home: Ledger;
  readonly peer: FaultyPeer;
  readonly faults: PeerFault[];
  /** Opens the member elsewhere. */
  open(options?: Partial<OpenLedgerOptions>): Promise<Ledger>;
  close(): Promise<void>;
}

/** A peer whose faults a test chooses; each is asked once before and once after the home has answered. */
export interface FaultyPeer extends LedgerPeer {
  /** May answer in place of the home. */
  before: (
    transactions: readonly TransactionWithEntries[],
  ) => readonly SubmitOutcome[] | undefined | Promise<undefined>;
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
    readonly home?: Partial<OpenLedgerOptions>;
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
    ...options.home,
  });
  const sequencer = home.sequencer;
  const source = publishHeads({ ledger: home, chains: homeStorage.chains!, every: 5 });
  const handler = { sequencer, authorize: () => true, requestsPerMinute: 1e6 };
  const peer = faultyPeer(peerOf(source, handler));
  const faults: PeerFault[] = [];
  return {
    ...{ genesis, clock, homeKeys, awayKeys, homeStorage, awayStorage, source, home },
    ...{ peer, faults },
    open: (more = {}) =>
      openLedger({
        ...{ storage: awayStorage, keys: awayKeys, genesis, home: peer, now },
        onFault: (fault) => faults.push(fault),
        // Twenty times as fast, and faster where all wait in vain: three seconds, also on a busy machine.
        settleWithin: 60_000,
        sleep: (ms, signal) => sleep(ms / (peer.isDown ? 200 : 20), signal),
        ...more,
        policy: { labeller: LABELLER, ...more.policy },
      }),
    async close() {
      await source.close();
      await home.close();
    },
  };
}

/** Puts faults before and behind a peer. */
export function faultyPeer(real: LedgerPeer): FaultyPeer {
  const down = (): void => {
    if (peer.isDown) throw new TransportError("ERR_TRANSPORT_FAILED", "down");
  };
  const peer: FaultyPeer = {
    ...real,
    before: () => undefined,
    after: (outcomes) => outcomes,
    isDown: false,
    handedIn: [],
    async checkpoint(options) {
      down();
      return real.checkpoint(options);
    },
    async submit(transactions, options) {
      down();
      const instead = await peer.before(transactions);
      if (instead !== undefined) return instead;
      peer.handedIn.push(transactions);
      return peer.after(await real.submit(transactions, options));
    },
  };
  return peer;
}

/** Ids of keys, lanes and numbers, to see what was signed again. */
export const placesIn = (transactions: readonly TransactionWithEntries[]): readonly string[] =>
  transactions.map(({ tx }) => {
    const { lane, seq } = decodeTransaction(tx);
    return `${lane}/${seq}`;
  });

/** How often each entry of an author is on the home's ledger. */
export async function counts(
  { source }: Pick<TwoHospitals, "source">,
  author: string,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  await source.look();
  const { size } = source.newest!;
  const ending = new AbortController();
  for await (const entry of followEntries(source, { signal: ending.signal })) {
    const id = toHex(entry.id);
    if (entry.author === author) found.set(id, (found.get(id) ?? 0) + 1);
    if (entry.height === size - 1) ending.abort();
  }
  return found;
}

/** Waits until something holds, while the home signs; if it never does, the test's own limit ends it. */
export async function until(
  { source }: Pick<TwoHospitals, "source">,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  while (!(await holds())) {
    await source.look();
    await sleep(5);
  }
}

/** Waits until the outbox is empty. */
export const emptied = (two: Pick<TwoHospitals, "source">, hl: Ledger): Promise<void> =>
  until(two, async () => (await hl.outbox()).length === 0);

/** The code of a call's error. */
export const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "resolved",
    (error: unknown) => (error instanceof LedgerError ? error.code : String(error)),
  );
