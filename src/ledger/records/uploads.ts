import { concatBytes } from "../../bytes/concat.ts";
import { cidFromBytes, type CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectUint } from "../../codec/shape.ts";
import { untilAborted } from "../../envelope/byte-source.ts";
import type { PartStream } from "../../envelope/seal-stream.ts";
import { sealStream } from "../../envelope/seal-stream.ts";
import { StorageError } from "../../errors.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { entryOf, isCertainlyNotWritten, type SealedEntry } from "../entries/filing.ts";
import { manifestSteps, type Manifest } from "../entries/manifest.ts";

/** The content that an upload seals. */
export interface UploadOptions {
  readonly manifest: Manifest;
  /** Sealed after the manifest, one after another. */
  readonly parts: readonly PartStream[];
  readonly disclosed?: Uint8Array;
  readonly onProgress?: (progress: { readonly sealed: number }) => void;
  readonly signal?: AbortSignal;
}

/** A record's envelope whose ciphertext is durable, and which no entry names yet. */
export interface Upload {
  readonly manifest: Manifest;
  /**
   * Makes the entry, once. After it has been filed, the ciphertext never counts as left over.
   *
   * @param subjectKey - borrowed
   */
  entry(subjectKey: Uint8Array): SealedEntry;
  /**
   * Runs the work that files the entry. If it fails before the entry is made, or in a way that
   * proves that the entry was not filed, the ciphertext is deleted. If it fails otherwise, the
   * outcome is unknown until the next opening of the ledger.
   *
   * @throws {StorageError} `ERR_STORAGE_CONFLICT` if another process treated the upload as left
   *   over
   */
  finish<T>(work: () => Promise<T>): Promise<T>;
}

/** Envelopes too large to become durable together with their entry. */
export interface Uploads {
  begin(options: UploadOptions): Promise<Upload>;
  /**
   * Deletes the ciphertext of uploads that a crash interrupted: immediately for this process's own
   * lane; for processes without a lane, once nothing has been added to the upload for a day.
   *
   * @returns the errors that kept it from clearing some uploads; the next opening retries those
   */
  resume(): Promise<readonly unknown[]>;
}

const OPEN = /* @__PURE__ */ Uint8Array.of(0);
const CLAIMED = /* @__PURE__ */ Uint8Array.of(1);
/** How long, in ms, an upload may be idle whose process may still be running. */
const LONGEST_REST = 24 * 3_600_000;
const NOTHING = /* @__PURE__ */ new Uint8Array(0);
/** Blocks that are deleted in one step; each has up to 960 KiB. */
const TOGETHER = 32;

/**
 * Starts uploads. The vault records each open upload and, in the same commit as each block, that
 * block's CID: so blocks that no entry names can be found again. The mark that an upload's entry
 * was filed becomes durable with the entry.
 *
 * A process that opens the ledger in the same lane claims open uploads: it first records the claim,
 * and then checks whether the entry was filed. The filing process does the reverse. So if two
 * processes used one lane at the same time by mistake, one of them notices, and no acknowledged
 * entry loses its ciphertext. Processes without a lane of their own cannot know which of the others
 * are still running. They claim uploads that have been idle for a day, by clocks that may be wrong:
 * a process that was only slow gets an error, never a loss.
 *
 * @param lane - identifies this process among the member's, if it was given or if this is the only
 *   process; else `undefined`
 */
