import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { decodeTransaction, signTransaction } from "../../../src/block/transaction.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import type { Signer } from "../../../src/identity/signer.ts";
import { openPage, sealPage } from "../../../src/ledger/disclosure/answer-pages.ts";
import { sealAsk } from "../../../src/ledger/disclosure/ask-format.ts";
import { readPages } from "../../../src/ledger/disclosure/read-pages.ts";
import { askCustodian } from "../../../src/ledger/disclosure/ask-custodian.ts";
import type { RequestOptions } from "../../../src/ledger/disclosure/request.ts";
import type { OpenLedgerOptions } from "../../../src/ledger/ledger.ts";
import { askingHospitals } from "../../support/asking.ts";
import { back, cutOff, DENIAL, MINUTE, patient, SWITCHED_ON } from "../../support/cut-off.ts";
import { codeOf, counts, until } from "../../support/elsewhere.ts";
import { forgedEvidence } from "../../support/forks.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { START } from "../../support/ledger.ts";
import { collect, readable, texts } from "../../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
const STALE = "ERR_CHAIN_STALE";
const PENDING = "ERR_CHAIN_PENDING";

describe("breaking the glass while cut off", () => {
  it("releases what is declared, keeps the access first, and says that it is not on the ledger", async () => {
    const two = await cutOff(closing);
    const { away, patientHere } = two;
    const { size } = away.chain;
    const answer = await two.ask();
    expect(await texts(answer)).toEqual([observation("bp-away")]);
    expect(answer.decision.obligations).toEqual(["notify-patient", "review"]);
    // The custodian's own signature over exactly this access: what it can be held to.
    const { author, time } = decodeTransaction(answer.pending!.tx);
    expect({ author, time }).toEqual({ author: away.member, time: two.clock.now });
    expect(away.chain.size).toBe(size);
    expect((await away.outbox()).flatMap(({ entries }) => entries)).toEqual([answer.access]);
    const waits = { id: answer.access, pending: true, requester: two.home.member };
    expect(await readable(away.pendingReviews())).toMatchObject([waits]);
    expect(await readable(away.audit(patientHere))).toMatchObject([
      { ...waits, records: [{ released: true }] },
    ]);

    await back(two, away);
    expect((await counts(two, away.member)).get(answer.access)).toBe(1);
    const [review, ...others] = await readable(away.pendingReviews());
    expect(others).toEqual([]);
    expect(review).toMatchObject({ id: answer.access, requester: two.home.member });
    expect(review).not.toHaveProperty("pending");
    expect(await readable(away.audit(patientHere))).toHaveLength(1);
    await away.markReviewed(answer.access);
    expect(await collect(away.pendingReviews())).toEqual([]);
  });

  it("is proved to an asker who has only trust in the ledger", async () => {
    const two = await cutOff(closing);
    const answer = await askCustodian({
      ...{ ...two.emergency(), peer: two.toAway, custodianKey: two.awayKeys.agreement() },
      ...{ trust: trustFromGenesis(two.genesis), now: () => two.clock.now },
      ...{ signer: two.homeKeys.signer(), agreement: two.homeKeys.agreement() },
    });
    expect(await texts(answer)).toEqual([observation("bp-away")]);
    expect(answer.pending).toBeDefined();
  });

  it("answers own staff in process alike", async () => {
    const two = await cutOff(closing);
    const { away } = two;
    const own = { signer: two.awayKeys.signer(), agreement: two.awayKeys.agreement() };
    const what = two.emergency({ user: "own" });
    for (const answer of [await away.request(own, what), await away.ask(away.member, what)]) {
      expect(await texts(answer)).toEqual([observation("bp-away")]);
      expect(answer.pending).toBeDefined();
    }
    expect(await away.outbox()).toHaveLength(2);
  });

  it("decides so too where the home stops answering before the view is too old", async () => {
    const two = await cutOff(closing);
    two.clock.now -= 5 * MINUTE;
    const answer = await two.ask();
    expect(answer).toMatchObject({ count: 1, pending: { alg: "Ed25519" } });
  });

  it("records a denial alike, and tells nothing by it", async () => {
    const two = await cutOff(closing);
    const answer = await two.ask({ patient: { ...MRN, value: "nobody's" } });
    expect(answer).toMatchObject({ count: 0, decision: { outcome: "deny", reasons: [] } });
    expect(answer.pending).toBeDefined();
    expect(await collect(two.away.pendingReviews())).toEqual([]);
    await back(two, two.away);
    expect(await readable(two.away.audit(null))).toMatchObject([{ id: answer.access }]);
  });

  it("gives the same request one entry, whether it comes again before or after the entry arrived", async () => {
    const two = await cutOff(closing);
    const { away, toAway } = two;
    let cuts = 2;
    toAway.proxy.swap = async (frames) => {
      if (cuts === 1) await back(two, away);
      return cuts-- > 0 ? [] : frames;
    };
    const answer = await two.ask();
    expect(await texts(answer)).toEqual([observation("bp-away")]);
    expect(answer).not.toHaveProperty("pending");
    expect(toAway.proxy.answers).toHaveLength(3);
    const accesses = await readable(away.audit(two.patientHere));
    expect(accesses).toMatchObject([{ id: answer.access }]);
  });
});

