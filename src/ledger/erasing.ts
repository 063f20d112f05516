import type { ErasureClass } from "../block/entry.ts";
import { ERASURE_CLASSES } from "../block/entry.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectOneOf, expectString } from "../codec/shape.ts";
import type { CID } from "../codec/cid.ts";
import { concatBytes } from "../bytes/concat.ts";
import { InputError } from "../errors.ts";
import type { StateChange } from "../storage/types.ts";
import { ciphertextOf, deleteInSteps } from "./ciphertext.ts";
import { openOwn, type Buried, type Catalogue, type CatalogueItem } from "./catalogue.ts";
import { reviewName } from "./consenting.ts";
import type { LedgerContext } from "./context.ts";
import { contentKeyName, sealEntry, type Filing } from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import { currentRecords } from "./records.ts";
import type { Subject, Subjects } from "./subjects.ts";
import { personName, type Turns } from "./turns.ts";

/** How long entries of a class must be kept, and the rule that says so. */
export interface Retention {
  /** Least age in ms, counted from the block's time. */
  readonly keepFor: number;
  readonly rule: string;
}

export interface EraseOptions {
  /** What is destroyed. Default `clinical`. */
  readonly class?: ErasureClass;
  /**
   * Only these (ids of any version of a record), not all of the class. Directives go together:
   * without the newest, one that it had replaced would be in force again.
   */
  readonly records?: readonly Uint8Array[];
  /** Why, for the sealed report. */
  readonly reason: string;
  /**
   * Also destroys the subject key, so that tags are unlinked for good, and the identifiers, so that
   * the person is found no more. Only where no record is left; erase other classes before.
   */
  readonly forgetSubject?: boolean;
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
  /** Blobs deleted: headers and ciphertext. */
  readonly blobs: number;
  /**
   * Envelopes whose header is gone or damaged, so that nobody can tell where their ciphertext
   * stands. Their keys here are destroyed; the ciphertext may be in the store still.
   */
  readonly unreached: readonly CID[];
  /** Bytes of the storage's files before and after compaction, where the adapter compacts. */
  readonly compaction?: { readonly before: number; readonly after: number };
  /** Grants that recipients hold already cannot be taken back. */
  readonly outOfReach: string;
}

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
  /** Completes erasures that a crash interrupted. */
  resume(): Promise<void>;
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

const NOT_COMPACTED =
  "This storage cannot be compacted: what was deleted may stand in its files for some time.";

