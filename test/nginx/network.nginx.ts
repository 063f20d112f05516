import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { canTrace } from "../../src/testing/node.ts";
import { simulatedRandom } from "../../src/testing/simulation-random.ts";
import { syncsOfTrace } from "../../src/testing/sync-probe.ts";
import { describeWith } from "../support/describe-with.ts";
import { effort } from "../support/effort.ts";
import { makeCertificates, type Certificates } from "./certificates.ts";
import { readCopy } from "./copies.ts";
import { FAULTS, startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { httpsFetch } from "./https-fetch.ts";
import { HEAD_MARK } from "./marks.ts";
import { hasNginx, prepareNginx, type Nginx, type Site } from "./nginx.ts";
import type { Opened } from "./party.ts";
import { buildPrograms, MOST_HEAP, prepareParty, type Party } from "./processes.ts";
import { found, freePorts, VALIDATOR, WITNESS, type Members } from "./setting.ts";

// Five processes that share nothing but loopback, through Debian's nginx as the guide sets it up, over lines
// on which bits turn over and streams end, while everything is killed again and again.

/** `HEALTHLEDGER_NGINX_SECONDS`: how long it goes on; two minutes, with little effort half of one. */
const SECONDS = effort("HEALTHLEDGER_NGINX_SECONDS", { full: 120, short: 30 });
const SEED = process.env["HEALTHLEDGER_SEED"] ?? String(Date.now());
/** Settings of nginx beside Debian's, to see that the suite fails with them. */
const LIMITS = process.env["HEALTHLEDGER_NGINX_LIMITS"] ?? "";
const PASSPHRASE = "of a test";
/** Longest stall of a line, in ms: longer than the deadline of a request. */
const STALL = 5000;
/** Seconds in which all must have arrived once nothing goes wrong any more. */
const QUIET_WITHIN = 180;
/**
 * Most MiB of one process beside pages of files: its heap, of which Node.js is told, 48 of young objects, 64 of
 * requests that a home holds at most, and 32 for the program and the stacks of its threads.
 */
const MOST_MEMORY = MOST_HEAP + 48 + 64 + 32;

const missing = !hasNginx
  ? "needs nginx: apt-get install nginx-light"
  : spawnSync("openssl", ["version"]).status !== 0
    ? "needs openssl"
    : canTrace()
      ? undefined
      : "needs strace, and the right to trace";

interface Status {
  readonly size: number;
  readonly root: string;
  readonly behind: number;
  readonly waiting: number;
  readonly forked: boolean;
}

describeWith("five processes behind Debian's nginx", missing, () => {
  let base: string;
  let genesis: Uint8Array;
  let members: Members;
  let certificates: Certificates;
  let nginx: Nginx;
  let ports: Record<"plain" | "secure" | "witness" | "north" | "south", number>;
  const proxies = new Map<string, FaultProxy>();
  const parties = new Map<string, Party>();
  const party = (name: string): Party => parties.get(name)!;

  beforeAll(async () => {
    console.info(`seed ${SEED}, ${SECONDS} s`);
    base = await mkdtemp(join(tmpdir(), "healthledger-nginx-"));
    ({ genesis, members } = await found(base, PASSPHRASE));
    const program = await buildPrograms(join(base, "programs"));
    certificates = await makeCertificates(join(base, "certificates"));
    const free = await freePorts(9, SEED);
    const [home, north, south, witness] = free as [number, number, number, number];
    const at = (i: number): number => free[4 + i]!;
    ports = { plain: at(0), secure: at(1), witness: at(2), north: at(3), south: at(4) };
    const sites: Site[] = [
      { kind: "plain", listen: ports.plain, path: "/ledger/", target: home },
      { kind: "certificates", listen: ports.secure, path: "/ledger/", target: home },
      { kind: "plain", listen: ports.witness, path: "/witness/", target: witness },
      { kind: "plain", listen: ports.north, path: "/ledger/", target: north },
      { kind: "plain", listen: ports.south, path: "/ledger/", target: south },
    ];
    nginx = await prepareNginx(join(base, "nginx"), sites, certificates.folder, LIMITS);
    await nginx.start();
    /** An address behind a line on which things go wrong. */
    async function over(line: string, scheme: string, port: number, path: string): Promise<string> {
      const proxy = await startFaultProxy(`${SEED} ${line}`, port, STALL);
      proxies.set(line, proxy);
      return `${scheme}://127.0.0.1:${proxy.port}${path}`;
    }
    const traces = join(base, "traces");
    await mkdir(traces);
    const tell = (name: string, port: number) => ({
      ...{ name, port, folder: join(base, name.split(".")[0]!) },
      genesis: join(base, "genesis.cbor"),
    });
    await mkdir(join(base, "witness"));
    await mkdir(join(base, "validator"));
    parties.set(
      "home",
      prepareParty(program("home"), {
        ...tell("home", home),
        peers: [{ name: WITNESS, url: await over("witness", "http", ports.witness, "/witness") }],
      }),
    );
    parties.set(
      "north",
      prepareParty(program("member"), {
        ...tell("north", north),
        peers: [
          { name: members.home, url: await over("north", "http", ports.plain, "/ledger") },
          { name: members.south, url: await over("copies", "http", ports.south, "/ledger") },
        ],
      }),
    );
    parties.set(
      "south",
      prepareParty(program("member"), {
        ...tell("south", south),
        peers: [
          {
            ...{ name: members.home, certificate: certificates.member },
            url: await over("south", "https", ports.secure, "/ledger"),
          },
          { name: members.north, url: await over("copies back", "http", ports.north, "/ledger") },
        ],
      }),
    );
    const witnessed = { ...tell(WITNESS, witness), peers: [] };
    parties.set("witness", prepareParty(program("witness"), witnessed, traces));
    const validated = {
      ...tell(VALIDATOR, 0),
      peers: [
        {
          ...{ name: members.home, certificate: certificates.member },
          url: await over("validator", "https", ports.secure, "/ledger"),
        },
      ],
    };
    parties.set("validator", prepareParty(program("validator"), validated, traces));
  }, 120_000);

  afterAll(async () => {
    for (const one of parties.values()) if (one.isUp) await one.kill();
    for (const proxy of proxies.values()) await proxy.close();
    await nginx?.stop();
    if (process.env["HEALTHLEDGER_KEEP"] === undefined) await rm(base, { recursive: true });
    else console.info(base);
  }, 60_000);

  it("turns away whoever shows no certificate, or that of another authority", async () => {
    const url = `https://127.0.0.1:${ports.secure}/ledger/genesis`;
    const { ca } = certificates.member;
    const status = async (own: Parameters<typeof httpsFetch>[0]): Promise<number> =>
      (await httpsFetch(own)(url, {})).status;
    expect(await status({ ca })).toBe(400);
    expect(await status(certificates.stranger)).toBe(400);
    // The home is not started: so far only the proxy answers.
    expect(await status(certificates.member)).toBe(502);
  });

  it("have one history in the end, whatever is killed and however lines fail", async () => {
    await Promise.all([...parties.values()].map((one) => one.start()));
    const random = simulatedRandom(`${SEED} kills`);
    const until = Date.now() + SECONDS * 1000;
    const half = Date.now() + SECONDS * 500;
    const kills = new Map<string, number>();
    const next: string[] = [];
    const nginxTurns = [() => nginx.kill().then(nginx.start), async () => nginx.reload()];
    const isOver = async (): Promise<boolean> =>
      Date.now() > until && kills.size === parties.size && (await elsewhere()) > 0;
    const latest = until + 3 * SECONDS * 1000;
    // On a slow machine it takes longer until all that is to be shown has happened.
    while (Date.now() < latest && !(await isOver())) {
      await pause(random.between(300, 1500));
      // Half of them are killed while others recover; before the other half, somebody elsewhere gets on.
      if (random.chance(0.5)) await progress();
      const turn = Date.now() > half ? nginxTurns.shift() : undefined;
      if (turn !== undefined) await turn();
      if (next.length === 0) next.push(...parties.keys());
      const [name = ""] = next.splice(random.between(0, next.length - 1), 1);
      await party(name).kill();
      kills.set(name, (kills.get(name) ?? 0) + 1);
      // One at a time, or on a slow machine they would never be up together.
      await party(name).start();
    }
    for (const proxy of proxies.values()) proxy.calm();
    const calmAt = Date.now();
    const writers = ["home", "north", "south"];
    const total = [...kills.values()].reduce((sum, n) => sum + n, 0);
    const acknowledged = await acknowledgements();
    console.info(
      `${total} kills`,
      Object.fromEntries(kills),
      `${acknowledged.length} acknowledged`,
    );
    for (const [name, { happened, passed }] of proxies)
      console.info(name, happened, `${passed} bytes`);

    const resting = Promise.all(writers.map((name) => party(name).ask("rest")));
    await Promise.race([resting, tooLate("what was begun was never acknowledged")]);
    const statuses = await Promise.race([quiet(), tooLate("they never had one head")]);
    console.info(`quiet after ${(Date.now() - calmAt) / 1000} s, ${statuses[0]!.size} blocks`);
    const opened = new Map<string, readonly Opened[]>();
    for (const name of writers) opened.set(name, await party(name).ask<Opened[]>("opened"));
    for (const one of parties.values()) await one.close();

    expect([...parties.values()].flatMap(({ failures }) => failures)).toEqual([]);
    expect(statuses.filter(({ forked }) => forked)).toEqual([]);
    expect(new Set(statuses.map(({ size, root }) => `${size} ${root}`)).size).toBe(1);

    // All that was acknowledged opens at its author, and nothing is there twice: not what was filed again under
    // its key either, after a kill or a wait in vain.
    const all = await acknowledgements();
    for (const name of writers) {
      const own = all.filter((id) => id.startsWith(`${name}-`));
      const names = opened.get(name)!.map(({ id }) => id);
      expect(names.sort()).toEqual(own.sort());
    }
    // Every store holds that history, and each of those entries once.
    for (const name of [...writers, "validator"]) {
      const copy = await readCopy(join(base, name, "store"), genesis);
      expect(copy.verified).toMatchObject({ ok: true, size: statuses[0]!.size });
      expect(copy.root).toBe(statuses[0]!.root);
      const entries = [...opened.values()].flat();
      expect(entries.filter(({ entry }) => copy.entries.get(entry) !== 1)).toEqual([]);
    }
    // It went on: what was acknowledged while things failed is no leftover of the calm.
    expect(kills.size).toBe(parties.size);
    const atHome = acknowledged.filter((id) => id.startsWith("home-")).length;
    expect(atHome).toBeGreaterThan(0);
    expect(acknowledged.length).toBeGreaterThan(atHome);
    for (const fault of FAULTS) {
      const times = [...proxies.values()].reduce((sum, { happened }) => sum + happened[fault], 0);
      expect(times, fault).toBeGreaterThan(0);
    }
    const memory = [...parties].map(([name, one]) => [name, Math.round(one.memory)] as const);
    console.info("MiB", Object.fromEntries(memory));
    for (const [name, most] of memory) expect(most, name).toBeLessThan(MOST_MEMORY);
  });

  it("has kept every cosignature before it was sent", async () => {
    const marks = {
      // What it answers over HTTP, and what it says before it sends over TLS.
      witness: {
        folder: "store",
        any: "HTTP/1.1 200",
        fresh: `HTTP/1.1 200 OK\\r\\n${HEAD_MARK}: new`,
      },
      validator: { folder: "signed", any: "sends", fresh: "sends new" },
    };
    for (const [name, { folder, any, fresh }] of Object.entries(marks)) {
      const store = join(base, name, folder);
      const transient = (path: string): boolean => path.endsWith("/lock.mdb");
      let [answers, changes] = [0, 0];
      for (const file of party(name).traces) {
        const text = await readFile(file, "utf8");
        const sent = (acknowledged: string) =>
          syncsOfTrace({ text, store, transient }, { acknowledged, begin: "asked" });
        const all = sent(any);
        expect(all.flatMap(({ unsynced }) => unsynced)).toEqual([]);
        const ofNew = sent(fresh);
        expect(ofNew.filter(({ syncs }) => syncs === 0)).toEqual([]);
        answers += all.length;
        changes += ofNew.length;
      }
      console.info(
        `${name}: ${answers} cosignatures sent, ${changes} of them surely of a head that was new`,
      );
      expect(changes).toBeGreaterThan(SECONDS / 10);
    }
  });

  /** How much members elsewhere have had acknowledged. */
  async function elsewhere(): Promise<number> {
    return (await acknowledgements()).filter((id) => !id.startsWith("home-")).length;
  }

  /** Waits until a member elsewhere has had something acknowledged, or for some seconds in vain. */
  async function progress(): Promise<void> {
    const [before, end] = [await elsewhere(), Date.now() + 4000];
    while (Date.now() < end && (await elsewhere()) === before) await pause(100);
  }

  /** Fails after a while, with what each process noted last. */
  async function tooLate(what: string): Promise<never> {
    await pause(QUIET_WITHIN * 1000, undefined, { ref: false });
    const logs = [...parties.values()].map(async ({ told }) => {
      const text = await readFile(join(told.folder, "log"), "utf8").catch(() => "");
      return `${told.name}: ${text.split("\n").slice(-4).join("; ")}`;
    });
    throw new Error([what, ...(await Promise.all(logs))].join("\n"));
  }

  /** Names of all resources whose recording was acknowledged. */
  async function acknowledgements(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const name of ["home", "north", "south"]) {
      const text = await readFile(join(base, name, "acks"), "utf8").catch(() => "");
      found.push(...text.split("\n").slice(0, -1));
    }
    return found;
  }

  /** Waits until nothing moves any more. */
  async function quiet(): Promise<readonly Status[]> {
    for (;;) {
      const statuses = await Promise.all(
        [...parties.values()]
          .filter(({ told }) => told.name !== WITNESS)
          .map((one) => one.ask<Status>("status")),
      );
      const isSame = new Set(statuses.map(({ size }) => size)).size === 1;
      if (isSame && statuses.every(({ behind, waiting }) => behind === 0 && waiting === 0)) {
        return statuses;
      }
      await pause(500);
    }
  }
});
