import { afterEach, describe, expect, it } from "vitest";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import { TransportError } from "../../src/errors.ts";
import { narrowKeys } from "../../src/envelope/grant.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { commitToPerson, signDirective } from "../../src/ledger/consents/signed-directive.ts";
import { witnessDirective } from "../../src/ledger/consents/witnessed-directive.ts";
import { encodeDeliver } from "../../src/ledger/disclosure/delivery-format.ts";
import { handInDirective } from "../../src/ledger/disclosure/hand-in.ts";
import { encodeIdentifiers } from "../../src/ledger/index/rows.ts";
import { patient } from "../support/asking.ts";
import { codeOf, until } from "../support/elsewhere.ts";
import { MRN, treatmentOnly } from "../support/hospital.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { revoking } from "../support/ward.ts";
import {
  attest,
  consentAway,
  delivering,
  hand,
  toHome,
  type Delivering,
} from "../support/delivering.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const OTHER = { ...MRN, value: "MRN-2" };
const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** Does something once, when the next delivery is on its way; `after` the recipient has answered. */
function meanwhile(two: Delivering, when: "before" | "after", work: () => Promise<unknown>): void {
  const { ask } = two.toHome;
  two.wire.ask = async function* (sealed, options) {
    two.wire.ask = ask;
    if (when === "before") await work();
    const pages: Uint8Array[] = [];
    for await (const page of ask(sealed, options)) pages.push(page);
    if (when === "after") await work();
    yield* pages;
  };
}

describe("a delivery that is under way", () => {
  it.each([
    ["filed", patient],
    ["held", signerFor("mallory")],
  ] as const)("leaves no trace of a person who is erased meanwhile: %s", async (_, grantor) => {
    const two = await delivering(closing);
    const { away, there } = two;
    if (grantor !== patient) await attest(away, there, grantor);
    const { id } = await consentAway(two, {}, grantor);
    let size = 0;
    meanwhile(two, "after", async () => {
      await away.erase(there, { all: true, forgetSubject: true, reason: "asked for" });
      size = away.chain.size;
    });
    expect(await away.deliver(id, toHome(two))).toEqual([]);
    expect(await away.deliveries()).toEqual([]);
    await away.chain.refresh();
    const blocks = [];
    for (let height = size; height < away.chain.size; height++) {
      blocks.push(...(await away.chain.readBlock(height)).block.transactions);
    }
    expect(size).toBeGreaterThan(0);
    expect(blocks).toEqual([]);
    expect(await codeOf(away.deliver(id, toHome(two)))).toBe("ERR_INPUT_INVALID");
  });

  it("counts for a person who is joined with another meanwhile", async () => {
    const two = await delivering(closing);
    const { home, away, me } = two;
    const other = await home.ensureSubject(OTHER);
    const { id } = await consentAway(two);
    meanwhile(two, "before", () => home.merge(other, me, { reason: "same papers" }));
    expect(await away.deliver(id, toHome(two))).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("permit 1");
    const byOther = await away.ask(
      home.member,
      { patient: OTHER, purposes: ["TREAT"] },
      { peer: two.toHome },
    );
    expect(byOther.count).toBe(1);
  });

  it("is never shown as in force if the grantor's key has ended at the recipient meanwhile", async () => {
    const two = await delivering(closing);
    const { home, away, me } = two;
    const { actor, publicKey } = patient;
    const { id } = await consentAway(two);
    meanwhile(two, "before", () =>
      home.attest(me, {
        ...{ actor, capacity: "self", alg: "Ed25519", publicKey },
        ...{ from: 0, to: START - 1 },
      }),
    );
    expect(await away.deliver(id, toHome(two))).toMatchObject([{ status: "handed" }]);
    expect(await home.directives(me)).toEqual([]);
    expect(await two.asked()).toBe("deny 0");
  });

  it("is recorded once beside the same directive, handed in by the patient at that moment", async () => {
    const two = await delivering(closing);
    const { home, away, me, there } = two;
    const agreement = memoryAgreement({ alg: "X25519", secret: bytesFor("patient receives") });
    await home.attest(me, {
      ...{ actor: patient.actor, capacity: "self", use: "agree" },
      ...{ alg: agreement.alg, publicKey: agreement.publicKey },
    });
    const salt = bytesFor("salt");
    const directive = treatmentOnly(patient);
    const signed = await signDirective(directive, patient, { ledger: home.id, person: MRN, salt });
    const { id } = await away.consent(there, directive, { signed, salt });
    const person = {
      ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), signer: patient, agreement },
      ...{ custodianKey: two.homeKeys.agreement(), now: () => START, patient: MRN },
    };
    const [[told], handed] = await Promise.all([
      away.deliver(id, toHome(two)),
      handInDirective({ ...person, signed, salt }),
    ]);
    expect(told).toMatchObject({ status: "filed" });
    expect(await two.asked()).toBe("permit 1");
    // Whichever came first, both are named by what the other side has.
    const entries = (await home.directives(me)).map(({ entry }) => entry);
    expect(entries).toContain(told!.entry);
    expect(entries).toContain(handed.id);
    expect(entries.length).toBeLessThanOrEqual(2);
    const gone = revoking(patient, { predecessors: [id] });
    await away.deliver((await away.consent(there, gone, { signer: patient })).id, toHome(two));
    expect(await two.asked()).toBe("deny 0");
  });
});

