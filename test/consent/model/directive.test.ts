import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeDirective,
  directiveCid,
  encodeDirective,
  type Directive,
  type Rule,
} from "../../../src/consent/index.ts";
import { MAX_RULE_DEPTH } from "../../../src/consent/model/model.ts";
import { encode } from "../../../src/codec/dag-cbor.ts";
import { ConsentError, EncodingError } from "../../../src/errors.ts";
import { deny, entryId, permit, says, sensitivity } from "../support.ts";

const full: Directive = says({
  lineage: "urn:uuid:7f",
  after: ["a", "b"],
  controller: "did:key:zHospital",
  category: "patient-privacy",
  jurisdictions: ["US-CA"],
  from: "2026-01-01",
  to: 1_800_000_000_000,
  zone: "America/Los_Angeles",
  default: "deny",
  root: permit(
    {
      validity: { from: "2026" },
      actors: [{ type: "person", id: "dr" }],
      roles: ["nurse"],
      purposes: ["TREAT"],
      actions: ["access"],
      data: {
        types: ["Observation"],
        codes: [{ system: "http://loinc.org", code: "2339-0" }],
        labels: [sensitivity("HIV")],
        period: { to: "2026-02" },
        refs: [{ meaning: "instance", reference: "Observation/1" }],
        parts: ["manifest"],
      },
    },
    { obligations: ["DELAU"], refrains: ["NORDSCLCD"], breakGlass: "never", rules: [deny()] },
  ),
});

/** The same directive with some fields changed or, where `undefined`, taken away; ids as bytes. */
function changed(changes: Readonly<Record<string, unknown>>): Uint8Array {
  const { predecessors, ...rest } = { ...full, ...changes };
  const named = Array.isArray(predecessors) ? predecessors.map(idBytes) : predecessors;
  const entries = Object.entries({ ...rest, predecessors: named }).filter(
    ([, value]) => value !== undefined,
  );
  return encode(Object.fromEntries(entries));
}

const idBytes = (id: unknown): unknown =>
  typeof id === "string" ? Uint8Array.from(Buffer.from(id, "hex")) : id;

describe("encodeDirective and decodeDirective", () => {
  it("round-trip every field", () => {
    expect(decodeDirective(encodeDirective(full))).toEqual(full);
  });

  it("name the same directive alike, whatever order its fields were written in", () => {
    const reversed = Object.fromEntries(Object.entries(full).reverse()) as unknown as Directive;
    expect(directiveCid(reversed).equals(directiveCid(full))).toBe(true);
  });

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ["another version", { v: 2 }],
    ["an unknown field", { colour: "red" }],
    ["a missing lineage", { lineage: undefined }],
    ["an unknown mode", { mode: "append" }],
    ["an unknown default", { default: "maybe" }],
    ["a short predecessor", { predecessors: [new Uint8Array(31)] }],
    ["an unknown capacity", { grantor: { actor: "x", capacity: "friend", evidence: [] } }],
    ["evidence that is no CID", { grantor: { actor: "x", capacity: "self", evidence: ["x"] } }],
    [
      "too many predecessors",
      { predecessors: Array.from({ length: 17 }, (_, i) => entryId(`${i}`)) },
    ],
    ["a rule with an unknown field", { root: { ...permit(), colour: "red" } }],
    ["a rule with an unknown effect", { root: { ...permit(), effect: "maybe" } }],
  ])("refuse %s as a wrong shape", (_, changes) => {
    expect(() => decodeDirective(changed(changes))).toThrow(EncodingError);
  });

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ["an empty lineage", { lineage: "" }],
    ["a predecessor named twice", { predecessors: [entryId("a"), entryId("a")] }],
    ["an amendment with a default", { mode: "amend" }],
    ["a revocation with rules", { mode: "revoke", default: "none" }],
    ["a suspension that ends by itself", { mode: "suspend", default: "none", root: undefined }],
    ["a replacement without rules", { root: undefined }],
    ["a date that does not exist", { validity: { from: "2026-02-30", zone: "UTC" } }],
    ["a date with a time", { validity: { from: "2026-02-03T10:00", zone: "UTC" } }],
    [
      "a period that ends before it begins",
      { validity: { from: "2026-02", to: "2026-01-31", zone: "UTC" } },
    ],
    [
      "a period that ends before it begins in every zone",
      { validity: { from: Date.UTC(2026, 0, 3), to: "2026-01-01", zone: "UTC" } },
    ],
    ["a zone that is not written like one", { validity: { from: "2026", zone: "../etc/passwd" } }],
    ["an empty attribute", { root: permit({ purposes: [] }) }],
    ["an empty data filter", { root: permit({ data: {} }) }],
    ["two rules of one id", { root: permit({}, { rules: [permit()] }) }],
  ])("refuse %s as a contradiction", (_, changes) => {
    expect(() => decodeDirective(changed(changes))).toThrow(ConsentError);
  });

  it("accept the deepest nesting and refuse one deeper", () => {
    const nested = (depth: number): Rule =>
      permit({}, { id: `r${depth}`, ...(depth > 1 ? { rules: [nested(depth - 1)] } : {}) });
    expect(encodeDirective(says({ root: nested(MAX_RULE_DEPTH) })).length).toBeGreaterThan(0);
    expect(() => encodeDirective(says({ root: nested(MAX_RULE_DEPTH + 1) }))).toThrow(ConsentError);
  });

  it("refuse actors without end, and rules without end", () => {
    const actors = Array.from({ length: 100_000 }, (_, i) => ({ type: "person", id: `${i}` }));
    expect(() => decodeDirective(changed({ root: permit({ actors } as never) }))).toThrow(
      EncodingError,
    );
    let deep: unknown = [];
    for (let i = 0; i < 100; i++) deep = [deep];
    expect(() => decodeDirective(changed({ root: deep }))).toThrow(EncodingError);
  });

  it("refuse mutated bytes with typed errors only, or read another canonical directive", () => {
    const bytes = encodeDirective(full);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(bytes.length),
        fc.boolean(),
        (changes, cut, truncate) => {
          const mutated = bytes.slice(0, truncate ? cut : bytes.length);
          for (const [position, value] of changes) {
            if (position < mutated.length) mutated[position] = value;
          }
          try {
            expect(encodeDirective(decodeDirective(mutated))).toEqual(mutated);
          } catch (error) {
            if (!(error instanceof EncodingError) && !(error instanceof ConsentError)) throw error;
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("refuse a map that hides fields behind __proto__", () => {
    const hidden = Object.fromEntries([
      ...Object.entries(full).filter(([key]) => key !== "controller"),
      ["__proto__", { controller: "someone-else" }],
    ]);
    expect(() => decodeDirective(encode(hidden))).toThrow(EncodingError);
  });
});