describe("what is no emergency, while cut off", () => {
  const OFF = { ...SWITCHED_ON, breakGlass: { roles: ["physician"] } };
  const attempts: Record<string, [Partial<RequestOptions>, Partial<OpenLedgerOptions>?]> = {
    "the option is off": [{}, OFF],
    "nobody declares it": [{ declaration: undefined } as object],
    "its declaration is over": [{ declaration: { reason: "unconscious", until: 1 } }],
    "it is declared for too long": [{ declaration: { reason: "x", until: START + 9e9 } }],
    "it gives no reason": [{ declaration: { reason: " ", until: START + 6 * MINUTE } }],
    "the role is not privileged": [{ roles: [] }],
    "the role is attested by nobody": [{ roles: [{ code: "physician", attestedBy: "did:key:x" }] }],
    "it has another purpose": [{ purposes: ["TREAT"] }],
    "it has another purpose besides": [{ purposes: ["BTG", "HRESCH"] }],
  };
  for (const [why, [what, options]] of Object.entries(attempts)) {
    it(`is refused and not recorded: ${why}`, async () => {
      const two = await cutOff(closing, options);
      const { away } = two;
      expect(await codeOf(away.disclose(await two.request(what)))).toBe(STALE);
      expect(await away.outbox()).toEqual([]);
      expect(await collect(away.pendingReviews())).toEqual([]);
    });
  }

  it("opens nothing that a rule never opens, and records that", async () => {
    const never = { ...DENIAL, breakGlass: "never" as const };
    const two = await cutOff(closing, SWITCHED_ON, { root: never });
    const answer = await two.ask();
    expect(answer).toMatchObject({ count: 0, decision: { outcome: "deny" } });
    expect(await two.away.outbox()).toHaveLength(1);
  });

  it("refuses a requester whose key was retired in what is known", async () => {
    const two = await cutOff(closing);
    const { away, home, homeKeys, peer } = two;
    const bytes = await two.request();
    peer.isDown = false;
    const old = homeKeys.agreement().key;
    await homeKeys.generate({ use: "agree" });
    await home.governance.changeKey({ op: "add", key: homeKeys.agreement().key });
    await home.governance.changeKey({ op: "retire", key: old });
    await until(two, () => away.chain.size === home.chain.size);
    peer.isDown = true;
    two.clock.now += 4 * MINUTE + 1000;
    expect(await away.disclose(bytes)).toEqual({ ok: false, reason: "recipient-key" });
    expect(await away.outbox()).toEqual([]);
  });

  it("releases nothing on a ledger that is frozen by a fork", async () => {
    const two = await cutOff(closing);
    const { away } = two;
    const log = two.homeKeys.signer("checkpoint");
    await away.takeFork(await forgedEvidence(away.chain.genesis.origin, [log], away.chain.size));
    expect(await codeOf(away.disclose(await two.request()))).toBe("ERR_CHAIN_FORKED");
    expect(await away.outbox()).toEqual([]);
  });
});

