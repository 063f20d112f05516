import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { makeKeyProof } from "../../src/chain/key-proof.ts";
import { checkpointOf } from "../../src/chain/make-receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { toEntryId } from "../../src/codec/ids.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import { fromConsent } from "../../src/fhir/consent-in/from-consent.ts";
import { openAsk } from "../../src/ledger/disclosure/ask-format.ts";
import {
  decodeDeliver,
  decodeDeliverReply,
  encodeDeliver,
  encodeDeliverReply,
} from "../../src/ledger/disclosure/delivery-format.ts";
import { openMessagePage, sealMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { decodeMessage, decodeSignedMessage } from "../../src/ledger/disclosure/message.ts";
import { sendMessage } from "../../src/ledger/disclosure/send-ask.ts";
import { TransportError } from "../../src/errors.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import { askingHospitals, fill, patient, TREAT, type AskingHospitals } from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import { organisation } from "../support/founders.ts";
import { MRN, treatmentOnly } from "../support/hospital.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { collect, revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

interface Delivering extends AskingHospitals {
  /** The person at the member elsewhere, which delivers. */
  readonly there: Subject;
  /** What stands between them. */
  readonly wire: { ask: CustodianPeer["ask"] };
  /** What a request at the home is answered with. */
  asked(purposes?: readonly string[]): Promise<string>;
}

/** Files, at the member elsewhere, a directive that the patient signed, or another grantor. */
const consentAway = (
  { away, there }: Delivering,
  change: Partial<Directive> = {},
  signer = patient,
) => away.consent(there, treatmentOnly(signer, change), { signer });

async function attest(hl: Ledger, subject: Subject, key = patient): Promise<void> {
  await hl.attest(subject, {
    ...{ actor: key.actor, capacity: "self", alg: "Ed25519", publicKey: key.publicKey, from: 0 },
  });
}

async function delivering(): Promise<Delivering> {
  const homeKeys = await organisation("home");
  const wire: { ask: CustodianPeer["ask"] } = {
    ask: () => {
      throw new TransportError("ERR_TRANSPORT_FAILED", "not there yet");
    },
  };
  const peer: CustodianPeer = {
    did: homeKeys.signer().actor,
    ask: (sealed, options) => wire.ask(sealed, options),
  };
  const two = await askingHospitals(closing, { away: { custodians: [peer] } });
  wire.ask = two.toHome.ask;
  await fill(two, 1);
  const there = await two.away.ensureSubject(MRN);
  await attest(two.away, there);
  return {
    ...{ ...two, there, wire },
    async asked(purposes = ["TREAT"]) {
      const what = { ...TREAT, purposes };
      const answer = await two.away.ask(two.home.member, what, { peer: two.toHome });
      return `${answer.decision.outcome} ${answer.count}`;
    },
  };
}

const toHome = ({ home }: Delivering) => ({ to: [home.member] });
const address = ({ home }: Delivering) => ({ ledger: home.id, custodian: home.member });

/** What the last ask held. */
async function lastMessage(two: Delivering) {
  const sealed = two.toHome.proxy.asks.at(-1)!;
  const ask = (await openAsk(sealed, address(two), [two.homeKeys.agreement()]))!;
  const message = decodeMessage(decodeSignedMessage(ask.signed).message);
  return { sealed, ask, content: decodeDeliver(message.content) };
}

/** Hands over what the member elsewhere might have made up. */
async function hand(two: Delivering, content: Uint8Array): Promise<string> {
  const to = {
    ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), now: () => START },
    ...{ custodianKey: two.homeKeys.agreement(), signer: two.awayKeys.signer() },
    agreement: two.awayKeys.agreement(),
  };
  const [reply] = await collect(await sendMessage(to, {}, { kind: "deliver", content }));
  return decodeDeliverReply(reply!.content).status;
}

