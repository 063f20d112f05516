import { describe, expect, it } from "vitest";
import { entryIdBytes } from "../../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { encodeGenesis, decodeGenesis, ledgerId } from "../../../src/block/genesis.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { signWith, type Signer } from "../../../src/identity/signer.ts";
import type { RequestRefusal } from "../../../src/ledger/disclosure/disclose.ts";
import {
  decodeRequest,
  decodeSignedRequest,
  requestAad,
} from "../../../src/ledger/disclosure/request.ts";
import { memoryAgreement } from "../../../src/identity/agreement.ts";
import {
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
} from "../../../src/consent/terminology/terminology.ts";
import { keyEntry, memberEntry } from "../../support/forge.ts";
import { alcoholDependence, keysFor, MRN, observation, rootRule } from "../../support/hospital.ts";
import { bytesFor, signerFor } from "../../support/ledger.ts";
import { opened, texts, ward, type Ward } from "../../support/ward.ts";

/** The request again with some fields changed, signed by whoever. */
async function resigned(
  bytes: Uint8Array,
  change: Readonly<Record<string, unknown>>,
  signer: Signer,
): Promise<Uint8Array> {
  const { request } = decode(bytes) as { request: Uint8Array };
  const fields = { ...(decode(request) as object), ...change };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) delete (fields as Record<string, unknown>)[name];
  }
  const changed = encode(fields);
  const sig = await signWith(signer, "request", changed);
  return encode({ request: changed, key: signer.key, alg: signer.alg, sig });
}

describe("createRequest", () => {
  const misspelt = [
    [{ purposes: ["TRAET"] }, "TREAT"],
    [{ purposes: ["TREAT", "hresch"] }, "HRESCH"],
    [{ action: "acess" }, "access"],
    [{ query: { types: ["Observation", "condition"] } }, "Condition"],
  ] as const;

  it.each(misspelt)("refuses a code that nothing knows: %j", async (fields, nearest) => {
    const w = await ward();
    const wrong = {
      code: "ERR_CONSENT_TERMINOLOGY",
      message: expect.stringContaining(`the closest is "${nearest}"`) as unknown,
    };
    await expect(w.request(fields)).rejects.toMatchObject(wrong);
    const size = w.hl.chain.size;
    await expect(w.ask(w.b, fields)).rejects.toMatchObject(wrong);
    expect(w.hl.chain.size).toBe(size);
  });

  it("takes purposes of one's own, in a terminology or with their system", async () => {
    const terminology = makeTerminology(
      extendTerminology(HL7_TERMINOLOGY, {
        ...{ name: "ours", version: "1" },
        purposes: { BOARD: ["Tumour board", "TREAT"] },
      }),
    );
    const w = await ward({ policy: { terminology } });
    await w.hl.record(w.me, observation("bp"));
    await w.permit();
    expect(await texts(await w.ask(w.b, { purposes: ["BOARD"] }))).toEqual([observation("bp")]);
    expect((await w.request({ purposes: ["BOARD"], terminology })).length).toBeGreaterThan(0);
    await expect(w.request({ purposes: ["BOARD"] })).rejects.toMatchObject({
      code: "ERR_CONSENT_TERMINOLOGY",
    });
    expect(await texts(await w.ask(w.b, { purposes: ["urn:ours|BOARD"] }))).toEqual([]);
  });
});

