import type { Coding } from "./model.ts";

/** The codes of a resource, and whether something in it escapes judgement by codes. */
export interface FoundCodes {
  readonly codes: readonly Coding[];
  /** Security labels that the resource, or what it holds, bears already. */
  readonly labels: readonly Coding[];
  readonly unjudged: boolean;
}

/** What kind of code system a name stands for. */
export type SystemKind = (system: string) => "clinical" | "administrative" | "unknown";

/** Resources about organisations and demographics: names and addresses, not health. */
const ADMINISTRATIVE = new Set([
  "Patient",
  "Person",
  "RelatedPerson",
  "Practitioner",
  "PractitionerRole",
  "Organization",
  "Location",
  "HealthcareService",
  "Endpoint",
  "Coverage",
]);

/** Elements that hold nothing clinical. */
const SKIPPED = new Set(["meta", "identifier", "resourceType", "id", "implicitRules", "language"]);

/**
 * Elements whose strings are prose, in which anything may be said, be it a single word. A string of
 * several words is prose in any other element too.
 */
const PROSE = new Set([
  "text",
  "title",
  "label",
  "note",
  "comment",
  "comments",
  "description",
  "summary",
  "conclusion",
  "valueString",
  "valueMarkdown",
  "contentString",
  "patientInstruction",
  "instructions",
  "deviation",
  "clinicalNotes",
]);

/** Elements whose strings name what a code, a reference or a number beside them says. */
const NAMING = new Set(["display", "unit"]);

/** Extensions of HL7's own: what they mean is published. Any other may mean anything. */
const HL7_EXTENSION = "http://hl7.org/fhir/";

/** Elements whose reference says what the resource is about: its codes count as one's own. */
const TELLING = new Set([
  "medicationReference",
  "reasonReference",
  "diagnosisReference",
  "procedureReference",
  "indicationReference",
  "itemReference",
  "problemReference",
  "addresses",
  "condition",
  "prescription",
  "result",
  "hasMember",
  "finding",
]);

const MAX_NODES = 200_000;
const MAX_DEPTH = 64;
const MAX_LINKED = 256;

/**
 * Finds every code in a FHIR resource, in whatever element it stands, in what it contains and in
 * what it refers to as its reason or content.
 */