export function createUploads(context: LedgerContext, lane: number | undefined): Uploads {
  const { chain, storage, vault, signer, random, suite, padding, now } = context;
  const prefixOf = (whose: string): Uint8Array => vault.name("open uploads", whose).subarray(0, 16);
  const anyones = prefixOf("any");
  const openPrefix = lane === undefined ? anyones : prefixOf(String(lane));
  const openName = (id: Uint8Array): Uint8Array => concatBytes(openPrefix, id);
  const addedName = (id: Uint8Array): Uint8Array => vault.name("upload added to", id);
  /** In a row of its own: it must never overwrite the mark that the upload was claimed. */
  const added = (id: Uint8Array): StateChange[] =>
    lane === undefined ? [vault.put(addedName(id), encode(now()))] : [];
  const filedName = (id: Uint8Array): Uint8Array => vault.name("filed upload", id);
  const blocksPrefix = (id: Uint8Array): Uint8Array =>
    vault.name("upload blocks", id).subarray(0, 16);

  /** Forgets an upload; first deletes its ciphertext, unless an entry names it. */
  async function clear(
    id: Uint8Array,
    isFiled: boolean,
    open: Uint8Array = openName(id),
  ): Promise<void> {
    const marks: StateChange[] = [];
    const cids: CID[] = [];
    const flush = async () => {
      const some = cids.splice(0);
      if (!isFiled && some.length > 0) await storage.blobs.delete(some);
      if (marks.length > 0) await storage.state.batch(marks.splice(0));
    };
    for await (const { name, value } of vault.scan(blocksPrefix(id))) {
      cids.push(cidFromBytes(value));
      if (marks.push(vault.remove(name)) >= TOGETHER) await flush();
    }
    await flush();
    await storage.state.batch([open, filedName(id), addedName(id)].map(vault.remove));
  }

  /** Whether an upload has been idle for so long that its process is presumed gone. */
  async function hasRested(id: Uint8Array): Promise<boolean> {
    const at = await vault.get(addedName(id));
    // A time equally far in the future comes from a clock that was wrong.
    return at === undefined || Math.abs(now() - expectUint(decode(at), "time")) > LONGEST_REST;
  }

  /** Clears left-over uploads below a prefix; adds the errors that prevented it to `errors`. */
  async function claim(
    prefix: Uint8Array,
    isLeft: (id: Uint8Array) => Promise<boolean>,
    errors: unknown[],
  ): Promise<void> {
    const open: Uint8Array[] = [];
    try {
      for await (const { name } of vault.scan(prefix)) open.push(name);
    } catch (error) {
      errors.push(error);
    }
    for (const name of open) {
      const id = name.slice(prefix.length);
      try {
        if (!(await isLeft(id))) continue;
        await storage.state.batch([vault.put(name, CLAIMED)]);
        await clear(id, (await vault.get(filedName(id))) !== undefined, name);
      } catch (error) {
        errors.push(error);
      }
    }
  }

  /** Clears an upload whose entry was either filed or certainly not filed. */
  async function clearFailed(id: Uint8Array, isCertain: boolean): Promise<void> {
    const isFiled = (await vault.get(filedName(id))) !== undefined;
    if (isFiled || isCertain) await clear(id, isFiled);
  }

  async function assertOpen(id: Uint8Array): Promise<void> {
    const mark = await vault.get(openName(id));
    if (mark?.[0] === OPEN[0]) return;
    throw new StorageError(
      "ERR_STORAGE_CONFLICT",
      "another process with this lane treated this recording as interrupted",
    );
  }

  return {
    async begin({ manifest, parts, ...options }) {
      const { ledger } = chain;
      const kind = "record";
      const { signal } = options;
      const id = random(16);
      const blocks = blocksPrefix(id);
      const encoded = await bySlices(manifestSteps(manifest));
      const given = parts.map(({ id: part, source }) => ({
        id: part,
        source: signal === undefined ? source : untilAborted(source, signal),
      }));
      await storage.state.batch([vault.put(openName(id), OPEN), ...added(id)]);
      let counter = 0;
      let made = false;
      const sealed = await sealStream({
        context: { ledger, author: signer.actor, kind },
        parts: [{ id: "manifest", source: encoded }, ...given],
        signer,
        random,
        suite,
        padding,
        ...options,
        async put(cid, bytes) {
          const mark = concatBytes(blocks, vault.name("upload block", id, String(counter++)));
          const blobs = [{ cid, bytes }];
          const state = [vault.put(mark, cid.bytes), ...added(id)];
          if (storage.blobs.caps.atomicBlobs !== false) {
            await storage.commit({ blobs, state });
          } else {
            // Such a store may keep a block of a commit that failed.
            await storage.state.batch(state);
            await storage.blobs.put(blobs);
          }
        },
      }).catch(async (error: unknown) => {
        // Blocks that cannot be deleted now are left to the next opening.
        await clear(id, false).catch(() => undefined);
        throw error;
      });
      return {
        manifest,
        entry(subjectKey) {
          made = true;
          const header = { cid: sealed.cid, bytes: sealed.header };
          const filed = vault.put(filedName(id), NOTHING);
          return entryOf(
            context,
            { kind, manifest, encoded, subjectKey },
            sealed,
            [header],
            [filed],
          );
        },
        async finish(work) {
          let result: Awaited<ReturnType<typeof work>>;
          try {
            await assertOpen(id);
            result = await work();
          } catch (error) {
            sealed.cek.fill(0);
            await clearFailed(id, !made || isCertainlyNotWritten(error)).catch(() => undefined);
            throw error;
          }
          await afterWriting(() => assertOpen(id));
          // The record exists; the next opening removes marks that remain.
          await clear(id, true).catch(() => undefined);
          return result;
        },
      };
    },
    async resume() {
      const errors: unknown[] = [];
      if (lane !== undefined) await claim(openPrefix, async () => true, errors);
      await claim(anyones, hasRested, errors);
      return errors;
    },
  };
}
