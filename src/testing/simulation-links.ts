import type { NetworkFaults } from "./simulation-faults.ts";
import { arrived, flipped, shortName, travelling, type Travelling } from "./simulation-bodies.ts";
import type { SimulationClock } from "./simulation-clock.ts";
import { simulatedRandom, type SimulatedRandom } from "./simulation-random.ts";

/** From a machine's start to its crash. */
export interface Life {
  readonly name: string;
  readonly isOver: boolean;
  readonly handler: ((request: Request) => Promise<Response>) | undefined;
  /** Called when the life ends, unless that was taken back. */
  onEnd(call: () => void): () => void;
}

/** What is between machines. */
export interface Links {
  /** Sends a request from a life of a machine. */
  fetch(life: Life, url: string, init: RequestInit): Promise<Response>;
  /** Sends what was given up to now; call once nothing goes on, so that it has one order. */
  flush(): void;
}

interface Link {
  readonly random: SimulatedRandom;
  /** Answers that are under way. */
  readonly coming: { answer: Travelling }[];
  /** The answer that arrived last. */
  last: Travelling | undefined;
}

interface Exchange {
  readonly id: string;
  readonly from: Life;
  readonly to: string;
  readonly request: { readonly url: string; readonly init: RequestInit; readonly body: Uint8Array };
  isDone: boolean;
  resolve(response: Response): void;
  reject(error: unknown): void;
  /** Lets the other side know that nobody waits any more. */
  readonly leaving: Set<() => void>;
}

/** Top-level domain of simulated machines, which nobody can register. */
const DOMAIN = ".invalid";

/** A promise that nobody keeps: what a machine that crashed waits for. */
export const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

