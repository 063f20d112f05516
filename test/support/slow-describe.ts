import type { DescribedCode, ResourceDescription } from "../../src/fhir/describe-resource.ts";
import { manifestElements } from "../../src/fhir/manifest-elements.ts";
import {
  codingsOf,
  type FhirCoding,
  type FhirReference,
  type FhirResource,
  isObject,
  type JsonObject,
  list,
  referenceOf,
  text,
} from "../../src/fhir/resource.ts";
import { dateSlowlyAt, wholePeriodSlowly } from "./slow-period.ts";

/** Most codes in a description, and most units of its other codes. */
const MAX_CODES = 140_000;
const MAX_UNITS = 32_768;
/** Deepest nesting of a resource. */
const MAX_DEPTH = 1000;

/**
 * As `describeResource`, written for the reader, path by path and walk by walk: what the fast one
 * must agree with.
 */
export function describeSlowly(resource: FhirResource): ResourceDescription {
  const { parts, contained, isTooDeep } = resourcesIn(resource);
  const typesIn = (owner: object) => {
    const types = contained.flatMap((one) => (one.owner === owner ? [one.type] : []));
    return types.length === 0 ? {} : { otherTypes: [...new Set(types)] };
  };
  return {
    ...describeOne(resource),
    ...typesIn(resource),
    ...(parts.length > 0 && {
      parts: parts.map(({ resource: part, fullUrl }) => ({
        ...describeOne(part),
        ...typesIn(part),
        ...(fullUrl !== undefined && { fullUrl }),
      })),
    }),
    ...(isTooDeep && { moreParts: true }),
  };
}

/** The resources anywhere in another one: those that are contained, by the one that contains them, and others. */
function resourcesIn(root: FhirResource) {
  const parts: { resource: FhirResource; fullUrl: string | undefined }[] = [];
  const contained: { owner: object; type: string }[] = [];
  let isTooDeep = false;
  const visit = (
    value: unknown,
    depth: number,
    at: { owner: object; isContained: boolean; fullUrl?: string | undefined },
  ): void => {
    if (typeof value !== "object" || value === null) return;
    if (depth > MAX_DEPTH) {
      isTooDeep = true;
      return;
    }
    if (Array.isArray(value)) {
      for (const item of value) {
        visit(item, depth + 1, { owner: at.owner, isContained: at.isContained });
      }
      return;
    }
    const object = value as JsonObject;
    const { resourceType: type } = object;
    let { owner } = at;
    if (object !== root && typeof type === "string") {
      if (at.isContained) contained.push({ owner, type });
      else {
        owner = object;
        parts.push({ resource: object as FhirResource, fullUrl: at.fullUrl });
      }
    }
    for (const name of Object.keys(object)) {
      visit(object[name], depth + 1, {
        owner,
        isContained: at.isContained || name === "contained",
        fullUrl: name === "resource" ? text(object["fullUrl"]) : undefined,
      });
    }
  };
  visit(root, 0, { owner: root, isContained: false });
  return { parts, contained, isTooDeep };
}

function describeOne(resource: FhirResource): ResourceDescription {
  const elements = manifestElements(resource.resourceType);
  const meta = isObject(resource["meta"]) ? resource["meta"] : {};
  const malformed: string[] = [];
  const id = text(resource["id"]);
  const versionId = text(meta["versionId"]);
  const status = statusOf(resource, elements.status);
  const lastUpdated = dateSlowlyAt(meta["lastUpdated"], "meta.lastUpdated", malformed)?.from;
  const period = wholePeriodSlowly(resource, malformed);
  const encounter = elements.encounter
    .flatMap((path) => valuesSlowlyAt(resource, path))
    .map(referenceOf)
    .find((reference) => reference !== undefined && pointsToEncounter(reference));
  const coded = codesOf(resource, elements.codes);
  const { codes } = coded;
  const main = codes.some(({ element }) => element !== "category");
  const { references, otherCodes, more, freeText } = everythingIn(resource, codes);
  const authors = new Map<string, FhirReference>();
  for (const path of elements.authors) {
    for (const value of valuesSlowlyAt(resource, path)) {
      const reference = referenceOf(value);
      if (reference !== undefined) authors.set(JSON.stringify(reference), reference);
    }
  }
  return {
    type: resource.resourceType,
    ...(id !== undefined && { id }),
    ...(versionId !== undefined && { versionId }),
    ...(lastUpdated !== undefined && { lastUpdated }),
    ...(status !== undefined && { status }),
    codes,
    otherCodes,
    labels: list(meta["security"]).flatMap(codingsOf),
    profiles: list(meta["profile"]).filter((profile) => typeof profile === "string"),
    ...(period && { period }),
    authors: [...authors.values()],
    ...(encounter && { encounter }),
    references,
    freeText,
    uncoded: coded.textOnly || coded.more || more || (elements.coded && !main),
    malformed: [...new Set(malformed)],
  };
}

