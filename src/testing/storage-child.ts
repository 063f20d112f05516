import type { Head, StorageAdapter } from "../storage/types.ts";
import { checkSteps, headOfSteps, stepOf, takeStep, STEPS_CHAIN } from "./storage-steps.ts";
import type { Progress, StepKind } from "./storage-steps.ts";

/** The channel between the kit and a process that serves a storage: lines without line breaks. */
export interface LineChannel {
  send(line: string): void;
  /** Sets the receiver of the lines, in their order; called once. */
  onLine(listener: (line: string) => void): void;
}

/** A command of the kit to a process, as JSON on one line. */
export type StorageRequest =
  | {
      readonly do: "write";
      readonly kinds: readonly StepKind[];
      readonly writer: string;
      readonly from: number;
      readonly count: number;
    }
  | {
      readonly do: "look";
      readonly kinds: readonly StepKind[];
      readonly writers: readonly (readonly [string, Progress])[];
    }
  | { readonly do: "tail"; readonly from: number; readonly count: number }
  | { readonly do: "compact" }
  | { readonly do: "close" };

/**
 * The part of the process cases that runs in the other process: opens the store and writes as told.
 * It says `begin` before each call and `ack` once the call is acknowledged, and reports what it
 * sees.
 *
 * @param open - opens a handle; called several times
 * @returns resolves when the kit has asked to close and the store is closed
 * @example
 * // in a worker
 * await serveStorage(open, {
 *   send: (line) => postMessage(line),
 *   onLine: (listener) => addEventListener("message", ({ data }) => listener(String(data))),
 * });
 */
export async function serveStorage(
  open: () => Promise<StorageAdapter>,
  channel: LineChannel,
): Promise<void> {
  const opened: StorageAdapter[] = [];
  const handle = async (): Promise<StorageAdapter> => {
    const storage = await open();
    opened.push(storage);
    return storage;
  };

  /** Writers have handles of their own, so that many compete. */
  async function write(request: StorageRequest & { readonly do: "write" }): Promise<void> {
    const { kinds, writer, from, count } = request;
    const storage = await handle();
    let head: Head = await headOfSteps(storage);
    for (let number = from; number < from + count; number++) {
      const step = stepOf(kinds, writer, number);
      channel.send(`begin ${writer} ${number}`);
      head = await takeStep(storage, step, head);
      channel.send(`ack ${writer} ${number}`);
    }
    channel.send(`done ${writer}`);
  }

  async function tail(storage: StorageAdapter, from: number, count: number): Promise<void> {
    let left = count;
    for await (const { index } of storage.chains!.tail!(STEPS_CHAIN, { from })) {
      channel.send(`tail ${index}`);
      if (--left === 0) break;
    }
    channel.send("done tail");
  }

  async function compact(storage: StorageAdapter): Promise<void> {
    channel.send("begin own compact");
    await storage.compact!();
    channel.send("ack own compact");
  }

  channel.send("opening");
  const storage = await handle();
  await new Promise<void>((resolve) => {
    const answer = async (request: StorageRequest): Promise<void> => {
      if (request.do === "write") return write(request);
      if (request.do === "tail") return tail(storage, request.from, request.count);
      if (request.do === "compact") return compact(storage);
      if (request.do === "close") return resolve();
      await checkSteps(storage, request.kinds, new Map(request.writers));
      channel.send("seen");
    };
    channel.onLine((line) => {
      answer(JSON.parse(line) as StorageRequest).catch((error: unknown) => {
        const { code = "" } = Object(error) as { code?: string };
        channel.send(`error ${code} ${String(error)}`.replaceAll("\n", " "));
      });
    });
    channel.send("ready");
  });
  for (const each of opened) await each.close();
  channel.send("closed");
}
