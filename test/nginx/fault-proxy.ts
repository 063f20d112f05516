import { connect, createServer, type Socket } from "node:net";
import { simulatedRandom } from "../../src/testing/simulation-random.ts";

/**
 * What happens to a connection: one bit is turned over, the stream ends in the middle, nothing passes for a
 * while, or both sides get a reset.
 */
export const FAULTS = ["flip", "cut", "stall", "reset"] as const;
export type Fault = (typeof FAULTS)[number];

/** A way to a server on which things go wrong. */
export interface FaultProxy {
  readonly port: number;
  /** How often each fault happened. */
  readonly happened: Readonly<Record<Fault, number>>;
  /** Bytes that passed. */
  readonly passed: number;
  /** From now on nothing goes wrong; what was stalled goes on. */
  calm(): void;
  close(): Promise<void>;
}

/** A fault that is about to hit what passes next in its direction. */
interface Plan {
  readonly fault: Fault;
  readonly way: "there" | "back";
  /** Where in what passes: from 0 to 999 thousandths. */
  readonly at: number;
}

/** Milliseconds between one fault and the next, at least and at most. */
const PAUSES = [500, 6000] as const;

/**
 * Starts a proxy in front of a port. Faults come as the seed says, one after the other, each to whatever passes
 * next.
 *
 * @param target - port on 127.0.0.1
 * @param most - longest stall, in ms
 */
export async function startFaultProxy(
  seed: string,
  target: number,
  most: number,
): Promise<FaultProxy> {
  const random = simulatedRandom(seed);
  const sockets = new Set<Socket>();
  const stalls = new Set<() => void>();
  const happened = { flip: 0, cut: 0, stall: 0, reset: 0 };
  let passed = 0;
  let plan: Plan | undefined;
  let timer = setTimeout(arm, random.between(...PAUSES));

  function arm(): void {
    const way = random.chance(0.5) ? "there" : "back";
    plan = { fault: random.pick(FAULTS), way, at: random.between(0, 999) };
  }

  /** The fault for what passes now, if there is one. */
  function take(way: Plan["way"]): Plan | undefined {
    if (plan?.way !== way) return undefined;
    const taken = plan;
    plan = undefined;
    happened[taken.fault]++;
    timer = setTimeout(arm, random.between(...PAUSES));
    return taken;
  }

  /** Leads one direction. */
  function lead(from: Socket, to: Socket, way: Plan["way"]): void {
    from.on("data", (chunk: Buffer) => {
      passed += chunk.length;
      const taken = take(way);
      if (taken === undefined) return pass(chunk);
      const at = Math.floor((chunk.length * taken.at) / 1000);
      if (taken.fault === "flip") {
        chunk[at]! ^= 1 << (taken.at % 8);
        pass(chunk);
      } else if (taken.fault === "cut") {
        to.end(chunk.subarray(0, at));
        from.destroy();
      } else if (taken.fault === "stall") {
        stall(chunk, random.between(most / 8, most));
      } else {
        from.resetAndDestroy();
        to.resetAndDestroy();
      }
    });
    from.on("end", () => to.end());
    from.on("close", () => {
      if (!to.writableEnded) to.destroy();
    });

    function pass(chunk: Buffer): void {
      if (to.destroyed || to.writableEnded || to.write(chunk)) return;
      from.pause();
      to.once("drain", () => from.resume());
    }

    function stall(chunk: Buffer, ms: number): void {
      from.pause();
      const goOn = (): void => {
        clearTimeout(timer);
        stalls.delete(goOn);
        from.resume();
        pass(chunk);
      };
      const timer = setTimeout(goOn, ms);
      stalls.add(goOn);
    }
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    }
    lead(client, upstream, "there");
    lead(upstream, client, "back");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    happened,
    get passed() {
      return passed;
    },
    calm() {
      clearTimeout(timer);
      plan = undefined;
      for (const goOn of [...stalls]) goOn();
    },
    async close() {
      clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
