import { describe, expect, it } from "vitest";
import { StorageError } from "../../src/errors.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import { simulateNetwork, type SimulatedMachine } from "../../src/testing/simulate-network.ts";
import type { NetworkFaults } from "../../src/testing/simulation-faults.ts";

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const textOf = async (response: Response): Promise<string> => response.text();

/** Answers with what it was asked: the path, and the body behind it. */
const echo =
  ({ serve }: Pick<SimulatedMachine, "serve">, arrived: string[] = []) =>
  (): void =>
    serve(async (request) => {
      const { pathname } = new URL(request.url);
      arrived.push(pathname);
      return new Response(pathname + (await request.text()));
    });

/** Asks a machine that echoes so many times, one after another; gives what came back. */
async function asking(
  faults: Partial<NetworkFaults>,
  times: number,
  { atOnce = 1, seed = 1 } = {},
): Promise<{ answers: string[]; arrived: string[]; ms: number[] }> {
  const network = simulateNetwork({ seed, faults });
  const [answers, arrived, ms]: [string[], string[], number[]] = [[], [], []];
  network.node("server", (machine) => echo(machine, arrived)());
  network.node("client", async ({ fetch, now }) => {
    for (let i = 0; i < times; i += atOnce) {
      const some = Array.from({ length: atOnce }, async (_, j) => {
        const from = now();
        const answer = await fetch(`http://server.invalid/${String(i + j).padStart(20, "0")}`)
          .then(textOf)
          .catch((error: Error) => error.message);
        ms.push(now() - from);
        answers[i + j] = answer;
      });
      await Promise.all(some);
    }
  });
  await network.run(3_600_000);
  return { answers, arrived, ms };
}
const right = (times: number): string[] =>
  Array.from({ length: times }, (_, i) => `/${String(i).padStart(20, "0")}`);

