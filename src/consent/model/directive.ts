import { type CID, cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectVersion,
  type Fields,
} from "../../codec/shape.ts";
import { ConsentError } from "../../errors.ts";
import {
  type CapacityScope,
  MAX_DIRECTIVE_BYTES,
  MAX_RULE_DEPTH,
  MAX_RULES,
  MAX_TEXT,
  MAX_VALUES,
  type Coding,
  type DataFilter,
  type Directive,
  type Overlay,
  type Requirement,
  type Rule,
  type Validity,
  type When,
} from "./model.ts";
import { endOf, isDateValue, startOf, type DateValue, type Period } from "./time.ts";
import { DIRECTIVE_FORMS } from "./witness.ts";
import { findZone, isZoneName } from "./zone.ts";

const invalid = (what: string) => new ConsentError("ERR_CONSENT_INVALID", what);
const LIMITS = { maxBytes: MAX_DIRECTIVE_BYTES, maxDepth: 48, maxItems: 500_000 } as const;

/**
 * Encodes a directive in its canonical form.
 *
 * @returns DAG-CBOR, newly allocated
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive contradicts itself
 * @throws {EncodingError} when a field is missing, unknown, of another type or too large
 * @throws {InputError} `ERR_INPUT_INVALID` when a predecessor is not an entry's id
 * @example
 * const bytes = encodeDirective(directive);
 */
export function encodeDirective(directive: Directive): Uint8Array {
  const { predecessors } = directive;
  const named = Array.isArray(predecessors) ? predecessors.map(entryIdBytes) : predecessors;
  const bytes = encode({ ...directive, predecessors: named });
  decodeDirective(bytes);
  return bytes;
}

/**
 * Decodes a directive, accepting only its canonical form.
 *
 * @param bytes - DAG-CBOR; hostile input is refused within fixed bounds
 * @throws {EncodingError} when the bytes are not canonical DAG-CBOR of the right shape
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive contradicts itself
 * @example
 * const directive = decodeDirective(bytes);
 * directive.mode; // "replace", "amend", "suspend" or "revoke"
 */
export function decodeDirective(bytes: Uint8Array): Directive {
  return checkDirective(decode(bytes, LIMITS));
}

/**
 * Names a directive by the CID of its canonical form.
 *
 * @example
 * directiveCid(directive).equals(reason.directive); // whether a reason is about this directive
 */
export function directiveCid(directive: Directive): CID {
  return cidOf(encodeDirective(directive), DAG_CBOR);
}

/** Encodes a legal overlay in its canonical form; throws as {@link encodeDirective} does. */
export function encodeOverlay(overlay: Overlay): Uint8Array {
  const bytes = encode(overlay);
  decodeOverlay(bytes);
  return bytes;
}

/** Decodes a legal overlay; throws as {@link decodeDirective} does. */
export function decodeOverlay(bytes: Uint8Array): Overlay {
  const value = decode(bytes, LIMITS);
  const map = expectMap(
    value,
    "overlay",
    ["v", "basis", "validity", "root"],
    ["jurisdictions", "require"],
  );
  expectVersion(map["v"], "overlay");
  expectNoNuls(map, "overlay");
  checkBasis(map["basis"]);
  if (map["jurisdictions"] !== undefined) strings(map["jurisdictions"], "jurisdictions", 64);
  checkValidity(map["validity"]);
  checkRule(map["root"], 1, { rules: 0, ids: new Set() });
  if (map["require"] !== undefined) checkRequirement(map["require"]);
  return value as Overlay;
}

