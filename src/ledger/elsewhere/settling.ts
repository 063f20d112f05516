import { bytesKey } from "../../bytes/bytes-key.ts";
import { entryId } from "../../block/entry.ts";
import { isInForce, keyStateKey, seqKey } from "../../chain/state.ts";
import { isSignedBy } from "../../chain/prepare.ts";
import { REFUSALS, type Refusal, type Refused } from "../../chain/refusal.ts";
import { signChange } from "../../chain/signed-change.ts";
import { TransactionRefused } from "../../chain/submission.ts";
import { signTransaction, type TransactionWithEntries } from "../../block/transaction.ts";
import { ChainError, TransportError } from "../../errors.ts";
import type { Signer } from "../../identity/signer.ts";
import { heldKey } from "../../chain/key-change.ts";
import { hasEntriesOf, type Waiting } from "./outbox.ts";
import type { RemoteOptions } from "./remote-options.ts";

/** Finds out what became of items of the outbox, and does what follows. */
export interface Settling {
  /** Completes an item that is in a block which is here already. */
  findHere(item: Waiting): Promise<boolean>;
  /** Looks for an item where the home said that it is, if the block is here; `true` if it is completed. */
  check(item: Waiting): Promise<boolean>;
  /** Signs an item anew, in the same place, before it grows too old. */
  renewOld(item: Waiting): Promise<void>;
  /** Takes the home's word that its rules refuse an item. */
  refused(
    item: Waiting,
    why: { readonly reason: string; readonly entry?: number; readonly code?: string },
  ): Promise<void>;
  /** Removes refused items that can never be recorded any more, once somebody knows of them. */
  bury(): Promise<void>;
}

/** Refusals that end with another signature, and say nothing about the entries. */
const OF_SIGNATURE: readonly string[] = ["replayed-sequence", "key-not-in-force", "unknown-key"];

/** Refusals of bytes that are right here: then those that arrived were others. */
const OF_BYTES: readonly string[] = [
  ...["entries-root-mismatch", "entry-count-mismatch", "bad-signature"],
];

