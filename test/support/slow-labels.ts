import {
  ELEMENT_NAMES,
  JUDGED_TYPES,
  TOKEN_ELEMENTS,
} from "../../src/consent/labels/data/fhir-elements.ts";
import type {
  FoundCodes,
  ResolveReference,
  UnjudgedCode,
} from "../../src/consent/labels/label-codes.ts";
import {
  bearingOf,
  PEOPLE_AND_PLACES,
  typeInName,
} from "../../src/consent/labels/label-references.ts";
import type { CompiledRules } from "../../src/consent/labels/label-rules.ts";
import type { Coding } from "../../src/consent/model/model.ts";
import { codeSystem, UCUM } from "../../src/consent/terminology/code-systems.ts";
import { ACT_CODE, CONFIDENTIALITY } from "../../src/consent/terminology/terminology.ts";

const ADMINISTRATIVE = new Set([
  ...PEOPLE_AND_PLACES,
  "HealthcareService",
  "OrganizationAffiliation",
  "Coverage",
]);

const NOTHING_SAID = new Set([
  "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
  "http://terminology.hl7.org/CodeSystem/data-absent-reason",
]);

const PUBLISHED =
  /^http:\/\/hl7\.org\/fhir\/(?:\d\.\d\/|us\/core\/|us\/carin-bb\/)?StructureDefinition\/[A-Za-z0-9._-]+(?:\|[^|\s]+)?$/;

const NAMING_EXTENSION =
  /\/(?:us-core-race|us-core-ethnicity|patient-mothersMaidenName|patient-birthPlace|humanname-[a-z-]+|iso21090-[A-Za-z-]+)$/;

const MAX_NODES = 200_000;
const MAX_DEPTH = 64;
const MAX_LINKED = 256;

