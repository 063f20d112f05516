import { createWalk, type Steps, type Walk } from "../../bytes/steps.ts";
import { codeSystem, UCUM } from "../terminology/code-systems.ts";
import { ELEMENT_NAMES, JUDGED_TYPES } from "./data/fhir-elements.ts";
import { bearingOf, isReference, PEOPLE_AND_PLACES, typeInName } from "./label-references.ts";
import type { CompiledRules } from "./label-rules.ts";
import { isPlain, isUnit } from "./label-strings.ts";
import type { Coding } from "../model/model.ts";
import { ACT_CODE, CONFIDENTIALITY } from "../terminology/terminology.ts";

/** A code that no rule and no list has judged. */
export interface UnjudgedCode extends Coding {
  readonly display?: string;
}

/** The codes found in a resource, and whatever in it codes do not cover. */
export interface FoundCodes {
  /** Sensitivity codes that the resource's codes call for. */
  readonly labels: ReadonlySet<string>;
  /** Security labels that the resource, or a resource in it, bears already. */
  readonly borne: readonly Coding[];
  readonly unjudged: {
    readonly codes: readonly UnjudgedCode[];
    /** Everything else that is not judged: the elements, and why. */
    readonly others: ReadonlySet<string>;
  };
}

/** Looks up the resource that a reference names. */
export type ResolveReference = (reference: string, from: object) => unknown;

/** Types of resource that need no clinical code. */
const ADMINISTRATIVE = new Set([
  ...PEOPLE_AND_PLACES,
  "HealthcareService",
  "OrganizationAffiliation",
  "Coverage",
]);

/** Codes for "not known" or "left out": text beside them is not the name of the code. */
const NOTHING_SAID = new Set([
  "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
  "http://terminology.hl7.org/CodeSystem/data-absent-reason",
]);

/** HL7's own extensions and profiles, whose meaning is published. Any other may mean anything. */
const PUBLISHED =
  /^http:\/\/hl7\.org\/fhir\/(?:\d\.\d\/|us\/core\/|us\/carin-bb\/)?StructureDefinition\/[A-Za-z0-9._-]+(?:\|[^|\s]+)?$/;

/** Published extensions in which a text is the name of a person, a place, a race or a people. */
const NAMING_EXTENSION =
  /\/(?:us-core-race|us-core-ethnicity|patient-mothersMaidenName|patient-birthPlace|humanname-[a-z-]+|iso21090-[A-Za-z-]+)$/;

const MAX_NODES = 200_000;
const MAX_DEPTH = 64;
const MAX_LINKED = 256;

/**
 * Finds every code in a FHIR resource, in any element, in contained resources and in resources that
 * it refers to as its reason or content; and everything else in it that could say something. By
 * steps.
 */
export function* codeSteps(...given: Parameters<typeof findCodes>): Steps<FoundCodes> {
  const { walk, found } = findCodes(...given);
  if (walk.isUnfinished()) yield* walk.finish();
  return found();
}

