import { toEntryId } from "../../../src/codec/ids.ts";
import {
  type ConsentRequest,
  type ConsentResource,
  type ConsentSnapshot,
  compileDirectives,
  type CompiledConsent,
  type Directive,
  directiveCid,
  type SnapshotDirective,
} from "../../../src/consent/index.ts";
import { noFacts } from "../../consent/support.ts";

/** Directives filed one block each, in the order given. */
export function filed(directives: readonly Directive[]): SnapshotDirective[] {
  return directives.map((directive, index) => ({
    entry: toEntryId(new Uint8Array(32).fill(index + 1)),
    place: { height: index, index: 0 },
    cid: directiveCid(directive),
    directive,
    standing: "valid",
  }));
}

export function snapshotOf(
  directives: readonly Directive[],
  more: Partial<ConsentSnapshot> = {},
): ConsentSnapshot {
  const members = ["hospital"];
  return { ...noFacts(), height: 1000, directives: filed(directives), members, ...more };
}

export const compile = (
  directives: readonly Directive[],
  more: Partial<ConsentSnapshot> = {},
): CompiledConsent => compileDirectives(snapshotOf(directives, more));

export const requestOf = (more: Partial<ConsentRequest> = {}): ConsentRequest => ({
  id: "request",
  requester: "Organization/asks",
  user: "Practitioner/asks",
  roles: [],
  purposes: ["TREAT"],
  action: "access",
  subject: "Patient/1",
  ...more,
});

export const stamp = { labeller: "test", version: "1" };

export const resourceOf = (more: Partial<ConsentResource> = {}): ConsentResource => ({
  id: "Observation/1",
  type: "Observation",
  codes: [{ system: "http://loinc.org", code: "2339-0" }],
  labels: { codes: [], stamp },
  period: { from: "2022-06-13", to: "2022-06-13" },
  authors: ["Practitioner/author"],
  encounter: "Encounter/1",
  references: ["Encounter/1"],
  referredBy: [],
  controller: "Organization/1",
  ...more,
});

/** An R4 Consent with everything but its provision. */
export const r4 = (more: object = {}): Record<string, unknown> => ({
  resourceType: "Consent",
  id: "c1",
  identifier: [{ system: "urn:example:consents", value: "c1" }],
  status: "active",
  scope: {
    coding: [
      { system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" },
    ],
  },
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  patient: { reference: "Patient/1" },
  dateTime: "2022-01-01",
  performer: [{ reference: "Patient/1" }],
  policy: [{ uri: "urn:example:policy" }],
  ...more,
});

/** An R5 Consent with everything but decision and provisions. */
export const r5 = (more: object = {}): Record<string, unknown> => ({
  resourceType: "Consent",
  id: "c1",
  identifier: [{ system: "urn:example:consents", value: "c1" }],
  status: "active",
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  subject: { reference: "Patient/1" },
  date: "2022-01-01",
  policyBasis: { url: "urn:example:policy" },
  ...more,
});

export const purpose = (code: string): object => ({
  system: "http://terminology.hl7.org/CodeSystem/v3-ActReason",
  code,
});
export const sensitivity = (code: string): { system: string; code: string } => ({
  system: "http://terminology.hl7.org/CodeSystem/v3-ActCode",
  code,
});
export const confidentiality = (code: string): { system: string; code: string } => ({
  system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
  code,
});
export const recipient = (reference: string): object => ({
  role: {
    coding: [
      { system: "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", code: "IRCP" },
    ],
  },
  reference: { reference },
});
