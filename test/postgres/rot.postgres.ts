import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { cidOf, matchesCid, RAW } from "../../src/codec/cid.ts";
import { LedgerError } from "../../src/errors.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { effort } from "../support/effort.ts";
import { MRN, observation } from "../support/hospital.ts";
import { recordEntries, startLedger } from "../support/ledger.ts";
import { durablePlaceOf, createAuthor } from "../../src/chain/author.ts";
import { texts, ward } from "../support/ward.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

const ROUNDS = effort("HEALTHLEDGER_ROT_ROUNDS", { full: 40, short: 3 });

describePostgres("bytes that changed under the server", () => {
  let cluster: Cluster;
  let storage: FullStorage;
  const open = () => postgresStorage({ pool: cluster.pool() });
  afterEach(() => cluster?.remove());

  async function start(initdb: readonly string[] = []): Promise<void> {
    cluster = await startCluster({ initdb });
    storage = await open();
  }

  /** A ledger of ten blocks. */
  async function found(): Promise<{ genesis: Uint8Array }> {
    const { genesis, chain, sequencer, signers, clock } = await startLedger({ storage });
    const author = createAuthor({
      ledger: chain.ledger,
      sequencer,
      signer: signers["a"]!,
      lane: 0,
      lastSeq: -1,
      now: () => clock.now,
    });
    for (let i = 0; i < 10; i++) await durablePlaceOf(author.write(recordEntries(3)));
    await sequencer.close();
    await chain.close();
    return { genesis };
  }

  it("in the row of a record are named by verify, and by who reads the block", async () => {
    await start();
    const { genesis } = await found();
    const [{ length }] = (await cluster.sql(
      "SELECT octet_length(bytes) AS length FROM healthledger.record WHERE index = 4",
    )) as [{ length: number }];
    for (let round = 0; round < ROUNDS; round++) {
      const at = Math.floor((round * length) / ROUNDS);
      const flip = `UPDATE healthledger.record
        SET bytes = set_byte(bytes, ${at}, get_byte(bytes, ${at}) # 4) WHERE index = 4`;
      await cluster.sql(flip);
      expect(await verifyLedger(storage.chains, { genesis }), `byte ${at}`).toMatchObject({
        ok: false,
        height: 4,
      });
      await cluster.sql(flip);
    }
    const chain = await openChain({ storage, genesis });
    await cluster.sql(
      "UPDATE healthledger.record SET bytes = set_byte(bytes, 200, get_byte(bytes, 200) # 1) WHERE index = 4",
    );
    await expect(chain.readBlock(4)).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    await chain.close();
    await storage.close();
  });

  it("are reported, as are missing rows and a head that differs", async () => {
    await start();
    const { genesis } = await found();
    const chain = await openChain({ storage, genesis });
    await cluster.sql(
      "UPDATE healthledger.chain SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)",
    );
    await expect(chain.refresh()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await cluster.sql(
      "UPDATE healthledger.chain SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)",
    );
    await chain.refresh();
    await cluster.sql("UPDATE healthledger.chain SET size = size - 1");
    await expect(chain.refresh()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await cluster.sql("UPDATE healthledger.chain SET size = size + 2");
    await expect(chain.refresh()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await cluster.sql("UPDATE healthledger.chain SET size = size - 1");
    await cluster.sql("DELETE FROM healthledger.record WHERE index = 6");
    await expect(verifyLedger(storage.chains, { genesis })).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringContaining("record 6") as string,
    });
    await storage.close();
  });

  it("in the rows of blobs and state never come out as a record of a patient", async () => {
    await start();
    const { hl, me, b, ask, permit } = await ward({ inner: storage });
    await permit();
    await hl.record(me, observation("one"));
    const whole = await texts(await ask(b, { patient: MRN }));
    expect(whole).toEqual([observation("one")]);
    const rows = (await cluster.sql(
      "SELECT cid, octet_length(bytes) AS length FROM healthledger.blob",
    )) as { cid: Buffer; length: number }[];
    expect(rows.length).toBeGreaterThan(0);
    let noticed = 0;
    for (const { cid, length } of rows) {
      for (const at of [0, length >> 1, length - 1]) {
        const flip = () =>
          cluster.sql(
            `UPDATE healthledger.blob SET bytes = set_byte(bytes, ${at}, get_byte(bytes, ${at}) # 64) WHERE cid = $1`,
            [cid],
          );
        await flip();
        try {
          const again = await hl.request(b, { patient: MRN, purposes: ["TREAT"] });
          expect(await texts(again)).toEqual(whole);
        } catch (error) {
          expect(error).toBeInstanceOf(LedgerError);
          noticed++;
        }
        await flip();
      }
    }
    expect(noticed).toBeGreaterThan(0);
    await hl.close();
    await storage.close();
  });

  it.each([
    ["with checksums", ["--data-checksums"]],
    ["without checksums", []],
  ])("in the files of the tables, %s, are never read as what was stored", async (_, initdb) => {
    await start(initdb);
    const blobs = Array.from({ length: 300 }, (_, i) => {
      const bytes = new TextEncoder().encode(`blob ${i} ${"x".repeat(i % 90)}`);
      return { cid: cidOf(bytes, RAW), bytes };
    });
    await storage.blobs.put(blobs);
    const { genesis } = await found();
    await storage.close();
    const paths = (await cluster.sql(
      "SELECT pg_relation_filepath('healthledger.' || name) AS path FROM unnest(ARRAY['blob', 'record']) AS name",
    )) as { path: string }[];
    await cluster.stop();
    const files = await Promise.all(
      paths.map(async ({ path }) => {
        const file = join(cluster.data, path);
        return { file, content: await readFile(file) };
      }),
    );
    const seen = { unharmed: 0, noticed: 0 };
    let x = 1;
    const random = (below: number) => (x = (x * 48_271) % 2_147_483_647) % below;
    for (let round = 0; round < ROUNDS; round++) {
      for (const { file, content } of files) {
        const broken = Buffer.from(content);
        for (let i = 0; i < 4; i++) broken[random(broken.length)]! ^= 1 << random(8);
        await writeFile(file, broken);
      }
      await cluster.start();
      let fine = true;
      let damaged: FullStorage | undefined;
      try {
        damaged = await open();
        const got = await damaged.blobs.getMany(blobs.map(({ cid }) => cid));
        // As the library reads them: what does not match its name is not used.
        fine = got.every((bytes, i) => bytes !== undefined && matchesCid(blobs[i]!.cid, bytes));
        const verified = await verifyLedger(damaged.chains, { genesis });
        if (verified.ok) expect(verified.size).toBe(10);
        else expect(verified.height).toBeLessThan(10);
        fine &&= verified.ok;
      } catch (error) {
        expect(error).toBeInstanceOf(LedgerError);
        fine = false;
      }
      seen[fine ? "unharmed" : "noticed"]++;
      await damaged?.close();
      await cluster.crash();
    }
    console.log(`damaged table files, ${_}:`, seen);
    expect(seen.noticed).toBeGreaterThan(0);
    for (const { file, content } of files) await writeFile(file, content);
    expect(await readdir(cluster.data)).toContain("base");
  });
});
