import { existsSync, readdirSync, readlinkSync } from "node:fs";
import type { StorageAdapter } from "../storage/types.ts";
import { check, KitFailure, pause } from "./kit.ts";
import {
  blobOf,
  bytes,
  EMPTY,
  records,
  withStorage,
  type MakeStorage,
  type StorageCase,
} from "./storage-subject.ts";

const FOLDER = "/proc/self/fd";
const WARMING = 3;
const ROUNDS = 24;

/** The open files of this process, with counts. */
function openFiles(): string[] {
  return readdirSync(FOLDER).flatMap((name) => {
    try {
      return [readlinkSync(`${FOLDER}/${name}`)];
    } catch {
      // The folder that was just read.
      return [];
    }
  });
}

/** Repeats an action, and fails if the number of open files grows with every second repetition. */
async function levelOff(round: (number: number) => Promise<void>): Promise<void> {
  for (let i = 0; i < WARMING; i++) await round(i);
  const before = openFiles();
  for (let i = 0; i < ROUNDS; i++) await round(WARMING + i);
  // Gives background work a moment to end.
  let after = openFiles();
  for (let i = 0; i < 20 && after.length - before.length >= ROUNDS / 2; i++) {
    await pause(50);
    after = openFiles();
  }
  const more = after.length - before.length;
  if (more < ROUNDS / 2) return;
  const left = after.filter((name) => !before.includes(name));
  throw new KitFailure(
    `after ${ROUNDS} rounds ${more} more files are open: ${left[0] ?? after[0]}`,
  );
}

async function write({ chains, blobs, state }: StorageAdapter, number: number): Promise<void> {
  await chains?.append(`chain ${number}`, EMPTY, records(3));
  await blobs?.put([blobOf(bytes(`blob ${number}`)), blobOf(bytes(`other ${number}`))]);
  await state?.batch([
    { key: bytes(`key ${number}`), value: bytes("value") },
    { key: bytes(`other ${number}`), value: bytes("value") },
  ]);
}

/** Begins to read and stops. */
async function readFirst(sources: readonly (AsyncIterable<unknown> | undefined)[]): Promise<void> {
  for (const source of sources) {
    if (!source) continue;
    for await (const item of source) {
      check(item !== undefined, "an item that is undefined");
      break;
    }
  }
}

async function openAndClose(make: MakeStorage): Promise<void> {
  await withStorage(make, async (first, subject) => {
    await first.close();
    await levelOff(async (number) => {
      const storage = await subject.open();
      await write(storage, number);
      await storage.close();
    });
  });
}

async function readAndRefuse(make: MakeStorage): Promise<void> {
  await withStorage(make, async (storage) => {
    const { chains, blobs, state } = storage;
    await levelOff(async (number) => {
      await write(storage, number);
      await readFirst([
        chains?.read(`chain ${number}`, { from: 0 }),
        chains?.list(),
        chains?.tail?.(`chain ${number}`, { from: 0 }),
        blobs?.list(),
        state?.scan({ gte: bytes("a"), lt: bytes("z") }),
      ]);
      await chains?.append(`chain ${number}`, EMPTY, records(1, "another")).catch(() => {});
      await chains?.append("x", EMPTY, [], { signal: AbortSignal.abort() }).catch(() => {});
      await blobs?.delete([blobOf(bytes(`blob ${number}`)).cid]);
      await blobs?.get(blobOf(bytes(`blob ${number}`)).cid);
      await storage.compact?.();
    });
  });
}

/**
 * Cases that count this process's open files, if the system tells (Linux). Run them in a process in
 * which nothing else opens and closes files meanwhile.
 */
export const fileCases: readonly StorageCase[] = existsSync(FOLDER)
  ? [
      {
        name: "files: are closed with their store",
        requires: ["reopen"],
        run: openAndClose,
      },
      {
        name: "files: none stays open after reads left early, refused calls and compaction",
        requires: [],
        run: readAndRefuse,
      },
    ]
  : [];