const attacks: readonly (readonly [
  string,
  RequestRefusal,
  (w: Ward) => Promise<Uint8Array> | Uint8Array,
])[] = [
  ["bytes that are no request", "malformed", () => bytesFor("noise")],
  ["nothing", "malformed", () => new Uint8Array(0)],
  [
    "a field that a request does not have",
    "malformed",
    async (w) => resigned(await w.request(), { hint: "x" }, w.b.signer),
  ],
  [
    "a request without its patient",
    "malformed",
    async (w) => resigned(await w.request(), { sealed: new Uint8Array(64) }, w.b.signer),
  ],
  [
    "a patient sealed for another request",
    "malformed",
    async (w) => {
      const { request } = decodeSignedRequest(await w.request());
      const { sealed } = decodeRequest(request);
      return resigned(await w.request(), { sealed }, w.b.signer);
    },
  ],
  [
    "a patient with an empty identifier",
    "malformed",
    (w) => w.request({ patient: { system: "", value: "x" } }),
  ],
  [
    "a period that is none",
    "malformed",
    async (w) => resigned(await w.request(), { query: { period: { from: "May" } } }, w.b.signer),
  ],
  [
    "a request for another ledger",
    "other-ledger",
    (w) => {
      const genesis = encodeGenesis({ ...decodeGenesis(w.genesis), nonce: bytesFor("staging") });
      return w.request({ ledger: ledgerId(genesis) });
    },
  ],
  [
    "a request to another custodian",
    "other-custodian",
    (w) => w.request({ custodian: w.c.signer.actor }),
  ],
  [
    "a requester who is no member",
    "unknown-requester",
    async (w) => {
      const keys = await keysFor("stranger");
      return w.request({ signer: keys.signer(), agreement: keys.agreement() });
    },
  ],
  [
    "a member's name over another's key",
    "unknown-requester",
    async (w) => resigned(await w.request(), {}, w.c.signer),
  ],
  [
    "a member who was removed",
    "unknown-requester",
    async (w) => {
      const change = [{ op: "remove" as const, actor: w.b.signer.actor }];
      const approvers = [w.hospitalA.signer(), w.institute.signer()];
      await w.write(w.hospitalA, [await memberEntry(w.hl.id, change, approvers)]);
      return w.request();
    },
  ],
  [
    "a retired key",
    "unknown-requester",
    async (w) => {
      const { actor } = w.b.signer;
      const second = signerFor("hospital b second", actor);
      await w.write(w.hospitalB, [await keyEntry(w.hl.id, actor, "add", "sign", second)]);
      await w.write(w.hospitalB, [await keyEntry(w.hl.id, actor, "retire", "sign", w.b.signer)]);
      return w.request();
    },
  ],
  [
    "another signature algorithm over the same key id",
    "unknown-requester",
    async (w) => encode({ ...(decode(await w.request()) as object), alg: "ES256" }),
  ],
  [
    "a signature with one bit flipped",
    "bad-signature",
    async (w) => {
      const signed = decodeSignedRequest(await w.request());
      const sig = signed.sig.slice();
      sig[40]! ^= 1;
      return encode({ ...signed, sig });
    },
  ],
  [
    "more purposes than were signed",
    "bad-signature",
    async (w) => {
      const signed = decodeSignedRequest(await w.request());
      const more = { ...(decode(signed.request) as object), purposes: ["TREAT", "HPAYMT"] };
      return encode({ ...signed, request: encode(more) });
    },
  ],
  [
    "a signature made for something else",
    "bad-signature",
    async (w) => {
      const signed = decodeSignedRequest(await w.request());
      return encode({ ...signed, sig: await signWith(w.b.signer, "grant", signed.request) });
    },
  ],
  [
    "another member's agreement key as recipient",
    "recipient-key",
    (w) => w.request({ agreement: w.c.agreement }),
  ],
  [
    "an agreement key that is not on the ledger",
    "recipient-key",
    (w) => w.request({ agreement: memoryAgreement({ alg: "X25519", secret: bytesFor("loose") }) }),
  ],
  [
    "a signing key as recipient",
    "recipient-key",
    (w) => w.request({ agreement: { key: w.b.signer.key } }),
  ],
  [
    "a retired agreement key as recipient",
    "recipient-key",
    async (w) => {
      const { actor } = w.b.signer;
      const retire = await keyEntry(w.hl.id, actor, "retire", "agree", w.hospitalB.agreement());
      await w.write(w.hospitalB, [retire]);
      return w.request();
    },
  ],
  ["a request whose time is over", "stale", (w) => w.request({ now: w.clock.now - 300_000 })],
  ["a request from the future", "stale", (w) => w.request({ now: w.clock.now + 60_001 })],
  ["a request that counts too long", "stale", (w) => w.request({ lifetime: 600_001 })],
];