describe("the access transaction of an answer that is not on the ledger", () => {
  it("must be this access, signed by the custodian's key that signs the pages", async () => {
    const two = await cutOff(closing);
    const { away, awayKeys, homeKeys, toAway } = two;
    const address = { ledger: away.id, custodian: away.member };
    const agreement = homeKeys.agreement();
    const how = { padding: "stepped", random } as const;
    const pageOf = async () => {
      const request = await two.request();
      const ask = sealAsk(
        { kind: "request", signed: request, from: {} },
        address,
        awayKeys.agreement(),
        how,
      );
      const [frame] = await collect(toAway.ask(ask));
      const asked = sha256(request);
      const { content } = await openPage(frame!, address, asked, 0, agreement);
      return { asked, content };
    };
    const { asked, content } = await pageOf();
    const { pending } = (await pageOf()).content.head!;
    const head = content.head!;
    const own = head.pending!;
    async function read(change: Partial<typeof head>): Promise<string> {
      const page = { ...content, head: { ...head, ...change } };
      const sealed = await sealPage(page, address, agreement, {
        ...{ ...how, signer: awayKeys.signer() },
      });
      const pages = (async function* () {
        yield sealed;
      })();
      const trust = trustFromGenesis(two.genesis);
      return codeOf(readPages(pages, { ...address, asked, agreement, trust }));
    }
    expect(await read({})).toBe("resolved");
    const { pending: _, ...without } = head;
    const signAs = (signer: Signer, entries: readonly Uint8Array[]) =>
      signTransaction(signer, {
        ...{ ledger: away.id, lane: 9, seq: 0, time: two.clock.now, entries },
      });
    const lies = {
      "another access": { pending: pending! },
      "another's signature": { pending: await signAs(homeKeys.signer(), own.entries) },
      "a signature of something else": { pending: { ...own, sig: pending!.sig } },
      "one entry more": { pending: { ...own, entries: [...own.entries, own.entries[0]!] } },
      "no entry": { pending: { ...own, entries: [] } },
      "nothing signed": { pending: { ...own, tx: Uint8Array.of(0) } },
      "another name": { access: new Uint8Array(32) },
    };
    for (const [why, lie] of Object.entries(lies)) {
      expect([why, await read(lie)]).toEqual([why, "ERR_ENVELOPE_INVALID"]);
    }
    // A custodian that leaves it out claims that the receipt is of the access entry.
    const sealed = await sealPage({ ...content, head: without }, address, agreement, {
      ...{ ...how, signer: awayKeys.signer() },
    });
    const pages = (async function* () {
      yield sealed;
    })();
    const reading = { ...address, asked, agreement, trust: trustFromGenesis(two.genesis) };
    expect(await codeOf(readPages(pages, reading))).toBe("ERR_ENVELOPE_INVALID");
  });
});

describe("what waits in the outbox while cut off", () => {
  it("heeds a refusal of this person, also while its caller still waits", async () => {
    const two = await cutOff(closing);
    const { away, patientHere } = two;
    const never = treatmentOnly(patient, {
      ...{ lineage: "later", root: { ...DENIAL, breakGlass: "never" } },
    });
    const filing = codeOf(away.consent(patientHere, never, { signer: patient }));
    await until(two, async () => (await away.outbox()).length === 1);
    expect(await codeOf(away.disclose(await two.request()))).toBe(PENDING);
    expect(await filing).toBe(PENDING);
    expect(await codeOf(away.disclose(await two.request()))).toBe(PENDING);
    expect(await away.outbox()).toHaveLength(1);
    await back(two, away);
    expect(await away.disclose(await two.request())).toMatchObject({
      ...{ ok: true, answer: { items: [] } },
    });
  });

  it("is not held up by what concerns somebody else", async () => {
    const two = await cutOff(closing);
    const { away } = two;
    expect(await codeOf(away.ensureSubject({ ...MRN, value: "another" }))).toBe(PENDING);
    expect(await two.ask()).toMatchObject({ count: 1 });
    // What is no emergency waits for it as ever.
    two.clock.now -= 5 * MINUTE;
    expect(await codeOf(away.disclose(await two.request({ purposes: ["TREAT"] })))).toBe(PENDING);
  });

  it("shows an access that the ledger refuses for good until it is reviewed", async () => {
    const two = await cutOff(closing);
    const { away, peer } = two;
    const { access } = await two.ask();
    peer.before = (all) => all.map(() => ({ ok: false as const, reason: "not-a-member" }));
    peer.isDown = false;
    await until(two, async () => (await away.outbox())[0]?.refused !== undefined);
    const [refused] = await away.outbox();
    expect(refused).toMatchObject({ entries: [access], refused: "not-a-member" });
    const shown = { id: access, pending: true, refused: "not-a-member" };
    expect(await readable(away.pendingReviews())).toMatchObject([shown]);
    expect(await codeOf(away.dismissRefused(refused!.id))).toBe("ERR_INPUT_INVALID");
    peer.before = () => undefined;
    await away.markReviewed(access);
    expect(await collect(away.pendingReviews())).toEqual([]);
    await away.dismissRefused(refused!.id);
    expect(await away.outbox()).toEqual([]);
  });
});

describe("a request whose access entry waits in the outbox", () => {
  it("is not recorded a second time by disclose", async () => {
    const two = await cutOff(closing, {});
    const { away, clock } = two;
    clock.now -= 5 * MINUTE;
    const bytes = await two.request({ purposes: ["TREAT"] });
    expect(await codeOf(away.disclose(bytes))).toBe(PENDING);
    expect(await away.disclose(bytes)).toEqual({ ok: false, reason: "replayed" });
    expect(await away.outbox()).toHaveLength(1);
  });
});

it("is for a member with a home alone", async () => {
  const two = await askingHospitals(closing);
  const { home: _, ...rest } = { ...SWITCHED_ON, home: undefined };
  await expect(two.open({ ...rest, home: undefined as never })).rejects.toMatchObject({
    code: "ERR_INPUT_INVALID",
  });
});
