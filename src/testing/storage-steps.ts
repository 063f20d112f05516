import { matchesCid, type CID } from "../codec/cid.ts";
import type {
  NamedBlob,
  BlobStore,
  Commit,
  Head,
  StateChange,
  StorageAdapter,
} from "../storage/types.ts";
import { check, checkSame, collect, KitFailure, pause } from "./kit.ts";
import { blobOf, bytes, EMPTY, noise, readAll } from "./storage-subject.ts";

/** The effect of one step of a writer: each is one call, which happens completely or not at all. */
export type StepKind = "commit" | "append" | "put" | "batch" | "delete";

/** The chain that all writers append to. */
export const STEPS_CHAIN = "steps";

/** The `number`-th step of a writer: determined by these three, and the same in every process. */
export interface Step {
  readonly kind: StepKind;
  readonly records: readonly Uint8Array[];
  readonly blobs: readonly NamedBlob[];
  readonly deleted: readonly CID[];
  readonly state: readonly StateChange[];
}

/** The kinds of steps that a storage supports, in the order in which writers take them. */
export function kindsOf({ chains, blobs, state, commit }: StorageAdapter): StepKind[] {
  return [
    ...(chains && blobs && state && commit ? (["commit"] as const) : []),
    ...(chains ? (["append"] as const) : []),
    ...(blobs ? (["put"] as const) : []),
    ...(state ? (["batch"] as const) : []),
    ...(blobs ? (["delete"] as const) : []),
  ];
}

const RECORD_SIZES = [20, 300, 3000, 40, 9000];
const BLOB_SIZES = [100, 5000, 0, 33_000, 700];

/** Returns a step of a writer. */
export function stepOf(kinds: readonly StepKind[], writer: string, number: number): Step {
  const kind = kinds[number % kinds.length]!;
  const content = (part: string, size: number): Uint8Array => {
    const name = bytes(`${writer} ${number} ${part}\n`);
    const result = new Uint8Array(name.length + size);
    result.set(name);
    result.set(noise(size, number * 31 + part.length), name.length);
    return result;
  };
  const blobs = (of: number): NamedBlob[] =>
    BLOB_SIZES.slice(0, 3).map((_, i) => {
      const name = bytes(`${writer} ${of} blob ${i}\n`);
      const size = BLOB_SIZES[(of + i) % BLOB_SIZES.length]!;
      const result = new Uint8Array(name.length + size);
      result.set(name);
      result.set(noise(size, of * 31 + i), name.length);
      return blobOf(result);
    });
  const size = RECORD_SIZES[number % RECORD_SIZES.length]!;
  const before = number - 2 * kinds.length;
  const state: StateChange[] = [
    { key: bytes(`${writer}/last`), value: bytes(String(number)) },
    { key: bytes(`${writer}/${number}`), value: content("value", size) },
    { key: bytes(`${writer}/${before}`), value: null },
  ];
  // The deleted blob was put in the same round of the kinds.
  const put = number - kinds.length + 1 + kinds.indexOf("put");
  return {
    kind,
    records:
      kind === "commit" || kind === "append" ? [content("one", size), content("two", 50)] : [],
    blobs: kind === "commit" || kind === "put" ? blobs(number) : [],
    deleted:
      kind === "delete"
        ? blobs(put)
            .slice(0, 2)
            .map(({ cid }) => cid)
        : [],
    state: kind === "commit" || kind === "batch" ? state : [],
  };
}

/** Takes a step once, if the chain ends at `head`. Returns the end of the chain after it. */
export async function tryStep(storage: StorageAdapter, step: Step, head: Head): Promise<Head> {
  const { kind, records, blobs, deleted, state } = step;
  const append = { chain: STEPS_CHAIN, expected: head, records };
  if (kind === "commit") return (await storage.commit!({ append, blobs, state } as Commit))!;
  if (kind === "append") return storage.chains!.append(STEPS_CHAIN, head, records);
  if (kind === "put") await storage.blobs!.put(blobs);
  else if (kind === "delete") await storage.blobs!.delete(deleted);
  else await storage.state!.batch(state);
  return head;
}

/** Retries while the outcome is unknown, and on the new head if others were first. */
export async function takeStep(storage: StorageAdapter, step: Step, head: Head): Promise<Head> {
  for (let doubts = 0; ;) {
    try {
      return await tryStep(storage, step, head);
    } catch (error) {
      const { code, head: actual } = error as { code?: string; head?: Head };
      if (code === "ERR_STORAGE_CONFLICT") head = actual!;
      else if (code !== "ERR_STORAGE_AMBIGUOUS" || ++doubts > 20) throw error;
      else await pause(10 * doubts);
    }
  }
}

