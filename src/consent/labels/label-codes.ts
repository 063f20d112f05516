import { isJsonObject } from "../../bytes/guards.ts";
import { createWalk, type Steps, type Walk } from "../../bytes/steps.ts";
import { codeSystem, UCUM } from "../terminology/code-systems.ts";
import { ELEMENT_NAMES, JUDGED_TYPES } from "./data/fhir-elements.ts";
import { bearingOf, isReference, PEOPLE_AND_PLACES, typeInName } from "./label-references.ts";
import type { CompiledRules } from "./label-rules.ts";
import { foldName, isCalled, nameOfCode, NOTHING_SAID } from "./label-names.ts";
import { isPlain, isUnit } from "./label-strings.ts";
import type { Coding } from "../model/model.ts";
import { readLabels } from "./security-labels.ts";
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

  function coding(value: Record<string, unknown>, name: string): void {
    const { system, code, display } = value;
    if (typeof system !== "string" || typeof code !== "string") {
      return doubt("a code without a system");
    }
    if (name === CONFIDENTIALITY || (name === ACT_CODE && isLabel(code.trim()))) {
      borne.push({ system: name, code: code.trim() });
      return;
    }
    const judgement = rules.judge(system, code);
    for (const label of judgement.labels) labels.add(label);
    if (!judgement.administrative && judgement.judged) clinical++;
    if (judgement.judged) return;
    const called = typeof display === "string" ? { display } : {};
    codes.set(JSON.stringify([system, code]), { system, code, ...called });
  }

  function concept(value: Record<string, unknown>, list: readonly unknown[], at: Place): void {
    const { text } = value;
    /** Whether the text is the name of one of the codes. */
    let isName = false;
    let said: string | undefined;
    const inside: Place = { ...at, key: "coding" };
    const one = (item: unknown): void => {
      if (!isJsonObject(item)) return doubt(`${at.key}: a coding that is not an object`);
      codingAlone(item, inside);
      if (typeof text !== "string" || isName) return;
      const name = nameOfCode(item);
      isName =
        name === text || (name !== undefined && foldName(name) === (said ??= foldName(text)));
    };
    if (list.length === 1) one(list[0]);
    else walking.each(list, one);
    walking.after(() => {
      if (list.length === 0 && text === undefined) doubt(`${at.key}: a concept without a code`);
      if (text !== undefined && !isName) doubt(`${at.key}: a text beside the code`);
      members(value, CONCEPT, at);
    });
  }

  function codingAlone(value: Record<string, unknown>, at: Place): void {
    const { system, code, display, unit } = value;
    const name = codeSystem(String(system));
    coding(value, name);
    // The code says nothing, and yet the display does.
    if (display !== undefined && NOTHING_SAID.has(name)) doubt(`${at.key}: a null flavour`);
    // A unit may name what is counted: copies of HIV.
    if (!isUnitOrNone(unit) || (name === UCUM && !isUnitOrNone(code)))
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
    if (value === undefined) return;
    walking.each(Array.isArray(value) ? value : [value], (one: unknown) => {
      if (!readLabels(one, borne)) doubt("a security label without a code");
    });
  }

  function meta(value: unknown, at: Place): void {
    if (!isJsonObject(value)) return doubt("meta");
    securityLabels(value["security"]);
    const { profile } = value;
    if (profile !== undefined && profile !== null) {
      walking.each(Array.isArray(profile) ? profile : [profile], (one: unknown) => {
        if (!isUnderstood(one)) doubt("a profile that is not HL7's");
      });
    }
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
    const target = resolve?.(literal, from);
    if (target === undefined) return [];
    const found = (Array.isArray(target) ? target : [target]) as unknown[];
    return found.every((one) => isJsonObject(one)) ? found : [];
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
    if (typeof value === "string") return words(value, key, at.parent, at.type);
    // A null holds the place of an item that the parallel list gives.
    if (!isJsonObject(value)) return;
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

  function words(value: string, key: string, parent: string, type: string): void {
    // A code outside a coding has no system.
    if (key === "code" || !isPlain(key, value, parent, type)) doubt(`${key}: a text`);
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
    if (typeof item !== "object" || item === null) {
      // As `walk` does, without a place for it.
      if (--budget < 0 || depth >= MAX_DEPTH) return doubt("too much to walk");
      if (typeof item === "string") words(item, key, parent, type);
      return;
    }
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
    } else if (name === "text" && isJsonObject(item)) {
      // A generated narrative repeats the elements; any other may say more.
      if (item["status"] !== "generated" && item["status"] !== "empty") doubt("a narrative");
      members(item, NARRATIVE, { ...at, key: "text" });
    } else member(name, item, at, "", undefined);
  }

  const isResource = isJsonObject(resource) && typeof resource["resourceType"] === "string";
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

const NOTHING: ReadonlySet<string> = new Set();
const CONCEPT: ReadonlySet<string> = new Set(["coding", "text"]);
const CODING: ReadonlySet<string> = new Set("system code display unit".split(" "));
const REFERENCE: ReadonlySet<string> = new Set(["reference", "display"]);
const NARRATIVE: ReadonlySet<string> = new Set(["status", "div"]);
const META: ReadonlySet<string> = new Set(["security", "profile", "source"]);

function isAttachment(value: Record<string, unknown>): boolean {
  return typeof value["contentType"] === "string" || typeof value["data"] === "string";
}

const isUnitOrNone = (unit: unknown): boolean =>
  unit === undefined || (typeof unit === "string" && isUnit(unit));

function idsOfContained(container: object): ReadonlySet<unknown> {
  const { contained } = container as { readonly contained?: unknown };
  return new Set(
    Array.isArray(contained) ? contained.map((one) => isJsonObject(one) && one["id"]) : [],
  );
}
