import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { openPage, sealPage, type AnswerPage } from "../../src/ledger/disclosure/answer-pages.ts";
import { askCustodian } from "../../src/ledger/disclosure/ask-custodian.ts";
import { openAsk, sealAsk, type Ask } from "../../src/ledger/disclosure/ask-format.ts";
import { readPages } from "../../src/ledger/disclosure/read-pages.ts";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import { padMessage } from "../../src/envelope/padding.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { sealCoseFresh } from "../../src/crypto/cose-hpke.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import {
  askingHospitals,
  fill,
  longObservation,
  TREAT,
  type AskingHospitals,
} from "../support/asking.ts";
import { codeOf, emptied, until } from "../support/elsewhere.ts";
import { foundWorld, LABELLER, MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { START } from "../support/ledger.ts";
import { collect, readable } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function hospitals(records = 1): Promise<AskingHospitals> {
  const two = await askingHospitals(closing);
  await two.permit();
  await fill(two, records);
  return two;
}

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** A signed request, and the ask that it stands in. */
async function askOf(hl: Ledger, custodian: KeyStore, asker: KeyStore, ask: Partial<Ask> = {}) {
  const [address, custodianKey] = [{ ledger: hl.id, custodian: hl.member }, custodian.agreement()];
  const request = await createRequest({
    ...{ ...TREAT, ...address, custodianKey, now: START },
    ...{ signer: asker.signer(), agreement: asker.agreement() },
  });
  const what = { kind: "request", signed: request, from: {}, ...ask } as const;
  return { request, sealed: sealAsk(what, address, custodianKey, { padding: "stepped", random }) };
}

async function* streamOf(frames: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* frames;
}

const read = (two: AskingHospitals, request: Uint8Array, frames: readonly Uint8Array[]) =>
  readPages(streamOf(frames), {
    ...{ ledger: two.home.id, custodian: two.home.member, asked: sha256(request) },
    ...{ agreement: two.awayKeys.agreement(), trust: trustFromGenesis(two.genesis) },
  });

describe("the same ask to two processes of one custodian", () => {
  it("is answered by both under one access entry, and the audit says what was released", async () => {
    const data = memoryData();
    const world = await foundWorld(memoryStorage({ data }));
    const open = () => world.open({ storage: memoryStorage({ data }) });
    const [one, other] = [await open(), await open()];
    closing.push(
      () => one.close(),
      () => other.close(),
    );
    const { patient } = world;
    const me = await one.ensureSubject(MRN);
    await one.attest(me, {
      ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
      from: 0,
    });
    await one.consent(me, treatmentOnly(patient), { signer: patient });
    await one.record(me, observation("bp-0"));
    const { request, sealed } = await askOf(one, world.hospitalA, world.hospitalB);
    const answers = await Promise.all(
      [one, other].map(async (hl) => collect(await hl.answerAsk(sealed))),
    );
    const reading = {
      ...{ ledger: one.id, custodian: one.member, asked: sha256(request) },
      ...{ agreement: world.hospitalB.agreement(), trust: trustFromGenesis(world.genesis) },
    };
    const [first, second] = await Promise.all(
      answers.map((frames) => readPages(streamOf(frames), reading)),
    );
    expect(first).toMatchObject({ count: 1 });
    expect(second).toMatchObject({ access: first!.access, count: 1 });
    // Both may have filed before they saw each other; under one entry only anything was released.
    const audit = await readable(one.audit(me));
    const released = audit.filter(({ records }) => records.some((record) => record.released));
    expect(released.map(({ id }) => id)).toEqual([first!.access]);
  });
});

describe("an ask whose access entry waits in the outbox", () => {
  it("is recorded once, however often it comes meanwhile", async () => {
    const two = await askingHospitals(closing);
    const person = await two.away.ensureSubject(MRN);
    await two.away.record(person, observation("bp-away"));
    await two.away.close();
    let away = await two.open({ settleWithin: 1000 });
    const { sealed } = await askOf(away, two.awayKeys, two.homeKeys);
    const answer = () => codeOf((async () => collect(await away.answerAsk(sealed)))());
    two.peer.isDown = true;
    expect(await answer()).toBe("ERR_CHAIN_PENDING");
    expect(await answer()).toBe("ERR_CHAIN_PENDING");
    await away.close();
    away = await two.open({ settleWithin: 1000 });
    closing.push(() => away.close());
    // It has not heard of the home since it began.
    expect(await answer()).toBe("ERR_CHAIN_STALE");
    two.peer.isDown = false;
    await emptied(two, away);
    expect(await answer()).toBe("resolved");
    expect(await readable(away.audit(person))).toHaveLength(1);
  });
});

describe("a custodian's new signing key, announced after the access entry", () => {
  it("signs no answer before it can be proved", async () => {
    const two = await hospitals();
    const { request, sealed } = await askOf(two.home, two.homeKeys, two.awayKeys);
    await collect(await two.home.answerAsk(sealed));
    const old = two.homeKeys.signer().key;
    const { key } = await two.homeKeys.generate({ use: "sign" });
    await two.home.governance.changeKey({ op: "add", key });
    await two.home.close();
    const again = await openLedger({
      ...{ storage: two.homeStorage, keys: two.homeKeys, genesis: two.genesis },
      ...{ now: () => two.clock.now, policy: { labeller: LABELLER } },
    });
    closing.push(() => again.close());
    // The handler answers 503: the same ask may come again.
    expect(await codeOf(again.answerAsk(sealed))).toBe("ERR_PROOF_UNAVAILABLE");
    await again.governance.changeKey({ op: "retire", key: old });
    const answer = await read(two, request, await collect(await again.answerAsk(sealed)));
    expect(await collect(answer.items())).toHaveLength(1);
    expect(await readable(again.audit(two.me))).toHaveLength(1);
  });
});

describe("an asker's new receiving key", () => {
  it("is not used before it is on the ledger", async () => {
    const two = await hospitals();
    const { key } = await two.awayKeys.generate({ use: "agree" });
    const ask = () => two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    expect(await ask()).toMatchObject({ count: 1 });
    await two.away.governance.changeKey({ op: "add", key });
    expect(await ask()).toMatchObject({ count: 1 });
  });
});

describe("a record that the custodian's store has lost", () => {
  it("is not silently left out when the same ask comes again", async () => {
    const two = await hospitals(2);
    const { request, sealed } = await askOf(two.home, two.homeKeys, two.awayKeys);
    const blobs = two.homeStorage.blobs!;
    const { getMany } = blobs;
    blobs.getMany = async (cids) => (await getMany.call(blobs, cids)).with(0, undefined);
    for (let i = 0; i < 2; i++) {
      expect(await codeOf(two.home.answerAsk(sealed))).toBe("ERR_STORAGE_MISSING");
    }
    blobs.getMany = getMany;
    const answer = await read(two, request, await collect(await two.home.answerAsk(sealed)));
    expect(answer).toMatchObject({ count: 2 });
    expect(await readable(two.home.audit(two.me))).toMatchObject([{ id: answer.access }]);
  });
});

describe("ciphertext that the store has no more, or has with another bit, when pages are made", () => {
  it.each([
    ["ERR_STORAGE_MISSING", () => undefined],
    [
      "ERR_STORAGE_CORRUPT",
      (bytes: Uint8Array) => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte)),
    ],
  ])("ends the answer with %s, and the asker has nothing", async (code, lose) => {
    const two = await hospitals(1);
    const { request, sealed } = await askOf(two.home, two.homeKeys, two.awayKeys);
    const pages = await two.home.answerAsk(sealed);
    const blobs = two.homeStorage.blobs!;
    const { get } = blobs;
    blobs.get = async (cid) => {
      const bytes = await get.call(blobs, cid);
      return bytes && lose(bytes);
    };
    expect(await codeOf(collect(pages))).toBe(code);
    blobs.get = get;
    const answer = await read(two, request, await collect(await two.home.answerAsk(sealed)));
    expect(answer).toMatchObject({ count: 1 });
    expect(await readable(two.home.audit(two.me))).toHaveLength(1);
  });
});

