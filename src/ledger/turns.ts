import { bytesKey } from "../bytes/bytes-key.ts";

/** Makes work on the same things wait for its turn, in order of arrival. */
export interface Turns {
  /** Runs concurrently with other shared work of this name, but not with exclusive work. */
  shared<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Runs while no other work of this name does. */
  exclusive<T>(name: string, work: () => Promise<T>): Promise<T>;
}

interface Queue {
  /** Settles with the last exclusive work that was queued. */
  last: Promise<unknown>;
  /** The shared work that was queued since. */
  readonly beside: Set<Promise<unknown>>;
  users: number;
}

/**
 * Makes turns for one process. Work that takes several turns must take them in a fixed order, and each at
 * most once.
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

/** Runs work of several names, which may be given in any order, once it has its turn for each of them. */
function ofAll<T>(
  enter: (name: string, work: () => Promise<T>) => Promise<T>,
  names: Iterable<string>,
  work: () => Promise<T>,
): Promise<T> {
  const inOrder = [...new Set(names)].sort();
  return inOrder.reduceRight((next, name) => () => enter(name, next), work)();
}

/** Runs shared work of several names, which may be given in any order. */
export const sharedOfAll = <T>(
  turns: Turns,
  names: Iterable<string>,
  work: () => Promise<T>,
): Promise<T> => ofAll<T>(turns.shared, names, work);

/** Runs exclusive work of several names, which may be given in any order. */
export const exclusiveOfAll = <T>(
  turns: Turns,
  names: Iterable<string>,
  work: () => Promise<T>,
): Promise<T> => ofAll<T>(turns.exclusive, names, work);

/**
 * Name of the turns for work about a person. Filing takes a shared turn and forgetting the person an
 * exclusive one, so that a person is never forgotten while something is filed about them.
 */
export const personName = ({ local }: { readonly local: Uint8Array }): string =>
  `person ${bytesKey(local)}`;
