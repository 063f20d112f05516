import { decodeEntry, type ErasureClass, ERASURE_CLASSES } from "../../block/entry.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import type { CID } from "../../codec/cid.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import { InputError, LedgerError, StorageError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Compaction } from "../../storage/types.ts";
import { strangers } from "../disclosure/access.ts";
import { ciphertextOf, deleteInSteps } from "./ciphertext.ts";
import type { Catalogue, IndexHands } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { openOwn } from "../entries/own-envelope.ts";
import type { LedgerContext } from "../context.ts";
import {
  checkErase,
  type CheckedErase,
  type CompactionTime,
  type EraseOptions,
} from "./erase-options.ts";
import { contentKeyName, sealEntry, type Filing } from "../entries/filing.ts";
import { assertGone } from "./giving-up.ts";
import { IndexMoved } from "../index/loss.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { personName, type Turns } from "../turns.ts";
import { unfinishedErasures, type Marked, type PendingErasure } from "./unfinished.ts";
import { type Erasure, encodeErasure, decodeErasure } from "./erasure-entry.ts";
import { orphansOf, rootsOf, versionsOf, BELONGS, CLASS_OF, holdOf } from "./targets.ts";

/** How long entries of a class must be kept, and the rule that says so. */
export interface Retention {
  /** Least age in ms, counted from the block's time. */
  readonly keepFor: number;
  readonly rule: string;
}

/**
 * A custodian's statement of what it destroyed. It is a statement, not a proof: nobody can prove
 * that no copy is left.
 */
export interface ErasureStatement {
  /** Names the first erase entry. */
  readonly id: EntryId;
  /** All erase entries: one names at most 2,000 entries. */
  readonly entries: readonly EntryId[];
  readonly class: ErasureClass;
  /** The entries whose envelopes were destroyed. */
  readonly erased: readonly EntryId[];
  /** Blobs that this call deleted: headers and ciphertext. */
  readonly blobs: number;
  /**
   * Envelopes whose header this call found gone or damaged, so that nobody can tell where their
   * ciphertext stands. Their keys here are destroyed; the ciphertext may be in the store still.
   */
  readonly unreached: readonly CID[];
  /**
   * Whether the storage's files were rid of what was deleted. `pending`: not yet; `compact`, the same
   * `erase` again or the next opening does it. `unsupported`: this storage cannot be compacted.
   */
  readonly compacted: "done" | "pending" | "unsupported";
  /** Bytes of the storage's files before and after this call compacted them. */
  readonly compaction?: Compaction;
  /** What kept this call from compacting, where it tried. */
  readonly hindrance?: unknown;
  /** Grants that recipients hold already cannot be taken back. */
  readonly outOfReach: string;
}

/** What a compaction completed. */
export interface CompactionReport {
  /** Erasures whose statements said `pending`, and which are done now. */
  readonly finished: readonly PendingErasure[];
  /** Bytes of the storage's files before and after. */
  readonly compaction: Compaction;
}

/** An erase entry that stands on the ledger and could not be carried out. */
export interface StuckErasure {
  readonly item: CatalogueItem;
  readonly error: unknown;
}

/** Most entries that one erase entry names. */
const MOST_TARGETS = 2000;

/** What carrying an erase entry out deleted. */
interface Outcome {
  readonly blobs: number;
  readonly unreached: readonly CID[];
}

interface Destroyed {
  readonly id: Uint8Array;
  readonly erased: readonly Uint8Array[];
  readonly outcome: readonly Outcome[];
}

type Finished = Pick<ErasureStatement, "compacted" | "compaction" | "hindrance">;