describe("simulateNetwork", () => {
  it("carries requests and answers, with the delays that were asked for", async () => {
    const { answers, arrived, ms } = await asking({ delay: [5, 9] }, 50);
    expect(answers).toEqual(right(50));
    expect(arrived).toEqual(right(50));
    expect(Math.min(...ms)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...ms)).toBeLessThanOrEqual(18);
    expect(new Set(ms).size).toBeGreaterThan(3);
  });

  it("changes the order of what is under way at the same time", async () => {
    const { answers, arrived } = await asking({ delay: [1, 100] }, 40, { atOnce: 40 });
    expect(answers).toEqual(right(40));
    expect(arrived).not.toEqual(right(40));
    expect([...arrived].sort()).toEqual(right(40));
  });

  it("loses requests or answers, and says so only when it resets", async () => {
    const lost = await asking({ lose: 0.2 }, 200);
    // The first that is lost is waited for in vain.
    expect(lost.answers.length).toBeLessThan(60);
    const reset = await asking({ reset: 0.2 }, 300);
    const broken = reset.answers.filter((answer) => answer === "the connection broke");
    expect(reset.answers).toHaveLength(300);
    // 1 - 0.8² of 300 is 108.
    expect(broken.length).toBeGreaterThan(70);
    expect(broken.length).toBeLessThan(145);
    // Some were lost after they had been carried out.
    expect(reset.arrived.length).toBeGreaterThan(300 - broken.length);
  });

  it("lets requests arrive twice, and gives one answer", async () => {
    const { answers, arrived } = await asking({ duplicate: 0.5 }, 100);
    expect(answers).toEqual(right(100));
    expect(arrived.length).toBeGreaterThan(125);
    expect(arrived.length).toBeLessThan(175);
  });

  it.each<[string, Partial<NetworkFaults>, (answer: string, wanted: string) => boolean]>([
    ["flips bits", { flip: 1 }, (a, b) => a.length >= b.length - 4 && a !== b],
    ["repeats older answers", { repeat: 0.5 }, (a, b) => a === b || right(100).includes(a)],
    [
      "cuts bodies, with an error or without",
      { cut: 1 },
      (a, b) => a === "the connection broke" || (b.startsWith(a) && a !== b),
    ],
  ])("%s", async (_, faults, isWrong) => {
    const { answers } = await asking(faults, 100);
    const wanted = right(100);
    expect(answers).toHaveLength(100);
    expect(answers).not.toEqual(wanted);
    expect(answers.filter((answer, i) => !isWrong(answer, wanted[i]!))).toEqual([]);
    if ("cut" in faults) expect(answers).toContain("the connection broke");
  });

  it("gives two answers to each other's request", async () => {
    const { answers } = await asking({ swap: 1, delay: [1, 100] }, 40, { atOnce: 40 });
    expect(answers).not.toEqual(right(40));
    expect([...answers].sort()).toEqual(right(40));
  });

  it("stalls bodies until whoever reads them gives up", async () => {
    const network = simulateNetwork({ seed: 3, faults: { stall: 1 } });
    network.node("server", (machine) => echo(machine)());
    const seen: string[] = [];
    network.node("client", async ({ fetch, sleep }) => {
      const body = textOf(await fetch("http://server.invalid/long"));
      seen.push(await Promise.race([body, sleep(60_000).then(() => "too late")]));
    });
    await network.run(120_000);
    expect(seen).toEqual(["too late"]);
  });

  it("parts machines one way, until they are joined again", async () => {
    const network = simulateNetwork({ seed: 4 });
    const arrived: string[] = [];
    const answered: string[] = [];
    network.node("server", (machine) => echo(machine, arrived)());
    network.node("client", ({ fetch, sleep }) => {
      const ask = async (path: string): Promise<void> => {
        answered.push(await textOf(await fetch(`http://server.invalid/${path}`)));
      };
      void sleep(1000).then(() => ask("there"));
      void sleep(3000).then(() => ask("back"));
      void sleep(5000).then(() => ask("joined"));
    });
    network.part("client", "server");
    await network.run(2000);
    network.join();
    network.part("server", "client");
    await network.run(2000);
    network.join();
    await network.run(2000);
    expect(arrived).toEqual(["/back", "/joined"]);
    expect(answered).toEqual(["/joined"]);
  });

  it("refuses requests to a machine that is not there, and gives the time to nobody's real clock", async () => {
    const began = performance.now();
    const network = simulateNetwork({ seed: 5, start: 1_800_000_000_000 });
    const seen: unknown[] = [];
    network.node("client", async ({ fetch, sleep, now, wallClock }) => {
      await fetch("http://nobody.invalid/").catch((error: Error) => seen.push(error.message));
      await sleep(86_400_000.5);
      seen.push(Number.isInteger(now()), wallClock() - now());
      const stopping = new AbortController();
      void sleep(1000).then(() => stopping.abort(new Error("enough")));
      const from = now();
      await sleep(5000, stopping.signal);
      seen.push(now() - from);
    });
    await network.run(2 * 86_400_000);
    expect(seen).toEqual(["the connection broke", true, 1_800_000_000_000, 1000]);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it("lets a request know that nobody waits for its answer any more", async () => {
    const network = simulateNetwork({ seed: 6 });
    const left: number[] = [];
    network.node("server", ({ serve, now }) =>
      serve(
        (request) =>
          new Promise(() => request.signal.addEventListener("abort", () => left.push(now()))),
      ),
    );
    network.node("client", async ({ fetch, sleep }) => {
      const stopping = new AbortController();
      const asked = fetch("http://server.invalid/", { signal: stopping.signal });
      await sleep(500);
      stopping.abort(new Error("enough"));
      await expect(asked).rejects.toThrow("enough");
    });
    await network.run(1000);
    expect(left).toEqual([500]);
  });
});

describe("a simulated machine that crashes", () => {
  it("forgets its memory, keeps its storage, and reaches nothing any more", async () => {
    const network = simulateNetwork({ seed: 7, faults: { down: [1000, 1000] } });
    const data = memoryData();
    const seen: string[] = [];
    const node = network.node("machine", async ({ storage, sleep, now }) => {
      const { state } = storage(memoryStorage({ data }));
      const key = utf8("count");
      const before = await state!.get(key);
      const count = (before?.[0] ?? 0) + 1;
      await state!.batch([{ key, value: Uint8Array.of(count) }]);
      for (;;) {
        await sleep(100);
        seen.push(`${count}@${Math.floor(now() / 1000)}`);
      }
    });
    await network.run(1500);
    node.crash();
    expect(node.isUp).toBe(false);
    await network.run(1500);
    expect(node).toMatchObject({ isUp: true, starts: 2 });
    expect([...new Set(seen)]).toEqual(["1@0", "1@1", "2@2"]);
  });

  it("does a write that is under way, or does not, and never answers", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 24; seed++) {
      const network = simulateNetwork({ seed, faults: { crashInWrite: 1, disk: [10, 20] } });
      const data = memoryData();
      let answers = 0;
      const node = network.node("machine", async ({ storage }) => {
        const { chains } = storage(memoryStorage({ data }));
        const head = await chains!.head("log");
        if (head.size > 0) return;
        await chains!.append("log", head, [Uint8Array.of(1)]);
        answers++;
      });
      await network.until(() => node.starts > 1, 10_000);
      outcomes.add(`${data.chains.get("log")?.records.length ?? 0} ${answers}`);
    }
    // A crash in the same millisecond as the answer may come after it.
    expect([...outcomes].sort().filter((outcome) => outcome !== "1 1")).toEqual(["0 0", "1 0"]);
  });

  it("lets writes overtake one another, unless one waits for the other", async () => {
    const key = utf8("key");
    const last = async (seed: number, isWaiting: boolean): Promise<number | undefined> => {
      const network = simulateNetwork({ seed, faults: { disk: [0, 100] } });
      const data = memoryData();
      network.node("machine", async ({ storage }) => {
        const { state } = storage(memoryStorage({ data }));
        const first = state!.batch([{ key, value: Uint8Array.of(1) }]);
        if (isWaiting) await first;
        await state!.batch([{ key, value: Uint8Array.of(2) }]);
      });
      await network.run(1000);
      return data.state.get("key")?.[0];
    };
    const seeds = Array.from({ length: 24 }, (_, seed) => seed);
    const atOnce = await Promise.all(seeds.map((seed) => last(seed, false)));
    expect(new Set(atOnce)).toEqual(new Set([1, 2]));
    const inTurn = await Promise.all(seeds.map((seed) => last(seed, true)));
    expect(new Set(inTurn)).toEqual(new Set([2]));
  });

  it("starts again when its program throws, which is noted", async () => {
    const network = simulateNetwork({ seed: 8 });
    let starts = 0;
    network.node("machine", async () => {
      if (++starts < 3) throw new StorageError("ERR_STORAGE_FAILED", "the disk is full");
    });
    await network.run(60_000);
    expect(starts).toBe(3);
    expect(network.failures).toMatchObject([
      { node: "machine", error: { code: "ERR_STORAGE_FAILED" } },
      { node: "machine", error: { code: "ERR_STORAGE_FAILED" } },
    ]);
  });

  it("breaks the connections of those that wait for it", async () => {
    const network = simulateNetwork({ seed: 9 });
    const seen: string[] = [];
    const server = network.node("server", ({ serve }) => serve(() => new Promise(() => undefined)));
    network.node("client", async ({ fetch }) => {
      await fetch("http://server.invalid/").catch((error: Error) => seen.push(error.message));
    });
    await network.run(500);
    server.crash();
    await network.run(500);
    expect(seen).toEqual(["the connection broke"]);
  });
});