describe("a custodian that answers what it must not", () => {
  it("is refused if it gives a record twice", async () => {
    const two = await hospitals(2);
    const { request, sealed } = await askOf(two.home, two.homeKeys, two.awayKeys);
    const frames = await collect(await two.home.answerAsk(sealed));
    const address = { ledger: two.home.id, custodian: two.home.member };
    const mine = two.awayKeys.agreement();
    const { content } = await openPage(frames[0]!, address, sha256(request), 0, mine);
    const lie = async (change: Partial<AnswerPage>) => {
      const to = { alg: "X25519", publicKey: mine.publicKey } as const;
      const how = { signer: two.homeKeys.signer(), padding: "stepped", random } as const;
      return read(two, request, [await sealPage({ ...content, ...change }, address, to, how)]);
    };
    expect(await lie({})).toMatchObject({ count: 2 });
    const [first] = content.items;
    expect(await codeOf(lie({ items: [first!, first!] }))).toBe("ERR_ENVELOPE_INVALID");
  });
});

describe("a custodian that records nothing", () => {
  it("cannot name the access entry of an earlier ask", async () => {
    const two = await hospitals();
    const address = { ledger: two.home.id, custodian: two.home.member };
    const mine = two.awayKeys.agreement();
    const earlier = await askOf(two.home, two.homeKeys, two.awayKeys);
    const [first] = await collect(await two.home.answerAsk(earlier.sealed));
    const { content } = await openPage(first!, address, sha256(earlier.request), 0, mine);
    // So that the asker has seen the block of that ask.
    await two.away.record(await two.away.ensureSubject(MRN), observation("bp-away"));
    const lying: CustodianPeer = {
      did: two.home.member,
      async *ask(sealed) {
        const { signed } = (await openAsk(sealed, address, [two.homeKeys.agreement()]))!;
        const { key: _, ...head } = content.head!;
        const page = { ...content, ask: sha256(signed), head: { ...head, count: 0 }, items: [] };
        const to = { alg: "X25519", publicKey: mine.publicKey } as const;
        const how = { signer: two.homeKeys.signer(), padding: "stepped", random } as const;
        yield sealPage({ ...page, blobs: [] }, address, to, how);
      },
    };
    const asking = two.away.ask(two.home.member, TREAT, { peer: lying });
    await expect(asking).rejects.toThrow("its access entry is older than the ask");
  });
});

