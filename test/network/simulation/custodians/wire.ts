import { createHash } from "node:crypto";
import type { SimulatedMachine } from "../../../../src/testing/simulate-network.ts";
import { framesOf } from "../../../support/asking.ts";
import type { Handler } from "../programs.ts";

/** An answer as it left its custodian, or as much of it as there was. */
export interface SentAnswer {
  readonly by: string;
  /** The sealed ask. */
  readonly ask: Uint8Array;
  /** When the ask arrived, and when the answer began. */
  readonly at: readonly [arrived: number, began: number];
  /** Blocks that the custodian had then, and at the end of the answer. */
  readonly sizes: readonly [arrived: number, began: number, ended: number];
  /** Ids of entries that waited in its outbox when the answer began. */
  readonly waiting: ReadonlySet<string>;
  readonly body: Uint8Array;
  readonly isWhole: boolean;
}

/** Sees what custodians answer, and what they hear. */
export interface AskingWire {
  readonly sent: readonly SentAnswer[];
  /** Every ask that arrived, whatever became of it: SHA-256, by custodian. */
  readonly arrived: ReadonlyMap<string, ReadonlySet<string>>;
  /** When a custodian last heard of its home, or what of a cosigner; in ms of the simulation. */
  readonly heard: ReadonlyMap<string, readonly number[]>;
  answering(name: string, handler: Handler): Handler;
  listening(name: string, machine: Pick<SimulatedMachine, "fetch">): SimulatedMachine["fetch"];
  /** From now on, what this member asks; later, what was sent and what was read of it last. */
  following(name: string): () => readonly Exchange[];
}

/** An ask and the pages of the answer to it that were read, as their SHA-256, hexadecimal. */
export interface Exchange {
  readonly ask: string;
  readonly pages: readonly string[];
}

export const shaOf = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

/** Frames that are whole: of an answer that broke off, the last may not be. */
export const wholeFrames = (body: Uint8Array): Uint8Array[] => {
  const view = Buffer.from(body);
  let end = 0;
  while (end + 4 <= view.length && end + 4 + view.readUInt32BE(end) <= view.length)
    end += 4 + view.readUInt32BE(end);
  return framesOf(view.subarray(0, end));
};

/** SHA-256 of each page of an answer. */
export const pagesOf = (body: Uint8Array): string[] =>
  wholeFrames(body).map((frame) => shaOf(frame));

/** A body that is passed on as it is read. */
export function passedOn(
  body: ReadableStream<Uint8Array>,
  take: (piece: Uint8Array) => void,
  end: (isWhole: boolean) => void = () => undefined,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const next = await reader.read();
          if (next.done) {
            end(true);
            controller.close();
          } else {
            take(next.value);
            controller.enqueue(next.value);
          }
        } catch (error) {
          end(false);
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

export function askingWire(setting: {
  readonly now: () => number;
  /** Blocks of a custodian. */
  readonly sizeOf: (name: string) => number;
  /** Ids of entries that are in its outbox. */
  readonly waitingAt: (name: string) => ReadonlySet<string>;
  /** Milliseconds since 1970 at which the simulation began. */
  readonly start: number;
}): AskingWire {
  const { now, sizeOf, waitingAt, start } = setting;
  const sent: SentAnswer[] = [];
  const arrived = new Map<string, Set<string>>();
  const heard = new Map<string, number[]>();
  const followed = new Map<string, Map<string, Uint8Array[]>>();

  function hear(name: string, at: number): void {
    const times = heard.get(name) ?? [];
    heard.set(name, times);
    times.push(at);
  }

  async function hearNote(name: string, response: Response): Promise<void> {
    const text = Buffer.from(await response.arrayBuffer()).toString("utf8");
    for (const [, signature] of text.matchAll(/^— witness\.example (\S+)$/gm)) {
      const raw = Buffer.from(signature!, "base64");
      if (raw.length === 76)
        hear(`${name} cosigned`, Number(raw.readBigUInt64BE(4)) * 1000 - start);
    }
  }

  return {
    ...{ sent, arrived, heard },
    answering: (name, handler) => async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method !== "POST" || pathname !== "/ask") return handler(request);
      const ask = new Uint8Array(await request.clone().arrayBuffer());
      arrived.set(name, (arrived.get(name) ?? new Set()).add(shaOf(ask)));
      const [arrivedAt, arrivedSize] = [now(), sizeOf(name)];
      const response = await handler(request);
      if (response.status !== 200) return response;
      const [began, size] = [now(), sizeOf(name)];
      const waiting = waitingAt(name);
      const pieces: Uint8Array[] = [];
      const body = passedOn(
        response.body!,
        (piece) => pieces.push(piece),
        (isWhole) =>
          sent.push({
            ...{ by: name, ask, at: [arrivedAt, began], waiting, isWhole },
            ...{ sizes: [arrivedSize, size, sizeOf(name)], body: Buffer.concat(pieces) },
          }),
      );
      return new Response(body, response);
    },
    listening: (name, machine) => async (url, init) => {
      const { hostname, pathname } = new URL(url);
      const isAsk = pathname.endsWith("/ask");
      const ask = isAsk ? (init?.body as Uint8Array) : undefined;
      const response = await machine.fetch(url, init);
      if (isAsk) {
        const own = followed.get(name);
        if (own === undefined || response.body === null) return response;
        const answer: Uint8Array[] = [];
        own.set(shaOf(ask!), answer);
        const body = passedOn(response.body, (piece) => answer.push(piece));
        return new Response(body, response);
      }
      if (hostname === "home.invalid" && response.status === 200) hear(name, now());
      if (pathname.endsWith("checkpoint")) void hearNote(name, response.clone()).catch(() => 0);
      return response;
    },
    following(name) {
      const own = new Map<string, Uint8Array[]>();
      followed.set(name, own);
      return () =>
        [...own].map(([ask, answer]) => ({ ask, pages: pagesOf(Buffer.concat(answer)) }));
    },
  };
}