/** As `codeSteps`, by plain loops: what it must agree with. */
export function findSlowly(
  resource: unknown,
  rules: CompiledRules,
  isLabel: (code: string) => boolean,
  resolve?: ResolveReference,
): FoundCodes {
  const labels = new Set<string>();
  const borne: Coding[] = [];
  const codes = new Map<string, UnjudgedCode>();
  const others = new Set<string>();
  const walked = new Set<object>();
  const idsWithin = new Map<object, ReadonlySet<unknown>>();
  let clinical = 0;
  let linked = 0;
  let budget = MAX_NODES;
  const doubt = (what: string): void => {
    if (others.size < MAX_LINKED) others.add(what);
  };

  interface Place {
    readonly key: string;
    readonly parent: string;
    readonly depth: number;
    readonly from: object;
    readonly type: string;
    readonly published: string | undefined;
  }

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
    list.forEach(one);
    conceptText(value, list.length === 0, names, at);
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
    if (display !== undefined && NOTHING_SAID.has(name)) doubt(`${at.key}: a null flavour`);
    const units = name === UCUM ? [code, unit] : [unit];
    if (!units.every((one) => one === undefined || (typeof one === "string" && isUnit(one))))
      doubt(`${at.key}: a unit with other words`);
    members(value, CODING, at);
  }

  function extension(value: Record<string, unknown>, at: Place): void {
    const url = String(value["url"]);
    const part = at.published !== undefined && /^[A-Za-z0-9_-]+$/.test(url);
    const name = part ? at.published : url;
    const declared = rules.isAdministrative(name);
    if (!declared && !PUBLISHED.test(name)) doubt(`an extension that is not HL7's: ${url}`);
    const naming = declared || NAMING_EXTENSION.test(name);
    Object.keys(value).forEach((key) => {
      const item = value[key];
      if (key === "url" || (naming && typeof item === "string")) return;
      if (key === "valueUri" && isUnderstood(item)) return;
      member(key, item, at, at.parent, key === "extension" ? name : at.published);
    });
  }

  function securityLabels(value: unknown): void {
    const all = value === undefined ? [] : Array.isArray(value) ? value : [value];
    all.forEach((one: unknown) => {
      if (!readLabels(one, borne)) doubt("a security label without a code");
    });
  }

  function meta(value: unknown, at: Place): void {
    if (!isObject(value)) return doubt("meta");
    securityLabels(value["security"]);
    ([value["profile"] ?? []].flat() as unknown[]).forEach((profile: unknown) => {
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

  function walk(value: unknown, at: Place): void {
    if (--budget < 0 || at.depth > MAX_DEPTH) return doubt("too much to walk");
    const { key } = at;
    if (typeof value === "string") {
      const isSaid = isPlain(key, value, at.parent, PEOPLE_AND_PLACES.has(at.type));
      if (!isSaid || key === "code") doubt(`${key}: a text`);
      return;
    }
    if (!isObject(value)) return;
    if (typeof value["resourceType"] === "string") return walkResource(value, at);
    if (key === "extension") return extension(value, at);
    if (key === "modifierExtension") doubt("a modifier");
    if (Array.isArray(value["coding"])) return concept(value, value["coding"], at);
    if (isReference(value)) return reference(value, at);
    if (isAttachment(value)) doubt(`${key}: an attachment`);
    if (["string", "number"].includes(typeof value["code"])) return codingAlone(value, at);
    members(value, NOTHING, at);
  }

  function members(value: Record<string, unknown>, done: ReadonlySet<string>, at: Place): void {
    for (const name of Object.keys(value)) {
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
    const key = name.startsWith("_") ? name.slice(1) : name;
    if (!ELEMENT_NAMES.has(key)) doubt(`an element that FHIR does not define: ${key.slice(0, 64)}`);
    if (key === "securityLabel") securityLabels(item);
    const place: Place = { key, parent, depth: depth + 1, from, type, published };
    if (Array.isArray(item)) items(item, place);
    else walk(item, place);
  }

  function items(list: readonly unknown[], at: Place): void {
    for (const one of list) {
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
    const from = at.key === "contained" ? at.from : value;
    const depth = at.depth + 1;
    const own: Place = { key: "", parent: "", depth, from, type, published: undefined };
    for (const name of Object.keys(value)) {
      if (name !== "resourceType" && name !== "id") element(name, value[name], own);
    }
  }

  function element(name: string, item: unknown, at: Place): void {
    if (name === "meta") meta(item, at);
    else if (name === "confidentiality" && typeof item === "string") {
      borne.push({ system: CONFIDENTIALITY, code: item.trim() });
    } else if (name === "text" && isObject(item)) {
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

  const uncoded = clinical === 0 && codes.size === 0 && labels.size === 0;
  if (isResource && uncoded && !ADMINISTRATIVE.has(resource["resourceType"] as string)) {
    doubt("no clinical code");
  }
  return { labels, borne, unjudged: { codes: [...codes.values()], others } };
}

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

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

const NAMES = words("family given prefix suffix line city district state postalCode country");

const NUMBERS = words(`accountNumber deviceIdentifier distinctIdentifier lotNumber modelNumber
  preAuthRef referenceNumber serialNumber state status subscriberId system type value`);

const NAMED = words("name address valueHumanName valueAddress");
const NAME_OR_ADDRESS = /(?:name|address)$/i;
const TELECOM = words("telecom valueContactPoint");

const TIME =
  /^(?:\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?|\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)$/;

const VERSION = /^(?:v?\d|https?:\/\/)\S{0,255}$/i;

const TELEPHONE = /^[\d\s()+\-./x]{1,40}$/;

const UNITS =
  words(`% /min beats bpm breaths cells cm copies d day days degF Cel dL fL g h hour hours IU
  IntlUnit kg kIU km kPa L lb lbs lx m mcg mEq mg min minute minutes mIU mL mm mmHg mmol mo month months
  mOsm ms ng nm nmol pg pmol s sec second seconds score U ug uIU uL umol week weeks wk year years yr a
  in inch ft oz C F K Hg m2 m3 tablet tablets tab tabs tbl capsule capsules cap caps count ratio times
  av i us arb iU mIU kU ml dl ul l mcL cfu inr index log titer nominal T pH pack packs drop drops
  drp puff puffs spray unit units dose doses each ea kat nkat ukat eq fmol J kJ cal kcal W Hz kHz dB Pa
  hPa bar mbar Gy mGy cGy Sv mSv Bq kBq MBq V mV rad deg diop dyn N sr cd lm lx A mA Ohm mOhm MoM DDD
  rpm dpi pixel pixels`);

function isPlain(element: string, text: string, parent: string, ofPeople: boolean): boolean {
  if (TIME.test(text)) return true;
  if (element === "id") return /^[A-Za-z0-9\-._]{1,64}$/.test(text);
  if (element === "version" && VERSION.test(text)) return true;
  // The names of people and places are not judged.
  if (NAMES.has(element)) return NAME_OR_ADDRESS.test(parent);
  if (element === "text" && NAMED.has(parent)) return true;
  if (ofPeople && (element === "name" || element === "alias")) return true;
  if (element === "value" && TELECOM.has(parent)) return true;
  // The class of a coverage may be the name of a programme.
  if (element === "value" && parent === "class") return TELEPHONE.test(text);
  if (element === "unit") return isUnit(text);
  if (element === "value" && TELEPHONE.test(text)) return true;
  return (TOKEN_ELEMENTS.has(element) || NUMBERS.has(element)) && /^\S{1,256}$/.test(text);
}

function isUnit(text: string): boolean {
  if (text.length > 40) return false;
  const words = text.split(/[\s/.,*^()[\]{}_'"#\d-]+/).filter((word) => word !== "");
  return words.every((word) => UNITS.has(word) || UNITS.has(word.toLowerCase()));
}

const MEMBERS = words("reference type identifier display id extension");

function isReference(value: Record<string, unknown>): boolean {
  if (typeof value["reference"] === "string" || value["_reference"] !== undefined) return true;
  const keys = Object.keys(value).filter((key) => !key.startsWith("_"));
  return (
    keys.every((key) => MEMBERS.has(key)) &&
    (value["identifier"] !== undefined || value["display"] !== undefined)
  );
}
