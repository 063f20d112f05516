import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker, type WorkerOptions } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.ts";
import type { DescribeJob } from "../../src/workers/describe-job.ts";
import type { Job } from "../../src/workers/job.ts";
import { pack } from "../../src/workers/packed.ts";
import { openPool, type Pool } from "../../src/workers/pool.ts";
import { openBundles } from "../support/threads.ts";

/** A thread that does what a job says: its first word, with the rest. */
const THREAD = `
const { parentPort } = require("node:worker_threads");
const give = (id, said) => parentPort.postMessage({ id, gave: { said } });
const held = [];
parentPort.on("message", ({ id, job }) => {
  const [what, rest] = job.said.split(" ");
  if (what === "echo") give(id, rest);
  else if (what === "slow") setTimeout(() => give(id, rest), 50);
  else if (what === "twice") { give(id, "once"); give(id, "twice"); }
  else if (what === "strange") { give(id + 1000, "of another"); give(id, rest); }
  else if (what === "fail") parentPort.postMessage({ id, failed: new RangeError(rest) });
  else if (what === "refuse") parentPort.postMessage({
    id, refused: { name: "InputError", code: "ERR_INPUT_INVALID", message: rest },
  });
  else if (what === "rubbish") parentPort.postMessage(JSON.parse(rest));
  else if (what === "throw") throw new Error("thrown");
  else if (what === "exit") process.exit(3);
  else if (what === "loop") for (;;);
  else if (what === "full") for (;;) held.push(new Array(100_000).fill(id));
  else if (what !== "stall") throw new Error(what);
});
`;

const jobOf = (said: string): DescribeJob => ({ job: "describe", said, texts: pack([]) });

let pool: Pool | undefined;
let threads: Worker[] = [];
afterEach(async () => {
  await pool?.close();
  pool = undefined;
  threads = [];
});

function open(
  options: { readonly count?: number; readonly timeout?: number } = {},
  how: WorkerOptions = {},
) {
  const { count = 1, timeout = 30_000 } = options;
  const written: string[] = [];
  const start = (): Worker => {
    const worker = new Worker(THREAD, { eval: true, stderr: true, ...how });
    threads.push(worker);
    return worker;
  };
  const opened = openPool({ count, timeout, start });
  pool = opened;
  return {
    ...opened,
    written,
    async say(said: string, signal?: AbortSignal): Promise<string> {
      const make = (): Job => {
        written.push(said);
        return jobOf(said);
      };
      return ((await opened.run(make, signal)) as unknown as { said: string }).said;
    },
  };
}

const settled = (all: readonly Promise<string>[]): Promise<readonly unknown[]> =>
  Promise.all(all.map((one) => one.catch((error: unknown) => error)));
const failed = expect.objectContaining({ name: "WorkerError", code: "ERR_WORKER_FAILED" });

