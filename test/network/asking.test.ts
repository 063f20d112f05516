import { afterEach, describe, expect, it } from "vitest";
import { followCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { askCustodian } from "../../src/ledger/disclosure/ask-custodian.ts";
import { custodianHandler } from "../../src/network/custodian-handler.ts";
import { askingHospitals, fill, patient, peerThrough, TREAT } from "../support/asking.ts";
import { twoHospitals, until } from "../support/elsewhere.ts";
import { MRN, observation } from "../support/hospital.ts";
import { readable, revoking, texts } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const NOBODY = { ...TREAT, patient: { ...MRN, value: "nobody's" } };

describe("hl.ask", () => {
  it("asks a custodian over HTTP, and gives what it permits, proved", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    await fill(two, 2);
    const answer = await two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    expect(answer).toMatchObject({ count: 2, decision: { outcome: "permit" } });
    expect(await texts(answer)).toEqual([observation("bp-0"), observation("bp-1")]);
    for await (const { receipt } of answer.items()) {
      expect(verifyReceipt(receipt, trustFromGenesis(two.genesis))).toMatchObject({
        ...{ ok: true, author: two.home.member },
      });
    }
    expect(await readable(two.home.audit(two.me))).toMatchObject([
      { id: answer.access, requester: two.away.member, purposes: ["TREAT"] },
    ]);
  });

  it("asks a custodian whose home is elsewhere, and this custodian itself", async () => {
    const two = await askingHospitals(closing);
    const { home, away } = two;
    const person = await away.ensureSubject(MRN);
    await away.record(person, observation("bp-away"));
    const denied = await home.ask(away.member, TREAT, { peer: two.toAway });
    expect(denied).toMatchObject({ count: 0, decision: { outcome: "deny", reasons: [] } });
    await two.permit();
    await fill(two, 1);
    const own = await home.ask(home.member, { ...TREAT, user: "dr-1" });
    expect(await texts(own)).toEqual([observation("bp-0")]);
    expect(await readable(home.audit(two.me))).toMatchObject([{ id: own.access, user: "dr-1" }]);
  });

  it("asks whom `custodians` names, and nobody else", async () => {
    const two = await askingHospitals(closing);
    const NO_PEER = { code: "ERR_INPUT_INVALID" };
    await expect(two.away.ask(two.home.member, TREAT)).rejects.toMatchObject(NO_PEER);
    const options = { peer: two.toAway };
    await expect(two.away.ask(two.home.member, TREAT, options)).rejects.toMatchObject(NO_PEER);
    await two.away.close();
    const again = await two.open({ custodians: [two.toAway, two.toHome] });
    closing.push(() => again.close());
    expect(await again.ask(two.home.member, TREAT)).toMatchObject({ count: 0 });
    expect(two.toAway.proxy.asks).toHaveLength(0);
  });

  it("answers alike about the unknown, the refused and what is not there", async () => {
    const two = await askingHospitals(closing);
    const { away, home, toHome } = two;
    await two.permit();
    await fill(two, 1);
    const asked = [NOBODY, { ...TREAT, purposes: ["HRESCH"] }, { ...TREAT, query: { ids: ["x"] } }];
    const told = [];
    for (const what of asked) {
      const { access: _, decision, count } = await away.ask(home.member, what, { peer: toHome });
      told.push({ ...decision, asOf: 0, count });
    }
    expect(told[1]).toEqual(told[0]);
    expect(told[2]).toEqual(told[0]);
    const { answers, statuses, asks } = toHome.proxy;
    expect(new Set(answers.map(({ length }) => length)).size).toBe(1);
    expect(new Set(asks.map(({ length }) => length)).size).toBe(1);
    expect(statuses).toEqual([200, 200, 200]);
  });
});

describe("askCustodian", () => {
  it("needs only trust in the ledger, with or without a root", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    await fill(two, 1);
    const base = trustFromGenesis(two.genesis);
    const followed = followCheckpoint(base, await two.home.checkpoint(), []);
    if (!followed.ok) throw new Error(followed.reason);
    await two.home.record(two.me, observation("bp-later"));
    for (const trust of [base, followed.trust]) {
      const answer = await askCustodian({
        ...{ ...TREAT, trust, peer: two.toHome, custodianKey: two.homeKeys.agreement() },
        ...{ signer: two.awayKeys.signer(), agreement: two.awayKeys.agreement() },
        now: () => two.clock.now,
      });
      expect(await texts(answer)).toEqual([observation("bp-0"), observation("bp-later")]);
      for await (const { receipt } of answer.items()) {
        expect(verifyReceipt(receipt, trust)).toMatchObject({ ok: true });
      }
    }
  });
});

