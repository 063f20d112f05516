import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { equalBytes } from "../../src/bytes/compare.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { writeCar } from "../../src/codec/car.ts";
import { cidOf, DAG_CBOR, RAW, type CID } from "../../src/codec/cid.ts";
import { entryIdBytes } from "../../src/codec/ids.ts";
import type { ResourceLabels } from "../../src/consent/model/resource.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import type { OpenedItem } from "../../src/ledger/disclosure/answer.ts";
import { openAsk } from "../../src/ledger/disclosure/ask-format.ts";
import {
  decodeBlobsPage,
  encodeBlobs,
  encodeBlobsPage,
  type BlobsAsk,
  type BlobsPage,
} from "../../src/ledger/disclosure/blobs-format.ts";
import { openMessagePage, sealMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { sendMessage } from "../../src/ledger/disclosure/send-ask.ts";
import { askingHospitals, patient, TREAT, type AskingHospitals } from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import { organisation } from "../support/founders.ts";
import { LABELLER, observation } from "../support/hospital.ts";
import { collect, opened, readable, revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Five megabytes of which no two pieces are alike. */
const SCAN = new Uint8Array(5_000_000).map((_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255);
/** What somebody who has seen it says of it; the labeller cannot tell of a scan. */
const labels: ResourceLabels = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
  stamp: { labeller: "the record office", version: "1" },
};
const BLOCK = 15 * 65_536;
const REFUSED = "ERR_TRANSPORT_REFUSED";

/** Two hospitals; the home has an observation with a long scan, and the other has asked for it. */
async function scanned() {
  const { actor } = (await organisation("away")).signer();
  const two = await askingHospitals(closing, {
    genesis: { threshold: 1 },
    home: { policy: { labeller: LABELLER, auditors: [actor] } },
  });
  await two.permit();
  const attachments = [{ mediaType: "application/dicom", source: SCAN }];
  const { id } = await two.home.record(two.me, observation("scan"), { attachments, labels });
  const answer = await two.away.ask(two.home.member, TREAT, { peer: two.toHome });
  const [item] = await opened(answer);
  return { ...two, record: id, answer, item: item!, scan: item!.attachments[0]! };
}
type Scanned = Awaited<ReturnType<typeof scanned>>;

const blocksOf = ({ header }: Pick<OpenedItem, "header">): readonly CID[] =>
  decodeSignedHeader(header).header.parts.find(({ id }) => id === "attachment-0")!.data;

const received = ({ toHome }: AskingHospitals): number =>
  toHome.proxy.answers.reduce((sum, { length }) => sum + length, 0);

/** What the home says of blocks, and the length of what it sends. */
async function told(two: Scanned, what: Partial<BlobsAsk>) {
  const { awayKeys, homeKeys, clock, toHome: peer, genesis, answer, item, record } = two;
  const content = encodeBlobs({
    ...{ basis: entryIdBytes(answer.access), entry: entryIdBytes(record as never) },
    ...{ cids: blocksOf(item).slice(0, 1), ...what },
  });
  const keys = { signer: awayKeys.signer(), agreement: awayKeys.agreement() };
  const to = { peer, trust: trustFromGenesis(genesis), custodianKey: homeKeys.agreement() };
  const pages = await sendMessage(
    { ...to, ...keys, now: () => clock.now },
    {},
    { kind: "blobs", content },
  );
  const [page] = await collect(pages);
  const { states } = decodeBlobsPage(page!.content);
  return { states, length: peer.proxy.answers.at(-1)!.length };
}

describe("attachments of an answer", () => {
  it("are read by range, without the rest", async () => {
    const two = await scanned();
    expect(two.answer.until).toBe(two.clock.now + 24 * 3_600_000);
    expect(received(two)).toBeLessThan(100_000);
    const from = 2 * BLOCK - 50;
    expect(await two.scan.range(from, from + 100)).toEqual(SCAN.subarray(from, from + 100));
    // The last block, which has the length, and the two that the range lies in.
    expect(received(two)).toBeLessThan(3.5 * BLOCK);
    expect(received(two)).toBeLessThan(SCAN.length);
    expect(await readable(two.home.audit(two.me))).toHaveLength(1);
  });

  it("are streamed in a few asks, also by this custodian itself", async () => {
    const two = await scanned();
    const asked = two.toHome.proxy.asks.length;
    // Not by toEqual, which takes minutes.
    expect(equalBytes(concatBytes(...(await collect(two.scan.stream()))), SCAN)).toBe(true);
    expect(two.toHome.proxy.asks.length - asked).toBeLessThan(5);
    const own = await two.home.ask(two.home.member, TREAT);
    const [item] = await opened(own);
    expect(await item!.attachments[0]!.range(7, 9)).toEqual(SCAN.subarray(7, 9));
  });

  it("stand in the answer if they are short", async () => {
    const two = await askingHospitals(closing);
    await two.permit();
    const note = SCAN.subarray(0, 100_000);
    const attachments = [{ mediaType: "text/plain", source: note }];
    await two.home.record(two.me, observation("note"), { attachments, labels });
    const [item] = await opened(await two.away.ask(two.home.member, TREAT, { peer: two.toHome }));
    const asked = two.toHome.proxy.asks.length;
    expect(await item!.attachments[0]!.range(0, note.length)).toEqual(note);
    expect(two.toHome.proxy.asks).toHaveLength(asked);
  });

  it("are fetched again after a failure that may pass", async () => {
    const two = await scanned();
    const { proxy } = two.toHome;
    let failures = 0;
    proxy.swap = (frames) => (failures++ < 2 ? [] : frames);
    expect(await two.scan.range(0, 9)).toEqual(SCAN.subarray(0, 9));
  });
});

describe("ciphertext that a custodian sends no more", () => {
  it("is erased, and said to be", async () => {
    const two = await scanned();
    await two.home.erase(two.me, { records: [two.record], reason: "asked for" });
    expect(await codeOf(two.scan.range(0, 9))).toBe("ERR_STORAGE_ERASED");
  });

  it("is that of an access whose time is over", async () => {
    const two = await scanned();
    two.clock.now += 24 * 3_600_000 - 1;
    expect((await told(two, {})).states).toEqual(["sent"]);
    two.clock.now += 1;
    expect((await told(two, {})).states).toEqual(["ended"]);
    expect(await codeOf(two.scan.range(0, 9))).toBe(REFUSED);
  });

  it("is that of a person who has filed something since", async () => {
    const two = await scanned();
    await two.home.consent(two.me, revoking(patient), { signer: patient });
    expect(await codeOf(two.scan.range(0, 9))).toBe(REFUSED);
  });

  it("is whatever is left once the requester is removed", async () => {
    const two = await scanned();
    const pieces = two.scan.stream()[Symbol.asyncIterator]();
    await pieces.next();
    const { governance } = two.home;
    const proposal = await governance.propose({ members: [{ remove: two.away.member }] });
    const approvals = [await governance.approve(proposal)];
    await governance.enact(proposal, approvals);
    const rest = (async () => {
      while ((await pieces.next()).done !== true);
    })();
    expect(await codeOf(rest)).toBe(REFUSED);
  });

  it("comes by nothing but an ask that counts", async () => {
    const two = await scanned();
    await two.scan.range(0, 9);
    const sealed = two.toHome.proxy.asks.at(-1)!;
    expect(await codeOf(collect(two.toHome.ask(sealed)))).toBe("resolved");
    two.clock.now += 300_000;
    expect(await codeOf(collect(two.toHome.ask(sealed)))).toBe(REFUSED);
    expect(await readable(two.home.audit(two.me))).toHaveLength(1);
  });
});

describe("ciphertext that the custodian's store has lost", () => {
  it.each<[string, (two: Scanned) => CID]>([
    ["a block", ({ item }) => blocksOf(item)[0]!],
    ["the header", ({ item }) => cidOf(item.header, DAG_CBOR)],
  ])("is missing, which is neither erased nor unknown: %s", async (_, lost) => {
    const two = await scanned();
    const blobs = two.homeStorage.blobs!;
    expect((await told(two, {})).states).toEqual(["sent"]);
    await blobs.delete([lost(two)]);
    expect((await told(two, {})).states).toEqual(["missing"]);
    expect(await codeOf(two.scan.range(0, 9))).toBe("ERR_ENVELOPE_MISSING");
  });

  it("is whole but for the block", async () => {
    const two = await scanned();
    const cids = blocksOf(two.item).slice(0, 3);
    await two.homeStorage.blobs!.delete([cids[1]!]);
    expect((await told(two, { cids })).states).toEqual(["sent", "missing", "sent"]);
  });
});

describe("a block that was not released to who asks", () => {
  it("looks alike when it was erased, is lost, or when the access of another one has ended", async () => {
    const two = await scanned();
    const own = await two.home.ask(two.home.member, TREAT);
    const absent = await told(two, { cids: [cidOf(Uint8Array.of(1), RAW)] });
    expect(absent.states).toEqual(["unknown"]);
    const foreign = [
      { basis: entryIdBytes(own.access) },
      { basis: new Uint8Array(32) },
      { entry: entryIdBytes(own.access) },
    ];
    const expectAlike = async (what: string) => {
      for (const guess of foreign) expect(await told(two, guess), what).toEqual(absent);
    };
    await two.homeStorage.blobs!.delete([blocksOf(two.item)[0]!]);
    await expectAlike("lost");
    two.clock.now += 24 * 3_600_000;
    await expectAlike("after the time");
    await two.home.erase(two.me, { records: [two.record], reason: "asked for" });
    await expectAlike("erased");
  });

  it("looks like one that is not there", async () => {
    const two = await scanned();
    const other = await two.home.ensureSubject({ system: "urn:x", value: "somebody" });
    const hidden = await two.home.record(other, observation("hidden"));
    const [theirs] = await opened(
      await two.home.ask(two.home.member, {
        ...TREAT,
        patient: { system: "urn:x", value: "somebody" },
      }),
    );
    expect(theirs).toBeUndefined();
    const own = await two.home.ask(two.home.member, TREAT);
    const storage = two.homeStorage.blobs!;
    const names: CID[] = [];
    for await (const cid of storage.list()) names.push(cid);
    const released = new Set(
      decodeSignedHeader(two.item.header).header.parts.flatMap(({ data }) => data.map(String)),
    );
    const foreign = names.filter((cid) => !released.has(String(cid)));
    expect(foreign.length).toBeGreaterThan(3);
    const absent = await told(two, { cids: [cidOf(Uint8Array.of(1), RAW)] });
    expect(absent.states).toEqual(["unknown"]);
    for (const cid of foreign) expect(await told(two, { cids: [cid] })).toEqual(absent);
    const guesses: Partial<BlobsAsk>[] = [
      { basis: entryIdBytes(own.access) },
      { basis: new Uint8Array(32) },
      { basis: entryIdBytes(two.record as never) },
      { entry: entryIdBytes(hidden.id as never) },
      { entry: new Uint8Array(32) },
      { entry: entryIdBytes(own.access), basis: new Uint8Array(32) },
    ];
    for (const guess of guesses)
      expect(await told(two, guess), JSON.stringify(guess)).toEqual(absent);
  });

  it("is one of a denied record, of a part that was not granted, or of the access entry itself", async () => {
    const two = await scanned();
    const query = { parts: ["manifest"] };
    const narrow = await two.away.ask(two.home.member, { ...TREAT, query }, { peer: two.toHome });
    const basis = entryIdBytes(narrow.access);
    expect((await told(two, { basis })).states).toEqual(["unknown"]);
    const denied = { ...TREAT, purposes: ["HRESCH"] };
    const none = await two.away.ask(two.home.member, denied, { peer: two.toHome });
    expect((await told(two, { basis: entryIdBytes(none.access) })).states).toEqual(["unknown"]);
  });

  it("is none of an entry that is pulled, but for what its recipient may open", async () => {
    const two = await scanned();
    const access = entryIdBytes(two.answer.access);
    const pulled = { basis: access, entry: access };
    expect((await told(two, { ...pulled })).states).toEqual(["unknown"]);
  });
});

describe("the reply to an ask for ciphertext", () => {
  it.each<[string, (page: BlobsPage, other: Uint8Array) => BlobsPage]>([
    ["another block", (page, car) => ({ ...page, car })],
    ["no block", (page) => ({ ...page, car: page.car.subarray(0, 18) })],
    ["a word less", (page) => ({ ...page, states: [] })],
    [
      "an altered block",
      ({ car, ...page }) => ({ ...page, car: car.map((b, at) => (at === 999 ? b ^ 1 : b)) }),
    ],
    ["a block that it says is missing", (page) => ({ ...page, states: ["missing"] })],
  ])("is refused if the custodian sends %s", async (_, change) => {
    const two = await scanned();
    const { proxy } = two.toHome;
    const address = { ledger: two.home.id, custodian: two.home.member };
    const mine = two.awayKeys.agreement();
    const bytes = SCAN.subarray(0, 1000);
    const other = concatBytes(
      ...(await collect(writeCar([], [{ cid: cidOf(bytes, RAW), bytes }]))),
    );
    let isHonest = true;
    proxy.swap = async ([frame]) => {
      const { signed } = (await openAsk(proxy.asks.at(-1)!, address, [two.homeKeys.agreement()]))!;
      const { content } = await openMessagePage(frame!, address, sha256(signed), 0, mine);
      const page = decodeBlobsPage(content.content);
      const said = encodeBlobsPage(isHonest ? page : change(page, other));
      const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
      const how = { signer: two.homeKeys.signer(), padding: "stepped", random } as const;
      return [await sealMessagePage({ ...content, content: said }, address, mine, how)];
    };
    expect(await two.scan.range(0, 9)).toEqual(SCAN.subarray(0, 9));
    isHonest = false;
    expect(await codeOf(two.scan.range(0, 9))).toBe("ERR_ENVELOPE_INVALID");
  });
});