describe("a pool of threads", () => {
  it("starts no thread before there is work, and never more than its count", async () => {
    const { say } = open({ count: 2 });
    expect(threads).toHaveLength(0);
    expect(await say("echo a")).toBe("a");
    expect(await say("echo b")).toBe("b");
    expect(threads).toHaveLength(1);
    const many = Array.from({ length: 50 }, (_, i) => say(`echo ${i}`));
    expect(await Promise.all(many)).toEqual(many.map((_, i) => String(i)));
    expect(threads).toHaveLength(2);
  });

  it("writes no more than three jobs a thread, however many wait", async () => {
    const { say, written } = open({ count: 2 });
    const many = Array.from({ length: 40 }, (_, i) => say(`slow ${i}`));
    expect(written).toHaveLength(6);
    await Promise.race(many);
    expect(written.length).toBeLessThan(13);
    await Promise.all(many);
    expect(written).toHaveLength(40);
  });

  it.each([
    ["exits", "exit"],
    ["throws", "throw"],
    ["answers nothing", "rubbish null"],
    ["answers a number", "rubbish 5"],
    ["answers without a number", 'rubbish {"gave":{}}'],
    ["answers with a text for a number", 'rubbish {"id":"0","gave":{}}'],
    ["answers neither a result nor an error", 'rubbish {"id":0}'],
  ])("fails what a thread has that %s, once, and does the rest on another", async (_, said) => {
    const { say, written } = open();
    const all = [said, "stall", "stall", "echo 4", "echo 5"].map((one) => say(one));
    expect(await settled(all)).toEqual([failed, failed, failed, "4", "5"]);
    expect(written).toEqual([said, "stall", "stall", "echo 4", "echo 5"]);
    expect(threads).toHaveLength(2);
    expect(threads[0]!.threadId).toBe(-1);
    expect(await say("echo 6")).toBe("6");
  });

  it("fails what a thread has that runs out of memory", async () => {
    const { say } = open({}, { resourceLimits: { maxOldGenerationSizeMb: 16 } });
    const [error, next] = await settled([say("full"), say("echo 1").catch(() => say("echo 2"))]);
    expect(error).toBeInstanceOf(WorkerError);
    expect((error as WorkerError).cause).toMatchObject({ code: "ERR_WORKER_OUT_OF_MEMORY" });
    expect(next).toBe("2");
  });

  it.each(["loop", "stall"])("ends a thread that does not answer: %s", async (said) => {
    const { say } = open({ timeout: 500 });
    /** To start takes long on a busy machine. */
    const sayAtLast = async (what: string): Promise<string> => {
      for (let i = 0; i < 20; i++) {
        const answer = await say(what).catch(() => undefined);
        if (answer !== undefined) return answer;
      }
      throw new Error("never");
    };
    expect(await sayAtLast("echo 0")).toBe("0");
    const first = say(said);
    const others = said === "stall" ? ["slow 1", "slow 2"] : [];
    // What answers meanwhile does not put it off.
    const until = performance.now() + 10_000;
    let isDone = false;
    const done = settled([first]).finally(() => (isDone = true));
    while (!isDone && performance.now() < until) {
      await Promise.all(others.map((one) => say(one).catch(() => undefined)));
      await sleep(5);
    }
    expect(await done).toEqual([failed]);
    expect(((await done)[0] as WorkerError).cause).toMatchObject({
      message: "no answer within 500 ms",
    });
    expect(await sayAtLast("echo 3")).toBe("3");
  });

  it("takes the first answer to a job, and none to a job that it did not give", async () => {
    const { say } = open();
    const all = ["twice", "strange x", "echo y"].map((one) => say(one));
    expect(await Promise.all(all)).toEqual(["once", "x", "y"]);
    expect(threads).toHaveLength(1);
  });

  it("tells an error of the library by its class, and others as they are; the thread goes on", async () => {
    const { say } = open();
    await expect(say("refuse it-is-wrong")).rejects.toMatchObject({
      name: "InputError",
      code: "ERR_INPUT_INVALID",
      message: "it-is-wrong",
    });
    await expect(say("fail too-long")).rejects.toThrow(new RangeError("too-long"));
    expect(await say("echo on")).toBe("on");
    expect(threads).toHaveLength(1);
  });

  it("says by a typed error that no thread can be started, and tries again for the next job", async () => {
    let tries = 0;
    const cause = new Error("no more threads");
    pool = openPool({
      ...{ count: 1, timeout: 30_000 },
      start() {
        if (tries++ < 2) throw cause;
        return new Worker(THREAD, { eval: true });
      },
    });
    const { run } = pool;
    const all = [1, 2, 3].map((i) => run(() => jobOf(`echo ${i}`)) as unknown as Promise<string>);
    const [one, two, three] = await settled(all);
    expect([one, two]).toEqual([failed, failed]);
    expect((one as WorkerError).cause).toBe(cause);
    expect(three).toEqual({ said: "3" });
  });

  it("rejects for a job that cannot be written, and does the others", async () => {
    const { say, run } = open();
    const wrong = run(() => {
      throw new RangeError("too long for a string");
    });
    const next = say("echo 1");
    await expect(wrong).rejects.toThrow(new RangeError("too long for a string"));
    expect(await next).toBe("1");
  });

  it("does not write a job that was aborted before a thread had room", async () => {
    const { say, written } = open();
    const controller = new AbortController();
    const { signal } = controller;
    const all = ["slow 1", "slow 2", "slow 3", "echo 4"].map((one, i) =>
      say(one, i === 0 || i === 3 ? signal : undefined),
    );
    controller.abort(new Error("enough"));
    const reason = expect.objectContaining({ message: "enough" });
    expect(await settled(all)).toEqual([reason, "2", "3", reason]);
    expect(written).toEqual(["slow 1", "slow 2", "slow 3"]);
    await expect(say("echo 5", signal)).rejects.toThrow("enough");
    expect(await say("echo 6")).toBe("6");
    expect(threads).toHaveLength(1);
  });

  it("leaves no thread when it is closed, whatever that is doing", async () => {
    const { say, close } = open({ count: 3 });
    const all = ["loop", "stall", "slow 1", "stall", "stall", "stall"].map((one) => say(one));
    const more = Array.from({ length: 10 }, () => say("echo 1"));
    expect(threads).toHaveLength(3);
    const closing = close();
    const again = close();
    const closed = expect.objectContaining({
      code: "ERR_WORKER_FAILED",
      message: "the ledger's threads are closed",
    });
    for (const one of await settled([...all, ...more, say("echo 1")])) expect(one).toEqual(closed);
    await closing;
    await again;
    expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1, -1]);
    await expect(say("echo 1")).rejects.toEqual(closed);
    expect(threads).toHaveLength(3);
  });

  it("lets the process end while it has nothing to do, and no earlier", async () => {
    const bundles = openBundles();
    try {
      const program = await bundles.bundle(`
        import { Worker } from "node:worker_threads";
        import { openPool } from "./pool.ts";
        import { pack } from "./packed.ts";
        const start = () => new Worker(${JSON.stringify(THREAD)}, { eval: true });
        const pool = openPool({ count: 1, timeout: 60_000, start });
        const texts = pack([]);
        const say = (said) => pool.run(() => ({ job: "describe", said, texts }));
        await say("echo 1");
        say("slow 2").then(({ said }) => console.log("said", said));
      `);
      const child = await promisify(execFile)(process.execPath, [fileURLToPath(program)], {
        timeout: 30_000,
      });
      expect(child).toEqual({ stdout: "said 2\n", stderr: "" });
    } finally {
      bundles.remove();
    }
  });
});
