import { afterAll, beforeAll, expect, it } from "vitest";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { surviveForeignRecords } from "../support/foreign-record.ts";
import { alcoholDependence, observation } from "../support/hospital.ts";
import { collect, texts, ward } from "../support/ward.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

describePostgres("a ledger over PostgreSQL", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it("stops at a foreign record, and goes on in a copy without it", async () => {
    const opened: { close(): Promise<void> }[] = [];
    try {
      await surviveForeignRecords(async () => {
        const schema = `foreign ${opened.length}`;
        const storage = await postgresStorage({ pool: cluster.pool(), schema });
        opened.push(storage);
        return storage;
      });
    } finally {
      for (const storage of opened) await storage.close();
    }
  });

  it("records, decides, discloses, audits and erases, and is the same when opened again", async () => {
    const open = () => postgresStorage({ pool: cluster.pool() });
    const storage = await open();
    const { hl, me, ask, permit, audit, again, open: reopen } = await ward({ inner: storage });
    await permit();
    const gone = await hl.record(me, observation("gone"));
    await hl.record(me, observation("kept"));
    await hl.record(me, alcoholDependence("withheld"));
    expect((await texts(await ask())).sort()).toEqual([observation("gone"), observation("kept")]);

    // The same ledger in another process's place, over a pool of its own.
    const other = await open();
    const second = await again({ storage: other });
    const there = await second.ensureSubject({
      system: "urn:oid:1.2.36.146.595.217.0.1",
      value: "MRN-0012345",
    });
    await second.record(there, observation("second"));
    expect(await texts(await ask())).toHaveLength(3);
    await second.close();
    await other.close();

    await hl.erase(me, { records: [gone.id], reason: "withdrawn" });
    expect((await texts(await ask())).sort()).toEqual([observation("kept"), observation("second")]);
    await storage.compact!();
    const accesses = (await audit()).length;
    expect(accesses).toBeGreaterThan(0);
    await hl.close();
    await storage.close();

    const later = await open();
    const reopened = await reopen({
      storage: later,
      lane: 50,
      repair: { derived: true },
    } as object);
    const subject = await reopened.ensureSubject({
      system: "urn:oid:1.2.36.146.595.217.0.1",
      value: "MRN-0012345",
    });
    expect(await collect(reopened.audit(subject))).toHaveLength(accesses);
    await reopened.close();
    await later.close();
  });
});
