import type { AppendableChain } from "../../chain/chain.ts";
import { isOwnStore } from "../../chain/stored-block.ts";
import { trustFromGenesis, type Trust } from "../../chain/trust.ts";
import { appendTo } from "../../bytes/lists.ts";
import { entryId } from "../../block/entry.ts";
import type { CID } from "../../codec/cid.ts";
import { InputError, LedgerError } from "../../errors.ts";
import { catchUpWithPeers } from "../../network/catch-up.ts";
import { startReplica, type StartedReplica } from "../../network/open-replica.ts";
import type { PeerFault } from "../../network/peer-list.ts";
import type { LedgerCopy } from "../../network/replica.ts";
import { assertStorePlace, keepStorePlace } from "../../network/store-place.ts";
import type { LedgerPeer } from "../../transport/types.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { contentKeyName } from "../entries/filing.ts";
import { ciphertextOf } from "../erasure/ciphertext.ts";
import type { OpenLedgerOptions } from "../options.ts";
import type { LedgerStorage } from "../storage.ts";
import { bodyOf } from "./kept-entries.ts";
import { openOutbox, type Outbox } from "./outbox.ts";
import { createRemoteSequencer, type RemoteSequencer } from "./remote-sequencer.ts";

/** A member whose blocks are ordered by another organisation: its copy, and what it has yet to send. */
export interface Elsewhere {
  readonly replica: StartedReplica;
  readonly outbox: Outbox;
  /** Rejects unless this opening has seen how far the ledger is. */
  assertSynced(): void;
  /** @param catalogue - asked only after the ledger is opened */
  sequencer(context: LedgerContext, catalogue: () => Catalogue): RemoteSequencer;
}

/** The options of `openLedger` that say where a member is. */
export type ElsewhereOptions = Pick<
  OpenLedgerOptions,
  "home" | "peers" | "onFault" | "onFork" | "signal" | "readOnly" | "repair"
