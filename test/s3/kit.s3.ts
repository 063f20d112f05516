import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { combineStorage, type CombinedStorage } from "../../src/storage/combine.ts";
import { AppendConflict } from "../../src/storage/errors.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { S3Storage } from "../../src/storage/s3.ts";
import type { FullStorage, Head } from "../../src/storage/types.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases, type StorageFeature } from "../../src/testing/storage-kit.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { texts, ward } from "../support/ward.ts";
import { describeWith } from "../support/describe-with.ts";
import { effort } from "../support/effort.ts";
import { BUCKET, connect, type Access, type SuiteClient } from "./client.ts";
import { startProxy, type Mishap } from "./proxy.ts";
import { missingTools, startRadosgw, type Radosgw } from "./radosgw.ts";
import { freshPrefix, openS3, s3Subjects } from "./subject.ts";

const missing = [
  ...missingTools(),
  ...(existsSync(fileURLToPath(new URL("./node_modules", import.meta.url)))
    ? []
    : ["npm ci --prefix test/s3"]),
];
const wanted = missing.length > 0 ? missing.join(", ") : undefined;

const FEATURES: readonly StorageFeature[] = [
  "chains",
  "blobs",
  "tail",
  "reopen",
  "kill",
  "processes",
];
const EMPTY: Head = { size: 0, hash: null };
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

