import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { sealAsk, type Ask, type AskAddress } from "../../src/ledger/disclosure/ask-format.ts";
import { readPages } from "../../src/ledger/disclosure/read-pages.ts";
import { createRequest, type RequestOptions } from "../../src/ledger/disclosure/request.ts";
import {
  askingHospitals,
  fill,
  longObservation,
  TREAT,
  type AskingHospitals,
} from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";
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

/** A signed request of the member elsewhere to the home. */
const requestTo = (
  two: AskingHospitals,
  change: Partial<Parameters<typeof createRequest>[0]> = {},
): Promise<Uint8Array> =>
  createRequest({
    ...{ ...TREAT, ledger: two.home.id, custodian: two.home.member },
    ...{ custodianKey: two.homeKeys.agreement(), now: START },
    ...{ signer: two.awayKeys.signer(), agreement: two.awayKeys.agreement() },
    ...(change as Partial<RequestOptions>),
  });

interface Asked extends Partial<Pick<Ask, "checkpoint" | "from">> {
  readonly request: Uint8Array;
}

const seal = (
  two: AskingHospitals,
  { request, ...ask }: Asked,
  address: Partial<AskAddress> = {},
) =>
  sealAsk(
    { kind: "request", signed: request, from: {}, ...ask },
    { ledger: two.home.id, custodian: two.home.member, ...address },
    two.homeKeys.agreement(),
    { padding: "stepped", random: (length) => crypto.getRandomValues(new Uint8Array(length)) },
  );

const REFUSED = "ERR_TRANSPORT_REFUSED";
const sendTo = (two: AskingHospitals, sealed: Uint8Array): Promise<string> =>
  codeOf(collect(two.toHome.ask(sealed)));

describe("an ask that is not what a member sent to this custodian", () => {
  it("is refused alike, before anything is decided, if any bit of it is altered", async () => {
    const two = await hospitals();
    const sealed = seal(two, { request: await requestTo(two) });
    for (let at = 0; at < sealed.length; at += 97) {
      const altered = sealed.slice();
      altered[at]! ^= 1 << (at % 8);
      expect(await sendTo(two, altered), `${at}`).toBe(REFUSED);
    }
    for (const length of [0, 1, sealed.length - 1]) {
      expect(await sendTo(two, sealed.subarray(0, length))).toBe(REFUSED);
    }
    expect(new Set(two.toHome.proxy.statuses)).toEqual(new Set([403]));
    expect(await readable(two.home.audit(two.me))).toHaveLength(0);
  });

  it("is refused for another custodian, another ledger, other keys and other times", async () => {
    const two = await hospitals();
    const request = await requestTo(two);
    const foreign = cidOf(bytesFor("other"), DAG_CBOR);
    const asks = {
      "another custodian, outside": seal(two, { request }, { custodian: two.away.member }),
      "another ledger, outside": seal(two, { request }, { ledger: foreign }),
      "another custodian, inside": seal(two, {
        request: await requestTo(two, { custodian: two.away.member }),
      }),
      "another ledger, inside": seal(two, { request: await requestTo(two, { ledger: foreign }) }),
      "a key that is not the member's": seal(two, {
        request: await requestTo(two, { signer: two.awayKeys.signer("checkpoint") }),
      }),
      "somebody else's receiving key": seal(two, {
        request: await requestTo(two, { agreement: two.homeKeys.agreement() }),
      }),
      expired: seal(two, { request: await requestTo(two, { now: START - 300_000 }) }),
      "of the future": seal(two, { request: await requestTo(two, { now: START + 600_000 }) }),
    };
    for (const [what, sealed] of Object.entries(asks)) {
      expect(await sendTo(two, sealed), what).toBe(REFUSED);
    }
    expect(await readable(two.home.audit(two.me))).toHaveLength(0);
  });

  it("is refused if another request has its id, and answered again if it is the same", async () => {
    const two = await hospitals();
    const random = (length: number) => bytesFor("one id").slice(0, length);
    const first = seal(two, { request: await requestTo(two, { random }) });
    const wider = seal(two, {
      request: await requestTo(two, { random, purposes: ["HRESCH"], now: START - 1 }),
    });
    expect(await sendTo(two, first)).toBe("resolved");
    expect(await sendTo(two, wider)).toBe(REFUSED);
    expect(await sendTo(two, first)).toBe("resolved");
    expect(await readable(two.home.audit(two.me))).toHaveLength(1);
    two.clock.now += 300_000;
    expect(await sendTo(two, first)).toBe(REFUSED);
  });

  it("is recorded once if it comes several times at the same time", async () => {
    const two = await hospitals();
    const sealed = seal(two, { request: await requestTo(two) });
    const codes = await Promise.all([1, 2, 3, 4].map(() => sendTo(two, sealed)));
    expect(codes.filter((code) => code === "resolved").length).toBeGreaterThan(0);
    for (const code of codes) expect(["resolved", "ERR_TRANSPORT_BUSY"]).toContain(code);
    expect(await readable(two.home.audit(two.me))).toHaveLength(1);
  });
});

