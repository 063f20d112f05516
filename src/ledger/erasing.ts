import { type ErasureClass, ERASURE_CLASSES } from "../block/entry.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectOneOf, expectString } from "../codec/shape.ts";
import type { CID } from "../codec/cid.ts";
import { InputError, LedgerError, StorageError } from "../errors.ts";
import { afterWriting } from "../storage/settle.ts";
import type { Compaction, StateChange } from "../storage/types.ts";
import { ciphertextOf, deleteInSteps } from "./ciphertext.ts";
import { openOwn, type Buried, type Catalogue, type CatalogueItem } from "./catalogue.ts";
import { reviewName } from "./consenting.ts";
import type { LedgerContext } from "./context.ts";
import {
  checkErase,
  type CheckedErase,
  type CompactionTime,
  type EraseOptions,
} from "./erase-options.ts";
import { contentKeyName, sealEntry, type Filing } from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import { currentRecords } from "./records.ts";
import type { Subject, Subjects } from "./subjects.ts";
import { personName, type Turns } from "./turns.ts";
import { unfinishedErasures, type PendingErasure } from "./unfinished.ts";

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
  /** Id of the erase entry. */
  readonly id: Uint8Array;
  readonly class: ErasureClass;
  /** Ids of the entries whose envelopes were destroyed. */
  readonly erased: readonly Uint8Array[];
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

type Settled = Pick<ErasureStatement, "compacted" | "compaction" | "hindrance">;

/** Destroys what the custodian holds, class by class. */
export interface Erasing {
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /**
   * Destroys entries that were filed about a record while another erasure destroyed it. The caller
   * holds the person's turn.
   */
  abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void>;
  /** Forbids erasing anything about a person until {@link Erasing.release}. */
  hold(subject: Subject, rule: string): Promise<void>;
  release(subject: Subject): Promise<void>;
  /** Carries out an erase entry that stands on the ledger; repeating it is harmless. */
  carryOut(item: CatalogueItem): Promise<void>;
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

const KIND_OF: Readonly<Record<ErasureClass, readonly string[]>> = {
  clinical: ["record"],
  // The keys that persons signed with go with what they signed.
  directive: ["consent", "link"],
  audit: ["access"],
};

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
  let settling: Promise<unknown> = Promise.resolve();
  /** Where those who filed an erase entry wait to be told what became of it. */
  const outcomes = new Map<string, Outcome[]>();
  const holdName = ({ local }: Subject): Uint8Array => vault.name("hold", local);

