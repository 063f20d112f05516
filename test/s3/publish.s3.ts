import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { memberKey, decodeMemberState } from "../../src/chain/state.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { followEntries } from "../../src/network/follow-entries.ts";
import { lightClient } from "../../src/network/light-client.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { bucketTarget, type BucketCalls } from "../../src/transport/bucket.ts";
import { publicPeer } from "../../src/transport/http.ts";
import { describeWith } from "../support/describe-with.ts";
import { effort } from "../support/effort.ts";
import { never, startHome, type Home } from "../support/network.ts";
import { connect, type SuiteClient } from "./client.ts";
import { missingTools, startRadosgw, type Radosgw } from "./radosgw.ts";
import { freshPrefix } from "./subject.ts";

const CHILD = fileURLToPath(new URL("./publish-child.ts", import.meta.url));
const NODE = ["--conditions=healthledger-source", "--import", "tsx", "--no-warnings", CHILD];
const Bucket = "history";
const missing = [
  ...missingTools(),
  ...(existsSync(fileURLToPath(new URL("./node_modules", import.meta.url)))
    ? []
    : ["npm ci --prefix test/s3"]),
];
const wanted = missing.length > 0 ? missing.join(", ") : undefined;

/** What only these tests ask of the client. */
type Client = Omit<SuiteClient, "deleteObject"> &
  BucketCalls & {
    putBucketPolicy(input: { Bucket: string; Policy: string }): Promise<unknown>;
    listMultipartUploads(input: { Bucket: string }): Promise<{ readonly Uploads?: unknown[] }>;
  };

async function grown(home: Home, blocks: number): Promise<Home> {
  await home.grow(blocks);
  await home.source.look();
  return home;
}

