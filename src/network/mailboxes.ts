import { toHex } from "../bytes/hex.ts";
import type { ReplyPieces } from "./reply-pieces.ts";
import { busy } from "./status.ts";

/** What a member replies to one ask. */
export interface RelayedReply extends ReplyPieces {
  readonly status: number;
  /** Seconds, with a status that says to ask again. */
  readonly retryAfter: string | undefined;
}

/** An ask on its way to a member, or whose reply is on its way back. */
export interface RelayedAsk {
  /** 16 random bytes, by which the reply finds who asked. */
  readonly id: Uint8Array;
  readonly sealed: Uint8Array;
  /** Aborts once whoever asked is gone. */
  readonly gone: AbortSignal;
  reply(reply: RelayedReply): void;
}

/** Room for one ask, held from before it is read until its reply has ended. */
export interface Place {
  /** Puts the ask down for the member. */
  put(ask: RelayedAsk): void;
  /** Forgets the ask, wherever it is. */
  free(): void;
}

/** Asks in memory, each until it is taken once, and who may reply to them. */
export interface Mailboxes {
  /**
   * Takes a place for an ask that is about to be read.
   *
   * @param caller - who asks; absent where nobody tells
   * @throws {Status} 503 when the member does not poll, or too many asks are on their way
   */
  reserve(did: string, caller: string | undefined): Place;
  /**
   * Takes the oldest ask; at the end of the wait there may be none. It is given to nobody else.
   *
   * @throws {Status} 429 when the member polls too often at a time
   */
  take(
    did: string,
    wait: (come: Promise<void>) => Promise<void>,
    isGone: () => boolean,
  ): Promise<RelayedAsk | undefined>;
  /** The ask that a reply of a member is for, which is given once. */
  replying(did: string, id: string): RelayedAsk | undefined;
}

/** Most asks on their way at a time. */
export interface MostAsks {
  readonly ofCaller: number;
  readonly ofMember: number;
  readonly ofAll: number;
}

/** Milliseconds for which a member counts as there after it has polled. */
const PRESENT = 60_000;

interface Mailbox {
  readonly waiting: RelayedAsk[];
  readonly taken: Map<string, RelayedAsk>;
  /** Called when an ask has come. */
  readonly pollers: Set<() => void>;
  polledAt: number;
}

/** @param now - clock in ms that never runs backwards */
export function openMailboxes(now: () => number, most: MostAsks): Mailboxes {
  // Only members that proved who they are have one.
  const boxes = new Map<string, Mailbox>();
  const held = new Map<string, number>();

  function polled(did: string): Mailbox {
    const box = boxes.get(did) ?? {
      ...{ waiting: [], taken: new Map<string, RelayedAsk>(), pollers: new Set<() => void>() },
      polledAt: 0,
    };
    boxes.set(did, box);
    box.polledAt = now();
    return box;
  }

  function hold(did: string, caller: string | undefined): () => void {
    const limits: (readonly [string, number])[] = [
      ["all", most.ofAll],
      [`member/${did}`, most.ofMember],
    ];
    if (caller !== undefined) limits.push([`caller/${caller}`, most.ofCaller]);
    const countOf = (name: string): number => held.get(name) ?? 0;
    if (limits.some(([name, limit]) => countOf(name) >= limit)) throw busy(1, 503);
    for (const [name] of limits) held.set(name, countOf(name) + 1);
    return () => {
      for (const [name] of limits) {
        const left = countOf(name) - 1;
        if (left === 0) held.delete(name);
        else held.set(name, left);
      }
    };
  }

  return {
    reserve(did, caller) {
      const box = boxes.get(did);
      if (box === undefined || (box.pollers.size === 0 && box.polledAt + PRESENT < now())) {
        throw busy(5, 503);
      }
      const release = hold(did, caller);
      let isFree = false;
      let ask: RelayedAsk | undefined;
      return {
        put(given) {
          if (isFree) return;
          ask = given;
          box.waiting.push(ask);
          for (const wake of box.pollers) wake();
        },
        free() {
          if (isFree) return;
          isFree = true;
          release();
          if (ask === undefined) return;
          const at = box.waiting.indexOf(ask);
          if (at >= 0) box.waiting.splice(at, 1);
          box.taken.delete(toHex(ask.id));
        },
      };
    },
    async take(did, wait, isGone) {
      const box = polled(did);
      if (box.waiting.length === 0) {
        if (box.pollers.size >= most.ofMember) throw busy(1, 429);
        let wake = (): void => undefined;
        const come = new Promise<void>((resolve) => (wake = resolve));
        box.pollers.add(wake);
        try {
          await wait(come);
        } finally {
          box.pollers.delete(wake);
        }
        box.polledAt = now();
      }
      const ask = isGone() ? undefined : box.waiting.shift();
      if (ask !== undefined) box.taken.set(toHex(ask.id), ask);
      return ask;
    },
    replying(did, id) {
      const taken = boxes.get(did)?.taken;
      const ask = taken?.get(id);
      taken?.delete(id);
      return ask;
    },
  };
}