  /** What stands against erasing these entries, if anything. */
  async function assertAllowed(
    subject: Subject,
    what: ErasureClass,
    targets: readonly CatalogueItem[],
  ): Promise<void> {
    const held = await vault.get(holdName(subject));
    if (held !== undefined) {
      const rule = expectString(decode(held), "hold");
      throw new InputError("ERR_INPUT_RETAINED", `not erased: legal hold (${rule})`);
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

  async function carryOut(item: CatalogueItem): Promise<void> {
    const catalogue = options.catalogue();
    const content = await contentOf(item);
    if (content === undefined) return;
    const { targets, forget } = content;
    const buried: Buried[] = [];
    const headers: CID[] = [];
    const unreached: CID[] = [];
    const changes: StateChange[] = [];
    const ciphertext = deleteInSteps(storage.blobs);
    let blobs = 0;
    for (const id of targets) {
      // Targets that another author recorded are not in this catalogue: they are ignored.
      const target = await catalogue.find(id);
      if (target.status === "present") {
        const { envelope: name, manifest: told, place: at } = target.item;
        buried.push({ id, place: at, local: told.local });
        const parts = await ciphertextOf(storage, name);
        if (parts === undefined) unreached.push(name);
        for (const { size, data } of parts ?? []) {
          for (const cid of data) await ciphertext.add(cid, size / data.length);
          blobs += data.length;
        }
        headers.push(name);
        blobs++;
        changes.push(
          vault.remove(contentKeyName(context, name)),
          vault.remove(reviewName(context, id)),
        );
      } else if (target.status === "missing" && target.place !== undefined) {
        buried.push({ id, place: target.place });
      }
    }
    outcomes.get(toHex(item.id))?.push({ blobs, unreached });
    // The headers last: while one stands, its ciphertext can still be found.
    await ciphertext.flush();
    if (headers.length > 0) await storage.blobs.delete(headers);
    const rest = catalogue.bury(buried, item.id);
    const forgotten = forget ? await subjects.forget({ local: item.manifest.local }) : [];
    const all = [...changes, ...rest, ...forgotten];
    if (all.length > 0) await storage.state.batch([...all, ...vault.outdate(all)]);
  }

  /** Files what is to be destroyed, and destroys it. */
  async function destroy(
    subject: Subject,
    what: ErasureClass,
    targets: readonly CatalogueItem[],
    { reason, forget }: { readonly reason: string; readonly forget: boolean },
  ): Promise<Destroyed> {
    const manifest: Manifest = { v: 1, op: "erase", local: subject.local };
    const ids = targets.map(({ id }) => id);
    const bytes = encodeErasure(what, ids, reason, forget);
    const entry = await sealEntry(context, {
      kind: "erase",
      class: what,
      manifest,
      parts: [{ id: "content", bytes }],
    });
    options.catalogue().remember(entry.id, manifest);
    const hex = toHex(entry.id);
    const outcome: Outcome[] = [];
    outcomes.set(hex, outcome);
    try {
      // With the entry, so that whoever opens the store after a crash knows that work is left.
      const mark = unfinished.mark({ id: entry.id, class: what, since: now() });
      await options.filing().fileAlone([entry], [mark]);
      // Catching up meets the entry and carries it out.
      await afterWriting(() => options.catalogue().catchUp());
    } finally {
      outcomes.delete(hex);
    }
    return { id: entry.id, erased: ids, outcome };
  }

  /** Makes what erase entries destroyed be gone from keys and files; one after another. */
  function settle(): Promise<CompactionReport> {
    const mine = settling.then(async () => {
      const marked = await unfinished.list();
      // Whatever is marked is then carried out; what others file meanwhile is left to the next time.
      if (marked.length > 0) await options.catalogue().catchUp();
      await vault.renew();
      const compaction = await compactStorage();
      const changes = unfinished.remove(marked);
      if (changes.length > 0) await storage.state.batch(changes);
      const finished = marked.flatMap(({ erasure }) => erasure ?? []);
      return { finished, compaction };
    });
    settling = mine.catch(() => undefined);
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

  /** Settles now or leaves it for later. What was destroyed is destroyed in either case. */
  async function settled(time: CompactionTime): Promise<Settled> {
    if (storage.compact !== undefined && time === "later") {
      await vault.renew();
      return { compacted: "pending" };
    }
    try {
      const { compaction } = await settle();
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
    await settled(options.compaction);
  }

  /** What erase entries that did already what is asked for destroyed, none twice. */
  async function earlier(
    everything: readonly CatalogueItem[],
    { what, records, forget }: CheckedErase,
  ): Promise<readonly Destroyed[]> {
    const erasures = everything.filter(({ kind }) => kind === "erase");
    const found: Destroyed[] = [];
    if (records === undefined) {
      for (const item of erasures.toReversed()) {
        const content = await contentOf(item);
        if (content?.class !== what || (forget && !content.forget)) continue;
        return [{ id: item.id, erased: content.targets, outcome: [] }];
      }
      return [];
    }
    const by = new Set<string>();
    for (const id of records) {
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
    const there = new Set(items.map(({ id }) => toHex(id)));
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
    const { what, records, forget } = request;
    const catalogue = options.catalogue();
    // This carries out what an earlier call filed and could not complete.
    await catalogue.catchUp();
    const everything = await catalogue.itemsOf(subject.local);
    const all = everything.filter(({ kind }) => KIND_OF[what].includes(kind));
    const targets =
      records === undefined ? all : versionsOf(all, await stillThere(all, everything, records));
    const before = targets.length === 0 ? await earlier(everything, request) : [];
    if (before.length > 0) return statement(what, before, request);
    await assertAllowed(subject, what, targets);
    // Who is forgotten is found no more: what is left of other classes would be lost with him.
    for (const other of forget ? ERASURE_CLASSES : []) {
      const rest = everything.filter(({ kind }) => KIND_OF[other].includes(kind));
      if (rest.length > 0) await assertAllowed(subject, other, rest);
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
    const done = [await destroy(subject, what, targets, request)];
    const erased = new Set(targets.map(({ id }) => toHex(id)));
    // What was filed about these records while they were being erased must not outlive them.
    for (;;) {
      const orphans = orphansOf(await catalogue.itemsOf(subject.local), erased);
      if (orphans.length === 0) break;
      done.push(
        await afterWriting(() => destroy(subject, what, orphans, { ...request, forget: false })),
      );
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
    const rest = await afterWriting(() => settled(compaction));
    return {
      id: done[0]!.id,
      class: what,
      erased: done.flatMap((one) => one.erased),
      blobs: outcome.reduce((sum, { blobs }) => sum + blobs, 0),
      unreached: outcome.flatMap(({ unreached }) => unreached),
      ...rest,
      outOfReach: `${OUT_OF_REACH}${NOT_COMPACTED[rest.compacted]}`,
    };
  }

  return {
    abandon,
    carryOut,
    async resume() {
      const left = await unfinished.list();
      try {
        if (left.length > 0) await options.catalogue().catchUp();
        await vault.renew();
        if (left.length > 0 && (storage.compact === undefined || options.compaction === "now")) {
          await settle();
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
        return await settle();
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
    async hold(subject, rule) {
      if (typeof rule !== "string" || rule.length === 0 || rule.length > 1024) {
        throw new InputError("ERR_INPUT_INVALID", "a rule is a string of 1 to 1024 characters");
      }
      (await subjects.read(subject)).key.fill(0);
      await storage.state.batch([vault.put(holdName(subject), encode(rule))]);
    },
    async release(subject) {
      await storage.state.batch([vault.remove(holdName(subject))]);
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

/** Entries about records whose versions were erased before them. */
function orphansOf(
  items: readonly CatalogueItem[],
  erased: ReadonlySet<string>,
): readonly CatalogueItem[] {
  const living = new Set(
    [...currentRecords(items).values()].flatMap(({ history }) =>
      history.map(({ id }) => toHex(id)),
    ),
  );
  const gone = new Set(erased);
  return items.filter(({ id, kind, manifest: { replaces } }) => {
    if (kind !== "record" || living.has(toHex(id))) return false;
    if (replaces === undefined || !gone.has(toHex(replaces))) return false;
    gone.add(toHex(id));
    return true;
  });
}

/** Every entry of the records that some ids belong to, which are all there. */
function versionsOf(
  items: readonly CatalogueItem[],
  ids: readonly Uint8Array[],
): readonly CatalogueItem[] {
  const rootOf = new Map<string, string>();
  for (const { id, manifest } of items) {
    const parent = manifest.replaces === undefined ? undefined : toHex(manifest.replaces);
    rootOf.set(toHex(id), parent === undefined ? toHex(id) : (rootOf.get(parent) ?? toHex(id)));
  }
  const wanted = new Set<string>();
  for (const id of ids) {
    wanted.add(rootOf.get(toHex(id))!);
  }
  return items.filter(({ id }) => wanted.has(rootOf.get(toHex(id))!));
}

/** Writes the content of an `erase` entry. */
export function encodeErasure(
  what: ErasureClass,
  targets: readonly Uint8Array[],
  reason: string,
  forget = false,
): Uint8Array {
  return encode({ v: 1, class: what, targets, reason, ...(forget ? { forget } : {}) });
}

/**
 * Reads the content of an `erase` entry.
 *
 * @throws {EncodingError} when it is none
 */
export function decodeErasure(bytes: Uint8Array): {
  readonly class: ErasureClass;
  readonly targets: readonly Uint8Array[];
  readonly reason: string;
  /** Whether the subject key goes too. */
  readonly forget: boolean;
} {
  const map = expectMap(decode(bytes), "erasure", ["v", "class", "targets", "reason"], ["forget"]);
  return {
    class: expectOneOf(map["class"], "erasure.class", ERASURE_CLASSES),
    targets: expectArray(map["targets"], "erasure.targets", 1_000_000).map((id) =>
      expectBytes(id, "erasure.targets", 32),
    ),
    reason: expectString(map["reason"], "erasure.reason", 4096),
    forget: map["forget"] === true,
  };
}