function checkDirective(value: unknown): Directive {
  const map = expectMap(
    value,
    "directive",
    ["v", "lineage", "predecessors", "mode", "grantor", "basis", "validity", "default"],
    ["controller", "category", "jurisdictions", "root"],
  );
  expectVersion(map["v"], "directive");
  expectNoNuls(map, "directive");
  text(map["lineage"], "lineage");
  const predecessors = new Set<EntryId>();
  for (const item of expectArray(map["predecessors"], "predecessors", 16)) {
    const id = toEntryId(expectBytes(item, "predecessor", 32));
    if (predecessors.has(id)) throw invalid("a predecessor is named twice");
    predecessors.add(id);
  }
  const mode = expectOneOf(map["mode"], "mode", ["replace", "amend", "suspend", "revoke"]);
  const grantor = expectMap(map["grantor"], "grantor", ["actor", "capacity", "evidence"]);
  text(grantor["actor"], "grantor.actor");
  expectOneOf(grantor["capacity"], "capacity", ["self", "guardian", "proxy", "court"]);
  for (const cid of expectArray(grantor["evidence"], "evidence", 64)) expectCid(cid, "evidence");
  if (map["controller"] !== undefined) text(map["controller"], "controller");
  if (map["category"] !== undefined) text(map["category"], "category");
  if (map["jurisdictions"] !== undefined) strings(map["jurisdictions"], "jurisdictions", 64);
  checkBasis(map["basis"]);
  const validity = checkValidity(map["validity"]);
  const fallback = expectOneOf(map["default"], "default", ["permit", "deny", "none"]);
  if (mode !== "replace" && fallback !== "none") {
    throw invalid(`a directive of mode ${mode} must not have a default`);
  }
  if (mode === "suspend" || mode === "revoke") {
    if (map["root"] !== undefined) throw invalid(`a directive of mode ${mode} must not have rules`);
    if (validity.to !== undefined)
      throw invalid(`a ${mode} must not have an end: only a later directive ends it`);
  } else {
    if (map["root"] === undefined) throw invalid(`a directive of mode ${mode} needs rules`);
    checkRule(map["root"], 1, { rules: 0, ids: new Set() });
  }
  return { ...map, predecessors: [...predecessors] } as unknown as Directive;
}

interface RuleBudget {
  rules: number;
  readonly ids: Set<string>;
}

function checkRule(value: unknown, depth: number, budget: RuleBudget): Rule {
  if (depth > MAX_RULE_DEPTH) throw invalid(`rules nest deeper than ${MAX_RULE_DEPTH}`);
  if (++budget.rules > MAX_RULES) throw invalid(`more than ${MAX_RULES} rules`);
  const map = expectMap(
    value,
    "rule",
    ["id", "effect", "combine", "when"],
    ["obligations", "refrains", "breakGlass", "rules"],
  );
  const id = text(map["id"], "rule.id");
  if (budget.ids.has(id)) throw invalid("two rules have the same id");
  budget.ids.add(id);
  expectOneOf(map["effect"], "effect", ["permit", "deny"]);
  expectOneOf(map["combine"], "combine", ["deny-overrides", "permit-overrides"]);
  checkWhen(map["when"]);
  if (map["obligations"] !== undefined) strings(map["obligations"], "obligations", 64);
  if (map["refrains"] !== undefined) strings(map["refrains"], "refrains", 64);
  if (map["breakGlass"] !== undefined) {
    expectOneOf(map["breakGlass"], "breakGlass", ["allowed", "never"]);
  }
  if (map["rules"] !== undefined) {
    for (const rule of filled(map["rules"], "rules", MAX_RULES)) checkRule(rule, depth + 1, budget);
  }
  return map as unknown as Rule;
}

function checkWhen(value: unknown): When {
  const map = expectMap(
    value,
    "when",
    [],
    ["validity", "actors", "roles", "purposes", "actions", "data"],
  );
  if (map["validity"] !== undefined) checkPeriod(map["validity"], "when.validity");
  if (map["actors"] !== undefined) {
    for (const item of filled(map["actors"], "actors", MAX_VALUES)) {
      const actor = expectMap(item, "actor", ["type", "id"]);
      expectOneOf(actor["type"], "actor.type", [
        "person",
        "organisation",
        "care-team",
        "group",
        "device",
        "role",
      ]);
      text(actor["id"], "actor.id");
    }
  }
  for (const name of ["roles", "purposes", "actions"]) {
    if (map[name] !== undefined) strings(map[name], name, MAX_VALUES);
  }
  if (map["data"] !== undefined) checkData(map["data"]);
  return map as When;
}

/** Checks the bounds of a capacity; throws as {@link decodeDirective} does. */
export function expectCapacityScope(value: unknown): CapacityScope {
  const map = expectMap(value, "scope", [], ["purposes", "actions", "data"]);
  if (Object.keys(map).length === 0) throw invalid("a scope is present but empty");
  return checkWhen(value);
}