describe("a delivered directive", () => {
  it("counts at the recipient as it does at its custodian, and so does its withdrawal", async () => {
    const two = await delivering();
    expect(await two.asked()).toBe("deny 0");
    const { id } = await consentAway(two);
    expect(await two.asked()).toBe("deny 0");
    const [told, ...more] = await two.away.deliver(id, toHome(two));
    expect(more).toEqual([]);
    expect(told).toMatchObject({ consent: id, to: two.home.member, status: "filed" });
    const [filed] = await two.home.directives(two.me);
    expect(filed).toMatchObject({ entry: told!.entry, aliases: [id], standing: "valid" });
    expect(await two.asked()).toBe("permit 1");

    const withdrawal = revoking(patient, { predecessors: [id] });
    const gone = await two.away.consent(two.there, withdrawal, { signer: patient });
    const after = await two.away.deliver(gone.id, toHome(two));
    expect(after).toMatchObject([{ consent: gone.id, status: "filed" }]);
    expect(await two.asked()).toBe("deny 0");
  });

  it("permits and refuses as its FHIR text says, where its witness is listed", async () => {
    const two = await delivering();
    await two.home.trustWitnesses([two.away.member]);
    const HL7 = "http://terminology.hl7.org/CodeSystem";
    const { directive } = fromConsent(
      {
        ...{ resourceType: "Consent", status: "active", patient: { reference: "Patient/1" } },
        scope: { coding: [{ system: `${HL7}/consentscope`, code: "patient-privacy" }] },
        category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
        identifier: [{ system: "https://ehr.example/consents", value: "1" }],
        dateTime: new Date(START - 1000).toISOString(),
        policy: [{ uri: "https://example.org/privacy-policy" }],
        provision: {
          type: "permit",
          purpose: [{ system: `${HL7}/v3-ActReason`, code: "TREAT" }],
        },
      },
      { dialect: "r4-typed" },
    );
    const witness = { user: "clerk-7", form: "paper", takenAt: START } as const;
    const { id } = await two.away.consent(two.there, directive, { witness });
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("permit 1");
    expect(await two.asked(["HRESCH"])).toBe("deny 0");
  });

  it("amends what its custodian delivered before, which it names by that one's entry", async () => {
    const two = await delivering();
    const first = await consentAway(two);
    const amended = await consentAway(two, { predecessors: [first.id], default: "none" });
    // The first goes along, ahead of it.
    await two.away.deliver(amended.id, toHome(two));
    expect(await two.away.deliveries()).toMatchObject([
      { consent: first.id, status: "filed" },
      { consent: amended.id, status: "filed" },
    ]);
    const decided = await two.home.decide(two.me, {
      purposes: ["TREAT"],
      requester: two.away.member,
    });
    expect(JSON.stringify(decided)).not.toContain("contested");
    expect((await two.home.directives(two.me)).map(({ aliases }) => aliases)).toEqual([
      [first.id],
      [amended.id],
    ]);
  });

  it("is delivered once, however often it is sent", async () => {
    const two = await delivering();
    const { id } = await consentAway(two);
    const [one] = await two.away.deliver(id, toHome(two));
    const [again] = await two.away.deliver(id, toHome(two));
    expect(again!.entry).toBe(one!.entry);
    const { sealed } = await lastMessage(two);
    await collect(two.toHome.ask(sealed));
    expect(await two.home.directives(two.me)).toHaveLength(1);
  });

  it("stays withdrawn when an older delivery is sent again", async () => {
    const two = await delivering();
    const { id } = await consentAway(two);
    await two.away.deliver(id, toHome(two));
    const { sealed } = await lastMessage(two);
    const gone = await two.away.consent(two.there, revoking(patient), { signer: patient });
    await two.away.deliver(gone.id, toHome(two));
    await collect(two.toHome.ask(sealed));
    expect(await two.home.directives(two.me)).toHaveLength(2);
    expect(await two.asked()).toBe("deny 0");
  });
});