describe("disclose", () => {
  for (const [name, reason, make] of attacks) {
    it(`refuses ${name}: ${reason}`, async () => {
      const w = await ward();
      await w.hl.record(w.me, observation("bp-1"));
      const bytes = await make(w);
      await w.hl.chain.refresh();
      const { size } = w.hl.chain;
      expect(await w.hl.disclose(bytes)).toEqual({ ok: false, reason });
      expect(w.hl.chain.size).toBe(size);
      expect(await w.audit()).toEqual([]);
    });
  }

  it("takes requests right up to the bounds of time", async () => {
    const w = await ward();
    const { now } = w.clock;
    for (const [made, lifetime] of [
      [now - 299_999, 300_000],
      [now + 60_000, 300_000],
      [now, 600_000],
    ] as const) {
      expect(await w.hl.disclose(await w.request({ now: made, lifetime }))).toMatchObject({
        ok: true,
      });
    }
  });

  it("answers a request once: again, twice at once, and after a restart", async () => {
    const w = await ward();
    const first = await w.request();
    expect(await w.hl.disclose(first)).toMatchObject({ ok: true });
    expect(await w.hl.disclose(first)).toEqual({ ok: false, reason: "replayed" });
    const second = await w.request();
    const both = await Promise.all([w.hl.disclose(second), w.hl.disclose(second)]);
    expect(both.map(({ ok }) => ok).sort()).toEqual([false, true]);
    await w.hl.close();
    const again = await w.open();
    for (const one of [first, second]) {
      expect(await again.disclose(one)).toEqual({ ok: false, reason: "replayed" });
    }
    // Asking about somebody unknown is answered once, too.
    const third = await w.request({ patient: { ...MRN, value: "nobody" } });
    expect(await again.disclose(third)).toMatchObject({ ok: true });
    expect(await again.disclose(third)).toEqual({ ok: false, reason: "replayed" });
  });

  it("lets two requesters use one request id", async () => {
    const w = await ward();
    const random = (length: number) => bytesFor("same").slice(0, length);
    const theirs = { signer: w.c.signer, agreement: w.c.agreement, random };
    expect(await w.hl.disclose(await w.request({ random }))).toMatchObject({ ok: true });
    expect(await w.hl.disclose(await w.request(theirs))).toMatchObject({ ok: true });
  });

  it("counts a role only if its holder's own organisation vouches for it", async () => {
    const w = await ward();
    await w.permit({
      root: rootRule("permit", { roles: ["oncologist"] }),
    });
    await w.hl.record(w.me, observation("bp-1"));
    const asked = async (attestedBy: string, code = "oncologist") =>
      (await w.ask(w.b, { roles: [{ code, attestedBy }] })).count;
    expect(await asked(w.b.signer.actor)).toBe(1);
    expect(await asked(w.b.signer.actor, "nurse")).toBe(0);
    expect(await asked(w.c.signer.actor)).toBe(0);
    expect(await asked(w.hl.member)).toBe(0);
    expect(await asked("")).toBe(0);
    expect((await w.ask()).count).toBe(0);
  });

  it("judges requests that ask for the strangest things", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const odd: readonly Readonly<Record<string, unknown>>[] = [
      { purposes: [] },
      { purposes: ["", "|", "|TREAT", "\u0001", "__proto__", "constructor"] },
      { purposes: ["TREAT", "TREAT", "HRESCH"] },
      { action: "" },
      { roles: [{ code: "__proto__", attestedBy: "toString" }] },
      { user: "" },
      { query: { types: [], ids: [], codes: [], parts: [] } },
      { query: { period: { from: "9999", to: "0001" } } },
      { query: { types: ["__proto__"] } },
    ];
    for (const change of odd) {
      const bytes = await resigned(await w.request(), change, w.b.signer);
      const result = await w.hl.disclose(bytes);
      expect(result).toMatchObject({ ok: true });
      if (result.ok && !("action" in change) && !("user" in change) && !("roles" in change)) {
        expect(result.answer.items).toEqual([]);
      }
    }
    expect(await w.audit()).toHaveLength(odd.length);
  });

  it("answers no altered request, whatever the alteration", async () => {
    const w = await ward();
    const bytes = await w.request({ user: "somebody", query: { types: ["Observation"] } });
    const { size } = w.hl.chain;
    for (let at = 0; at < bytes.length; at++) {
      for (const change of [1, 0x20, 0xff]) {
        const altered = bytes.slice();
        altered[at]! ^= change;
        expect(await w.hl.disclose(altered), `${at} ^ ${change}`).toMatchObject({ ok: false });
      }
    }
    for (const length of [0, 1, 10, bytes.length - 1]) {
      expect(await w.hl.disclose(bytes.slice(0, length))).toMatchObject({ ok: false });
    }
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(await w.hl.disclose(longer)).toEqual({ ok: false, reason: "malformed" });
    expect(await w.hl.disclose(new Uint8Array(300_000))).toEqual({
      ok: false,
      reason: "malformed",
    });
    expect(w.hl.chain.size).toBe(size);
  });

  it("tells the patient's identifier to nobody but the custodian", async () => {
    const w = await ward();
    const bytes = await w.request({ declaration: { reason: "unconscious, no ID", until: 1 } });
    const { request } = decodeSignedRequest(bytes);
    const { sealed, id, ledger, custodian } = decodeRequest(request);
    const aad = requestAad(ledger, id, custodian);
    for (const secret of [MRN.value, MRN.system, "unconscious"]) {
      expect(Buffer.from(bytes).includes(secret)).toBe(false);
    }
    for (const keys of [w.hospitalB, w.institute]) {
      await expect(keys.agreement().unwrap(sealed, aad)).rejects.toMatchObject({
        code: "ERR_ENVELOPE_DECRYPT",
      });
    }
    const plain = await w.hospitalA.agreement().unwrap(sealed, aad);
    expect(decode(plain)).toMatchObject({ patient: MRN });
  });
});