describeWith("s3Storage over Ceph's gateway", wanted, () => {
  let server: Radosgw;
  let client: SuiteClient;

  beforeAll(async () => {
    server = await startRadosgw();
    client = connect(server);
    await client.createBucket({ Bucket: BUCKET });
  }, 180_000);

  afterAll(async () => {
    client?.destroy();
    await server?.stop();
  }, 60_000);

  async function read(storage: S3Storage, chain = "a"): Promise<string[]> {
    const records: string[] = [];
    for await (const { record } of storage.chains.read(chain, { from: 0 })) {
      records.push(Buffer.from(record).toString());
    }
    return records;
  }

  const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 4 });
  const cases = [...storageCases, ...processCases({ rounds })].filter(({ requires = [] }) =>
    requires.every((feature) => FEATURES.includes(feature)),
  );
  it.each(cases)("$name", ({ run }) => run(s3Subjects(() => server)));

  it("takes the client of the package as it is typed", async () => {
    const here = fileURLToPath(new URL("./node_modules/.types", import.meta.url));
    await mkdir(here, { recursive: true });
    await writeFile(
      join(here, "client.ts"),
      `import { S3 } from "@aws-sdk/client-s3";
      import type { S3Calls } from "../../../../src/storage/s3.ts";
      export const client: S3Calls = new S3({});`,
    );
    await writeFile(
      join(here, "tsconfig.json"),
      JSON.stringify({ extends: "../../../../tsconfig.json", include: ["client.ts"] }),
    );
    const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
    const checked = spawnSync(process.execPath, [tsc, "-p", here], { encoding: "utf8" });
    expect(checked.stdout).toBe("");
    expect(checked.status).toBe(0);
  });

  it("refuses a store that ignores a condition, whichever", async () => {
    for (const ignored of ["IfMatch", "IfNoneMatch"] as const) {
      const deaf: SuiteClient = Object.create(client) as SuiteClient;
      deaf.putObject = (input, options) => {
        const { [ignored]: _, ...rest } = input;
        return client.putObject(rest, options);
      };
      await expect(openS3(deaf, freshPrefix())).rejects.toMatchObject({
        code: "ERR_INPUT_UNSUPPORTED",
      });
    }
  });

  /** Appends and puts through a proxy on which every so-many-th write meets with a mishap. */
  async function through(mishaps: readonly Mishap[], access: Partial<Access>): Promise<number> {
    let writes = 0;
    const proxy = await startProxy(server.endpoint, (method, path) => {
      const hit = method === "PUT" && /chains|blobs/.test(path) && writes++ % 3 === 0;
      return hit ? mishaps[Math.floor(writes / 3) % mishaps.length] : undefined;
    });
    const unreliable = connect({ ...server, endpoint: proxy.endpoint, ...access });
    try {
      const prefix = freshPrefix();
      const storage = await openS3(unreliable, prefix);
      let head = EMPTY;
      const expected = Array.from({ length: 60 }, (_, i) => `record ${i}`);
      for (const record of expected) {
        head = await storage.chains.append("a", head, [text(record)]);
      }
      await storage.close();
      const plain = await openS3(client, prefix);
      expect(await read(plain)).toEqual(expected);
      expect(await plain.chains.head("a")).toEqual(head);
      await plain.close();
      return proxy.befallen();
    } finally {
      unreliable.destroy();
      await proxy.stop();
    }
  }

  const MISHAPS: readonly [string, readonly Mishap[]][] = [
    ["requests and responses that are lost", ["response-lost", "lost"]],
    ["responses that are cut", ["response-cut"]],
    ["409 ConditionalRequestConflict", [{ status: 409, code: "ConditionalRequestConflict" }]],
    [
      "503 SlowDown and 500",
      [
        { status: 503, code: "SlowDown" },
        { status: 500, code: "X" },
      ],
    ],
  ];
  for (const maxAttempts of [1, 3]) {
    it.each(MISHAPS)(`appends once through %s, with ${maxAttempts} tries`, async (_, mishaps) => {
      expect(await through(mishaps, { maxAttempts })).toBeGreaterThan(10);
    });
  }

  it("reads on where responses to reads are cut or late", async () => {
    const prefix = freshPrefix();
    const writer = await openS3(client, prefix);
    const records = Array.from({ length: 40 }, (_, i) => `record ${i} ${"x".repeat(3000)}`);
    let head = EMPTY;
    for (const record of records) head = await writer.chains.append("a", head, [text(record)]);
    await writer.close();
    let reads = 0;
    const proxy = await startProxy(server.endpoint, (method) =>
      method === "GET" && reads++ % 4 === 0 ? "response-cut" : undefined,
    );
    const unreliable = connect({ ...server, endpoint: proxy.endpoint });
    try {
      expect(await read(await openS3(unreliable, prefix, { probe: false }))).toEqual(records);
      expect(proxy.befallen()).toBeGreaterThan(5);
    } finally {
      unreliable.destroy();
      await proxy.stop();
    }
  });

  it("lets one of sixteen handles have a place, hundreds of times", async () => {
    const prefix = freshPrefix();
    const handles = await Promise.all(
      Array.from({ length: 16 }, () => openS3(client, prefix, { probe: false })),
    );
    const places = effort("HEALTHLEDGER_S3_PLACES", { full: 200, short: 20 });
    let head = EMPTY;
    for (let place = 0; place < places; place++) {
      const outcomes = await Promise.allSettled(
        handles.map((handle, i) => handle.chains.append("a", head, [text(`${place} ${i}`)])),
      );
      const won = outcomes.flatMap((outcome) =>
        outcome.status === "fulfilled" ? [outcome.value] : [],
      );
      expect(won.length).toBe(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(AppendConflict);
      }
      head = won[0]!;
    }
    expect(await handles[3]!.chains.head("a")).toEqual(head);
    await Promise.all(handles.map((handle) => handle.close()));
  });

  it("has what was acknowledged when every process of the server is killed", async () => {
    const times = effort("HEALTHLEDGER_S3_SERVER_KILLS", { full: 5, short: 1 });
    const prefix = freshPrefix();
    const expected: string[] = [];
    const options = { probe: false, retries: 12, timeout: 5_000 };
    for (let time = 0; time < times; time++) {
      const storage = await openS3(client, prefix, options);
      let head = await storage.chains.head("a");
      let stop = false;
      let doubtful: string | undefined;
      const writing = (async () => {
        while (!stop) {
          doubtful = `${time} ${expected.length}`;
          head = await storage.chains.append("a", head, [text(doubtful)]);
          expected.push(doubtful);
        }
      })();
      const enough = expected.length + 12;
      const written = (async () => {
        while (expected.length < enough) await new Promise((resolve) => setTimeout(resolve, 10));
      })();
      await Promise.race([written, writing]);
      const restarted = server.killAndRestart();
      stop = true;
      await restarted;
      await writing;
      await storage.close();
      const again = await openS3(client, prefix, options);
      expect(await read(again)).toEqual(expected);
      await again.close();
    }
    expect(expected.length).toBeGreaterThan(10);
  });

  it("carries a ledger whose state is on a local disk, and names what is damaged", async () => {
    const path = await mkdtemp(join(tmpdir(), "healthledger-s3-state-"));
    const prefix = freshPrefix();
    const open = async (): Promise<CombinedStorage> => {
      const objects = await openS3(client, prefix);
      return combineStorage({
        chains: objects,
        blobs: objects,
        state: await lmdbStorage({ path }),
      });
    };
    const inner = await open();
    const w = await ward({ inner: inner as FullStorage });
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
    const kept = await w.hl.record(w.me, observation("bp-1"));
    const gone = await w.hl.record(w.me, observation("bp-2"));
    const names = async ({ blobs }: CombinedStorage): Promise<string[]> => {
      const found: string[] = [];
      for await (const cid of blobs.list()) found.push(cid.toString());
      return found;
    };
    const before = await names(inner);
    await w.hl.erase(w.me, { records: [gone.id], reason: "withdrawn" });
    const after = await names(inner);
    expect(before.filter((name) => !after.includes(name)).length).toBeGreaterThan(0);
    await w.hl.close();
    await inner.close();

    const again = await open();
    const hl = await w.again({ storage: again });
    const answer = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect(await texts(answer)).toEqual([observation("bp-1")]);
    expect(Buffer.from(await hl.read(kept.id)).toString()).toBe(observation("bp-1"));
    expect(await hl.verify()).toMatchObject({ ok: true });
    await hl.close();
    await again.close();

    const keys = (await client.listObjectsV2({ Bucket: BUCKET, Prefix: `${prefix}/` })).Contents!;
    const segments = keys.filter(({ Key }) => Key!.includes("_2fblocks/"));
    expect(segments.length).toBeGreaterThan(3);
    const Blob = keys.find((object) => object.Key!.includes("/blobs/"))!.Key!;
    await client.putObject({ Bucket: BUCKET, Key: Blob, Body: new Uint8Array(200) });
    const third = await open();
    const late = await w.again({ storage: third });
    const report = await late.verifyBlobs();
    expect(report.damaged.map(String)).toEqual([Blob.split("/").at(-1)]);
    await late.close();
    await third.close();

    // The newest come first.
    const damaged = segments.length - 3;
    const Key = segments[2]!.Key!;
    const bytes = await (
      await client.getObject({ Bucket: BUCKET, Key })
    ).Body!.transformToByteArray();
    bytes[Math.floor(Math.random() * bytes.length)]! ^= 0x10;
    await client.putObject({ Bucket: BUCKET, Key, Body: bytes });
    const fourth = await open();
    const named = {
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringContaining(`record ${damaged} `),
    };
    // Opening reads the newest blocks, in which the damage lies.
    await expect(
      w.again({ storage: fourth }).then((ledger) => ledger.verify()),
    ).rejects.toMatchObject(named);
    await fourth.close();
    await rm(path, { recursive: true });
  });

  it("purges what a bucket with versions keeps of the deleted", async () => {
    const Bucket = "versioned";
    await client.createBucket({ Bucket });
    await client.putBucketVersioning({ Bucket, VersioningConfiguration: { Status: "Enabled" } });
    const prefix = freshPrefix();
    const refused = (versions: "refuse" | "purge") =>
      expect(openS3(client, prefix, { bucket: Bucket, versions })).rejects;
    await refused("refuse").toMatchObject({ message: expect.stringContaining("keeps versions") });
    // With versions this server forgets If-None-Match, which only trying it out shows.
    await refused("purge").toMatchObject({ message: expect.stringContaining("If-None-Match") });
    const options = { bucket: Bucket, versions: "purge", probe: false } as const;
    const storage = await openS3(client, prefix, options);
    expect(storage.versioning).toBe("on");
    const blobs = ["one", "two", "three"].map((value) => ({
      cid: cidOf(text(value), RAW),
      bytes: text(value),
    }));
    await storage.blobs.put(blobs);
    await storage.chains.append("a", EMPTY, [text("record")]);
    await storage.blobs.delete([blobs[0]!.cid]);
    const key = `${prefix}/blobs/${blobs[0]!.cid}`;
    const kept = async (): Promise<number> => {
      const { Versions = [], DeleteMarkers = [] } = await client.listObjectVersions({
        Bucket,
        Prefix: key,
      });
      return Versions.length + DeleteMarkers.length;
    };
    expect(await kept()).toBe(2);
    const { before, after } = await storage.compact!();
    expect(before - after).toBeGreaterThanOrEqual(3);
    expect(await kept()).toBe(0);
    expect(await storage.blobs.getMany(blobs.map(({ cid }) => cid))).toEqual([
      undefined,
      text("two"),
      text("three"),
    ]);
    expect(await read(storage)).toEqual(["record"]);
    await storage.close();
  });
});