describe("a simulation's seed", () => {
  const faults: Partial<NetworkFaults> = {
    ...{ delay: [1, 50], lose: 0.05, reset: 0.1, duplicate: 0.2, flip: 0.2, cut: 0.2, repeat: 0.1 },
    ...{ swap: 0.3, disk: [0, 20], crashInWrite: 0.02 },
  };
  async function traceOf(seed: number): Promise<string> {
    const network = simulateNetwork({ seed, faults });
    const data = memoryData();
    network.node("server", ({ serve, storage, random }) => {
      const { state } = storage(memoryStorage({ data }));
      serve(async (request) => {
        await state!.batch([{ key: utf8(new URL(request.url).pathname), value: random(8) }]);
        return new Response(new Uint8Array(random(100)));
      });
    });
    for (const name of ["one", "other"]) {
      network.node(name, ({ fetch, random, sleep }) => {
        for (let i = 0; i < 10; i++) {
          void sleep(random(1)[0]! * 10).then(async () => {
            const asked = fetch(`http://server.invalid/${name}/${i}`, {
              ...{ method: "POST", body: new Uint8Array(random(20)) },
            });
            return asked.then(textOf).catch(() => undefined);
          });
        }
      });
    }
    await network.run(60_000);
    expect(network.trace.length).toBeGreaterThan(40);
    return network.traceHash();
  }

  it("decides everything, and another one decides otherwise", async () => {
    const first = await Promise.all([traceOf(1), traceOf(2)]);
    expect(await Promise.all([traceOf(1), traceOf(2)])).toEqual(first);
    expect(first[0]).not.toBe(first[1]);
  });

  it("refuses what is no probability, no range and no option", () => {
    for (const wrong of [{ lose: 1.5 }, { flip: -1 }, { delay: [5, 1] as const }]) {
      expect(() => simulateNetwork({ seed: 1, faults: wrong })).toThrow(RangeError);
    }
    expect(() => simulateNetwork({ seed: 1, faults: { loose: 1 } as object })).toThrow("loose");
    const network = simulateNetwork({ seed: 1 });
    expect(() => network.node("Not a name", () => undefined)).toThrow(RangeError);
  });
});
