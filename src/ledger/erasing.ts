import type { ErasureClass } from "../block/entry.ts";
import { ERASURE_CLASSES } from "../block/entry.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectOneOf, expectString } from "../codec/shape.ts";
import type { CID } from "../codec/cid.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { InputError } from "../errors.ts";
import type { StateChange } from "../storage/types.ts";
import { openOwn, type Catalogue, type CatalogueItem } from "./catalogue.ts";
import type { LedgerContext } from "./context.ts";
import { contentKeyName, sealEntry, type Filing } from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import type { Subject, Subjects } from "./subjects.ts";

/** How long entries of a class must be kept, and the rule that says so. */
export interface Retention {
  /** Least age in ms, counted from the block's time. */
  readonly keepFor: number;
  readonly rule: string;
}

export interface EraseOptions {
  /** What is destroyed. Default `clinical`. */
  readonly class?: ErasureClass;
  /** Only these records (ids of any of their versions), not all of the class. */
  readonly records?: readonly Uint8Array[];
  /** Why, for the sealed report. */
  readonly reason: string;
  /** Also destroys the subject key, so that tags are unlinked for good. Only without `records`. */
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
  /** Bytes of the storage's files before and after compaction, where the adapter compacts. */
  readonly compaction?: { readonly before: number; readonly after: number };
  /** Grants that recipients hold already cannot be taken back. */
  readonly outOfReach: string;
}

/** Destroys what the custodian holds, class by class. */
export interface Erasing {
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /** Forbids erasing anything about a person until {@link Erasing.release}. */
  hold(subject: Subject, rule: string): Promise<void>;
  release(subject: Subject): Promise<void>;
  /** Carries out an erase entry that stands on the ledger; repeating it is harmless. */
  carryOut(item: CatalogueItem): Promise<number>;
}

const KIND_OF: Readonly<Record<ErasureClass, readonly string[]>> = {
  clinical: ["record"],
  directive: ["consent"],
  audit: ["access"],
};

const OUT_OF_REACH =
  "Recipients who were granted a key before can still open the copies they keep; backups taken " +
  "before this erasure must be destroyed by whoever keeps them.";

/** Starts erasing. */
export function createErasing(
  context: LedgerContext,
  options: {
    readonly catalogue: () => Catalogue;
    readonly filing: () => Filing;
    readonly subjects: Subjects;
    readonly retention: Partial<Readonly<Record<ErasureClass, Retention>>>;
  },
): Erasing {
  const { storage, vault, now } = context;
  const { subjects, retention } = options;
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
    const newest = Math.max(...targets.map(({ recordedAt }) => recordedAt), -Infinity);
    const free = newest + rule.keepFor;
    if (now() < free) {
      throw new InputError(
        "ERR_INPUT_RETAINED",
        `not erased: ${what} data are kept until ${new Date(free).toISOString()} (${rule.rule})`,
      );
    }
  }

  async function carryOut(item: CatalogueItem): Promise<number> {
    const catalogue = options.catalogue();
    const { kind, envelope, place } = item;
    const opened = await openOwn(context, {
      kind,
      envelope,
      height: place.height,
      parts: ["content"],
    });
    const content = opened?.get("content");
    if (content === undefined) return 0;
    const { targets } = decodeErasure(content);
    const found: CatalogueItem[] = [];
    for (const id of targets) {
      // Targets that another author recorded are not in this catalogue: they are ignored.
      const target = await catalogue.find(id);
      if (target.status === "present") found.push(target.item);
    }
    const cids: CID[] = [];
    const changes: StateChange[] = [];
    for (const target of found) {
      const header = await storage.blobs.get(target.envelope);
      if (header !== undefined) {
        for (const part of decodeSignedHeader(header).header.parts) cids.push(...part.data);
      }
      cids.push(target.envelope);
      changes.push(vault.remove(contentKeyName(context, target.envelope)));
    }
    // The blobs first: while a header stands, its ciphertext can still be found.
    await storage.blobs.delete(cids);
    await catalogue.flush();
    changes.push(...catalogue.bury(found, item.id));
    if (changes.length > 0) await storage.state.batch(changes);
    return cids.length;
  }

  return {
    carryOut,
    async hold(subject, rule) {
      await storage.state.batch([vault.put(holdName(subject), encode(rule))]);
    },
    async release(subject) {
      await storage.state.batch([vault.remove(holdName(subject))]);
    },
    async erase(subject, { class: what = "clinical", records, reason, forgetSubject = false }) {
      if (records !== undefined && forgetSubject) {
        throw new InputError("ERR_INPUT_INVALID", "a subject is forgotten only with all its data");
      }
      const catalogue = options.catalogue();
      await catalogue.catchUp();
      const all = (await catalogue.itemsOf(subject.local)).filter(({ kind }) =>
        KIND_OF[what].includes(kind),
      );
      const targets = records === undefined ? all : versionsOf(all, records);
      await assertAllowed(subject, what, targets);
      const manifest: Manifest = { v: 1, op: "erase", local: subject.local };
      const entry = await sealEntry(context, {
        kind: "erase",
        class: what,
        manifest,
        parts: [
          {
            id: "content",
            bytes: encodeErasure(
              what,
              targets.map(({ id }) => id),
              reason,
            ),
          },
        ],
      });
      const [filed] = await options.filing().fileAlone([entry]);
      const before = await storage.blobs.count();
      // Catching up meets the entry and carries it out; after a crash, the next start does.
      await catalogue.catchUp();
      const blobs = before - (await storage.blobs.count());
      if (forgetSubject) await storage.state.batch(await subjects.forget(subject));
      const compaction = await storage.compact();
      return {
        id: filed!.id,
        class: what,
        erased: targets.map(({ id }) => id),
        blobs,
        compaction,
        outOfReach: OUT_OF_REACH,
      };
    },
  };
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
): Uint8Array {
  return encode({ v: 1, class: what, targets, reason });
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
} {
  const map = expectMap(decode(bytes), "erasure", ["v", "class", "targets", "reason"]);
  return {
    class: expectOneOf(map["class"], "erasure.class", ERASURE_CLASSES),
    targets: expectArray(map["targets"], "erasure.targets", 1_000_000).map((id) =>
      expectBytes(id, "erasure.targets", 32),
    ),
    reason: expectString(map["reason"], "erasure.reason", 4096),
  };
}