describeWith("a ledger published over Ceph's gateway", wanted, () => {
  let server: Radosgw;
  let client: Client;

  beforeAll(async () => {
    server = await startRadosgw();
    client = connect(server) as unknown as Client;
    await client.createBucket({ Bucket });
    // Everybody may get an object, and is told if there is none.
    const grant = (Action: string, Resource: string) => ({
      ...{ Effect: "Allow", Principal: { AWS: ["*"] }, Action: [Action], Resource: [Resource] },
    });
    const Statement = [
      grant("s3:GetObject", `arn:aws:s3:::${Bucket}/*`),
      grant("s3:ListBucket", `arn:aws:s3:::${Bucket}`),
    ];
    await client.putBucketPolicy({
      Bucket,
      Policy: JSON.stringify({ Version: "2012-10-17", Statement }),
    });
  }, 180_000);
  afterAll(async () => {
    client?.destroy();
    await server?.stop();
  }, 60_000);

  const targetAt = (prefix: string) => bucketTarget({ client, bucket: Bucket, prefix });
  const lightOf = (home: Home, prefix: string) =>
    lightClient({
      trust: trustFromGenesis(home.genesis),
      peers: [publicPeer({ url: `${server.endpoint}/${Bucket}/${prefix}`, did: "did:key:bucket" })],
      sleep: never,
    });

  async function filesBelow(prefix: string): Promise<string[]> {
    const found: string[] = [];
    for (let token: string | undefined; ;) {
      const next = token === undefined ? {} : { ContinuationToken: token };
      const page = await client.listObjectsV2({ Bucket, Prefix: `${prefix}/`, ...next });
      for (const { Key } of page.Contents ?? []) found.push(Key!.slice(prefix.length + 1));
      token = page.NextContinuationToken;
      if (token === undefined) return found.sort();
    }
  }
  const partials = async (prefix: string): Promise<string[]> =>
    (await filesBelow(prefix)).filter((path) => /^tile\/\d+\/.*\.p\//.test(path));

  /** Reads everything that the checkpoint covers, by plain GETs. */
  async function readAll(home: Home, prefix: string): Promise<number> {
    const light = lightOf(home, prefix);
    const { size } = await light.sync();
    let entries = 0;
    for await (const { height } of followEntries(light, { until: size })) {
      expect(height).toBe(entries++);
    }
    expect(entries).toBe(size);
    return size;
  }

  it("is followed, read and proved by plain GETs", async () => {
    const prefix = freshPrefix();
    const home = await grown(await startHome(), 300);
    const actor = home.signers["b"]!.actor;
    const state = [memberKey(actor), memberKey("did:key:nobody")];
    await publishLedger(home.source, targetAt(prefix), { state });
    expect(await readAll(home, prefix)).toBe(300);
    const light = lightOf(home, prefix);
    await light.sync();
    const { value } = await light.state(memberKey(actor));
    expect(decodeMemberState(value!).roles).toContain("custodian");
    expect((await light.state(memberKey("did:key:nobody"))).value).toBeNull();
    const kept = async (path: string) =>
      (await fetch(`${server.endpoint}/${Bucket}/${prefix}/${path}`)).headers.get("cache-control");
    expect(await kept("tile/0/000")).toBe("max-age=31536000, immutable");
    expect(await kept("checkpoint")).toBe("no-cache");
  });

  it("takes partial tiles away once they are full and in neither of the last two checkpoints", async () => {
    const prefix = freshPrefix();
    const home = await grown(await startHome(), 100);
    const publish = () => publishLedger(home.source, targetAt(prefix));
    await publish();
    await grown(home, 100);
    await publish();
    expect(await partials(prefix)).toEqual(["tile/0/000.p/100", "tile/0/000.p/200"]);
    await grown(home, 100);
    await publish();
    expect(await partials(prefix)).toEqual([
      ...["tile/0/000.p/200", "tile/0/001.p/44", "tile/1/000.p/1"],
    ]);
    await grown(home, 1);
    await publish();
    expect(await partials(prefix)).toEqual([
      ...["tile/0/001.p/44", "tile/0/001.p/45", "tile/1/000.p/1"],
    ]);
    expect(await readAll(home, prefix)).toBe(301);
  });

  it("is whole for readers wherever the publisher is killed, and complete when called again", async () => {
    const prefix = freshPrefix();
    const home = await startHome();
    const { endpoint, accessKeyId, secretAccessKey } = server;
    const access = JSON.stringify({ endpoint, accessKeyId, secretAccessKey });
    /** Publishes so many blocks of one and the same ledger; resolves to the signal that ended it. */
    async function publish(blocks: number, writes = Infinity): Promise<string | null> {
      const given = [...NODE, access, Bucket, prefix, String(blocks), String(writes)];
      const child = spawn(process.execPath, given, { stdio: ["ignore", "inherit", "inherit"] });
      const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
        child.once("exit", (...how) => resolve(how)),
      );
      expect(code ?? 0).toBe(0);
      return signal;
    }
    await publish(250);
    const step = effort("HEALTHLEDGER_S3_PUBLISH_STEP", { full: 1, short: 4 });
    let kills = 0;
    for (let writes = 0; ; writes += step) {
      const signal = await publish(270, writes);
      // The checkpoint before or the new one, and all that it covers.
      expect([250, 270]).toContain(await readAll(home, prefix));
      if (signal === null) break;
      expect(signal).toBe("SIGKILL");
      kills++;
    }
    expect(kills).toBeGreaterThan(2);
    expect(await readAll(home, prefix)).toBe(270);
    await publish(271);
    await publish(272);
    expect(await readAll(home, prefix)).toBe(272);
    // 250 of the first tile is gone: full, and older than the last two. The second tile is not full yet.
    expect(await partials(prefix)).toEqual([
      ...["tile/0/001.p/14", "tile/0/001.p/15", "tile/0/001.p/16", "tile/1/000.p/1"],
    ]);
  });

  it("sends a large file in parts, and leaves none behind when it breaks off", async () => {
    const prefix = freshPrefix();
    const target = targetAt(prefix);
    const piece = (i: number): Uint8Array => new Uint8Array(1024 * 1024).fill(i);
    await target.put(
      "tile/blocks/000",
      (async function* () {
        for (let i = 0; i < 18; i++) yield piece(i);
      })(),
    );
    const got = (await target.get("tile/blocks/000", 20 * 1024 * 1024))!;
    expect(got.length).toBe(18 * 1024 * 1024);
    for (let i = 0; i < 18; i++) expect(got[i * 1024 * 1024 + 7]).toBe(i);
    const broken = target.put(
      "tile/blocks/001",
      (async function* () {
        for (let i = 0; i < 18; i++) yield piece(i);
        throw new Error("the ledger was closed");
      })(),
    );
    await expect(broken).rejects.toThrow("the ledger was closed");
    expect(await target.has("tile/blocks/001")).toBe(false);
    expect(await target.get("tile/blocks/001", 10)).toBeUndefined();
    expect((await client.listMultipartUploads({ Bucket })).Uploads ?? []).toEqual([]);
    await target.delete("tile/blocks/001");
    await expect(target.get("tile/blocks/000", 1000)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });
});