/** Destroys what the custodian holds, class by class. */
export interface Erasing {
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /**
   * Destroys entries that were filed about a record while another erasure destroyed it. The caller
   * holds the person's turn.
   */
  abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void>;
  /** Forbids erasing anything about a person until {@link Erasing.liftHold}. */
  placeHold(subject: Subject, rule: string): Promise<void>;
  liftHold(subject: Subject): Promise<void>;
  /** Names entries that do not open here in an erase entry, so that they are lost no more. */
  giveUp(entries: readonly EntryId[], options: { readonly reason: string }): Promise<void>;
  /**
   * Carries out an erase entry that stands on the ledger; repeating it is harmless. One that cannot
   * be carried out is kept as {@link StuckErasure}, so that the ledger goes on.
   */
  carryOut(item: CatalogueItem, index: IndexHands): Promise<void>;
  /** Erase entries that could not be carried out. */
  stuck(): readonly StuckErasure[];
  /**
   * @throws {StorageError} `ERR_STORAGE_PENDING` where an erasure about this person could not be
   *   carried out: what it was to destroy may be there still
   */
  assertCarriedOut(local: Uint8Array): void;
  /**
   * Completes erasures that were interrupted, as far as the storage lets it: one that takes no writes,
   * or cannot be compacted now, is read nevertheless.
   */
  resume(): Promise<void>;
  /** Completes every erasure that is pending. */
  compact(): Promise<CompactionReport>;
  /** Erasures of which the storage's files may still show something, in no order. */
  pending(): Promise<readonly PendingErasure[]>;
}

const OUT_OF_REACH =
  "Recipients who were granted a key before can still open the copies they keep; backups taken " +
  "before this erasure must be destroyed by whoever keeps them.";

const NOT_COMPACTED: Readonly<Record<ErasureStatement["compacted"], string>> = {
  done: "",
  pending:
    " This storage has not been compacted yet: until it is, what was deleted may stand in its files.",
  unsupported:
    " This storage cannot be compacted: what was deleted may stand in its files for some time.",
};