describe("a delivery whose proof cannot be fetched", () => {
  it("stays queued, which is no statement about the entry, until it can", async () => {
    const two = await delivering(closing);
    const { id } = await consentAway(two);
    // The recipient files it, and its ledger cannot be reached any more.
    meanwhile(two, "before", async () => void (two.peer.isDown = true));
    const busy = { code: "ERR_CHAIN_BUSY", cause: { code: "ERR_TRANSPORT_FAILED" } };
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([
      { status: "queued", error: busy },
    ]);
    two.peer.isDown = false;
    // Longer than a peer is left alone after a fault.
    two.clock.now += 120_000;
    await until(two, async () => (await two.away.deliverPending())[0]!.status === "filed");
    expect(await two.asked()).toBe("permit 1");
  });
});

describe("a delivery to a custodian that stays silent", () => {
  it.each(["deliver", "deliverPending"] as const)(
    "ends when the ledger is closed: %s",
    async (how) => {
      const two = await delivering(closing);
      const { away } = two;
      let asked = (): void => undefined;
      const isAsked = new Promise<void>((resolve) => (asked = resolve));
      const { id } = await consentAway(two);
      if (how === "deliverPending") {
        two.wire.ask = () => {
          throw new TransportError("ERR_TRANSPORT_REFUSED", "not now");
        };
        await away.deliver(id, toHome(two));
      }
      two.wire.ask = async function* (_, { signal } = {}) {
        asked();
        await new Promise((resolve) => signal?.addEventListener("abort", resolve));
        if (signal?.aborted) throw signal.reason;
        yield new Uint8Array();
      };
      const ends = codeOf(
        how === "deliver" ? away.deliver(id, toHome(two)) : away.deliverPending(),
      );
      await isAsked;
      await away.close();
      expect(await ends).toBe("ERR_CHAIN_CLOSED");
      const again = await two.open();
      closing.push(() => again.close());
      expect(await again.deliveries()).toMatchObject([{ consent: id, status: "queued" }]);
    },
  );
});

describe("a directive that no ask is long enough for", () => {
  it("stays queued, and says what to do; that then counts there", async () => {
    const two = await delivering(closing);
    const { root } = treatmentOnly(patient);
    // Four thousand codes each, as many as there may be.
    const many = Array.from({ length: 4 }, (_, rule) => ({
      ...{ id: `many-${rule}`, effect: "deny", combine: "deny-overrides" },
      when: {
        data: {
          codes: Array.from({ length: 4000 }, (_, i) => ({
            ...{ system: "http://loinc.org", code: `${rule}${100_000 + i}` },
          })),
        },
      },
    }));
    const rules = [...(root!.rules ?? []), ...many];
    const long = await consentAway(two, {
      root: { ...root, rules } as NonNullable<Directive["root"]>,
    });
    expect(long.signed.length).toBeGreaterThan(512 * 1024);
    const { length } = two.toHome.proxy.asks;
    const stuck = { consent: long.id, status: "queued", error: { code: "ERR_INPUT_TOO_LARGE" } };
    expect(await two.away.deliver(long.id, toHome(two))).toMatchObject([stuck]);
    expect(await two.away.deliverPending()).toMatchObject([stuck]);
    const [shown] = await two.away.deliveries();
    expect((shown!.error as Error).message).toContain("`receive`");
    expect(two.toHome.proxy.asks).toHaveLength(length);
    // It keeps nothing else from being delivered.
    const short = await consentAway(two, { lineage: "short" });
    expect(await two.away.deliver(short.id, toHome(two))).toMatchObject([{ status: "filed" }]);
    const { signed, salt } = long;
    expect(await two.home.receive(two.me, { signed, salt })).toMatchObject({ status: "filed" });
  });
});