/** Does the work of one step. A plain function, since the engine runs generators more slowly. */
function findCodes(
  resource: unknown,
  rules: CompiledRules,
  isLabel: (code: string) => boolean,
  resolve?: ResolveReference,
): { readonly walk: Walk; readonly found: () => FoundCodes } {
  const labels = new Set<string>();
  const borne: Coding[] = [];
  const codes = new Map<string, UnjudgedCode>();
  const others = new Set<string>();
  const walked = new Set<object>();
  const idsWithin = new Map<object, ReadonlySet<unknown>>();
  const walking = createWalk();
  let clinical = 0;
  let linked = 0;
  let budget = MAX_NODES;
  const doubt = (what: string): void => {
    if (others.size < MAX_LINKED) others.add(what);
  };

  /** The position of a value within a resource. */
  interface Place {
    readonly key: string;
    /** The key of the object around it. */
    readonly parent: string;
    readonly depth: number;
    /** The resource to resolve references from, and to judge. */
    readonly from: object;
    readonly type: string;
    /** The published extension that the value is in: its parts have short names. */
    readonly published: string | undefined;
  }

  /** @returns whether the code is judged */
  function coding(value: Record<string, unknown>): boolean {
    const { system, code, display } = value;
    if (typeof system !== "string" || typeof code !== "string") {
      doubt("a code without a system");
      return false;
    }
    const name = codeSystem(system);
    if (name === CONFIDENTIALITY || (name === ACT_CODE && isLabel(code.trim()))) {
      borne.push({ system: name, code: code.trim() });
      return true;
    }
    const judgement = rules.judge(system, code);
    for (const label of judgement.labels) labels.add(label);
    if (!judgement.administrative && judgement.judged) clinical++;
    if (judgement.judged) return true;
    const called = typeof display === "string" ? { display } : {};
    codes.set(JSON.stringify([system, code]), { system, code, ...called });
    return false;
  }

  function concept(value: Record<string, unknown>, list: readonly unknown[], at: Place): void {
    const names = new Set<string>();
    const inside: Place = { ...at, key: "coding" };
    const one = (item: unknown): void => {
      if (!isObject(item)) return doubt(`${at.key}: a coding that is not an object`);
      codingAlone(item, inside);
      const { system, code, display } = item;
      if (typeof display !== "string" || typeof system !== "string") return;
      if (typeof code === "string" && !NOTHING_SAID.has(codeSystem(system)))
        names.add(loose(display));
    };
    if (list.length === 1) one(list[0]);
    else walking.each(list, one);
    if (walking.left > 0) conceptText(value, list.length === 0, names, at);
    else walking.later(() => conceptText(value, list.length === 0, names, at));
  }

  function conceptText(
    value: Record<string, unknown>,
    isEmpty: boolean,
    names: ReadonlySet<string>,
    at: Place,
  ): void {
    const { text } = value;
    if (isEmpty && text === undefined) doubt(`${at.key}: a concept without a code`);
    if (text !== undefined && !(typeof text === "string" && names.has(loose(text)))) {
      doubt(`${at.key}: a text beside the code`);
    }
    members(value, CONCEPT, at);
  }

  function codingAlone(value: Record<string, unknown>, at: Place): void {
    coding(value);
    const { system, code, display, unit } = value;
    const name = codeSystem(String(system));
    // The code says nothing, and yet the display does.
    if (display !== undefined && NOTHING_SAID.has(name)) doubt(`${at.key}: a null flavour`);
    // A unit may name what is counted: copies of HIV.
    const units = name === UCUM ? [code, unit] : [unit];
    if (!units.every((one) => one === undefined || (typeof one === "string" && isUnit(one))))
      doubt(`${at.key}: a unit with other words`);
    members(value, CODING, at);
  }

  function extension(value: Record<string, unknown>, at: Place): void {
    const url = String(value["url"]);
    // The parts of a published extension have short names.
    const part = at.published !== undefined && /^[A-Za-z0-9_-]+$/.test(url);
    const name = part ? at.published : url;
    const declared = rules.isAdministrative(name);
    // The URL of any other extension may say anything, whatever its value.
    if (!declared && !PUBLISHED.test(name)) doubt(`an extension that is not HL7's: ${url}`);
    const naming = declared || NAMING_EXTENSION.test(name);
    walking.each(Object.keys(value), (key) => {
      const item = value[key];
      if (key === "url" || (naming && typeof item === "string")) return;
      if (key === "valueUri" && isUnderstood(item)) return;
      member(key, item, at, at.parent, key === "extension" ? name : at.published);
    });
  }

  function securityLabels(value: unknown): void {
    const all = value === undefined ? [] : Array.isArray(value) ? value : [value];
    walking.each(all, (one) => {
      if (!readLabels(one, borne)) doubt("a security label without a code");
    });
  }

  function meta(value: unknown, at: Place): void {
    if (!isObject(value)) return doubt("meta");
    securityLabels(value["security"]);
    walking.each([value["profile"] ?? []].flat() as unknown[], (profile) => {
      if (!isUnderstood(profile)) doubt("a profile that is not HL7's");
    });
    members(value, META, at);
  }

  const isUnderstood = (url: unknown): boolean =>
    typeof url === "string" && (PUBLISHED.test(url) || rules.isAdministrative(url));

  function reference(value: Record<string, unknown>, at: Place): void {
    const { reference: literal, display } = value;
    members(value, REFERENCE, at);
    if (typeof literal === "string" && literal.startsWith("#")) {
      // A contained resource is walked with the resource that contains it.
      if (!isWithin(at.from, literal.slice(1)))
        doubt(`${at.key}: a reference to a missing contained resource`);
      return;
    }
    const named = typeof literal === "string" ? typeInName(literal) : undefined;
    let targets: readonly Record<string, unknown>[] = [];
    if (typeof literal === "string" && bearingOf(at.key, named) !== "who") {
      targets = look(literal, at);
    } else if (typeof literal === "string" && named === undefined) targets = look(literal, at);
    const said = typeof value["type"] === "string" ? value["type"] : undefined;
    const type = targets.length > 0 ? String(targets[0]!["resourceType"]) : (named ?? said);
    const bearing = bearingOf(at.key, type);
    if (bearing === "who") return;
    if (bearing === "aside") {
      if (display !== undefined) doubt(`${at.key}: a reference with a display`);
      return;
    }
    if (targets.length === 0) doubt(`${at.key}: an unresolved reference`);
    else if (display !== undefined && !targets.some((target) => isCalled(target, display)))
      doubt(`${at.key}: a reference whose display does not name its target`);
    for (const target of targets) walkResource(target, { ...at, depth: 0 });
  }

  function look(literal: string, { from }: Place): readonly Record<string, unknown>[] {
    if (++linked > MAX_LINKED) return [];
    const found = [resolve?.(literal, from)].flat() as unknown[];
    return found.every((one) => isObject(one)) ? found : [];
  }

  function isWithin(container: object, id: string): boolean {
    let ids = idsWithin.get(container);
    if (ids === undefined) idsWithin.set(container, (ids = idsOfContained(container)));
    return id === "" || ids.has(id);
  }

  /** Walks one value that is not a list, in any position. */
  function walk(value: unknown, at: Place): void {
    if (--budget < 0 || at.depth > MAX_DEPTH) return doubt("too much to walk");
    const { key } = at;
    if (typeof value === "string") {
      const isSaid = isPlain(key, value, at.parent, PEOPLE_AND_PLACES.has(at.type));
      // A code outside a coding has no system.
      if (!isSaid || key === "code") doubt(`${key}: a text`);
      return;
    }
    // A null holds the place of an item that the parallel list gives.
    if (!isObject(value)) return;
    if (typeof value["resourceType"] === "string") return walkResource(value, at);
    if (key === "extension") return extension(value, at);
    // It may turn the meaning of its element into the opposite.
    if (key === "modifierExtension") doubt("a modifier");
    if (Array.isArray(value["coding"])) return concept(value, value["coding"], at);
    if (isReference(value)) return reference(value, at);
    if (isAttachment(value)) doubt(`${key}: an attachment`);
    // A code written as a number is invalid, and yet it says something.
    if (["string", "number"].includes(typeof value["code"])) return codingAlone(value, at);
    members(value, NOTHING, at);
  }

  function members(value: Record<string, unknown>, done: ReadonlySet<string>, at: Place): void {
    membersFrom(value, Object.keys(value), 0, done, at);
  }

  function membersFrom(
    value: Record<string, unknown>,
    names: readonly string[],
    start: number,
    done: ReadonlySet<string>,
    at: Place,
  ): void {
    for (let i = start; i < names.length; i++) {
      if (walking.left-- <= 0) {
        return walking.later(() => membersFrom(value, names, i, done, at));
      }
      const name = names[i]!;
      if (!done.has(name)) member(name, value[name], at, at.key, undefined);
    }
  }

  function member(
    name: string,
    item: unknown,
    { depth, from, type }: Place,
    parent: string,
    published: string | undefined,
  ): void {
    // The extensions of a primitive value are in a sibling element.
    const key = name.startsWith("_") ? name.slice(1) : name;
    if (!ELEMENT_NAMES.has(key)) doubt(`an element that FHIR does not define: ${key.slice(0, 64)}`);
    if (key === "securityLabel") securityLabels(item);
    const place: Place = { key, parent, depth: depth + 1, from, type, published };
    if (Array.isArray(item)) items(item, 0, place);
    else walk(item, place);
  }

  function items(list: readonly unknown[], start: number, at: Place): void {
    for (let i = start; i < list.length; i++) {
      if (walking.left-- <= 0) return walking.later(() => items(list, i, at));
      const one = list[i];
      if (Array.isArray(one)) doubt(`${at.key}: a list in a list`);
      else walk(one, at);
    }
  }

  function walkResource(value: Record<string, unknown>, at: Place): void {
    if (at.depth > MAX_DEPTH) return doubt("too much to walk");
    if (walked.has(value)) return;
    walked.add(value);
    const type = String(value["resourceType"]);
    if (!JUDGED_TYPES.has(type)) doubt(`a ${type.slice(0, 64)}`);
    if (isAttachment(value)) doubt("an attachment");
    // A contained resource resolves references as its container does.
    const from = at.key === "contained" ? at.from : value;
    const depth = at.depth + 1;
    const own: Place = { key: "", parent: "", depth, from, type, published: undefined };
    elements(value, Object.keys(value), 0, own);
  }

  function elements(
    value: Record<string, unknown>,
    names: readonly string[],
    start: number,
    at: Place,
  ): void {
    for (let i = start; i < names.length; i++) {
      if (walking.left-- <= 0) return walking.later(() => elements(value, names, i, at));
      const name = names[i]!;
      if (name !== "resourceType" && name !== "id") element(name, value[name], at);
    }
  }

  function element(name: string, item: unknown, at: Place): void {
    if (name === "meta") meta(item, at);
    else if (name === "confidentiality" && typeof item === "string") {
      borne.push({ system: CONFIDENTIALITY, code: item.trim() });
    } else if (name === "text" && isObject(item)) {
      // A generated narrative repeats the elements; any other may say more.
      if (item["status"] !== "generated" && item["status"] !== "empty") doubt("a narrative");
      members(item, NARRATIVE, { ...at, key: "text" });
    } else member(name, item, at, "", undefined);
  }

  const isResource = isObject(resource) && typeof resource["resourceType"] === "string";
  if (!isResource) doubt("not a resource");
  else {
    const top = { key: "", parent: "", depth: 0, from: resource, type: "", published: undefined };
    walkResource(resource, top);
  }

  function found(): FoundCodes {
    const uncoded = clinical === 0 && codes.size === 0 && labels.size === 0;
    if (isResource && uncoded && !ADMINISTRATIVE.has(resource["resourceType"] as string)) {
      doubt("no clinical code");
    }
    return { labels, borne, unjudged: { codes: [...codes.values()], others } };
  }

  return { walk: walking, found };
}

