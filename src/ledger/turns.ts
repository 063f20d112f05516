import { toHex } from "../bytes/hex.ts";
import type { Subject } from "./entries/subjects.ts";

/** Lets work on the same things wait for each other, in the order in which it came. */
export interface Turns {
  /** Runs beside other shared work of this name, and not beside exclusive work. */
  shared<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Runs beside no other work of this name. */
  exclusive<T>(name: string, work: () => Promise<T>): Promise<T>;
}

interface Queue {
  /** Settles with the last exclusive work that was asked for. */
  last: Promise<unknown>;
  /** The shared work that was asked for since. */
  readonly beside: Set<Promise<unknown>>;
  users: number;
}

/**
 * Makes turns for one process. Work that takes several of them must take them in one order, and
 * none twice.
 */
export function createTurns(): Turns {
  const queues = new Map<string, Queue>();

  function enter<T>(name: string, alone: boolean, work: () => Promise<T>): Promise<T> {
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = { last: Promise.resolve(), beside: new Set(), users: 0 };
      queues.set(name, queue);
    }
    const mine = queue;
    mine.users++;
    const before = alone ? Promise.all([mine.last, ...mine.beside]) : mine.last;
    const result = before.then(work);
    const settled = result
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (--mine.users === 0) queues.delete(name);
        else mine.beside.delete(settled);
      });
    if (alone) {
      mine.last = settled;
      mine.beside.clear();
    } else {
      mine.beside.add(settled);
    }
    return result;
  }

  return {
    shared: (name, work) => enter(name, false, work),
    exclusive: (name, work) => enter(name, true, work),
  };
}

/** Runs shared work of several names, whichever order they are given in. */
export function sharedOfAll<T>(
  turns: Turns,
  names: Iterable<string>,
  work: () => Promise<T>,
): Promise<T> {
  const [first, ...rest] = [...new Set(names)].sort();
  if (first === undefined) return work();
  return turns.shared(first, () => sharedOfAll(turns, rest, work));
}

/**
 * Name of the turns of what is filed about a person: shared, so that he is not forgotten
 * meanwhile, which is exclusive.
 */
export const personName = ({ local }: Subject): string => `person ${toHex(local)}`;
