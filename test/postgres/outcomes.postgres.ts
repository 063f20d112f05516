import { afterAll, beforeAll, expect, it } from "vitest";
import { LedgerError } from "../../src/errors.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { observation } from "../support/hospital.ts";
import { collect, ward, type Ward } from "../support/ward.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { startProxy, type Proxy } from "./proxy.ts";

const COMMIT = "COMMIT\0";

describePostgres("what is said when the reply of COMMIT is lost", () => {
  let cluster: Cluster;
  let proxy: Proxy;
  let w: Ward;
  let port = 0;
  beforeAll(async () => {
    cluster = await startCluster();
    port = cluster.port;
    proxy = await startProxy(port);
    const pool = cluster.pool({ port: proxy.port });
    w = await ward({ inner: await postgresStorage({ pool }), settleWithin: 1500 });
    await w.hl.record(w.me, observation("first"));
  });
  afterAll(async () => {
    await proxy?.close();
    await cluster?.remove();
  });

  const said = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "ok",
      (error: unknown) => (error instanceof LedgerError ? error.code : String(error)),
    );

  /** Loses the next reply, with or without what was asked for, and the server for a while. */
  async function cutting(delivered: boolean, ms: number, call: () => Promise<unknown>) {
    const before = proxy.sprung;
    proxy.ambush = { when: COMMIT, delivered };
    const outcome = said(call());
    await expect.poll(() => proxy.sprung, { interval: 1 }).toBe(before + 1);
    // Nobody listens there.
    proxy.target = 1;
    await new Promise((resolve) => setTimeout(resolve, ms));
    proxy.target = port;
    return outcome;
  }

  it.each([true, false])(
    "is the truth, where the server comes back in time and where not; delivered: %s",
    { timeout: 60_000 },
    async (delivered) => {
      for (const ms of [0, 50, 400]) {
        const before = (await w.hl.records(w.me)).length;
        const outcome = await cutting(delivered, ms, () => w.hl.record(w.me, observation(`${ms}`)));
        expect(outcome, `${ms} ms`).toBe("ok");
        expect(await w.hl.records(w.me)).toHaveLength(before + 1);
      }
      const before = (await w.hl.records(w.me)).length;
      const late = await cutting(delivered, 2500, () => w.hl.record(w.me, observation("late")));
      expect(late).toBe("ERR_STORAGE_AMBIGUOUS");
      expect(await w.hl.records(w.me)).toHaveLength(before + (delivered ? 1 : 0));
      await w.hl.record(w.me, observation("afterwards"));
      expect(await w.hl.verify()).toMatchObject({ ok: true });
    },
  );

  it("is the truth of every other call that writes", { timeout: 60_000 }, async () => {
    const { id } = await w.hl.record(w.me, observation("to be changed"));
    const mrn = { system: "urn:oid:1.2.3", value: "another" };
    expect(await cutting(true, 100, () => w.hl.ensureSubject(mrn))).toBe("ok");
    expect(await w.hl.findSubject(mrn)).toBeDefined();
    const asked = (await collect(w.hl.audit(w.me))).length;
    expect(await cutting(true, 100, () => w.ask())).toBe("ok");
    expect(await collect(w.hl.audit(w.me))).toHaveLength(asked + 1);
    const amended = () => w.hl.amend(id, observation("changed"));
    expect(await cutting(true, 100, amended)).toBe("ok");
    expect(await cutting(true, 100, () => w.hl.placeHold(w.me, "a case"))).toBe("ok");
    expect(await said(w.hl.erase(w.me, { records: [id], reason: "x" }))).toBe("ERR_INPUT_RETAINED");
    expect(await cutting(true, 100, () => w.hl.liftHold(w.me))).toBe("ok");
    expect(await cutting(true, 100, () => w.hl.erase(w.me, { records: [id], reason: "x" }))).toBe(
      "ok",
    );
    expect(await said(w.hl.read(id))).toBe("ERR_RECORD_ERASED");
  });
});
