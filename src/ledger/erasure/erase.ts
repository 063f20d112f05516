import { type ErasureClass, ERASURE_CLASSES } from "../../block/entry.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import { InputError, RecordError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { LedgerContext } from "../context.ts";
import { unknownSubjectId } from "../disclosure/access.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { sealEntry } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { exclusiveOfAll, personName, type Turns } from "../turns.ts";
import { erasureOf, pendingError } from "./carry-out.ts";
import { destroyEntries, type Destroyed, type DestroyTools, type Target } from "./destroy.ts";
import {
  checkErase,
  type CheckedErase,
  type CompactionTime,
  type EraseOptions,
} from "./erase-options.ts";
import { createFinishing, type Finishing } from "./finish-erasure.ts";
import { assertGone } from "./giving-up.ts";
import { outOfReach, type ErasureStatement } from "./statement.ts";
import {
  containersOf,
  groupByPerson,
  orphansOf,
  rootsOf,
  versionsOf,
  BELONGS,
  CLASS_OF,
  holdsOf,
  type PersonItems,
} from "./targets.ts";

/** How long entries of a class must be kept, and the rule that requires it. */
export interface Retention {
  /** Least age in ms, counted from the block's time. */
  readonly keepFor: number;
  readonly rule: string;
}

/** Destroys data that the custodian holds, class by class. */
export interface Erasing extends Pick<Finishing, "resume" | "compact" | "pending"> {
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /**
   * Destroys entries that were filed about a record while another erasure destroyed it. The caller
   * must hold the person's turn.
   */
  abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void>;
  /** Forbids any erasure about a person until {@link Erasing.liftHold}. */
  placeHold(subject: Subject, rule: string): Promise<void>;
  liftHold(subject: Subject): Promise<void>;
  /** Names entries that cannot be decrypted here in an erase entry: they no longer count as lost. */
  giveUp(entries: readonly EntryId[], options: { readonly reason: string }): Promise<void>;
}