export function simulationLinks(setting: {
  readonly clock: SimulationClock;
  readonly seed: string;
  readonly faults: () => NetworkFaults;
  readonly isParted: (from: string, to: string) => boolean;
  readonly lifeOf: (name: string) => Life | undefined;
  readonly trace: (line: string) => void;
}): Links {
  const { clock, seed, faults, isParted, lifeOf, trace } = setting;
  const links = new Map<string, Link>();
  const sent = new Map<string, number>();
  let departing: { readonly by: string; readonly depart: () => void }[] = [];

  function linkOf(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = links.get(name);
    if (link === undefined) {
      links.set(
        name,
        (link = { random: simulatedRandom(`${seed}/${name}`), coming: [], last: undefined }),
      );
    }
    return link;
  }

  const delayOf = ({ random }: Link): number => random.between(...faults().delay);

  function later(link: Link, by: string, happen: () => void): void {
    clock.at(clock.now + delayOf(link), by, happen);
  }

  /** Whether a message does not get through; the requester may learn it. */
  function isLost(link: Link, from: string, to: string, exchange: Exchange): boolean {
    const { lose, reset } = faults();
    const [isDropped, isReset] = [link.random.chance(lose), link.random.chance(reset)];
    if (!isParted(from, to) && !isDropped && !isReset) return false;
    trace(`${exchange.id} lost ${from}>${to}`);
    if (isReset) later(link, exchange.from.name, () => fail(exchange));
    return true;
  }

  function fail(exchange: Exchange): void {
    if (exchange.isDone || exchange.from.isOver) return;
    finish(exchange);
    trace(`${exchange.id} broke`);
    exchange.reject(new TypeError("the connection broke"));
  }

  function finish(exchange: Exchange): void {
    exchange.isDone = true;
    for (const leave of exchange.leaving) leave();
  }

  function depart(exchange: Exchange): void {
    const { from, to } = exchange;
    if (from.isOver) return;
    const link = linkOf(from.name, to);
    const { url, init, body } = exchange.request;
    const { pathname, search } = new URL(url);
    trace(`${exchange.id} ${init.method ?? "GET"} ${to}${pathname}${search} ${shortName(body)}`);
    const isTwice = link.random.chance(faults().duplicate);
    const isFlipped = body.length > 0 && link.random.chance(faults().flip);
    if (isLost(link, from.name, to, exchange)) return;
    const bytes = isFlipped ? flipped(body, link.random) : body;
    for (let copies = isTwice ? 2 : 1; copies > 0; copies--) {
      later(link, to, () => arrive(exchange, bytes));
    }
  }

  function arrive(exchange: Exchange, body: Uint8Array): void {
    const { to, request } = exchange;
    const life = lifeOf(to);
    if (life?.handler === undefined) {
      later(linkOf(to, exchange.from.name), exchange.from.name, () => fail(exchange));
      return;
    }
    trace(`${exchange.id} arrived`);
    const { handler } = life;
    const leaving = new AbortController();
    const leave = (): void => void clock.at(clock.now, to, () => leaving.abort());
    exchange.leaving.add(leave);
    const stopEnd = life.onEnd(() => fail(exchange));
    const { method, headers } = request.init;
    const answering = (async () =>
      travelling(
        await handler(
          new Request(request.url, {
            ...{ method: method ?? "GET", headers: headers ?? {}, signal: leaving.signal },
            ...(body.length > 0 && { body: body as Uint8Array<ArrayBuffer> }),
          }),
        ),
      ))().catch((): Travelling => ({
      status: 500,
      headers: [],
      body: new Uint8Array(),
      end: "broken",
    }));
    void answering.then((answer) => {
      stopEnd();
      exchange.leaving.delete(leave);
      if (!life.isOver) departing.push({ by: to, depart: () => back(exchange, answer) });
    });
  }

  function back(exchange: Exchange, answer: Travelling): void {
    const { from, to, id } = exchange;
    const link = linkOf(to, from.name);
    trace(`${id} ${answer.status} ${shortName(answer.body)}`);
    if (isLost(link, to, from.name, exchange)) return;
    const coming = { answer: altered(answer, link, id) };
    link.coming.push(coming);
    later(link, from.name, () => {
      link.coming.splice(link.coming.indexOf(coming), 1);
      deliver(exchange, coming.answer, link);
    });
  }

  function altered(answer: Travelling, link: Link, id: string): Travelling {
    const { random } = link;
    const { flip, cut, stall, repeat, swap } = faults();
    const [isFlipped, isCut, isStalled, isRepeated, isSwapped] = [
      flip,
      cut,
      stall,
      repeat,
      swap,
    ].map((probability) => random.chance(probability));
    const { body } = answer;
    if (isSwapped && link.coming.length > 0) {
      const other = random.pick(link.coming);
      trace(`${id} swapped`);
      const theirs = other.answer;
      other.answer = answer;
      return theirs;
    }
    if (isRepeated && link.last !== undefined) {
      trace(`${id} repeated`);
      return link.last;
    }
    if (isFlipped) {
      trace(`${id} flipped`);
      return { ...answer, body: flipped(body, random) };
    }
    if ((isCut || isStalled) && body.length > 0) {
      trace(`${id} ${isCut ? "cut" : "stalled"}`);
      const end = isCut ? random.pick(["whole", "broken"] as const) : "stalled";
      return { ...answer, body: body.slice(0, random.between(0, body.length - 1)), end };
    }
    return answer;
  }

  function deliver(exchange: Exchange, answer: Travelling, link: Link): void {
    if (exchange.isDone || exchange.from.isOver) return;
    trace(`${exchange.id} done`);
    link.last = answer;
    finish(exchange);
    exchange.resolve(arrived(answer, link.random.between(1, 3)));
  }

  return {
    async fetch(life, url, init) {
      if (life.isOver) return never();
      const { signal, body: given, ...rest } = init;
      signal?.throwIfAborted();
      const { hostname } = new URL(url);
      const body =
        given == null ? new Uint8Array() : new Uint8Array(await new Response(given).arrayBuffer());
      const number = (sent.get(life.name) ?? 0) + 1;
      sent.set(life.name, number);
      return new Promise((resolve, reject) => {
        const exchange: Exchange = {
          ...{ id: `${life.name}#${number}`, from: life, isDone: false, resolve, reject },
          ...{ request: { url, init: rest, body }, leaving: new Set() },
          to: hostname.endsWith(DOMAIN) ? hostname.slice(0, -DOMAIN.length) : hostname,
        };
        const abort = (): void => {
          if (exchange.isDone || life.isOver) return;
          finish(exchange);
          reject(signal!.reason);
        };
        signal?.addEventListener("abort", abort);
        exchange.leaving.add(() => signal?.removeEventListener("abort", abort));
        departing.push({ by: life.name, depart: () => depart(exchange) });
      });
    },
    flush() {
      const now = departing;
      departing = [];
      // Stable: what one machine sends keeps its order.
      now.sort((a, b) => (a.by < b.by ? -1 : a.by > b.by ? 1 : 0));
      for (const { depart: go } of now) go();
    },
  };
}