describe("an answer whose pages a proxy changes", () => {
  async function paged() {
    const two = await askingHospitals(closing);
    await two.permit();
    for (let i = 0; i < 6; i++) await two.home.record(two.me, longObservation(`long-${i}`));
    const request = await requestTo(two);
    const frames = await collect(two.toHome.ask(seal(two, { request })));
    const other = await requestTo(two);
    const others = await collect(two.toHome.ask(seal(two, { request: other })));
    const read = (given: readonly Uint8Array[], change = {}) =>
      readPages(streamOf(given), {
        ...{ ledger: two.home.id, custodian: two.home.member, asked: sha256(request) },
        ...{ agreement: two.awayKeys.agreement(), trust: trustFromGenesis(two.genesis) },
        ...change,
      });
    return { two, frames, others, read };
  }

  async function* streamOf(frames: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
    yield* frames;
  }

  it("is refused whichever page is dropped, swapped, repeated, altered or of another ask", async () => {
    const { frames, others, read, two } = await paged();
    expect(frames.length).toBeGreaterThanOrEqual(2);
    const whole = await read(frames);
    expect(await collect(whole.items())).toHaveLength(6);
    const [first, second] = frames as [Uint8Array, Uint8Array];
    const DECRYPT = "ERR_ENVELOPE_DECRYPT";
    const changed: Readonly<Record<string, readonly [readonly Uint8Array[], string]>> = {
      "all are dropped": [[], "ERR_TRANSPORT_MALFORMED"],
      "the last is dropped": [frames.slice(0, -1), "ERR_TRANSPORT_MALFORMED"],
      "the first is dropped": [frames.slice(1), DECRYPT],
      "two are swapped": [[second, first, ...frames.slice(2)], DECRYPT],
      "one is repeated": [[first, first, ...frames.slice(1)], DECRYPT],
      "something follows": [[...frames, frames.at(-1)!], "ERR_ENVELOPE_INVALID"],
      "the first is of another ask": [[others[0]!, ...frames.slice(1)], DECRYPT],
      "the last is of another ask": [[...frames.slice(0, -1), others.at(-1)!], DECRYPT],
    };
    for (const [what, [given, code]] of Object.entries(changed)) {
      expect(await codeOf(read(given)), what).toBe(code);
    }
    for (const [i, frame] of frames.entries()) {
      const altered = frame.slice();
      altered[altered.length >> 1]! ^= 1;
      expect(await codeOf(read(frames.with(i, altered)))).toBe(DECRYPT);
    }
    // Nor is it an answer of somebody else, or of another ledger, or for somebody else.
    expect(await codeOf(read(frames, { custodian: two.away.member }))).toBe(DECRYPT);
    const theirs = { agreement: two.homeKeys.agreement() };
    expect(await codeOf(read(frames, theirs))).toBe(DECRYPT);
  });

  it("breaks off once the requester is removed", async () => {
    const two = await askingHospitals(closing, { genesis: { threshold: 1 } });
    await two.permit();
    for (let i = 0; i < 6; i++) await two.home.record(two.me, longObservation(`long-${i}`));
    const sealed = seal(two, { request: await requestTo(two) });
    const pages = (await two.home.answerAsk(sealed))[Symbol.asyncIterator]();
    expect((await pages.next()).done).toBe(false);
    const { governance } = two.home;
    const proposal = await governance.propose({ members: [{ remove: two.away.member }] });
    await governance.enact(proposal, [await governance.approve(proposal)]);
    await expect(pages.next()).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
    expect(await sendTo(two, sealed)).toBe(REFUSED);
  });
});

