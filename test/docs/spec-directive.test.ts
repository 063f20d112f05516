import * as reference from "@ipld/dag-cbor";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseEntryId } from "../../src/codec/ids.ts";
import {
  decodeDirective,
  directiveCid,
  encodeDirective,
  evaluate,
  explain,
  type ConsentSnapshot,
  type Directive,
} from "../../src/consent/index.ts";
import { specPage } from "./spec-page.ts";
import { noFacts } from "../consent/support.ts";

const page = specPage("directive.md");
const bytes = page.hex("directive");
const guide = readFileSync(new URL("../../docs/guide/consent.md", import.meta.url), "utf8");

/** Written out by hand from the prose above the example. */
const described: Directive = {
  v: 1,
  lineage: "urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a10",
  predecessors: [parseEntryId("aa".repeat(32))],
  mode: "replace",
  grantor: { actor: "Patient/1", capacity: "self", evidence: [] },
  basis: { uri: "urn:example:privacy-policy", version: "3" },
  validity: { from: "2026-01-01", zone: "America/New_York" },
  default: "deny",
  root: {
    id: "care",
    effect: "permit",
    combine: "deny-overrides",
    when: { purposes: ["TREAT"] },
    rules: [
      {
        id: "no-hiv",
        effect: "deny",
        combine: "deny-overrides",
        breakGlass: "allowed",
        when: {
          data: {
            labels: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "HIV" }],
          },
        },
      },
    ],
  },
};

describe("docs/spec/directive.md", () => {
  it("shows the bytes of the directive it describes, by both encoders", () => {
    const predecessors = [new Uint8Array(32).fill(0xaa)];
    expect(new Uint8Array(reference.encode({ ...described, predecessors }))).toEqual(bytes);
    expect(encodeDirective(described)).toEqual(bytes);
    expect(decodeDirective(bytes)).toEqual(described);
  });

  it("names it by its CID", () => {
    expect(page.text).toContain(`\`${directiveCid(described)}\``);
  });
});

describe("docs/guide/consent.md", () => {
  it("shows what explain says", () => {
    const directive = { ...described, predecessors: [] };
    const snapshot: ConsentSnapshot = {
      ...noFacts(),
      directives: [
        {
          entry: parseEntryId("00".repeat(32)),
          place: { height: 0, index: 0 },
          cid: directiveCid(described),
          directive,
          standing: "valid",
        },
      ],
    };
    const label = { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "HIV" };
    const decision = evaluate(
      { id: "1", requester: "x", purposes: ["TREAT"], action: "access", subject: "Patient/1" },
      {
        type: "Observation",
        codes: [],
        labels: { codes: [label], stamp: { labeller: "x", version: "1" } },
      },
      snapshot,
      Date.UTC(2026, 5, 1),
    );
    expect(guide).toContain(`\n${explain(decision, { snapshot })}\n`);
  });
});