> & {
  readonly trust?: Trust | undefined;
  readonly patience: number;
  /** Clock in ms since 1970. */
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** @throws {InputError} `ERR_INPUT_INVALID` when the options contradict each other */
export function assertPlace(options: OpenLedgerOptions): void {
  const wrong = options.home === undefined ? wrongAtHome(options) : wrongElsewhere(options);
  if (wrong !== undefined) throw new InputError("ERR_INPUT_INVALID", wrong);
}

function wrongAtHome(options: OpenLedgerOptions): string | undefined {
  const { peers, onFault, onFork, readOnly, breakGlass } = options;
  if (breakGlass?.whileCutOff === true) return "`breakGlass.whileCutOff` needs a `home`";
  if (peers === undefined) {
    return onFault === undefined && onFork === undefined
      ? undefined
      : "`onFault` and `onFork` need a `home` or `peers`";
  }
  if (peers.length === 0) return "a home asks its `peers` before it writes: name a copy";
  return readOnly === true ? "what is opened `readOnly` takes no blocks of `peers`" : undefined;
}

function wrongElsewhere({ readOnly, cosigners }: OpenLedgerOptions): string | undefined {
  return readOnly === true || cosigners !== undefined
    ? "a member with a `home` writes, and signs no checkpoints: leave out `readOnly` and `cosigners`"
    : undefined;
}

/** Remembers that a store is the home's, once it is known that this member may append to it. */
export const keepHome = (chain: AppendableChain, storage: LedgerStorage): Promise<void> =>
  keepStorePlace(storage.state, chain.ledger, "home");

/** Opens what a member elsewhere has; a home has nothing of it, and asks its copies for what it lacks. */
export async function openPlace(
  chain: AppendableChain,
  storage: LedgerStorage,
  options: ElsewhereOptions,
): Promise<Elsewhere | undefined> {
  const { home, peers, onFault, onFork, patience, now, sleep, signal } = options;
  if (home !== undefined) return openElsewhere(chain, storage, { ...options, home });
  const { readOnly = false, repair = {} } = options;
  if (!readOnly && repair.place !== true) {
    await assertStorePlace(storage.state, chain.ledger, "home");
  }
  if (peers === undefined) return undefined;
  await catchUpWithPeers(chain, {
    base: options.trust ?? trustFromGenesis(chain.genesisBytes),
    ...{ storage, peers, within: patience, now: neverBack(now), sleep, signal },
    onFault: (fault) => onFault?.(fault),
    onFork: (fork) => onFork?.(fork),
  });
  return undefined;
}

/** Opens the copy and the outbox, and fetches what is new if somebody can be reached. */
async function openElsewhere(
  chain: AppendableChain,
  storage: LedgerStorage,
  options: ElsewhereOptions & { readonly home: LedgerPeer },
): Promise<Elsewhere> {
  const { home, peers = [], patience, sleep, signal } = options;
  const onFault = (fault: PeerFault): void => options.onFault?.(fault);
  const elapsed = neverBack(options.now);
  const outbox = await openOutbox(chain, storage);
  const replica = await startReplica(chain, {
    base: options.trust ?? trustFromGenesis(chain.genesisBytes),
    ...{ storage, peers: [home, ...peers], onFault, now: elapsed, sleep },
    onFork: options.onFork ?? (() => undefined),
    beside: (transactions) => outbox.beside(transactions),
    moved: options.repair?.place,
  });
  let missed: LedgerError | undefined;
  try {
    await replica.sync(signal === undefined ? {} : { signal });
  } catch (error) {
    if (!(error instanceof LedgerError) || isOwnStore(error)) throw error;
    // A home without a checkpoint: nobody has written to the ledger yet.
    if (chain.size > 0 || error.code !== "ERR_TRANSPORT_NOT_FOUND") missed = error;
  }
  return {
    replica,
    outbox,
    assertSynced() {
      if (missed !== undefined) throw missed;
    },
    sequencer: (context, catalogue) =>
      createRemoteSequencer({
        ...{ context, outbox, replica, home, onFault, patience, elapsed, sleep },
        discard: (entries) => discardEntries(context, catalogue(), entries),
        async isRecorded(id) {
          await catalogue().catchUp();
          return (await catalogue().find(id)).status !== "missing";
        },
      }),
  };
}

/** What others may have of a copy: it gives out blocks, and takes none. */
export const copyOf = (replica: LedgerCopy): LedgerCopy => ({
  chain: replica.chain,
  get newest() {
    return replica.newest;
  },
  grown: replica.grown,
  policy: replica.policy,
  get trust() {
    return replica.trust;
  },
  get fork() {
    return replica.fork;
  },
});

/** A clock that stands still where another one runs backwards. */
export function neverBack(now: () => number): () => number {
  let last = -Infinity;
  let lost = 0;
  return () => {
    const time = now();
    if (time < last) lost += last - time;
    last = time;
    return time + lost;
  };
}

/** Deletes ciphertext and keys of entries that are not on the ledger and never will be. */
async function discardEntries(
  context: LedgerContext,
  catalogue: Catalogue,
  entries: readonly Uint8Array[],
): Promise<void> {
  const { chain, signer, storage, vault } = context;
  await catalogue.catchUp();
  for (const bytes of entries) {
    const body = bodyOf(bytes);
    const id = entryId(chain.ledger, signer.actor, bytes);
    if (body === undefined || (await catalogue.find(id)).status !== "missing") continue;
    const blobs: CID[] = [];
    for (const { data } of (await ciphertextOf(storage, body)) ?? []) appendTo(blobs, data);
    // The header last: as long as it is there, its ciphertext can be found.
    if (blobs.length > 0) await storage.blobs.delete(blobs);
    await storage.blobs.delete([body]);
    await storage.state.batch([vault.remove(contentKeyName(context, body))]);
  }
}