describe("the same ask again", () => {
  it("has the same access entry, and is decided anew", async () => {
    const two = await askingHospitals(closing);
    const { away, home, toHome } = two;
    await two.permit();
    await fill(two, 2);
    let cuts = 2;
    // The connection breaks before the asker has the last page.
    toHome.proxy.swap = (frames) => (cuts-- > 0 ? [] : frames);
    const answer = await away.ask(home.member, TREAT, { peer: toHome });
    expect(await texts(answer)).toHaveLength(2);
    expect(toHome.proxy.answers).toHaveLength(3);
    expect(await readable(home.audit(two.me))).toMatchObject([{ id: answer.access }]);

    cuts = 1;
    toHome.proxy.swap = async (frames) => {
      if (cuts-- !== 1) return frames;
      await home.consent(two.me, revoking(patient), { signer: patient });
      return [];
    };
    const withdrawn = await away.ask(home.member, TREAT, { peer: toHome });
    expect(withdrawn).toMatchObject({ count: 0, decision: { outcome: "deny", reasons: [] } });
    // What the first answer may have brought stays in the audit as released.
    const audit = await readable(home.audit(two.me));
    expect(audit).toHaveLength(2);
    expect(audit[1]).toMatchObject({ id: withdrawn.access });
    expect(audit[1]!.records.map(({ released }) => released)).toEqual([true, true]);
  });

  it("releases nothing that came after the access entry", async () => {
    const two = await askingHospitals(closing);
    const { away, home, toHome } = two;
    await two.permit();
    await fill(two, 1);
    let cuts = 1;
    toHome.proxy.swap = async (frames) => {
      if (cuts-- !== 1) return frames;
      await home.record(two.me, observation("bp-late"));
      return [];
    };
    const answer = await away.ask(home.member, TREAT, { peer: toHome });
    expect(await texts(answer)).toEqual([observation("bp-0")]);
  });
});

describe("an ask before the ledger has a block", () => {
  it("is recorded such that the audit and the same ask again find it", async () => {
    const two = await twoHospitals();
    closing.push(() => two.close());
    const away = await two.open();
    closing.push(() => away.close());
    const peer = await peerThrough(closing, two.home);
    let cuts = 1;
    peer.proxy.swap = (frames) => (cuts-- > 0 ? [] : frames);
    const answer = await away.ask(two.home.member, TREAT, { peer });
    expect(answer).toMatchObject({ count: 0, decision: { outcome: "deny" } });
    expect(peer.proxy.answers).toHaveLength(2);
    expect(await readable(two.home.audit(null))).toMatchObject([
      { id: answer.access, height: -1, requester: away.member },
    ]);
  });
});

describe("custodianHandler", () => {
  it("leaves other paths to another handler, and caps bodies and callers", async () => {
    const two = await askingHospitals(closing);
    const handler = custodianHandler({
      ...{ ledger: two.home, path: "ledger/", requestsPerMinute: 3 },
      otherwise: async () => new Response("other"),
    });
    const post = (body: BodyInit, path = "ledger/ask") =>
      handler(new Request(`http://a.invalid/${path}`, { method: "POST", body }));
    expect(await (await post("", "ledger/checkpoint")).text()).toBe("other");
    expect((await handler(new Request("http://a.invalid/ledger/ask"))).status).toBe(405);
    expect((await post(new Uint8Array(512 * 1024 + 1))).status).toBe(413);
    expect((await post("")).status).toBe(403);
    expect((await post("x")).status).toBe(403);
    const busy = await post("x");
    expect(busy.status).toBe(429);
    expect(busy.headers.get("retry-after")).toMatch(/^\d+$/);
    for (const limit of ["requestsPerMinute", "maxDeciding", "leastRate"]) {
      expect(() => custodianHandler({ ledger: two.home, [limit]: 0 }), limit).toThrow(RangeError);
    }
  });

  it("holds each member to a budget, and records nothing beyond it", async () => {
    let caller = 0;
    // No minute passes.
    const handler = { requestsPerMinute: 2, callerOf: () => `${caller++}`, now: () => 0 };
    const two = await askingHospitals(closing, { handler });
    await two.permit();
    const ending = new AbortController();
    const ask = () =>
      two.away.ask(two.home.member, TREAT, { peer: two.toHome, signal: ending.signal });
    await ask();
    await ask();
    const { statuses } = two.toHome.proxy;
    const third = expect(ask()).rejects.toThrow("told to end");
    await until(two, () => statuses.length > 2);
    ending.abort(new Error("told to end"));
    await third;
    expect(statuses.slice(0, 3)).toEqual([200, 200, 429]);
    expect(statuses.slice(3)).not.toContain(200);
    expect(await readable(two.home.audit(two.me))).toHaveLength(2);
  });
});