/** @returns whether all of them are codes */
function readLabels(value: unknown, into: Coding[]): boolean {
  let whole = true;
  for (const one of (value === undefined ? [] : [value].flat()) as unknown[]) {
    const { system, code, coding } = isObject(one) ? one : {};
    if (typeof system === "string" && typeof code === "string" && code.trim() !== "") {
      into.push({ system: codeSystem(system), code: code.trim() });
    } else if (!Array.isArray(coding) || coding.length === 0 || !readLabels(coding, into)) {
      whole = false;
    }
  }
  return whole;
}

/**
 * Security labels of a Bundle or Composition that is read only in part: those in its `meta`, and
 * the confidentiality of a document.
 */
export function securityLabelsOf(whole: unknown): readonly Coding[] {
  const labels: Coding[] = [];
  if (!isObject(whole)) return labels;
  const { meta, confidentiality } = whole;
  // Keeps a label without a code as one that nobody understands, so that it gets no stamp.
  if (isObject(meta) && !readLabels(meta["security"], labels))
    labels.push({ system: "", code: "" });
  if (typeof confidentiality === "string") {
    labels.push({ system: CONFIDENTIALITY, code: confidentiality.trim() });
  }
  return labels;
}

const NOTHING: ReadonlySet<string> = new Set();
const CONCEPT: ReadonlySet<string> = new Set(["coding", "text"]);
const CODING: ReadonlySet<string> = new Set("system code display unit".split(" "));
const REFERENCE: ReadonlySet<string> = new Set(["reference", "display"]);
const NARRATIVE: ReadonlySet<string> = new Set(["status", "div"]);
const META: ReadonlySet<string> = new Set(["security", "profile", "source"]);

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAttachment(value: Record<string, unknown>): boolean {
  return typeof value["contentType"] === "string" || typeof value["data"] === "string";
}

/** Whether the codes that say what a resource is include this display. */
function isCalled(resource: Record<string, unknown>, display: unknown): boolean {
  if (typeof display !== "string") return false;
  const concepts = Object.values(resource).filter(isObject);
  const codings = concepts.flatMap(({ coding }) => (Array.isArray(coding) ? coding : []));
  return codings.some(
    (coding: unknown) =>
      isObject(coding) &&
      typeof coding["display"] === "string" &&
      loose(coding["display"]) === loose(display),
  );
}

const loose = (text: string): string => text.trim().toLowerCase().replace(/\s+/g, " ");

function idsOfContained(container: object): ReadonlySet<unknown> {
  const { contained } = container as { readonly contained?: unknown };
  return new Set(
    Array.isArray(contained) ? contained.map((one) => isObject(one) && one["id"]) : [],
  );
}
