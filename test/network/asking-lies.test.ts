import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { signTransaction } from "../../src/block/transaction.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { openPage, sealPage, type AnswerHead } from "../../src/ledger/disclosure/answer-pages.ts";
import { openAsk, sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
import { readPages } from "../../src/ledger/disclosure/read-pages.ts";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { askingHospitals, fill, peerThrough, TREAT } from "../support/asking.ts";
import { codeOf, until } from "../support/elsewhere.ts";
import { keyEntry } from "../support/forge.ts";
import { organisation } from "../support/founders.ts";
import { LABELLER, observation } from "../support/hospital.ts";
import { signerFor, START } from "../support/ledger.ts";
import { snapshotOf, storageFrom } from "../support/loss-scene.ts";
import { collect } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

describe("an answer by somebody who knows all but the custodian's key", () => {
  it("is refused, whoever signs it", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    await fill(two, 1);
    const address = { ledger: two.home.id, custodian: two.home.member };
    const agreement = two.awayKeys.agreement();
    const request = await createRequest({
      ...{ ...TREAT, ...address, custodianKey: two.homeKeys.agreement(), now: START },
      ...{ signer: two.awayKeys.signer(), agreement },
    });
    const to = two.homeKeys.agreement();
    const ask = sealAsk({ kind: "request", signed: request, from: {} }, address, to, {
      padding: "stepped",
      random,
    });
    const [frame] = await collect(two.toHome.ask(ask));
    const asked = sha256(request);
    const { content } = await openPage(frame!, address, asked, 0, agreement);
    const { head } = content;
    const duties = { ...head!, decision: { ...head!.decision, obligations: ["delete"] } };
    const read = (page: Uint8Array) =>
      readPages(
        (async function* () {
          yield page;
        })(),
        { ...address, asked, agreement, trust: trustFromGenesis(two.genesis) },
      );
    const how = { padding: "stepped", random } as const;
    const altered = { ...content, head: duties };
    const forge = (signer: Parameters<typeof sealPage>[3]["signer"]) =>
      sealPage(altered, address, agreement, { ...how, signer });
    const own = two.homeKeys.signer();
    expect((await read(await forge(own))).decision.obligations).toEqual(["delete"]);
    const theirs = two.awayKeys.signer();
    for (const signer of [theirs, { ...theirs, key: own.key }, two.homeKeys.signer("checkpoint")]) {
      expect(await codeOf(read(await forge(signer)))).toBe("ERR_ENVELOPE_INVALID");
    }
    const fewer = { ...content, items: [] };
    const short = await sealPage(fewer, address, agreement, { ...how, signer: own });
    expect(await codeOf(read(short))).toBe("ERR_ENVELOPE_INVALID");
  });
});

describe("an answer from another history than the asker's", () => {
  it("is refused, and convicts the log", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    const snapshot = await snapshotOf(two.homeStorage as FullStorage);
    await fill(two, 6);
    two.clock.now += 2000;
    await until(two, () => two.away.chain.size === two.home.chain.size);
    // The home again, from a backup, without its memory of what it signed.
    const twin = await openLedger({
      ...{ storage: await storageFrom(snapshot), keys: await organisation("home") },
      ...{ genesis: two.genesis, now: () => START, policy: { labeller: LABELLER } },
      repair: { adoptSignedHeads: true },
    });
    closing.push(() => twin.close());
    await twin.record(two.me, observation("other"));
    const peer = await peerThrough(closing, twin);
    expect(twin.chain.size).toBeLessThan(two.away.chain.size);
    const ask = two.away.ask(two.home.member, TREAT, { peer });
    expect(await codeOf(ask)).toBe("ERR_CHAIN_FORKED");
    expect(await two.away.fork()).toBeInstanceOf(Uint8Array);
  });
});

describe("an answer that arrives when the custodian's key is retired", () => {
  it("is refused by an asker whose copy knows it", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    await fill(two, 1);
    const { home, away, toHome, homeKeys } = two;
    const [first, second] = [homeKeys.signer(), signerFor("home second", home.member)];
    toHome.proxy.swap = async (frames) => {
      for (const [seq, entry] of [
        await keyEntry(home.id, home.member, "add", "sign", second),
        await keyEntry(home.id, home.member, "retire", "sign", first),
      ].entries()) {
        const signed = await signTransaction(first, {
          ...{ ledger: home.id, lane: 900, seq, time: START, entries: [entry] },
        });
        await home.sequencer.submit(signed).durable;
      }
      await home.chain.refresh();
      two.clock.now += 2000;
      await until(two, () => away.chain.size === home.chain.size);
      return frames;
    };
    const ask = away.ask(home.member, TREAT, { peer: toHome });
    expect(await codeOf(ask)).toBe("ERR_ENVELOPE_INVALID");
  });
});

describe("an answer under a larger checkpoint than the asker's", () => {
  type Proof = NonNullable<AnswerHead["consistency"]>;
  const flipped = ([first, ...rest]: Proof): Proof => [first!.map((byte) => byte ^ 1), ...rest];

  it.each<[what: string, code: string, lie: (proof: Proof) => Proof | undefined]>([
    ["its proof", "resolved", (proof) => proof],
    ["no proof", "ERR_ENVELOPE_INVALID", () => undefined],
    ["a proof without hashes", "ERR_ENVELOPE_INVALID", () => []],
    ["a proof cut short", "ERR_ENVELOPE_INVALID", (proof) => proof.slice(0, -1)],
    ["a proof of something else", "ERR_ENVELOPE_INVALID", flipped],
  ])("with %s: %s", async (_, code, lie) => {
    const two = await askingHospitals(closing);
    await two.permit();
    const { home, away, toHome, homeKeys } = two;
    two.clock.now += 2000;
    await until(two, () => away.chain.size === home.chain.size);
    await fill(two, 3);
    expect(away.chain.size).toBeLessThan(home.chain.size);
    const address = { ledger: home.id, custodian: home.member };
    let proof: Proof | undefined;
    toHome.proxy.swap = async ([frame]) => {
      const ask = await openAsk(toHome.proxy.asks.at(-1)!, address, [homeKeys.agreement()]);
      const agreement = two.awayKeys.agreement();
      const { content } = await openPage(frame!, address, sha256(ask!.signed), 0, agreement);
      const { consistency, ...head } = content.head!;
      proof = consistency;
      const said = lie(consistency!);
      const lied = { ...content, head: { ...head, ...(said && { consistency: said }) } };
      const signer = homeKeys.signer();
      return [await sealPage(lied, address, agreement, { padding: "stepped", random, signer })];
    };
    const ask = away.ask(home.member, TREAT, { peer: toHome });
    expect(await codeOf(ask)).toBe(code);
    expect(proof?.length).toBeGreaterThan(0);
  });
});
