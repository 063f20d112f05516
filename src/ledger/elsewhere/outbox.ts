import { bytesKey } from "../../bytes/bytes-key.ts";
import { appendTo } from "../../bytes/lists.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { entryId } from "../../block/entry.ts";
import { decodeTransaction, type TransactionWithEntries } from "../../block/transaction.ts";
import type { AppendableChain } from "../../chain/chain.ts";
import type { IngestOptions } from "../../chain/ingest-result.ts";
import { isRefused, prepareTransaction, type PreparedTransaction } from "../../chain/prepare.ts";
import type { SubmissionWrites } from "../../chain/submission-queue.ts";
import type { DurablePlace } from "../../chain/submission.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { ChainError, InputError } from "../../errors.ts";
import type { NamedBlob, StateChange } from "../../storage/types.ts";
import type { LedgerStorage } from "../storage.ts";
import { outboxRows, type OutboxRow } from "./outbox-rows.ts";

/** What a member elsewhere wrote that is not on the ledger yet. */
export interface OutboxItem {
  /** Names it for `dismissRefused`. */
  readonly id: string;
  /** The entries, in order; none if the store's row of it is damaged. */
  readonly entries: readonly EntryId[];
  /** When it was written, in ms since 1970. */
  readonly since: number;
  /** The last error on the way to the home, if there was one since. */
  readonly error?: Error;
  /**
   * Why it will not be recorded: the reason of the home's rules, or `damaged`. It stays until it is
   * dismissed.
   */
  readonly refused?: string;
}

/** Somebody who waits for a block. */
export interface Caller {
  resolve(place: DurablePlace): void;
  reject(error: unknown): void;
}

/** A transaction in the outbox; durable. */
export interface Waiting {
  readonly order: number;
  row: OutboxRow;
  prepared: PreparedTransaction;
  /** Where the home said that it is; not believed before the block is here. */
  said?: { readonly place: DurablePlace; readonly at: number };
  /** Where it is in a block that is here. */
  place?: DurablePlace;
  error?: Error;
  /** Whether nothing may be sent with it or after it for now. */
  held?: boolean;
  /** Whether a caller heard that it is refused, though the row may not say so yet. */
  isTold?: boolean;
  /** Those who wait for its block, if anybody does. */
  callers?: Set<Caller>;
}

/** The durable outbox, with what it holds in memory. Only one process may have it open. */
export interface Outbox {
  /** In the order in which they are sent, those that were refused included. */
  waiting(): readonly Waiting[];
  /** Makes transactions with their blobs and state durable, all or none. */
  add(
    all: readonly { readonly prepared: PreparedTransaction; readonly writes: SubmissionWrites }[],
    since: number,
  ): Promise<readonly Waiting[]>;
  /** Replaces a row; durable once this resolves. */
  replace(item: Waiting, change: Partial<OutboxRow>): Promise<void>;
  /** Removes an item whose block is here, with what belongs to the block. */
  complete(item: Waiting): Promise<void>;
  /** Removes an item that can never be recorded. */
  remove(item: Waiting): Promise<void>;
  /** Forgets an item whose row is gone. */
  forget(item: Waiting): void;
  /** Changes that belong to blocks which are about to be appended here. */
  readonly beside: NonNullable<IngestOptions["beside"]>;
  /** Set to learn of items whose blocks are about to be appended. */
  onArrival: (item: Waiting) => void;
  list(): readonly OutboxItem[];
  /** Says that a refusal was seen; resolves to its item if it is not damaged. */
  dismiss(id: string): Promise<Waiting | undefined>;
  /** Whether every row of it can be read. */
  isWhole(): boolean;
  /**
   * @throws {ChainError} `ERR_CHAIN_PENDING` while a consent, a link or an erasure waits that nobody waits for
   */
  assertNothingBinds(): void;
  /**
   * @throws {ChainError} `ERR_CHAIN_PENDING` while an access waits that nobody waits for: it may be that of an ask that
   *   comes again, which must not be recorded twice
   */
  assertNoAccessWaits(): void;
}

/** Kinds of entries that may change who may see what. */
export const BINDING: readonly string[] = ["consent", "link", "erase"];