describe("a directive that waits", () => {
  it("is queued while the custodian is silent, also after a restart, and never shown as in force", async () => {
    const two = await delivering();
    const { ask } = two.wire;
    two.wire.ask = () => {
      throw new TransportError("ERR_TRANSPORT_REFUSED", "silent");
    };
    const { id } = await consentAway(two);
    const queued = { consent: id, to: two.home.member, status: "queued", since: START };
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([queued]);
    const [told] = await two.away.deliveries();
    expect(told!.error).toMatchObject({ code: "ERR_TRANSPORT_REFUSED" });
    expect(await two.asked()).toBe("deny 0");
    await two.away.close();
    const peer = { did: two.home.member, ask };
    const again = await two.open({ custodians: [peer] });
    closing.push(() => again.close());
    expect(await again.deliveries()).toEqual([queued]);
    expect(await again.deliverPending()).toMatchObject([{ consent: id, status: "filed" }]);
    expect(await again.deliveries()).toMatchObject([{ status: "filed" }]);
  });

  it("is held for a grantor whom only the sender attests, until the recipient does", async () => {
    const two = await delivering();
    const mallory = signerFor("mallory");
    await attest(two.away, two.there, mallory);
    const { id } = await consentAway(two, {}, mallory);
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.home.directives(two.me)).toEqual([]);
    expect(await two.home.held(two.me)).toMatchObject([{ alias: id, identifier: MRN }]);
    expect(await two.asked()).toBe("deny 0");
    await two.away.deliverPending();
    expect(await two.home.held(two.me)).toHaveLength(1);
    await attest(two.home, two.me, mallory);
    expect(await two.away.deliverPending()).toMatchObject([{ status: "filed" }]);
    expect(await two.home.held(two.me)).toEqual([]);
    expect(await two.asked()).toBe("permit 1");
  });

  it("is held when an organisation witnessed it that the recipient does not list", async () => {
    const two = await delivering();
    const witness = { user: "clerk-7", form: "paper", takenAt: START } as const;
    const wishes = treatmentOnly(patient);
    const { id } = await two.away.consent(two.there, wishes, { witness });
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.asked()).toBe("deny 0");
    await two.home.trustWitnesses([two.away.member]);
    expect(await two.asked()).toBe("deny 0");
    expect(await two.away.deliverPending()).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("permit 1");
  });

  it("is held about a person whom the recipient does not know, and assigned by hand", async () => {
    const two = await delivering();
    const identifier = { ...MRN, value: "known-elsewhere" };
    const person = await two.away.ensureSubject(identifier);
    await attest(two.away, person);
    const { id } = await two.away.consent(person, treatmentOnly(patient), { signer: patient });
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
    await two.away.deliverPending();
    const [held, ...more] = await two.home.held(null);
    expect(more).toEqual([]);
    expect(held).toMatchObject({ alias: id, identifier });
    expect(await two.home.findSubject(identifier)).toBeUndefined();
    await two.home.identify(two.me, [identifier]);
    expect(await two.home.receive(two.me, held!)).toMatchObject({ status: "filed" });
    expect(await two.home.held(null)).toEqual([]);
    expect(await two.away.deliverPending()).toMatchObject([{ status: "filed" }]);
    expect(await two.home.directives(two.me)).toHaveLength(1);
  });

  it("is held if it comes before what it follows, and filed behind it", async () => {
    const two = await delivering();
    const first = await consentAway(two);
    const gone = await two.away.consent(two.there, revoking(patient), { signer: patient });
    // Somebody loses the first, and says that it was taken.
    let lost = 1;
    const lie = encodeDeliverReply({ status: "refused" });
    two.wire.ask = (sealed, options) =>
      lost-- > 0 ? lying(two, lie)(sealed) : two.toHome.ask(sealed, options);
    expect(await two.away.deliver(gone.id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.home.directives(two.me)).toEqual([]);
    expect(await two.home.held(two.me)).toMatchObject([{ alias: gone.id }]);
    expect(await two.away.deliverPending()).toMatchObject([
      { consent: first.id, status: "filed" },
      { consent: gone.id, status: "filed" },
    ]);
    expect(await two.home.held(two.me)).toEqual([]);
    expect(await two.asked()).toBe("deny 0");
  });
});

/** A recipient, or who has its keys, that replies whatever it likes. */
function lying(two: Delivering, reply: Uint8Array): CustodianPeer["ask"] {
  return async function* (sealed) {
    const { home, homeKeys, awayKeys } = two;
    const { signed, checkpoint } = (await openAsk(sealed, address(two), [homeKeys.agreement()]))!;
    const note = await home.checkpoint();
    const [seen, size] = [checkpointOf(checkpoint!).size, checkpointOf(note).size];
    const head = {
      key: await makeKeyProof(home.chain, homeKeys.signer().key, { checkpoint: note }),
      ...(seen < size ? { consistency: await home.chain.proveConsistency(seen, size) } : {}),
    };
    const page = { ask: sha256(signed), page: 0, last: true, head, content: reply };
    const how = { padding: "stepped", random, signer: homeKeys.signer() } as const;
    yield await sealMessagePage(page, address(two), awayKeys.agreement(), how);
  };
}