/** Starts erasing. */
export function createErasing(
  context: LedgerContext,
  options: {
    readonly catalogue: () => Catalogue;
    readonly filing: () => Filing;
    readonly subjects: Subjects;
    readonly retention: Partial<Readonly<Record<ErasureClass, Retention>>>;
    readonly turns: Turns;
  },
): Erasing {
  const { storage, vault, now } = context;
  const { subjects, retention, turns } = options;
  const unfinished = vault.name("unfinished erasures").subarray(0, 16);
  const unfinishedName = (id: Uint8Array): Uint8Array =>
    concatBytes(unfinished, vault.name("unfinished erasure", id));
  let turn: Promise<unknown> = Promise.resolve();
  let settling: Promise<unknown> = Promise.resolve();
  /** What became of the erase entries carried out here. */
  const done = new Map<string, { readonly blobs: number; readonly unreached: readonly CID[] }>();
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

  async function carryOut(item: CatalogueItem): Promise<void> {
    const catalogue = options.catalogue();
    const { kind, envelope, place, manifest } = item;
    const opened = await openOwn(context, {
      kind,
      envelope,
      height: place.height,
      parts: ["content"],
    });
    const content = opened?.get("content");
    if (content === undefined) return;
    const { targets, forget } = decodeErasure(content);
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
    done.set(toHex(item.id), { blobs, unreached });
    // The headers last: while one stands, its ciphertext can still be found.
    await ciphertext.flush();
    if (headers.length > 0) await storage.blobs.delete(headers);
    changes.push(...catalogue.bury(buried, item.id));
    if (forget) changes.push(...(await subjects.forget({ local: manifest.local })));
    if (changes.length > 0) {
      await storage.state.batch([...changes, ...vault.outdate(changes)]);
    }
  }

  /** Files what is to be destroyed, and destroys it. */
  async function destroy(
    subject: Subject,
    what: ErasureClass,
    targets: readonly CatalogueItem[],
    { reason, forgetSubject = false }: EraseOptions,
  ): Promise<Uint8Array> {
    const manifest: Manifest = { v: 1, op: "erase", local: subject.local };
    const ids = targets.map(({ id }) => id);
    const bytes = encodeErasure(what, ids, reason, forgetSubject);
    const entry = await sealEntry(context, {
      kind: "erase",
      class: what,
      manifest,
      parts: [{ id: "content", bytes }],
    });
    options.catalogue().remember(entry.id, manifest);
    // With the entry, so that whoever opens the store after a crash knows that work is left.
    const mark = vault.put(unfinishedName(entry.id), new Uint8Array(0));
    await options.filing().fileAlone([entry], [mark]);
    // Catching up meets the entry and carries it out.
    await options.catalogue().catchUp();
    return entry.id;
  }

  /** Makes what erase entries destroyed be gone from keys and files; one after another. */
  function settle(ids: readonly Uint8Array[]) {
    const mine = settling.then(async () => {
      await vault.renew();
      const compaction = await storage.compact?.();
      await storage.state.batch(ids.map((id) => vault.remove(unfinishedName(id))));
      return compaction;
    });
    settling = mine.catch(() => undefined);
    return mine;
  }

  async function abandon(subject: Subject, ids: readonly Uint8Array[]): Promise<void> {
    const found = await Promise.all(ids.map((id) => options.catalogue().find(id)));
    const targets = found.flatMap((one) => (one.status === "present" ? [one.item] : []));
    if (targets.length === 0) return;
    const reason = "filed about a record while it was erased";
    await settle([await destroy(subject, "clinical", targets, { reason })]);
  }

  async function erase(subject: Subject, eraseOptions: EraseOptions): Promise<ErasureStatement> {
    const { class: what = "clinical", records, forgetSubject = false } = eraseOptions;
    if (!ERASURE_CLASSES.includes(what)) {
      throw new InputError("ERR_INPUT_INVALID", "there is no such class of data to erase");
    }
    if (records !== undefined && forgetSubject) {
      throw new InputError("ERR_INPUT_INVALID", "a subject is forgotten only with all its data");
    }
    if (records !== undefined && what === "directive") {
      throw new InputError("ERR_INPUT_INVALID", "directives are erased all together");
    }
    if (typeof eraseOptions.reason !== "string" || eraseOptions.reason.length > 4096) {
      throw new InputError("ERR_INPUT_INVALID", "a reason is a string of at most 4096 characters");
    }
    const catalogue = options.catalogue();
    await catalogue.catchUp();
    const everything = await catalogue.itemsOf(subject.local);
    const all = everything.filter(({ kind }) => KIND_OF[what].includes(kind));
    const targets = records === undefined ? all : versionsOf(all, records);
    await assertAllowed(subject, what, targets);
    // Who is forgotten is found no more: what is left of other classes would be lost with him.
    for (const other of forgetSubject ? ERASURE_CLASSES : []) {
      const rest = everything.filter(({ kind }) => KIND_OF[other].includes(kind));
      if (rest.length > 0) await assertAllowed(subject, other, rest);
    }
    if (forgetSubject && everything.some((item) => item.kind === "record" && !all.includes(item))) {
      throw new InputError("ERR_INPUT_INVALID", "a subject is forgotten only with all its data");
    }
    if (what === "directive" && everything.some(({ kind }) => kind === "record")) {
      throw new InputError(
        "ERR_INPUT_RETAINED",
        "not erased: directives are kept as long as records that they govern",
      );
    }
    const ids = [await destroy(subject, what, targets, eraseOptions)];
    const erased = targets.map(({ id }) => id);
    // What was filed about these records while they were being erased must not outlive them.
    for (;;) {
      const orphans = orphansOf(await catalogue.itemsOf(subject.local), new Set(erased.map(toHex)));
      if (orphans.length === 0) break;
      ids.push(await destroy(subject, what, orphans, { reason: eraseOptions.reason }));
      erased.push(...orphans.map(({ id }) => id));
    }
    const outcomes = ids.flatMap((id) => done.get(toHex(id)) ?? []);
    const compaction = await settle(ids);
    done.clear();
    return {
      id: ids[0]!,
      class: what,
      erased,
      blobs: outcomes.reduce((sum, { blobs }) => sum + blobs, 0),
      unreached: outcomes.flatMap(({ unreached }) => unreached),
      ...(compaction === undefined
        ? { outOfReach: `${OUT_OF_REACH} ${NOT_COMPACTED}` }
        : { compaction, outOfReach: OUT_OF_REACH }),
    };
  }

  return {
    abandon,
    carryOut,
    async resume() {
      const left: Uint8Array[] = [];
      for await (const { name } of vault.scan(unfinished)) left.push(name);
      if (left.length > 0) await options.catalogue().catchUp();
      await vault.renew();
      if (left.length === 0) return;
      await storage.compact?.();
      await storage.state.batch(left.map((name) => vault.remove(name)));
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
      if (typeof eraseOptions !== "object" || eraseOptions === null) {
        throw new TypeError("erasing takes options, with a reason");
      }
      const work = () => erase(subject, eraseOptions);
      // Who is forgotten must not get new entries meanwhile that nobody could find any more.
      const alone = eraseOptions.forgetSubject === true;
      const mine = turn.then(() => (alone ? turns.exclusive(personName(subject), work) : work()));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

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

/** Every entry of the records that some ids belong to. */
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
    const root = rootOf.get(toHex(id));
    if (root === undefined) {
      throw new InputError("ERR_INPUT_INVALID", "a record to erase is not one of this person's");
    }
    wanted.add(root);
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