/** Opens the outbox of a ledger with what an earlier process left in it. */
export async function openOutbox(chain: AppendableChain, storage: LedgerStorage): Promise<Outbox> {
  const rows = outboxRows(storage.state, chain.ledger);
  const items = new Map<number, Waiting>();
  const byEntries = new Map<string, Waiting>();
  const damaged = new Set<number>();
  let last = -1;

  for (const { order, row } of await rows.list()) {
    last = order;
    const prepared = row && prepareTransaction(row.signed, chain.ledger, chain.rules);
    if (prepared === undefined || isRefused(prepared)) damaged.add(order);
    else keep({ order, row: row!, prepared });
  }

  function keep(item: Waiting): Waiting {
    items.set(item.order, item);
    byEntries.set(bytesKey(item.prepared.transaction.entries), item);
    return item;
  }

  function forget(item: Waiting): void {
    items.delete(item.order);
    const name = bytesKey(item.prepared.transaction.entries);
    if (byEntries.get(name) === item) byEntries.delete(name);
  }

  const outbox: Outbox = {
    waiting: () => [...items.values()],
    async add(all, since) {
      const blobs: NamedBlob[] = [];
      const state: StateChange[] = [];
      const added = all.map(({ prepared, writes }): Waiting => {
        const { withBlock = [] } = writes;
        const row = { signed: prepared.signed, withBlock, since, told: false };
        const order = ++last;
        appendTo(blobs, writes.blobs ?? []);
        appendTo(state, writes.state ?? []);
        appendTo(state, rows.put(order, row));
        return { order, row, prepared };
      });
      await storage.commit({ blobs, state });
      return added.map(keep);
    },
    async replace(item, change) {
      const row = { ...item.row, ...change };
      await storage.state.batch(rows.put(item.order, row));
      item.row = row;
      item.prepared = preparedAgain(chain, row.signed);
    },
    async complete(item) {
      await storage.state.batch([...rows.remove(item.order), ...item.row.withBlock]);
      forget(item);
    },
    async remove(item) {
      await storage.state.batch(rows.remove(item.order));
      forget(item);
    },
    forget,
    beside(transactions) {
      if (items.size === 0) return [];
      const changes: StateChange[] = [];
      for (const { tx, height, transaction } of transactions) {
        const { entries, author } = decodeTransaction(tx);
        // Whichever signature it was recorded with.
        const item = byEntries.get(bytesKey(entries));
        if (item?.prepared.transaction.author !== author) continue;
        appendTo(changes, rows.remove(item.order));
        appendTo(changes, item.row.withBlock);
        item.place = { height, transaction };
        outbox.onArrival(item);
      }
      return changes;
    },
    onArrival: () => undefined,
    list() {
      const shown = [...items.values()].filter(
        ({ row, isTold, place }) => !row.told && !isTold && !place,
      );
      return [
        ...[...damaged].map((order) => damagedItem(order)),
        ...shown.map((item) => itemOf(chain, item)),
      ];
    },
    async dismiss(id) {
      const order = [...damaged, ...items.keys()].find((one) => String(one) === id);
      const item = order === undefined ? undefined : items.get(order);
      if (order !== undefined && item === undefined) {
        await storage.state.batch(rows.remove(order));
        damaged.delete(order);
        return undefined;
      }
      if (item?.row.refused === undefined) {
        throw new InputError("ERR_INPUT_INVALID", "nothing that was refused has this id");
      }
      await outbox.replace(item, { told: true });
      return item;
    },
    isWhole: () => damaged.size === 0,
    assertNothingBinds() {
      const binds = ({ row, isTold, callers, place, prepared: { kinds } }: Waiting): boolean =>
        !row.told && !isTold && !callers && !place && kinds.some((kind) => BINDING.includes(kind));
      if (damaged.size === 0 && ![...items.values()].some(binds)) return;
      throw new ChainError(
        "ERR_CHAIN_PENDING",
        "a consent, a link or an erasure of this member waits in its outbox, and nothing is decided " +
          "without it: see `outbox`",
      );
    },
    assertNoAccessWaits() {
      const isAccess = ({ row, callers, prepared: { kinds } }: Waiting): boolean =>
        row.refused === undefined && !callers && kinds.includes("access");
      if (![...items.values()].some(isAccess)) return;
      throw new ChainError("ERR_CHAIN_PENDING", "an access of this member waits in its outbox");
    },
  };
  return outbox;
}

/** Whether a transaction has exactly the entries of an item, by the same author. */
export function hasEntriesOf({ prepared }: Waiting, tx: Uint8Array): boolean {
  const { entries, author } = decodeTransaction(tx);
  const { transaction } = prepared;
  return author === transaction.author && equalBytes(entries, transaction.entries);
}

function preparedAgain(
  { ledger, rules }: AppendableChain,
  signed: TransactionWithEntries,
): PreparedTransaction {
  const prepared = prepareTransaction(signed, ledger, rules);
  if (isRefused(prepared)) throw new ChainError("ERR_CHAIN_REFUSED", prepared.reason);
  return prepared;
}

function itemOf({ ledger }: AppendableChain, { order, row, prepared, error }: Waiting): OutboxItem {
  const { author } = prepared.transaction;
  return {
    id: String(order),
    entries: row.signed.entries.map((entry) => toEntryId(entryId(ledger, author, entry))),
    since: row.since,
    ...(error === undefined ? {} : { error }),
    ...(row.refused === undefined ? {} : { refused: row.refused }),
  };
}

const damagedItem = (order: number): OutboxItem => ({
  ...{ id: String(order), entries: [], since: 0, refused: "damaged" },
});