interface Expected {
  readonly records: readonly Uint8Array[];
  readonly blobs: ReadonlyMap<CID, Uint8Array | undefined>;
  /** Blobs of the step that was not taken, of which some may have been put or deleted anyway. */
  readonly loose: readonly CID[];
  readonly state: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
}

/** The data of a writer after a number of steps. */
function expectedAfter(kinds: readonly StepKind[], writer: string, steps: number): Expected {
  const records: Uint8Array[] = [];
  const blobs = new Map<string, [CID, Uint8Array | undefined]>();
  const state = new Map<string, { key: Uint8Array; value: Uint8Array }>();
  for (let number = 0; number <= steps; number++) {
    const step = stepOf(kinds, writer, number);
    // No blob of the step that was not taken may be there.
    for (const blob of step.blobs) {
      blobs.set(String(blob.cid), [blob.cid, number < steps ? blob.bytes : undefined]);
    }
    if (number === steps) break;
    records.push(...step.records);
    for (const cid of step.deleted) blobs.set(String(cid), [cid, undefined]);
    for (const { key, value } of step.state) {
      if (value === null) state.delete(key.join());
      else state.set(key.join(), { key, value });
    }
  }
  const next = stepOf(kinds, writer, steps);
  return {
    records,
    loose: [...next.blobs.map(({ cid }) => cid), ...next.deleted],
    blobs: new Map(blobs.values()),
    state: [...state.values()].sort((a, b) => compare(a.key, b.key)),
  };
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** How many steps of a writer were acknowledged, and how many more may have been taken. */
export interface Progress {
  readonly acknowledged: number;
  /** 1 for a writer that was ended while it took a step; default 0. */
  readonly doubtful?: number;
}

/**
 * Checks that a store holds exactly the work of these writers: every acknowledged step, each step
 * completely or not at all, each writer's in order, nothing twice.
 *
 * @returns how many steps of each writer were taken
 */
export async function checkSteps(
  storage: StorageAdapter,
  kinds: readonly StepKind[],
  writers: ReadonlyMap<string, Progress>,
): Promise<Map<string, number>> {
  const { chains, blobs, state } = storage;
  const own = new Map<string, Uint8Array[]>();
  for (const record of chains ? await readAll(chains, STEPS_CHAIN) : []) {
    const [writer] = new TextDecoder().decode(record.subarray(0, 60)).split(" ", 1);
    check(writers.has(writer!), `a record of nobody: ${writer}`);
    const list = own.get(writer!) ?? [];
    list.push(record);
    own.set(writer!, list);
  }
  const taken = new Map<string, number>();
  let stored = 0;
  for (const [writer, { acknowledged, doubtful = 0 }] of writers) {
    let failure: unknown;
    for (let steps = acknowledged; steps <= acknowledged + doubtful; steps++) {
      const expected = expectedAfter(kinds, writer, steps);
      try {
        checkSame(own.get(writer) ?? [], expected.records, "records");
        const contents = new Map(expected.blobs);
        if (blobs?.caps.atomicBlobs === false) await settleLoose(blobs, expected.loose, contents);
        if (blobs) {
          checkSame(await blobs.getMany([...contents.keys()]), [...contents.values()], "blobs");
        }
        if (state) {
          const range = { gte: bytes(`${writer}/`), lt: bytes(`${writer}0`) };
          checkSame(await collect(state.scan(range)), expected.state, "state");
        }
        taken.set(writer, steps);
        stored += [...contents.values()].filter((value) => value !== undefined).length;
        break;
      } catch (error) {
        if (!(error instanceof KitFailure)) throw error;
        failure ??= error;
      }
    }
    if (!taken.has(writer)) {
      const what = `${acknowledged} steps of ${writer} were acknowledged`;
      const { message } = failure as KitFailure;
      throw new KitFailure(
        doubtful === 0
          ? `${what}, and the store does not hold just these: ${message}`
          : `${what}, and the store holds neither just these nor one more: ${message}`,
      );
    }
  }
  if (blobs) checkSame(await blobs.count(), stored, "number of blobs");
  return taken;
}

/** Accepts blobs as they are, present or not; their bytes must still match their names. */
async function settleLoose(
  blobs: BlobStore,
  loose: readonly CID[],
  contents: Map<CID, Uint8Array | undefined>,
): Promise<void> {
  const names = new Set(loose.map(String));
  for (const cid of [...contents.keys()]) {
    if (!names.has(String(cid))) continue;
    const bytes = await blobs.get(cid);
    check(bytes === undefined || matchesCid(cid, bytes), "a blob of other bytes");
    contents.set(cid, bytes);
  }
}

/** The end of the chain of steps, for storages with chains. */
export async function headOfSteps({ chains }: StorageAdapter): Promise<Head> {
  return chains ? chains.head(STEPS_CHAIN) : EMPTY;
}
