import { describe, expect, it } from "vitest";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { EncodingError } from "../../../src/errors.ts";
import { decodeAccess } from "../../../src/ledger/disclosure/access.ts";

const cid = cidOf(Uint8Array.of(1), DAG_CBOR);
const reason = {
  ...{ kind: "rule", layer: "patient", purpose: "TREAT", directive: cid, effect: "permit" },
  ...{ path: ["care"], matchedOn: ["purpose"], unknown: [], codes: [] },
  witnessed: { by: "did:key:z6Mk", form: "paper" },
};
const ground = { reasons: [reason], obligations: ["DEID"], refrains: ["NODSCLCD"] };
const item = {
  ...{ record: "00".repeat(32), entry: new Uint8Array(32), type: "Patient/1" },
  ...{ outcome: "permit", ground: 0 },
};
const access = {
  ...{ v: 1, request: new Uint8Array(16), requester: "did:key:z6Mk", user: "u1", roles: ["nurse"] },
  ...{ purposes: ["TREAT"], action: "access", parts: ["content"], decidedAt: 1, height: 2 },
  ...{ snapshot: cid, items: [item], grounds: [ground], attestations: [Uint8Array.of(1)] },
  declaration: { reason: "unconscious", until: 3 },
};

describe("decodeAccess", () => {
  it("reads an access with every field", () => {
    expect(decodeAccess(encode(access))).toEqual(decode(encode(access)));
  });

  it("reads an access of before the first block", () => {
    expect(decodeAccess(encode({ ...access, height: -1 })).height).toBe(-1);
    expect(() => decodeAccess(encode({ ...access, height: -2 }))).toThrow(EncodingError);
  });

  const wrong = [
    ...Object.keys(access).map((name) => [name, { ...access, [name]: { x: 1 } }]),
    ...["roles", "purposes", "parts"].map((name) => [`a ${name}`, { ...access, [name]: [1] }]),
    ["an attestation", { ...access, attestations: ["text"] }],
    ["declaration.until", { ...access, declaration: { ...access.declaration, until: -1 } }],
    ...Object.keys(item).map((name) => [
      `items.${name}`,
      { ...access, items: [{ ...item, [name]: [] }] },
    ]),
    ["items.ground beyond", { ...access, items: [{ ...item, ground: 1 }] }],
    ["items.entry too short", { ...access, items: [{ ...item, entry: new Uint8Array(31) }] }],
    ...Object.keys(ground).map((name) => [
      `grounds.${name}`,
      { ...access, grounds: [{ ...ground, [name]: [1] }] },
    ]),
    ...Object.keys(reason).map((name) => [
      `reasons.${name}`,
      { ...access, grounds: [{ ...ground, reasons: [{ ...reason, [name]: 1 }] }] },
    ]),
    [
      "reasons.witnessed.form",
      {
        ...access,
        grounds: [
          { ...ground, reasons: [{ ...reason, witnessed: { by: "did:key:z6Mk", form: "film" } }] },
        ],
      },
    ],
  ] as [string, object][];

  it.each(wrong)("refuses %s of another kind", (_, value) => {
    expect(() => decodeAccess(encode(value))).toThrow(EncodingError);
  });
});