describe("the limits of an ask", () => {
  it("bound the checkpoint that goes along", async () => {
    const two = await hospitals();
    const { request } = await askOf(two.home, two.homeKeys, two.awayKeys);
    const to = two.homeKeys.agreement();
    const askOfLength = (length: number): Uint8Array => {
      const ask = { v: 1, kind: "request", request, from: {}, checkpoint: new Uint8Array(length) };
      const aad = encode(["healthledger/ask/1", two.home.id, two.home.member]);
      return sealCoseFresh(to, padMessage(encode(ask), "stepped"), aad, random);
    };
    const send = (length: number) => codeOf(two.home.answerAsk(askOfLength(length)));
    expect(await send(64 * 1024 + 1)).toBe("ERR_CONSENT_REQUEST");
    expect(await send(64 * 1024)).toBe("resolved");
  });

  it("are checked before anything is sent", async () => {
    const two = await hospitals();
    const base = {
      ...{ ...TREAT, trust: trustFromGenesis(two.genesis), peer: two.toHome },
      ...{ custodianKey: two.homeKeys.agreement(), now: () => two.clock.now },
      ...{ signer: two.awayKeys.signer(), agreement: two.awayKeys.agreement() },
    };
    const wrong = [
      ...[{ maxBytes: NaN }, { maxBytes: -1 }, { lifetime: NaN }, { lifetime: -1 }],
      { padding: "Uniform" as never },
    ];
    for (const options of wrong) {
      const error = "padding" in options ? TypeError : RangeError;
      await expect(askCustodian({ ...base, ...options })).rejects.toThrow(error);
    }
    expect(two.toHome.proxy.asks).toHaveLength(0);
  });
});

describe("ending", () => {
  it("an aborted signal asks nobody, also not this custodian itself", async () => {
    const two = await hospitals();
    const signal = AbortSignal.abort(new Error("mine"));
    const asking = two.home.ask(two.home.member, TREAT, { signal });
    await expect(asking).rejects.toThrow("mine");
    expect(await readable(two.home.audit(two.me))).toHaveLength(0);
  });

  it("closing ends the asking of a silent custodian", async () => {
    const two = await hospitals();
    let onAsked = (): void => undefined;
    const asked = new Promise<void>((resolve) => (onAsked = resolve));
    const silent: CustodianPeer = {
      did: two.home.member,
      async *ask(_sealed, { signal } = {}) {
        onAsked();
        yield await new Promise<never>((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason as Error));
        });
      },
    };
    const asking = codeOf(two.away.ask(two.home.member, TREAT, { peer: silent }));
    await asked;
    await two.away.close();
    expect(await asking).toBe("ERR_CHAIN_CLOSED");
  });

  it("closing ends the pages of an answer", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    for (let i = 0; i < 6; i++) await two.home.record(two.me, longObservation(`long-${i}`));
    const { sealed } = await askOf(two.home, two.homeKeys, two.awayKeys);
    const pages = (await two.home.answerAsk(sealed))[Symbol.asyncIterator]();
    expect((await pages.next()).done).toBe(false);
    await two.home.close();
    await expect(pages.next()).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
  });
});

describe("an asker that is ahead of the custodian's copy", () => {
  it("gets a proof that connects both, once the access is recorded", async () => {
    const two = await askingHospitals(closing);
    const { home, away, toAway } = two;
    two.clock.now += 2000;
    await until(two, () => away.chain.size === home.chain.size);
    two.peer.isDown = true;
    for (let i = 0; i < 3; i++) await home.record(two.me, observation(`later-${i}`));
    let size: number | undefined;
    toAway.proxy.change = (ask) => {
      size ??= away.chain.size;
      two.peer.isDown = false;
      return ask;
    };
    const answer = await home.ask(away.member, TREAT, { peer: toAway });
    expect(size).toBeLessThan(home.chain.size - 1);
    expect(answer).toMatchObject({ count: 0, decision: { outcome: "deny" } });
  });
});