/** Starts erasing. */
export function createErasing(
  context: LedgerContext,
  options: {
    readonly catalogue: () => Catalogue;
    readonly filing: () => Filing;
    readonly subjects: Subjects;
    readonly retention: Partial<Readonly<Record<ErasureClass, Retention>>>;
    readonly turns: Turns;
    readonly compaction: CompactionTime;
  },
): Erasing {
  const { storage, vault, now } = context;
  const { subjects, retention, turns } = options;
  const unfinished = unfinishedErasures(vault);
  let turn: Promise<unknown> = Promise.resolve();
  let finishing: Promise<unknown> = Promise.resolve();
  /** Where those who filed an erase entry wait to be told what became of it. */
  const outcomes = new Map<string, Outcome[]>();
  /** Erase entries that stand on the ledger and could not be carried out, by id. */
  const stuck = new Map<string, StuckErasure>();

  /** What stands against erasing these of a person's entries, if anything. */
  function assertAllowed(
    everything: readonly CatalogueItem[],
    what: ErasureClass,
    targets: readonly CatalogueItem[],
  ): void {
    const held = holdOf(everything);
    if (held !== undefined) {
      throw new InputError("ERR_INPUT_RETAINED", `not erased: legal hold (${held})`);
    }
    const rule = retention[what];
    if (rule === undefined) return;
    const newest = targets.reduce(
      (latest, { recordedAt }) => Math.max(latest, recordedAt),
      -Infinity,
    );
    const free = newest + rule.keepFor;
    if (now() < free) {
      throw new InputError(
        "ERR_INPUT_RETAINED",
        `not erased: ${what} data are kept until ${new Date(free).toISOString()} (${rule.rule})`,
      );
    }
  }

  async function contentOf({ kind, envelope, place }: CatalogueItem) {
    const { height } = place;
    const opened = await openOwn(context, { kind, envelope, height, parts: ["content"] });
    const content = opened?.get("content");
    return content === undefined ? undefined : decodeErasure(content);
  }

  async function carryOut(item: CatalogueItem, index: IndexHands): Promise<void> {
    const content = await contentOf(item);
    if (content === undefined) {
      throw new StorageError(
        "ERR_STORAGE_MISSING",
        `the erase entry ${toHex(item.id)} does not open here`,
      );
    }
    const { targets, forget } = content;
    const headers: CID[] = [];
    const unreached: CID[] = [];
    const ciphertext = deleteInSteps(storage.blobs);
    let blobs = 0;
    for (const id of targets) {
      // Targets that another author recorded are not in this catalogue: they are ignored.
      const target = await index.find(id);
      if (target.status === "present" || target.status === "lost") {
        const name = target.status === "present" ? target.item.envelope : target.envelope;
        const parts = await ciphertextOf(storage, name);
        if (parts === undefined) unreached.push(name);
        for (const { size, data } of parts ?? []) {
          for (const cid of data) await ciphertext.add(cid, size / data.length);
          blobs += data.length;
        }
        headers.push(name);
        blobs++;
        index.remove([vault.remove(contentKeyName(context, name))]);
      }
    }
    // Where it is carried out again, its blobs are gone: what the first time found counts.
    const told = outcomes.get(toHex(item.id));
    if (told?.length === 0) told.push({ blobs, unreached });
    // The headers last: while one stands, its ciphertext can still be found.
    await ciphertext.flush();
    if (headers.length > 0) await storage.blobs.delete(headers);
    await index.tombstone(targets, item.id);
    if (forget) await index.forget(item.manifest.local);
  }

  /** Carries an erase entry out, or keeps it for later and says durably that it is left. */
  async function attempt(item: CatalogueItem, index: IndexHands): Promise<void> {
    const hex = toHex(item.id);
    try {
      await carryOut(item, index);
      stuck.delete(hex);
    } catch (error) {
      if (error instanceof IndexMoved) throw error;
      const mark = { id: toEntryId(item.id), class: await classOf(item), since: item.recordedAt };
      await storage.state.batch([unfinished.mark(mark)]);
      stuck.set(hex, { item, error });
    }
  }

  /** The class that an erase entry says in clear. */
  async function classOf({ place }: CatalogueItem): Promise<ErasureClass> {
    const { block } = await context.chain.readBlock(place.height);
    const entry = decodeEntry(block.transactions[place.transaction]!.entries[place.entry]!);
    return "class" in entry && typeof entry.class === "string"
      ? (entry.class as ErasureClass)
      : "clinical";
  }

  const again = (item: CatalogueItem): Promise<void> =>
    options.catalogue().withHands((index) => attempt(item, index));

  /** Tries again what could not be carried out, here or before the ledger was opened. */
  async function retry(marked: readonly Marked[]): Promise<void> {
    for (const { erasure } of marked) {
      if (erasure === undefined || stuck.has(erasure.id)) continue;
      const found = await options.catalogue().find(entryIdBytes(erasure.id));
      if (found.status === "present") await again(found.item);
    }
    for (const { item } of [...stuck.values()]) await again(item);
  }

  /** Files what is to be destroyed, and destroys it; in as many entries as it takes. */
  async function destroy(
    subject: Subject,
    what: ErasureClass,
    targets: readonly Pick<CatalogueItem, "id">[],
    { reason, forget }: { readonly reason: string; readonly forget: boolean },
  ): Promise<readonly Destroyed[]> {
    const done: Destroyed[] = [];
    let at = 0;
    do {
      const ids = targets.slice(at, at + MOST_TARGETS).map(({ id }) => id);
      at += MOST_TARGETS;
      const more = at < targets.length;
      const content = { class: what, targets: ids, reason, forget: forget && !more, more };
      const write = () => destroyTogether(subject, content);
      done.push(await (done.length === 0 ? write() : afterWriting(write)));
    } while (at < targets.length);
    return done;
  }

  async function destroyTogether(subject: Subject, content: Erasure): Promise<Destroyed> {
    const { class: what, targets: ids } = content;
    const manifest: Manifest = { v: 1, op: "erase", local: subject.local };
    const bytes = encodeErasure(content);
    const entry = await sealEntry(context, {
      kind: "erase",
      class: what,
      manifest,
      parts: [{ id: "content", bytes }],
    });
    options.catalogue().remember(entry);
    const hex = toHex(entry.id);
    const outcome: Outcome[] = [];
    outcomes.set(hex, outcome);
    try {
      // With the entry, so that whoever opens the store after a crash knows that work is left.
      const mark = unfinished.mark({ id: toEntryId(entry.id), class: what, since: now() });
      await options.filing().fileAlone([entry], [mark]);
      // Catching up meets the entry and carries it out.
      await afterWriting(async () => {
        await options.catalogue().catchUp();
        await options.catalogue().flush();
      });
    } finally {
      outcomes.delete(hex);
    }
    const left = stuck.get(hex);
    if (left !== undefined) throw isPending(left);
    return { id: entry.id, erased: ids, outcome };
  }

  /** Files that a person is held, or is not any more. */
  const say = (subject: Subject, what: Pick<Manifest, "op" | "reason">): Promise<void> =>
    turns.shared(personName(subject), async () => {
      (await subjects.read(subject)).key.fill(0);
      const manifest: Manifest = { v: 1, local: subject.local, ...what };
      const entry = await sealEntry(context, { kind: "link", manifest, parts: [] });
      options.catalogue().remember(entry);
      await options.filing().file([entry]);
    });

  /** Makes what erase entries destroyed be gone from keys and files; one after another. */
  function finishErasure(): Promise<CompactionReport> {
    const mine = finishing.then(async () => {
      const marked = await unfinished.list();
      // Whatever is marked is then carried out; what others file meanwhile is left to the next time.
      if (marked.length > 0) await options.catalogue().catchUp();
      await retry(marked);
      await options.catalogue().flush();
      await vault.renew();
      const compaction = await compactStorage();
      const done = marked.filter(({ erasure }) => erasure && !stuck.has(erasure.id));
      const old = marked.filter(({ erasure, damage }) => !erasure && !damage);
      const changes = unfinished.remove([...done, ...old]);
      if (changes.length > 0) await storage.state.batch(changes);
      const finished = done.flatMap(({ erasure }) => erasure ?? []);
      return { finished, compaction };
    });
    finishing = mine.catch(() => undefined);
    return mine;
  }

  async function compactStorage(): Promise<Compaction> {
    if (storage.compact === undefined) return { before: 0, after: 0 };
    try {
      return await storage.compact();
    } catch (error) {
      throw new Hindered(error);
    }
  }

  /** Finishes now or leaves it for later. What was destroyed is destroyed in either case. */
  async function finish(time: CompactionTime): Promise<Finished> {
    if (storage.compact !== undefined && time === "later") {
      await vault.renew();
      return { compacted: "pending" };
    }
    try {
      const { compaction } = await finishErasure();
      return storage.compact === undefined
        ? { compacted: "unsupported" }
        : { compacted: "done", compaction };
    } catch (error) {
      if (!(error instanceof Hindered)) throw error;
      return { compacted: "pending", hindrance: error.cause };
    }
  }

  async function abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void> {
    const found = await Promise.all(ids.map((id) => options.catalogue().find(id)));
    const targets = found.flatMap((one) => (one.status === "present" ? [one.item] : []));
    if (targets.length === 0) return;
    const reason = "filed about a record while it was erased";
    await destroy(subject, "clinical", targets, { reason, forget: false });
    await finish(options.compaction);
  }

  /** What erase entries that did already what is asked for destroyed, none twice. */
  async function earlier(
    everything: readonly CatalogueItem[],
    { what, ids, forget }: CheckedErase,
  ): Promise<readonly Destroyed[]> {
    const erasures = everything.filter(({ kind }) => kind === "erase");
    const found: Destroyed[] = [];
    if (ids === undefined) {
      for (const item of erasures.toReversed()) {
        const content = await contentOf(item);
        // Of one that took several entries, those before the last say that there are more.
        if (found.length > 0 && content?.more !== true) break;
        if (content?.class !== what || (forget && !content.forget && found.length === 0)) continue;
        found.unshift({ id: item.id, erased: content.targets, outcome: [] });
      }
      return found;
    }
    const by = new Set<string>();
    for (const id of ids) {
      const target = await options.catalogue().find(id);
      if (target.status === "erased") by.add(toHex(target.by));
    }
    for (const item of erasures) {
      if (!by.has(toHex(item.id))) continue;
      const content = await contentOf(item);
      found.push({ id: item.id, erased: content?.targets ?? [], outcome: [] });
    }
    return found;
  }

  /** Says which of some ids an earlier erasure of this person destroyed, and refuses others. */
  async function stillThere(
    items: readonly CatalogueItem[],
    everything: readonly CatalogueItem[],
    ids: readonly Uint8Array[],
  ): Promise<readonly Uint8Array[]> {
    const roots = rootsOf(items);
    const there = new Set([...roots].flatMap(([id, root]) => (id === root ? [id] : [])));
    const erasures = new Set(
      everything.filter(({ kind }) => kind === "erase").map(({ id }) => toHex(id)),
    );
    const left: Uint8Array[] = [];
    for (const id of ids) {
      if (there.has(toHex(id))) {
        left.push(id);
        continue;
      }
      const target = await options.catalogue().find(id);
      if (target.status === "erased" && erasures.has(toHex(target.by))) continue;
      throw new InputError("ERR_INPUT_INVALID", "a record to erase is not one of this person's");
    }
    return left;
  }

  async function erase(subject: Subject, request: CheckedErase): Promise<ErasureStatement> {
    const { what, ids, forget } = request;
    const catalogue = options.catalogue();
    // This carries out what an earlier call filed and could not complete.
    await catalogue.catchUp();
    await subjects.assertKnown(subject);
    for (const { item } of stuckAbout(subject.local)) await again(item);
    for (const left of stuckAbout(subject.local)) throw isPending(left);
    const everything = await catalogue.itemsOf(subject.local);
    const all = everything.filter(BELONGS[what]);
    const targets =
      ids === undefined ? [...all] : [...versionsOf(all, await stillThere(all, everything, ids))];
    const before = targets.length === 0 ? await earlier(everything, request) : [];
    if (before.length > 0) return statement(what, before, request);
    assertAllowed(everything, what, targets);
    // Who is forgotten is found no more: what is left of other classes would be lost with him.
    for (const other of forget ? ERASURE_CLASSES : []) {
      const rest = everything.filter(BELONGS[other]);
      if (rest.length > 0) assertAllowed(everything, other, rest);
    }
    const hasRecords = everything.some(({ kind }) => kind === "record");
    if (forget && what !== "clinical" && hasRecords) {
      throw new InputError("ERR_INPUT_INVALID", "a subject is forgotten only with all its data");
    }
    if (what === "directive" && hasRecords) {
      throw new InputError(
        "ERR_INPUT_RETAINED",
        "not erased: directives are kept as long as records that they govern",
      );
    }
    if (forget) {
      // Who he is stands on the ledger, sealed, also in what he consented to: it goes with him.
      for (const item of everything) {
        const tells = item.kind === "link" || item.kind === "consent";
        if (tells && !targets.includes(item)) targets.push(item);
      }
    }
    const done = [...(await destroy(subject, what, targets, request))];
    const erased = new Set(targets.map(({ id }) => toHex(id)));
    // What was filed about these records while they were being erased must not outlive them.
    for (;;) {
      const orphans = orphansOf(await catalogue.itemsOf(subject.local), erased);
      if (orphans.length === 0) break;
      const more = await afterWriting(() =>
        destroy(subject, what, orphans, { ...request, forget: false }),
      );
      appendTo(done, more);
      for (const { id } of orphans) erased.add(toHex(id));
    }
    return statement(what, done, request);
  }

  async function statement(
    what: ErasureClass,
    done: readonly Destroyed[],
    { compaction = options.compaction }: CheckedErase,
  ): Promise<ErasureStatement> {
    const outcome = done.flatMap((one) => one.outcome);
    const rest = await afterWriting(() => finish(compaction));
    return {
      id: toEntryId(done[0]!.id),
      entries: done.map(({ id }) => toEntryId(id)),
      class: what,
      erased: done.flatMap((one) => one.erased.map(toEntryId)),
      blobs: outcome.reduce((sum, { blobs }) => sum + blobs, 0),
      unreached: outcome.flatMap(({ unreached }) => unreached),
      ...rest,
      outOfReach: `${OUT_OF_REACH}${NOT_COMPACTED[rest.compacted]}`,
    };
  }

  const stuckAbout = (local: Uint8Array): readonly StuckErasure[] =>
    [...stuck.values()].filter(({ item }) => equalBytes(item.manifest.local, local));

  return {
    abandon,
    carryOut: attempt,
    stuck: () => [...stuck.values()],
    assertCarriedOut(local) {
      if (stuck.size === 0) return;
      const [first] = stuckAbout(local);
      if (first !== undefined) throw isPending(first);
    },
    async resume() {
      const left = await unfinished.list();
      try {
        if (left.length > 0) await options.catalogue().catchUp();
        await retry(left);
        await vault.renew();
        if (left.length > 0 && (storage.compact === undefined || options.compaction === "now")) {
          await finishErasure();
        }
      } catch (error) {
        // Left pending: an erasure that cannot be completed must not keep what is there from being read.
        if (!(error instanceof Hindered) && !takesNoWrites(error)) throw error;
      }
    },
    async compact() {
      if (storage.compact === undefined) {
        throw new InputError("ERR_INPUT_UNSUPPORTED", "this storage cannot be compacted");
      }
      try {
        return await finishErasure();
      } catch (error) {
        if (!(error instanceof Hindered)) throw error;
        const { cause } = error;
        if (cause instanceof LedgerError) throw cause;
        throw new StorageError("ERR_STORAGE_FAILED", "the storage was not compacted", { cause });
      }
    },
    async pending() {
      return (await unfinished.list()).flatMap(({ erasure }) => erasure ?? []);
    },
    async placeHold(subject, rule) {
      if (typeof rule !== "string" || !/^[^\0]{1,1024}$/.test(rule)) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "a rule is a string of 1 to 1024 characters without U+0000",
        );
      }
      await say(subject, { op: "hold", reason: rule });
    },
    async liftHold(subject) {
      await subjects.assertKnown(subject);
      if (holdOf(await options.catalogue().itemsOf(subject.local)) === undefined) return;
      await say(subject, { op: "release" });
    },
    async giveUp(entries, { reason }) {
      if (!Array.isArray(entries) || typeof reason !== "string" || reason.length > 4096) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "giving up takes ids, and a reason of at most 4096 characters",
        );
      }
      await options.catalogue().catchUp();
      const byClass = new Map<ErasureClass, Uint8Array[]>();
      for (const id of entries.map(entryIdBytes)) {
        const kind = await assertGone(context, id, await options.catalogue().find(id));
        const what = CLASS_OF[kind] ?? "audit";
        byClass.set(what, [...(byClass.get(what) ?? []), id]);
      }
      // Whom they are about is what nobody can say.
      const nobody = { local: strangers(context) };
      let isFirst = true;
      for (const [what, ids] of byClass) {
        const targets = ids.map((id) => ({ id }));
        const write = () => destroy(nobody, what, targets, { reason, forget: false });
        await (isFirst ? write() : afterWriting(write));
        isFirst = false;
      }
      await afterWriting(() => finish(options.compaction));
    },
    async erase(subject, eraseOptions) {
      const request = checkErase(eraseOptions);
      const work = () => erase(subject, request);
      // Who is forgotten must not get new entries meanwhile that nobody could find any more.
      const mine = turn.then(() =>
        request.forget ? turns.exclusive(personName(subject), work) : work(),
      );
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

const isPending = ({ item, error }: StuckErasure): StorageError =>
  new StorageError(
    "ERR_STORAGE_PENDING",
    `the erasure ${toHex(item.id)} is on the ledger and could not be carried out`,
    { cause: error },
  );

/** What the storage's own compaction failed with, told from failures of anything else. */
class Hindered extends Error {
  constructor(cause: unknown) {
    super("the storage was not compacted", { cause });
  }
}

/** Whether a store was reached and refused to write, or cannot be written to now. */
function takesNoWrites(error: unknown): boolean {
  return error instanceof StorageError && NO_WRITES.includes(error.code);
}

const NO_WRITES: readonly string[] = [
  "ERR_STORAGE_FAILED",
  "ERR_STORAGE_AMBIGUOUS",
  "ERR_STORAGE_LIMIT",
];
