import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { toEntryId } from "../../src/codec/ids.ts";
import { fromConsent } from "../../src/fhir/consent-in/from-consent.ts";
import {
  decodeDeliver,
  decodeDeliverReply,
  encodeDeliver,
  encodeDeliverReply,
} from "../../src/ledger/disclosure/delivery-format.ts";
import { openAsk } from "../../src/ledger/disclosure/ask-format.ts";
import { decodeMessage, decodeSignedMessage } from "../../src/ledger/disclosure/message.ts";
import { openMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { sendMessage } from "../../src/ledger/disclosure/send-ask.ts";
import { TransportError } from "../../src/errors.ts";
import { patient } from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import { MRN, treatmentOnly } from "../support/hospital.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { collect, revoking } from "../support/ward.ts";
import {
  address,
  attest,
  consentAway,
  delivering,
  hand,
  lastMessage,
  lying,
  toHome,
} from "../support/delivering.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

describe("a delivered directive", () => {
  it("counts at the recipient as it does at its custodian, and so does its withdrawal", async () => {
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
    const { id } = await consentAway(two);
    const [one] = await two.away.deliver(id, toHome(two));
    const [again] = await two.away.deliver(id, toHome(two));
    expect(again!.entry).toBe(one!.entry);
    const { sealed } = await lastMessage(two);
    await collect(two.toHome.ask(sealed));
    expect(await two.home.directives(two.me)).toHaveLength(1);
  });

  it("stays withdrawn when an older delivery is sent again", async () => {
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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

  it.each(["ERR_TRANSPORT_REFUSED", "ERR_TRANSPORT_FAILED"] as const)(
    "does not wait behind one that always fails: %s",
    async (code) => {
      const two = await delivering(closing);
      const { ask } = two.wire;
      const unreachable = (): never => {
        throw new TransportError("ERR_TRANSPORT_FAILED", "cut off");
      };
      two.wire.ask = unreachable;
      const first = await consentAway(two, { lineage: "another" });
      const second = await consentAway(two);
      for (const { id } of [first, second]) {
        expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "queued" }]);
      }
      two.wire.ask = async function* (sealed) {
        const { signed } = (await openAsk(sealed, address(two), [two.homeKeys.agreement()]))!;
        const { content } = decodeMessage(decodeSignedMessage(signed).message);
        const shown = decode(decodeDeliver(content).entry) as { readonly place: readonly number[] };
        if (shown.place[0] === first.place.height) throw new TransportError(code, "not this one");
        yield* ask(sealed);
      };
      expect(await two.away.deliverPending()).toMatchObject([
        { consent: first.id, status: "queued", error: { code } },
        { consent: second.id, status: "filed" },
      ]);
      two.wire.ask = ask;
      expect(await two.away.deliverPending()).toMatchObject([
        { status: "filed" },
        { status: "filed" },
      ]);
    },
  );

  it("is no longer to be delivered once it is erased", async () => {
    const two = await delivering(closing);
    two.wire.ask = () => {
      throw new TransportError("ERR_TRANSPORT_FAILED", "cut off");
    };
    const { id } = await consentAway(two);
    await two.away.deliver(id, toHome(two));
    expect(await two.away.deliveries()).toMatchObject([{ status: "queued" }]);
    await two.away.erase(two.there, { class: "directive", reason: "asked for", all: true });
    expect(await two.away.deliveries()).toEqual([]);
    expect(await two.away.deliverPending()).toEqual([]);
  });

  it("is held for a grantor whom only the sender attests, until the recipient does", async () => {
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
});

describe("a forged delivery", () => {
  const REFUSED = "ERR_TRANSPORT_REFUSED";

  it("is refused if it is altered, or shows another entry than it opens", async () => {
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
    const two = await delivering(closing);
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