describe("a forged delivery", () => {
  const REFUSED = "ERR_TRANSPORT_REFUSED";

  it("is refused if it is altered, or shows another entry than it opens", async () => {
    const two = await delivering();
    const other = await consentAway(two, { lineage: "other" });
    await two.away.deliver(other.id, toHome(two));
    const { content: another } = await lastMessage(two);
    const { id } = await consentAway(two);
    await two.away.deliver(id, toHome(two));
    const { content } = await lastMessage(two);
    const before = two.home.chain.size;
    for (let at = 0; at < content.entry.length; at += 211) {
      const entry = content.entry.slice();
      entry[at]! ^= 1;
      expect(await codeOf(hand(two, encodeDeliver({ ...content, entry }))), `${at}`).toBe(REFUSED);
    }
    // Its own envelope at the place of the other entry: an alias that is not its own.
    const [one, its] = [decode(content.entry), decode(another.entry)] as Record<string, unknown>[];
    for (const name of ["place", "header", "keys", "blobs"]) {
      const entry = encode({ ...one, [name]: its![name] });
      expect(await codeOf(hand(two, encodeDeliver({ ...content, entry }))), name).toBe(REFUSED);
    }
    expect(await codeOf(hand(two, Uint8Array.of(1)))).toBe(REFUSED);
    expect(two.home.chain.size).toBe(before);
    expect(await hand(two, encodeDeliver(content))).toBe("filed");
  });

  it("is refused if the entry is another member's", async () => {
    const two = await delivering();
    const { id } = await consentAway(two);
    await two.away.deliver(id, toHome(two));
    const { content } = await lastMessage(two);
    const to = {
      ...{ peer: two.toAway, trust: trustFromGenesis(two.genesis), now: () => START },
      ...{ custodianKey: two.awayKeys.agreement(), signer: two.homeKeys.signer() },
      agreement: two.homeKeys.agreement(),
    };
    const message = { kind: "deliver", content: encodeDeliver(content) } as const;
    expect(await codeOf(sendMessage(to, {}, message))).toBe(REFUSED);
  });

  it("tells a stranger's directive about a person from one that the grantor signed", async () => {
    const two = await delivering();
    const mallory = signerFor("mallory");
    await attest(two.away, two.there, mallory);
    // Signed by a key that only the sender attests, in the patient's name.
    const inTheirName = { ...mallory, actor: patient.actor };
    await attest(two.away, two.there, inTheirName as typeof patient);
    const { id } = await consentAway(two, {}, inTheirName as typeof patient);
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.asked()).toBe("deny 0");
  });
});

describe("a recipient that claims too much", () => {
  it("is not believed: filed with another body, by somebody else, or without proof", async () => {
    const two = await delivering();
    const other = await consentAway(two, { lineage: "other" });
    const replies: Uint8Array[] = [];
    two.toHome.proxy.swap = async (frames) => {
      const { ask } = await lastMessage(two);
      const agreement = two.awayKeys.agreement();
      const at = [address(two), sha256(ask.signed), 0, agreement] as const;
      replies.push((await openMessagePage(frames[0]!, ...at)).content.content);
      return frames;
    };
    await two.away.deliver(other.id, toHome(two));
    const { content: own } = await lastMessage(two);
    const { entry } = decodeDeliverReply(replies[0]!);
    const { id } = await consentAway(two);
    const lies = [
      encodeDeliverReply({ status: "filed", entry: entry! }),
      encodeDeliverReply({ status: "filed", entry: own.entry }),
      encodeDeliverReply({ status: "filed" }),
      encodeDeliverReply({ status: "refused" }),
    ];
    for (const lie of lies) {
      two.wire.ask = lying(two, lie);
      const [told] = await two.away.deliver(id, toHome(two));
      expect(told).toMatchObject({ status: "handed" });
      expect(told!.entry).toBeUndefined();
    }
    two.wire.ask = two.toHome.ask;
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "filed" }]);
  });

  it("is refused by name: nobody but other custodians in force, and no directive that is not here", async () => {
    const two = await delivering();
    const { id } = await consentAway(two);
    const NO = { code: "ERR_INPUT_INVALID" };
    for (const to of [[], [two.away.member], [patient.actor]]) {
      await expect(two.away.deliver(id, { to })).rejects.toMatchObject(NO);
    }
    const record = toEntryId(bytesFor("no entry"));
    await expect(two.away.deliver(record, toHome(two))).rejects.toMatchObject(NO);
    expect(await two.away.deliveries()).toEqual([]);
  });
});
