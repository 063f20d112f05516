import { describe, expect, it } from "vitest";
import { encode } from "../../../src/codec/dag-cbor.ts";
import { encodeOverlay } from "../../../src/consent/model/directive.ts";
import type { Overlay } from "../../../src/consent/model/model.ts";
import { sealCoseFresh } from "../../../src/crypto/cose-hpke.ts";
import { signWith } from "../../../src/identity/signer.ts";
import { decodeAttestation, signAttestation } from "../../../src/ledger/disclosure/attestation.ts";
import { requestAad } from "../../../src/ledger/disclosure/request.ts";
import { MRN, observation, treatmentOnly, rootRule } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { ward, type Ward } from "../../support/ward.ts";

/** Text that an access entry could not be read again with. */
const NUL = "a\0b";

let made = 0;

/** A request as a stranger writes it, who checks nothing. */
async function handMade(w: Ward, fields: object = {}, inner: object = {}): Promise<Uint8Array> {
  const id = bytesFor(`by hand ${made++}`).slice(0, 16);
  const { signer, agreement } = w.b;
  const own = w.hospitalA.agreement();
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const request = encode({
    v: 1,
    ledger: w.hl.id,
    id,
    requester: signer.actor,
    custodian: w.hl.member,
    recipient: agreement.key,
    sealed: sealCoseFresh(
      own,
      encode({ patient: { system: MRN.system, value: MRN.value }, ...inner }),
      requestAad(w.hl.id, id, w.hl.member),
      random,
    ),
    roles: [],
    purposes: ["TREAT"],
    action: "access",
    query: {},
    time: w.clock.now,
    expires: w.clock.now + 60_000,
    ...fields,
  });
  const sig = await signWith(signer, "request", request);
  return encode({ request, key: signer.key, alg: signer.alg, sig });
}

const outside: readonly (readonly [string, object])[] = [
  ["user", { user: NUL }],
  ["purposes", { purposes: ["TREAT", NUL] }],
  ["action", { action: NUL }],
  ["role", { roles: [{ code: NUL, attestedBy: "x" }] }],
  ["attestedBy", { roles: [{ code: "x", attestedBy: NUL }] }],
  ["query.ids", { query: { ids: [NUL] } }],
  ["query.types", { query: { types: [NUL] } }],
  ["query.parts", { query: { parts: [NUL] } }],
  ["query.codes.system", { query: { codes: [{ system: NUL, code: "x" }] } }],
  ["query.codes.code", { query: { codes: [{ system: "x", code: NUL }] } }],
  ["a lone NUL", { user: "\0" }],
];

const inside: readonly (readonly [string, object])[] = [
  ["patient.system", { patient: { system: NUL, value: "x" } }],
  ["patient.value", { patient: { system: "x", value: NUL } }],
  ["declaration.reason", { declaration: { reason: NUL, until: 1 } }],
];

describe("a stranger's request with U+0000", () => {
  it("is refused, whichever string has it, and leaves nothing that cannot be read", async () => {
    const w = await ward({ breakGlass: { roles: ["x"] } });
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const size = w.hl.chain.size;
    for (const [what, fields] of outside) {
      const result = await w.hl.disclose(await handMade(w, fields));
      expect(result, what).toEqual({ ok: false, reason: "malformed" });
    }
    for (const [what, fields] of inside) {
      const result = await w.hl.disclose(await handMade(w, {}, fields));
      expect(result, what).toEqual({ ok: false, reason: "malformed" });
    }
    expect(w.hl.chain.size).toBe(size);
    // By hand and without it, it is answered.
    const good = await w.hl.disclose(await handMade(w, { user: "dr-b" }));
    expect(good.ok && good.answer.items).toHaveLength(1);
    expect((await w.audit()).map(({ user }) => user)).toEqual(["dr-b"]);
  });

  it("is not made either", async () => {
    const w = await ward();
    const wrong = [
      ...outside.filter(([what]) => what !== "a lone NUL"),
      ...inside,
    ] as readonly (readonly [string, object])[];
    for (const [what, fields] of wrong) {
      await expect(w.ask(w.b, fields), what).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
    }
    expect(await w.audit()).toEqual([]);
  });
});

describe("an attestation with U+0000", () => {
  it("is neither signed nor believed, and what it came with stays readable", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const { signer } = w.b;
    const said = {
      ledger: w.hl.id,
      requester: signer.actor,
      from: 0,
      to: w.clock.now + 60_000,
    };
    for (const fact of [{ role: NUL }, { memberOf: NUL }, { role: "x", user: NUL }]) {
      await expect(signAttestation({ ...said, ...fact } as never, signer)).rejects.toMatchObject({
        code: "ERR_ENCODING_SHAPE",
      });
    }
    const attestation = encode({ v: 1, by: signer.actor, ...said, role: NUL });
    expect(() => decodeAttestation(attestation)).toThrow("U+0000");
    const sig = await signWith(signer, "attestation", attestation);
    const signed = encode({ attestation, key: signer.key, alg: signer.alg, sig });
    await w.ask(w.b, { attestations: [signed] });
    const [access] = await w.audit();
    expect([access!.roles, access!.attestations]).toEqual([[], []]);
  });
});

describe("what a caller hands in with U+0000", () => {
  it("is refused at the door, and changes nothing", async () => {
    const w = await ward();
    const { hl, me } = w;
    const { id } = await hl.record(me, observation("bp-1"));
    const other = await hl.ensureSubject({ system: "urn:x", value: "other" });
    const size = hl.chain.size;
    const { actor, alg, publicKey } = w.patient;
    const key = { alg, publicKey, capacity: "proxy" } as const;
    const input: readonly (() => Promise<unknown>)[] = [
      () => hl.ensureSubject({ system: NUL, value: "x" }),
      () => hl.ensureSubject({ system: "x", value: NUL }),
      () => hl.findSubject({ system: "x", value: NUL }),
      () => hl.retract(id, NUL),
      () => hl.reattribute(id, other, NUL),
      () => hl.erase(me, { all: true, reason: NUL }),
      () => hl.placeHold(me, NUL),
      () =>
        hl.record(me, observation("bp-2"), {
          attachments: [{ mediaType: NUL, source: new Uint8Array(1) }],
        }),
    ];
    for (const call of input) {
      await expect(call(), String(call)).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    }
    const names: readonly (() => Promise<unknown>)[] = [
      () => hl.attest(me, { ...key, actor: NUL }),
      () => hl.attest(me, { ...key, actor, by: { actor: NUL, capacity: "self" } }),
      () => hl.consent(me, treatmentOnly(w.patient, { lineage: NUL }), { signer: w.patient }),
    ];
    for (const call of names) {
      await expect(call(), String(call)).rejects.toMatchObject({ code: "ERR_ENCODING_SHAPE" });
    }
    expect(hl.chain.size).toBe(size);
    expect(await hl.pendingReviews()[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    expect((await hl.records(me)).map(({ retracted }) => retracted)).toEqual([false]);
  });

  it("is refused in an overlay, whose rules stand in the reasons of an access", () => {
    const overlay: Overlay = {
      v: 1,
      basis: { id: "law" },
      validity: {},
      root: rootRule("deny", {}),
    } as unknown as Overlay;
    const wrong = { ...overlay, root: { ...overlay.root, id: NUL } };
    expect(() => encodeOverlay(wrong)).toThrow("U+0000");
  });
});