function codesOf(resource: FhirResource, paths: readonly string[]) {
  const seen = new Set<string>();
  const codes: DescribedCode[] = [];
  let textOnly = false;
  let more = false;
  const collect = (from: unknown, path: string, element: string): void => {
    for (const value of valuesSlowlyAt(from, path)) {
      if (!isCoded(value)) continue;
      const codings = codingsOf(value);
      if (codings.length === 0) textOnly = true;
      for (const coding of codings) {
        const key = JSON.stringify([coding.system, coding.code, element]);
        if (seen.has(key)) continue;
        if (codes.length === MAX_CODES) {
          more = true;
          continue;
        }
        seen.add(key);
        codes.push({ ...coding, element });
      }
    }
  };
  for (const path of paths) collect(resource, path, path);
  for (const contained of list(resource["contained"])) {
    const type = isObject(contained) ? text(contained["resourceType"]) : undefined;
    for (const path of manifestElements(type ?? "").codes) {
      collect(contained, path, `contained.${path}`);
    }
  }
  return { codes, textOnly, more };
}

/** The references, other codes and prose anywhere in a resource. */
function everythingIn(resource: FhirResource, known: readonly FhirCoding[]) {
  const references = new Set<string>();
  const otherCodes: FhirCoding[] = [];
  const keyOf = ({ system, code }: FhirCoding): string => JSON.stringify([system, code]);
  const seen = new Set(known.map(keyOf));
  let units = 0;
  let more = false;
  let freeText = false;
  const coding = (value: unknown): void => {
    const system = isObject(value) ? text(value["system"]) : undefined;
    const code = isObject(value) ? text(value["code"]) : undefined;
    if (system === undefined || code === undefined) {
      if (code === undefined || !seen.has(keyOf({ code }))) more = true;
      return;
    }
    const key = keyOf({ system, code });
    if (seen.has(key)) return;
    seen.add(key);
    units += key.length;
    if (units > MAX_UNITS) more = true;
    else otherCodes.push({ system, code });
  };
  const look = (value: JsonObject): void => {
    for (const one of list(value["coding"])) coding(one);
    const isUnit = !("system" in value) && ("value" in value || "unit" in value);
    if (value["code"] !== undefined && !isUnit) {
      for (const one of list(value["code"])) {
        if (typeof one !== "object") coding({ system: value["system"], code: one });
      }
    }
    const url = text(value["url"]);
    if (value["valueCode"] !== undefined && !url?.startsWith("http://hl7.org/fhir/")) more = true;
  };
  const visit = (value: unknown, depth: number, asProse: boolean): void => {
    if (depth > MAX_DEPTH) {
      more = true;
      freeText ||= asProse;
    } else if (Array.isArray(value)) {
      for (const one of value) visit(one, depth + 1, asProse);
    } else if (isObject(value)) {
      const literal = value["reference"];
      if (typeof literal === "string" && literal !== "" && !literal.startsWith("#")) {
        references.add(literal);
      }
      look(value);
      for (const [name, child] of Object.entries(value)) {
        const counts = asProse && !freeText && !NO_PROSE.has(name);
        if (counts && isProse(name, child)) freeText = true;
        visit(child, depth + 1, counts);
      }
    }
  };
  visit(resource, 0, true);
  return { references: [...references], otherCodes, more, freeText };
}

function isCoded(value: unknown): boolean {
  if (!isObject(value)) return false;
  if ("coding" in value || "concept" in value) return true;
  if ("code" in value) return !("value" in value || "unit" in value);
  return "text" in value && !("status" in value);
}

function statusOf(resource: FhirResource, path: string): string | undefined {
  const value = resource[path];
  if (typeof value === "boolean") return value ? "active" : "inactive";
  if (typeof value === "string") return text(value);
  for (const concept of [value, resource["verificationStatus"]]) {
    const [coding] = codingsOf(concept);
    if (coding !== undefined) return coding.code;
  }
  return undefined;
}

function pointsToEncounter({ reference, type }: FhirReference): boolean {
  if (type !== undefined) return type === "Encounter";
  return reference === undefined || !reference.includes("EpisodeOfCare/");
}

const PROSE: ReadonlySet<string> = new Set([
  "note",
  "comment",
  "comments",
  "conclusion",
  "description",
  "valueString",
  "valueAttachment",
  "presentedForm",
  "attachment",
  "payload",
  "patientInstruction",
  "summary",
  "clinicalNotes",
  "data",
]);

const NO_PROSE: ReadonlySet<string> = new Set(["extension", "modifierExtension", "meta"]);

function isProse(name: string, value: unknown): boolean {
  if (PROSE.has(name)) return !isCoded(value);
  // a generated narrative repeats the elements; any other may say more
  return name === "text" && isObject(value) && "div" in value && value["status"] !== "generated";
}

function valuesSlowlyAt(root: unknown, path: string): readonly unknown[] {
  const [step, ...rest] = path.split(".");
  if (!isObject(root)) return [];
  const stem = step!.endsWith("[x]") ? step!.slice(0, -3) : undefined;
  const isMeant = (name: string): boolean =>
    stem === undefined
      ? name === step
      : name.startsWith(stem) && /^[A-Z]/.test(name.slice(stem.length));
  return Object.keys(root)
    .filter(isMeant)
    .flatMap((name) => list(root[name]))
    .flatMap((value) => (rest.length === 0 ? [value] : valuesSlowlyAt(value, rest.join("."))));
}