export function findCodes(
  resource: unknown,
  kindOf: SystemKind,
  resolve?: (reference: string) => unknown,
): FoundCodes {
  const codes: Coding[] = [];
  const labels: Coding[] = [];
  const linked = new Set<string>();
  /** Parts of published extensions, whose names are short. */
  const withinPublished = new Set<object>();
  let clinical = 0;
  let unjudged = false;
  let budget = MAX_NODES;

  function follow(reference: unknown): void {
    if (typeof reference !== "string") {
      unjudged = true;
      return;
    }
    // What is contained is walked with what contains it.
    if (reference.startsWith("#") || linked.has(reference)) return;
    linked.add(reference);
    const target = linked.size > MAX_LINKED ? undefined : resolve?.(reference);
    if (isObject(target)) walkResource(target, 0);
    else unjudged = true;
  }

  function coding(value: Record<string, unknown>): boolean {
    const { system, code } = value;
    if (typeof system !== "string" || typeof code !== "string") return false;
    const kind = kindOf(system);
    codes.push({ system, code });
    if (kind === "clinical") clinical++;
    return kind !== "unknown";
  }

  function concept(value: Record<string, unknown>, list: readonly unknown[]): void {
    let judged = false;
    for (const item of list) if (isObject(item) && coding(item)) judged = true;
    if (!judged) unjudged = true;
    for (const [key, item] of Object.entries(value)) {
      if (key === "extension") walk(item, key, 1);
    }
  }

  /** A value without a code, under a name that somebody gave it: the name may say everything. */
  function extension(value: Record<string, unknown>): void {
    const { url } = value;
    const published =
      withinPublished.has(value) || (typeof url === "string" && url.startsWith(HL7_EXTENSION));
    for (const [key, item] of Object.entries(value)) {
      if (key === "extension" && published) {
        for (const part of [item].flat() as unknown[])
          if (isObject(part)) withinPublished.add(part);
      }
      if (!key.startsWith("value")) continue;
      if (!published && key !== "valueCoding" && key !== "valueCodeableConcept") unjudged = true;
      if (key === "valueCoding" && isObject(item) && item["code"] === undefined) unjudged = true;
    }
  }

  function securityLabels(value: unknown): void {
    for (const one of [value].flat() as unknown[]) {
      if (!isObject(one)) continue;
      const { system, code, coding } = one;
      if (typeof system === "string" && typeof code === "string") labels.push({ system, code });
      if (Array.isArray(coding)) securityLabels(coding);
    }
  }

  /** Of who people are, only what is coded in extensions: gender identity, religion. */
  function walkPerson(value: unknown, depth: number): void {
    if (--budget < 0 || depth > MAX_DEPTH) {
      unjudged = true;
      return;
    }
    for (const one of [value].flat() as unknown[]) {
      if (!isObject(one)) continue;
      const { system, code } = one;
      if (typeof system === "string" && typeof code === "string" && kindOf(system) === "clinical") {
        codes.push({ system, code });
      }
      for (const item of Object.values(one)) {
        if (typeof item === "object") walkPerson(item, depth + 1);
      }
    }
  }

  function walk(value: unknown, key: string, depth: number): void {
    if (--budget < 0 || depth > MAX_DEPTH) {
      unjudged = true;
      return;
    }
    if (Array.isArray(value)) {
      for (const item of value) walk(item, key, depth + 1);
      return;
    }
    if (typeof value === "string") {
      if (PROSE.has(key) || (!NAMING.has(key) && /\s/.test(value))) unjudged = true;
      return;
    }
    if (!isObject(value)) return;
    if (typeof value["resourceType"] === "string") {
      walkResource(value, depth + 1);
      return;
    }
    if (Array.isArray(value["coding"])) {
      concept(value, value["coding"]);
      return;
    }
    if (typeof value["code"] === "string" && !coding(value) && !isQuantity(value)) unjudged = true;
    if (isAttachment(value)) unjudged = true;
    if (key === "extension") extension(value);
    // It may turn what it stands beside into its opposite.
    if (key === "modifierExtension") unjudged = true;
    if (TELLING.has(key) && value["concept"] === undefined) {
      if (value["reference"] !== undefined) follow(value["reference"]);
      else if (typeof value["display"] === "string") unjudged = true;
    }
    for (const [name, item] of Object.entries(value)) {
      if (SKIPPED.has(name)) continue;
      if (name === "securityLabel") securityLabels(item);
      // A codeable reference of R5 tells as much as the elements above.
      if (name === "reference" && isObject(item)) follow(item["reference"]);
      else walk(item, name, depth + 1);
    }
  }

  function walkResource(value: Record<string, unknown>, depth: number): void {
    if (depth > MAX_DEPTH) {
      unjudged = true;
      return;
    }
    if (isObject(value["meta"])) securityLabels(value["meta"]["security"]);
    if (ADMINISTRATIVE.has(String(value["resourceType"]))) {
      walkPerson(value["extension"], depth);
      return;
    }
    for (const [name, item] of Object.entries(value)) {
      if (SKIPPED.has(name)) continue;
      if (name === "securityLabel") securityLabels(item);
      if (name === "text" && isObject(item)) {
        // A generated narrative repeats the elements; any other may say more.
        if (item["status"] !== "generated" && item["status"] !== "empty") unjudged = true;
        continue;
      }
      walk(item, name, depth + 1);
    }
  }

  if (!isObject(resource) || typeof resource["resourceType"] !== "string") {
    return { codes, labels, unjudged: true };
  }
  walkResource(resource, 0);
  if (clinical === 0 && !ADMINISTRATIVE.has(resource["resourceType"])) unjudged = true;
  return { codes, labels, unjudged };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isQuantity(value: Record<string, unknown>): boolean {
  return typeof value["value"] === "number";
}

function isAttachment(value: Record<string, unknown>): boolean {
  return typeof value["contentType"] === "string" || typeof value["data"] === "string";
}