/** Starts erasing. */
export function createErasing(
  context: LedgerContext,
  options: DestroyTools & {
    readonly subjects: Subjects;
    readonly retention: Partial<Readonly<Record<ErasureClass, Retention>>>;
    readonly turns: Turns;
    readonly compaction: CompactionTime;
  },
): Erasing {
  const { now } = context;
  const { catalogue, filing, carryingOut, subjects, retention, turns } = options;
  const finishing = createFinishing(context, options);
  let turn: Promise<unknown> = Promise.resolve();

  /** The reason why these entries of a person must not be erased, if there is one. */
  function assertAllowed(
    everything: readonly CatalogueItem[],
    what: ErasureClass,
    targets: readonly CatalogueItem[],
  ): void {
    const [held] = holdsOf(everything);
    if (held !== undefined) {
      throw new InputError("ERR_INPUT_RETAINED", `not erased: legal hold (${held.rule})`);
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
        `not erased: ${what} data must be kept until ${new Date(free).toISOString()} (${rule.rule})`,
      );
    }
  }

  /** Files that a person is on hold, or no longer is. */
  const say = (subject: Subject, what: Pick<Manifest, "op" | "reason">): Promise<void> =>
    turns.shared(personName(subject), async () => {
      (await subjects.read(subject)).key.fill(0);
      const manifest: Manifest = { v: 1, local: subject.local, ...what };
      const entry = await sealEntry(context, { kind: "link", manifest, parts: [] });
      catalogue.remember(entry);
      await filing.file([entry]);
    });

  async function abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void> {
    const found = await Promise.all(ids.map((id) => catalogue.find(id)));
    const targets = found.flatMap((one) => (one.status === "present" ? [one.item] : []));
    if (targets.length === 0) return;
    const reason = "filed about a record while it was erased";
    await destroyEntries(context, options, subject, "clinical", targets, { reason, forget: false });
    await finishing.finish(options.compaction);
  }

  /** Everything that earlier erase entries for the same request destroyed, without duplicates. */
  async function earlier(
    everything: readonly CatalogueItem[],
    { what, ids, forget }: CheckedErase,
  ): Promise<readonly Destroyed[]> {
    const erasures = everything.filter(({ kind }) => kind === "erase");
    const found: Destroyed[] = [];
    if (ids === undefined) {
      // Each of several persons who are joined has erase entries of their own.
      for (const own of groupByPerson(erasures)) {
        const last: Destroyed[] = [];
        for (const item of own.items.toReversed()) {
          const content = await erasureOf(context, item);
          // If an erasure took several entries, all but the last say that more follow.
          if (last.length > 0 && content?.more !== true) break;
          if (content?.class !== what || (forget && !content.forget && last.length === 0)) continue;
          last.unshift({ id: item.id, erased: content.targets, outcome: [] });
        }
        appendTo(found, last);
      }
      return found;
    }
    const by = new Set<string>();
    for (const id of ids) {
      const target = await catalogue.find(id);
      if (target.status === "erased") by.add(toHex(target.by));
    }
    for (const item of erasures) {
      if (!by.has(toHex(item.id))) continue;
      const content = await erasureOf(context, item);
      found.push({ id: item.id, erased: content?.targets ?? [], outcome: [] });
    }
    return found;
  }

  /**
   * Returns the given ids without those that an earlier erasure of this person destroyed; rejects
   * any that are not this person's.
   */
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
      const target = await catalogue.find(id);
      if (target.status === "erased" && erasures.has(toHex(target.by))) continue;
      throw new RecordError(
        "ERR_RECORD_NOT_FOUND",
        "a record to erase does not belong to this person",
      );
    }
    return left;
  }

  /**
   * Destroys entries of several persons, the first of them last: what joins them, by which a repeated call
   * finds them, must not go before their data.
   *
   * @param people - each gets an erase entry if they are to be forgotten, and the first in any case
   */
  async function destroyAll(
    people: readonly Uint8Array[],
    what: ErasureClass,
    targets: readonly CatalogueItem[],
    { reason, forget }: Pick<CheckedErase, "reason" | "forget">,
  ): Promise<Destroyed[]> {
    const [first] = people;
    const groups = groupByPerson(targets, first);
    for (const local of people) {
      const isMissing = !groups.some((one) => equalBytes(one.local, local));
      if (isMissing && (forget || local === first)) groups.push({ local, items: [] });
    }
    const isFirst = ({ local }: PersonItems): boolean =>
      first !== undefined && equalBytes(local, first);
    groups.sort((one, other) => Number(isFirst(one)) - Number(isFirst(other)));
    const done: Destroyed[] = [];
    for (const { local, items } of groups) {
      const write = () =>
        destroyEntries(context, options, { local }, what, items, { reason, forget });
      appendTo(done, await (done.length === 0 ? write() : afterWriting(write)));
    }
    return done;
  }

  async function erase(subject: Subject, request: CheckedErase): Promise<ErasureStatement> {
    const { what, ids, forget } = request;
    // Carries out what an earlier call filed but could not complete.
    await catalogue.catchUp();
    await subjects.assertKnown(subject);
    const joined = await catalogue.joinedWith(subject.local);
    const people = joined.personsWith(subject.local);
    for (const local of people) {
      for (const { item } of carryingOut.stuckAbout(local)) await finishing.again(item);
      for (const left of carryingOut.stuckAbout(local)) throw pendingError(left);
    }
    const everything = await catalogue.itemsOf(subject.local);
    const all = everything.filter(BELONGS[what]);
    const targets =
      ids === undefined ? [...all] : [...versionsOf(all, await stillThere(all, everything, ids))];
    if (what === "clinical" && ids !== undefined) appendTo(targets, containersOf(all, targets));
    const before = targets.length === 0 ? await earlier(everything, request) : [];
    if (before.length > 0) return statement(what, before, request);
    assertAllowed(everything, what, targets);
    // A forgotten person cannot be found any more: data left in other classes would be lost.
    for (const other of forget ? ERASURE_CLASSES : []) {
      const rest = everything.filter(BELONGS[other]);
      if (rest.length > 0) assertAllowed(everything, other, rest);
    }
    const hasRecords = everything.some(({ kind }) => kind === "record");
    if (forget && what !== "clinical" && hasRecords) {
      throw new InputError(
        "ERR_INPUT_INVALID",
        "forgetSubject requires that all the data of the subject are erased",
      );
    }
    if (what === "directive" && hasRecords) {
      throw new InputError(
        "ERR_INPUT_RETAINED",
        "not erased: directives must be kept while there are records that they govern",
      );
    }
    if (forget) {
      // The person's identity is also on the ledger, sealed, in links and consents: destroy those.
      for (const item of everything) {
        const tells = item.kind === "link" || item.kind === "consent";
        if (tells && !targets.includes(item)) targets.push(item);
      }
      // Without the links of the person, a merge of others that had no effect would come to have one.
      const named = new Set(targets.map(({ id }) => toHex(id)));
      appendTo(
        targets,
        joined.idle.filter(({ id }) => !named.has(toHex(id))),
      );
    }
    const done = await destroyAll(people, what, targets, request);
    const erased = new Set(targets.map(({ id }) => toHex(id)));
    // Entries filed about these records during the erasure must not outlive them.
    for (;;) {
      const orphans = orphansOf(await catalogue.itemsOf(subject.local), erased);
      if (orphans.length === 0) break;
      const more = await afterWriting(() =>
        destroyAll([], what, orphans, { ...request, forget: false }),
      );
      appendTo(done, more);
      for (const { id } of orphans) erased.add(toHex(id));
    }
    return statement(what, done, request);
  }

  /** Runs work while nothing is filed about a person or those joined with them. */
  async function aloneWith<T>(subject: Subject, work: () => Promise<T>): Promise<T> {
    const namesOf = async () => {
      await catalogue.catchUp();
      const joined = await catalogue.joinedWith(subject.local);
      return joined
        .personsWith(subject.local)
        .map((local) => personName({ local }))
        .sort();
    };
    for (;;) {
      const names = await namesOf();
      const done = await exclusiveOfAll(turns, names, async () =>
        (await namesOf()).join() === names.join() ? { result: await work() } : undefined,
      );
      if (done !== undefined) return done.result;
    }
  }

  async function statement(
    what: ErasureClass,
    done: readonly Destroyed[],
    { compaction = options.compaction }: CheckedErase,
  ): Promise<ErasureStatement> {
    const outcome = done.flatMap((one) => one.outcome);
    const rest = await afterWriting(() => finishing.finish(compaction));
    return {
      id: toEntryId(done[0]!.id),
      entries: done.map(({ id }) => toEntryId(id)),
      class: what,
      erased: done.flatMap((one) => one.erased.map(toEntryId)),
      blobs: outcome.reduce((sum, { blobs }) => sum + blobs, 0),
      unreached: outcome.flatMap(({ unreached }) => unreached),
      ...rest,
      outOfReach: outOfReach(rest.compacted),
    };
  }

  return {
    abandon,
    resume: finishing.resume,
    compact: finishing.compact,
    pending: finishing.pending,
    async placeHold(subject, rule) {
      if (typeof rule !== "string" || !/^[^\0]{1,1024}$/.test(rule)) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "a rule must be a string of 1 to 1024 characters without U+0000",
        );
      }
      await say(subject, { op: "hold", reason: rule });
    },
    async liftHold(subject) {
      await subjects.assertKnown(subject);
      // On whomever of those joined it was placed: a hold on one is a hold on all.
      const holds = holdsOf(await catalogue.itemsOf(subject.local));
      for (const [at, { local }] of holds.entries()) {
        const lift = () => say({ local }, { op: "release" });
        await (at === 0 ? lift() : afterWriting(lift));
      }
    },
    async giveUp(entries, { reason }) {
      if (!Array.isArray(entries) || typeof reason !== "string" || reason.length > 4096) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "giveUp needs ids and a reason of at most 4096 characters",
        );
      }
      await catalogue.catchUp();
      const byClass = new Map<ErasureClass, Target[]>();
      for (const id of entries.map(entryIdBytes)) {
        const found = await catalogue.find(id);
        const kind = await assertGone(context, id, found);
        const what = CLASS_OF[kind] ?? "audit";
        const target = found.status === "present" ? found.item : { id };
        byClass.set(what, [...(byClass.get(what) ?? []), target]);
      }
      // Nobody can tell whom these entries are about.
      const nobody = { local: unknownSubjectId(context) };
      let isFirst = true;
      for (const [what, targets] of byClass) {
        const write = () =>
          destroyEntries(context, options, nobody, what, targets, { reason, forget: false });
        await (isFirst ? write() : afterWriting(write));
        isFirst = false;
      }
      await afterWriting(() => finishing.finish(options.compaction));
    },
    async erase(subject, eraseOptions) {
      const request = checkErase(eraseOptions);
      const work = () => erase(subject, request);
      // A person being forgotten must not get new entries meanwhile: nobody could find them.
      const mine = turn.then(() => (request.forget ? aloneWith(subject, work) : work()));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}