/** Makes it. */
export function createSettling(
  { context, outbox, home, onFault, discard, isRecorded }: RemoteOptions,
  { sync, finish }: { sync(): Promise<unknown>; finish(item: Waiting): void },
): Settling {
  const { chain, keys, signer, now, random } = context;

  const maxTxAge = (): number => chain.state.policy().maxTxAge;

  function hold(item: Waiting, error: Error): void {
    item.held = true;
    item.error = error;
    onFault({ did: home.did, error });
  }

  async function loadOwn({ prepared }: Waiting) {
    const { key, lane } = prepared.transaction;
    await chain.state.load([keyStateKey(key), seqKey(key, lane)]);
    return chain.state.key(key);
  }

  /** Whether this member may sign an item anew: its own key signed exactly these entries before. */
  async function isOwn(item: Waiting): Promise<boolean> {
    const key = await loadOwn(item);
    return key?.actor === signer.actor && key.use === "sign" && isSignedBy(item.prepared, key);
  }

  /** Whether the rules can never admit an item any more, under whatever block comes next. */
  async function isPassed(item: Waiting): Promise<boolean> {
    const state = await loadOwn(item);
    const { key, lane, seq } = item.prepared.transaction;
    const last = chain.state.seq(key, lane);
    if (last !== undefined && last >= seq) return true;
    return state !== undefined && state.until !== null && !isInForce(state, chain.size);
  }

  async function completeAt(item: Waiting, height: number): Promise<boolean> {
    const { block } = await chain.readBlock(height);
    const transaction = block.transactions.findIndex(({ tx }) => hasEntriesOf(item, tx));
    if (transaction < 0) return false;
    await outbox.complete(item);
    item.place = { height, transaction };
    finish(item);
    return true;
  }

  async function findHere(item: Waiting): Promise<boolean> {
    if (item.place !== undefined) {
      outbox.onArrival(item);
      return true;
    }
    const { key, lane, seq } = item.prepared.transaction;
    const found = await chain.findTransaction(key, lane, seq);
    return found !== undefined && completeAt(item, found.height);
  }

  function signerOf(key: Uint8Array): Signer | undefined {
    if (bytesKey(signer.key) === bytesKey(key)) return signer;
    return heldKey(keys, signer.actor, key)?.use === "sign"
      ? keys.signer(key, signer.actor)
      : undefined;
  }

  /**
   * Signs an item anew under the same sequence number. The rules admit one transaction of a number at
   * most, so the entries cannot be recorded twice, whatever became of the first one.
   */
  async function renew(item: Waiting): Promise<boolean> {
    const { key, lane, seq } = item.prepared.transaction;
    const by = signerOf(key);
    if (by === undefined || !(await isOwn(item))) return false;
    const { entries } = item.row.signed;
    const fields = { ledger: chain.ledger, lane, seq, time: now(), entries };
    await outbox.replace(item, { signed: await signTransaction(by, fields) });
    return true;
  }

  async function refuse(item: Waiting, refused: Refused): Promise<void> {
    delete item.held;
    // Until somebody was told, it must be found in the outbox: by who gave up meanwhile, or starts again.
    await outbox.replace(item, { refused: refused.reason });
    const { callers } = item;
    delete item.callers;
    const error = new TransactionRefused(refused);
    item.error = error;
    if (callers === undefined) onFault({ did: home.did, error });
    else {
      item.isTold = true;
      for (const caller of callers) caller.reject(error);
      await outbox.replace(item, { told: true });
    }
    await bury();
  }

  /** What to do about an item whose number or key the home refuses. */
  async function signElsewhere(item: Waiting, reason: string): Promise<void> {
    await sync();
    if (item.place !== undefined || (await findHere(item))) return;
    if (!(await isPassed(item))) {
      return hold(
        item,
        new ChainError(
          "ERR_CHAIN_PENDING",
          `the home says ${reason}, and no block that is here does`,
        ),
      );
    }
    // From here on it is certain that this transaction is in no block and never will be.
    const { entries } = item.row.signed;
    const { author } = item.prepared.transaction;
    for (const entry of entries) {
      // Recorded under another number: the row is an old one that somebody put back.
      if (await isRecorded(entryId(chain.ledger, author, entry))) return outbox.remove(item);
    }
    const signed: TransactionWithEntries = await signChange(chain, signer, entries, {
      now,
      random,
    });
    await outbox.replace(item, { signed });
    hold(item, new ChainError("ERR_CHAIN_PENDING", `signed anew, since the home said ${reason}`));
  }

  async function bury(): Promise<void> {
    for (const item of outbox.waiting()) {
      const { refused, told } = item.row;
      if (refused === undefined || !told || item.place !== undefined) continue;
      if (await findHere(item)) continue;
      const { time } = item.prepared.transaction;
      const isOver = chain.tip.time > time + maxTxAge();
      if (!isOver && !(await isPassed(item))) continue;
      const named = new Set(
        outbox
          .waiting()
          .filter((other) => other !== item)
          .flatMap(({ row }) => row.signed.entries.map(bytesKey)),
      );
      await discard(item.row.signed.entries.filter((entry) => !named.has(bytesKey(entry))));
      await outbox.remove(item);
    }
  }

  return {
    findHere,
    bury,
    async check(item) {
      if (item.place !== undefined) return true;
      const height = item.said?.place.height;
      if (height === undefined || height >= chain.size) return false;
      if (await completeAt(item, height)) return true;
      delete item.said;
      const error = new ChainError(
        "ERR_CHAIN_LOST",
        `the home said that block ${height} has what was written here, and it does not`,
      );
      hold(item, error);
      return false;
    },
    async renewOld(item) {
      const { time } = item.prepared.transaction;
      if (Math.abs(now() - time) > maxTxAge() / 2) await renew(item);
    },
    async refused(item, { reason, entry, code }) {
      // One that is not known here may be another that was altered on its way, and would end what waits.
      if (!isRefusal(reason)) {
        throw new TransportError("ERR_TRANSPORT_MALFORMED", "a refusal has no known reason");
      }
      const isEarly = reason === "too-early";
      if (isEarly || (reason === "too-old" && (await isOwn(item)))) {
        // It was signed a moment ago, so one of the two clocks is wrong.
        return hold(
          item,
          new ChainError("ERR_CHAIN_CLOCK", "the clocks here and at the home are too far apart"),
        );
      }
      if (OF_BYTES.includes(reason) && (await isOwn(item))) {
        return hold(
          item,
          new TransportError(
            "ERR_TRANSPORT_MALFORMED",
            `the home says ${reason}, so what arrived there is not what was sent`,
          ),
        );
      }
      if (OF_SIGNATURE.includes(reason) && (await isOwn(item))) {
        return signElsewhere(item, reason);
      }
      return refuse(item, {
        reason,
        ...(entry === undefined ? {} : { entry }),
        ...(code === undefined ? {} : { code }),
      });
    },
  };
}

const isRefusal = (reason: string): reason is Refusal => Object.hasOwn(REFUSALS, reason);