function checkData(value: unknown): DataFilter {
  const names = ["types", "codes", "labels", "period", "refs", "parts"];
  const map = expectMap(value, "data", [], names);
  if (Object.keys(map).length === 0) throw invalid("data is present but empty");
  if (map["types"] !== undefined) strings(map["types"], "types", MAX_VALUES);
  if (map["parts"] !== undefined) strings(map["parts"], "parts", MAX_VALUES);
  for (const name of ["codes", "labels"]) {
    if (map[name] === undefined) continue;
    for (const item of filled(map[name], name, MAX_VALUES)) checkCoding(item, name);
  }
  if (map["period"] !== undefined) checkPeriod(map["period"], "data.period");
  if (map["refs"] !== undefined) {
    for (const item of filled(map["refs"], "refs", MAX_VALUES)) {
      const ref = expectMap(item, "ref", ["meaning", "reference"]);
      const meanings = ["instance", "related", "dependents", "authoredby"] as const;
      expectOneOf(ref["meaning"], "ref.meaning", meanings);
      text(ref["reference"], "ref.reference");
    }
  }
  return map as DataFilter;
}

function checkRequirement(value: unknown): Requirement {
  const names = ["namesLabel", "grantorCapacity", "recipientNamed", "form"];
  const map = expectMap(value, "require", [], names);
  if (map["namesLabel"] !== undefined) checkCoding(map["namesLabel"], "namesLabel");
  if (map["grantorCapacity"] !== undefined) {
    for (const item of filled(map["grantorCapacity"], "grantorCapacity", 4)) {
      expectOneOf(item, "capacity", ["self", "guardian", "proxy", "court"]);
    }
  }
  if (map["form"] !== undefined) {
    for (const item of filled(map["form"], "form", 4)) expectOneOf(item, "form", DIRECTIVE_FORMS);
  }
  if (map["recipientNamed"] !== undefined && map["recipientNamed"] !== true) {
    throw invalid("recipientNamed must be absent or true");
  }
  return map as Requirement;
}

function checkBasis(value: unknown): void {
  const basis = expectMap(value, "basis", ["uri", "version"]);
  text(basis["uri"], "basis.uri");
  expectString(basis["version"], "basis.version", MAX_TEXT);
}

function checkValidity(value: unknown): Validity {
  const map = expectMap(value, "validity", ["from", "zone"], ["to"]);
  checkEnds(map, "validity");
  if (!isZoneName(text(map["zone"], "zone"))) throw invalid("zone is not the name of a time zone");
  return map as unknown as Validity;
}

function checkPeriod(value: unknown, what: string): Period {
  const map = expectMap(value, what, [], ["from", "to"]);
  if (Object.keys(map).length === 0) throw invalid(`${what} has neither a beginning nor an end`);
  checkEnds(map, what);
  return map as Period;
}

const WIDEST_OFFSET = 14 * 3_600_000;

function checkEnds(map: Fields, what: string): void {
  for (const end of ["from", "to"]) {
    if (map[end] !== undefined && !isDateValue(map[end])) {
      throw invalid(`${what}.${end} is neither an instant nor a date`);
    }
  }
  const from = map["from"] as DateValue | undefined;
  const to = map["to"] as DateValue | undefined;
  if (typeof from === "number" && typeof to === "number" && from > to) {
    throw invalid(`${what} ends before it begins`);
  }
  // A date begins and ends within a bounded offset of UTC: refuse a period inverted in every zone.
  const utc = findZone("UTC")!;
  const mixed = from !== undefined && to !== undefined && typeof from !== typeof to;
  if (mixed && startOf(from, utc)! - WIDEST_OFFSET > endOf(to, utc)!) {
    throw invalid(`${what} ends before it begins`);
  }
  if (typeof from === "string" && typeof to === "string") {
    const shared = Math.min(from.length, to.length);
    if (from.slice(0, shared) > to.slice(0, shared)) throw invalid(`${what} ends before it begins`);
  }
}

function checkCoding(value: unknown, what: string): Coding {
  const map = expectMap(value, what, ["system", "code"]);
  text(map["system"], `${what}.system`);
  text(map["code"], `${what}.code`);
  return map as unknown as Coding;
}

function text(value: unknown, what: string): string {
  const string = expectString(value, what, MAX_TEXT);
  if (string === "") throw invalid(`${what} is empty`);
  return string;
}

/** Refuses an empty list: an attribute without values could never match. */
function filled(value: unknown, what: string, max: number): readonly unknown[] {
  const items = expectArray(value, what, max);
  if (items.length === 0) throw invalid(`${what} is present but empty`);
  return items;
}

function strings(value: unknown, what: string, max: number): void {
  for (const item of filled(value, what, max)) text(item, what);
}