describe("what a hostile member files as a consent entry of its own, and delivers", () => {
  /** Files parts that the library would not, and makes what shows them. */
  async function filed(two: Delivering, parts: Readonly<Record<string, Uint8Array>>, seq: number) {
    const signer = two.awayKeys.signer();
    const ledger = two.home.id;
    const { cid, header, blocks, cek } = await sealEnvelope({
      ...{ context: { ledger, author: signer.actor, kind: "consent" }, signer, random },
      parts: Object.entries(parts).map(([id, bytes]) => ({ id, bytes })),
    });
    const entry = encodeSubjectEntry("consent", random(16), random(32), cid);
    const what = { ledger, lane: 77, seq, time: START, entries: [entry] };
    const place = await two.home.sequencer.submit(await signTransaction(signer, what)).durable;
    const keys = narrowKeys(
      { cek },
      { header: decodeSignedHeader(header).header, parts: Object.keys(parts) },
    );
    const shown = {
      ...{ v: 1, place: [place.height, place.transaction, 0], header },
      ...{ keys: "parts" in keys ? keys.parts : {}, blobs: blocks.map(({ bytes }) => bytes) },
    };
    return encodeDeliver({ entry: encode(shown), after: [] });
  }

  it("is refused, by name or about a stranger, and neither filed nor held", async () => {
    const two = await delivering(closing);
    const { home, me } = two;
    const salt = bytesFor("salt");
    const wishes = treatmentOnly(patient);
    const of = async (person: typeof MRN, ledger = home.id) => ({
      content: await signDirective(wishes, patient, { ledger, person, salt }),
      ...{ salt, identifier: encodeIdentifiers([person]) },
    });
    const stranger = { ...MRN, value: "known to nobody" };
    const good = await of(MRN);
    const unlisted = {
      content: await witnessDirective(wishes, two.awayKeys.signer(), {
        ...{ ledger: home.id, about: commitToPerson(salt, OTHER), user: "clerk", form: "paper" },
        ...{ takenAt: START, evidence: [] },
      }),
    };
    const attacks: Record<string, Record<string, Uint8Array>> = {
      "a short salt": { ...good, salt: salt.slice(1) },
      "a long salt, about a stranger": { ...(await of(stranger)), salt: new Uint8Array(4096) },
      "an identifier that it does not commit to": {
        ...good,
        identifier: encodeIdentifiers([OTHER]),
      },
      "a stranger whom it is not about": { ...good, identifier: encodeIdentifiers([stranger]) },
      "a witness's word about another one": { ...good, ...unlisted },
      "another ledger, about a stranger": await of(
        stranger,
        cidOf(bytesFor("another ledger"), DAG_CBOR),
      ),
      "no identifier": { ...good, identifier: encode([]) },
      "no directive": { ...good, content: encode({ v: 1 }) },
      "lists in lists": {
        ...good,
        content: Uint8Array.from([...new Uint8Array(100_000).fill(0x81), 0x80]),
      },
    };
    let seq = 0;
    for (const [what, parts] of Object.entries(attacks)) {
      const content = await filed(two, parts, seq++);
      const { size } = home.chain;
      const outcome = await hand(two, content).catch((error: { code: string }) => error.code);
      expect(["refused", "ERR_TRANSPORT_REFUSED"], what).toContain(outcome);
      expect(home.chain.size, what).toBe(size);
    }
    expect(two.errors.filter((error) => error instanceof TypeError)).toEqual([]);
    expect(await home.held(null)).toEqual([]);
    expect(await home.held(me)).toEqual([]);
    expect(await home.directives(me)).toEqual([]);
    // What the attacks begin from is taken.
    expect(await hand(two, await filed(two, good, seq))).toBe("filed");
  });
});
