import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { signTransaction } from "../../src/block/transaction.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { sealPage, openPage } from "../../src/ledger/disclosure/answer-pages.ts";
import { sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
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
    const ask = sealAsk({ request, from: {} }, address, to, { padding: "stepped", random });
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