describe("keys that change between ask and answer", () => {
  it("are noticed: a retired receiving key gets nothing", async () => {
    const two = await hospitals();
    const sealed = seal(two, { request: await requestTo(two) });
    const old = two.awayKeys.agreement().key;
    const { key } = await two.awayKeys.generate({ use: "agree" });
    await two.away.governance.changeKey({ op: "add", key });
    await two.away.governance.changeKey({ op: "retire", key: old });
    expect(await sendTo(two, sealed)).toBe(REFUSED);
    expect(await two.away.ask(two.home.member, TREAT, { peer: two.toHome })).toMatchObject({
      count: 1,
    });
  });
});

describe("what a proxy saw", () => {
  it("holds no identifier, purpose, type, reason or name of who asks", async () => {
    const two = await hospitals(3);
    const words = [MRN.system, MRN.value, "HRESCH", "ETREAT", "Observation", "8480-6", "mmHg"];
    const reason = "unconscious in the emergency room";
    const request = {
      ...{ ...TREAT, purposes: ["ETREAT"], user: "dr-house", query: { types: ["Observation"] } },
      declaration: { reason, until: START + 1000 },
    };
    await two.away.ask(two.home.member, request, { peer: two.toHome });
    await two.away.ask(two.home.member, { ...TREAT, purposes: ["HRESCH"] }, { peer: two.toHome });
    const { asks, answers } = two.toHome.proxy;
    expect(asks).toHaveLength(2);
    const names = [two.away.member, two.home.member, "permit", "healthledger", "physician"];
    const seen = [...asks, ...answers];
    for (const word of [...words, ...names, reason, "dr-house", observation("bp-0").slice(0, 40)]) {
      const bytes = utf8ToBytes(word);
      for (const message of seen) {
        expect(latin1(message).includes(word), word).toBe(false);
        expect(toHex(message).includes(toHex(bytes)), word).toBe(false);
      }
    }
    // Nor does it repeat anything by which two asks could be linked.
    const [one, other] = asks as [Uint8Array, Uint8Array];
    const shared = longestShared(one.subarray(16), other.subarray(16));
    expect(shared).toBeLessThan(8);
  });
});

const latin1 = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

/** Length of the longest run of bytes at the same place. */
function longestShared(a: Uint8Array, b: Uint8Array): number {
  let longest = 0;
  let run = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    run = a[i] === b[i] ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}

describe("forks", () => {
  const forged = async (two: AskingHospitals, size: number): Promise<Uint8Array> => {
    const { origin } = two.home.chain.genesis;
    const head = encodeCheckpoint({ origin, size, root: bytesFor("another history") });
    return signNote(head, [noteSigner(two.homeKeys.signer("checkpoint"), origin)]);
  };

  it("are found by the custodian in the checkpoint of an ask, and nothing is released", async () => {
    const two = await hospitals();
    const request = await requestTo(two);
    const checkpoint = await forged(two, two.home.chain.size - 1);
    expect(await sendTo(two, seal(two, { request, checkpoint }))).toBe(REFUSED);
    expect(two.toHome.proxy.statuses).toEqual([409]);
    expect(await two.home.fork()).toBeInstanceOf(Uint8Array);
    expect(await readable(two.home.audit(two.me))).toHaveLength(0);
  });

  it("end an answer that is under way, once they are known", async () => {
    const two = await hospitals();
    for (let i = 0; i < 6; i++) await two.home.record(two.me, longObservation(`long-${i}`));
    const pages = (await two.home.answerAsk(seal(two, { request: await requestTo(two) })))[
      Symbol.asyncIterator
    ]();
    expect((await pages.next()).done).toBe(false);
    const checkpoint = await forged(two, two.home.chain.size - 1);
    const other = seal(two, { request: await requestTo(two), checkpoint });
    expect(await codeOf(two.home.answerAsk(other))).toBe("ERR_CHAIN_FORKED");
    await expect(pages.next()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
  });

  it("convict nobody if the log did not sign, and the ask is answered", async () => {
    const two = await hospitals();
    const request = await requestTo(two);
    const { origin } = two.home.chain.genesis;
    const head = encodeCheckpoint({ origin, size: 2, root: bytesFor("another history") });
    const signer = noteSigner(two.awayKeys.signer("checkpoint"), origin);
    const checkpoint = await signNote(head, [signer]);
    expect(await sendTo(two, seal(two, { request, checkpoint }))).toBe("resolved");
    expect(await two.home.fork()).toBeUndefined();
  });
});