describe("query", () => {
  async function filled() {
    const w = await ward();
    await w.permit({
      root: rootRule("permit", {}),
    });
    const first = await w.hl.record(w.me, observation("bp-1"));
    const second = await w.hl.record(w.me, alcoholDependence("c-1"));
    await w.hl.record(w.me, `{"resourceType":"Basic","id":"x","code":{"text":"none"}}`);
    const types = async (query: NonNullable<Parameters<Ward["ask"]>[1]>["query"] & object) =>
      (await opened(await w.ask(w.b, { query }))).map(({ resource }) => resource!.resourceType);
    return { w, first, second, types };
  }

  it("asks by types, ids, codes and period, all of which must hold", async () => {
    const { first, second, types } = await filled();
    expect(await types({})).toEqual(["Observation", "Condition", "Basic"]);
    expect(await types({ types: ["Condition", "Patient"] })).toEqual(["Condition"]);
    expect(await types({ ids: ["Observation/bp-1"] })).toEqual(["Observation"]);
    expect(await types({ ids: [second.id, first.id] })).toEqual(["Observation", "Condition"]);
    expect(await types({ ids: ["bp-1"] })).toEqual([]);
    const loinc = { system: "http://loinc.org", code: "8480-6" };
    expect(await types({ codes: [loinc] })).toEqual(["Observation"]);
    expect(await types({ codes: [{ ...loinc, system: "http://snomed.info/sct" }] })).toEqual([]);
    expect(await types({ codes: [loinc], types: ["Condition"] })).toEqual([]);
  });

  it("asks by a period that what the record tells overlaps", async () => {
    const { types } = await filled();
    // The observation is of 2025-11-03T10:15:00Z; the condition began on 2019-04-01 and has not
    // ended; of the third it is not known when it was.
    const both = ["Observation", "Condition"];
    expect(await types({ period: { from: "2025-11-03", to: "2025-11-03" } })).toEqual(both);
    expect(await types({ period: { from: "2025-11-04" } })).toEqual(["Condition"]);
    expect(await types({ period: { to: "2019-04" } })).toEqual(["Condition"]);
    expect(await types({ period: { to: "2019-03-31" } })).toEqual([]);
    expect(await types({ period: { from: Date.UTC(2025, 10, 3, 10, 15) } })).toEqual(both);
    expect(await types({ period: { from: Date.UTC(2025, 10, 3, 10, 15, 1) } })).toEqual([
      "Condition",
    ]);
    expect(await types({ period: { from: "1950", to: "1960" } })).toEqual([]);
    expect(await types({ period: { from: Date.UTC(1950, 0, 1) } })).toEqual(both);
  });

  it("gives the manifest alone to who asks for nothing else, and records that", async () => {
    const { w } = await filled();
    const answer = await w.ask(w.b, { query: { types: ["Observation"], parts: ["manifest"] } });
    const [item] = await opened(answer);
    expect(item!.manifest.resource?.type).toBe("Observation");
    expect(item!.text).toBe(undefined);
    expect(item!.resource).toBe(undefined);
    expect((await w.audit())[0]).toMatchObject({ parts: ["manifest"] });
    const whole = await texts(await w.ask(w.b, { query: { parts: ["content"] } }));
    expect(whole).toContain(observation("bp-1"));
    expect((await w.ask(w.b, { query: { parts: ["image"] } })).count).toBe(0);
  });

  it("cannot open the content with what was granted for the manifest", async () => {
    const { w } = await filled();
    const bytes = await w.request({ query: { types: ["Observation"], parts: ["manifest"] } });
    const result = await w.hl.disclose(bytes);
    if (!result.ok) throw new Error(result.reason);
    const [item] = result.answer.items;
    const { openGrant } = await import("../../../src/envelope/grant.ts");
    const { openEnvelope } = await import("../../../src/envelope/open.ts");
    const a = w.hospitalA.signer();
    const author = { alg: a.alg, publicKey: a.publicKey };
    const keys = await openGrant({
      grant: item!.grant,
      agreement: w.b.agreement,
      envelope: item!.envelope,
      basis: entryIdBytes(result.answer.access),
      grantor: { actor: a.actor, ...author },
    });
    expect(Object.keys((keys as { parts: object }).parts)).toEqual(["manifest"]);
    const open = (parts: string[]) =>
      openEnvelope({
        envelope: item!.envelope,
        header: item!.header,
        keys,
        context: { ledger: w.hl.id, author: a.actor, kind: "record" },
        author,
        read: (cid) => w.storage.blobs!.get(cid),
        parts,
      });
    expect((await open(["manifest"])).parts.size).toBe(1);
    await expect(open(["content"])).rejects.toMatchObject({ code: "ERR_ENVELOPE_DECRYPT" });
    const forged = {
      parts: { content: (keys as { parts: Record<string, Uint8Array> }).parts["manifest"]! },
    };
    Object.assign(keys, forged);
    await expect(open(["content"])).rejects.toMatchObject({ code: "ERR_ENVELOPE_DECRYPT" });
  });

  it("gives parts where a directive permits only these", async () => {
    const w = await ward();
    await w.permit({
      root: rootRule("permit", { data: { parts: ["manifest"] } }),
    });
    await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(0);
    expect((await w.ask(w.b, { query: { parts: ["content"] } })).count).toBe(0);
    const [item] = await opened(await w.ask(w.b, { query: { parts: ["manifest"] } }));
    expect(item!.text).toBe(undefined);
  });

  it("keeps the exact text of what it gives", async () => {
    const { w } = await filled();
    const [item] = await opened(await w.ask(w.b, { query: { types: ["Observation"] } }));
    expect(bytesToUtf8(item!.text!)).toContain('"value":107.50');
  });
});
