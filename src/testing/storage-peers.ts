import type { StorageAdapter, StorageCaps } from "../storage/types.ts";
import { check, KitFailure } from "./kit.ts";
import type { StorageRequest } from "./storage-child.ts";
import type { MakeStorage, StorageProcess, StorageSubject } from "./storage-subject.ts";

/** The kit's view of a process: its lines so far, and waiting for more. */
export interface Peer {
  readonly process: StorageProcess;
  /** Number of steps that a writer in it acknowledged. */
  acknowledged(writer: string): number;
  ask(request: StorageRequest): void;
  /** Resolves when the condition holds; rejects when the process reports an error or ends. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** How often the process said this line. */
  said(line: string): number;
}

/** Receives the lines of a process. */
export function peerOf(process: StorageProcess): Peer {
  const lines = new Map<string, number>();
  const acks = new Map<string, number>();
  const waiting = new Set<() => void>();
  let failure: string | undefined;
  process.onLine((line) => {
    const [word, writer] = line.split(" ");
    if (word === "error") failure ??= line;
    if (word === "ack") acks.set(writer!, (acks.get(writer!) ?? 0) + 1);
    lines.set(line, (lines.get(line) ?? 0) + 1);
    for (const wake of [...waiting]) wake();
  });
  void process.ended.then((reason) => {
    failure ??= `it ended: ${reason}`;
    for (const wake of [...waiting]) wake();
  });
  return {
    process,
    acknowledged: (writer) => acks.get(writer) ?? 0,
    ask: (request) => process.send(JSON.stringify(request)),
    said: (line) => lines.get(line) ?? 0,
    until: (condition, what) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (condition()) resolve();
          else if (failure === undefined) return;
          else reject(new KitFailure(`another process, asked for ${what}: ${failure}`));
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Starts another process and waits until it has opened the store. */
export async function startPeer(subject: StorageSubject): Promise<Peer> {
  check(subject.startProcess, "the subject claims processes and cannot start one");
  const peer = peerOf(await subject.startProcess());
  await peer.until(() => peer.said("ready") > 0, "opening");
  return peer;
}

/** Runs a case on a store of its own, with no handle open. */
export async function withSubject(
  make: MakeStorage,
  run: (subject: StorageSubject) => Promise<void>,
): Promise<void> {
  const subject = await make();
  try {
    await run(subject);
  } finally {
    await subject.dispose();
  }
}

/** The caps of a storage, which are the same for all stores that the process cases use. */
export function capsOf({ chains, blobs, state }: StorageAdapter): StorageCaps {
  const caps = (chains ?? blobs ?? state)?.caps;
  check(caps, "the storage has no store");
  return caps;
}
