import { nearestName } from "../../bytes/nearest.ts";
import { ConsentError } from "../../errors.ts";
import type { Coding, Rule, When } from "../model/model.ts";
import { isSystemName } from "../rules/alike.ts";
import { CONSENT_ACTIONS } from "./data/consent-actions.ts";
import { COUNTRIES } from "./data/countries.ts";
import { RESOURCE_TYPES } from "./data/resource-types.ts";
import {
  ACT_CODE,
  canonicalPurpose,
  canonicalSystem,
  CONFIDENTIALITY,
  type Terminology,
} from "./terminology.ts";

// A code that nobody else uses matches nothing, or may match anything. Whoever writes one by hand
// mostly meant another. A code of one's own states its system, which the functions here leave alone.

/** The parts of a request whose codes are checked. */
interface AskedCodes {
  readonly purposes: readonly string[];
  readonly action: string;
  readonly types: readonly string[];
}

/**
 * Checks the codes of a request.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` naming the first unknown code and the closest known one
 */
export function assertKnownRequest(asked: AskedCodes, terminology: Terminology): void {
  assertKnownPurposes(asked.purposes, terminology);
  assertKnownActions([asked.action]);
  assertKnownTypes(asked.types);
}

/**
 * Checks the codes of a rule and of the rules in it: purposes, actions, resource types, labels,
 * obligations and refrains. No list tells roles, parties, parts and clinical codes; those are not checked.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` naming the first unknown code and the closest known one
 */
export function assertKnownRule(rule: Rule, terminology: Terminology): void {
  assertKnownWhen(rule.when, terminology);
  const { obligations, refrains } = terminology.data;
  assertListed("obligation", rule.obligations ?? [], Object.keys(obligations));
  assertListed("refrain", rule.refrains ?? [], Object.keys(refrains));
  for (const inner of rule.rules ?? []) assertKnownRule(inner, terminology);
}

function assertKnownWhen({ purposes, actions, data }: When, terminology: Terminology): void {
  assertKnownPurposes(purposes ?? [], terminology);
  assertKnownActions(actions ?? []);
  assertKnownTypes(data?.types ?? []);
  for (const label of data?.labels ?? []) assertKnownLabel(label, terminology);
}

function assertKnownPurposes(purposes: readonly string[], terminology: Terminology): void {
  assertListed("purpose", purposes.map(canonicalPurpose), Object.keys(terminology.data.purposes));
}

function assertKnownActions(actions: readonly string[]): void {
  assertListed("action", actions, CONSENT_ACTIONS);
}

function assertKnownTypes(types: readonly string[]): void {
  const unknown = types.find((type) => !RESOURCE_TYPES.has(type) && !isSystemName(type));
  if (unknown !== undefined) throw unknownCode("resource type", unknown, RESOURCE_TYPES);
}

function assertKnownLabel({ system, code }: Coding, terminology: Terminology): void {
  const known = canonicalSystem(system);
  if (known === ACT_CODE) {
    if (terminology.labelsBelow(code) === undefined) {
      throw unknownCode("sensitivity label", code, Object.keys(terminology.data.sensitivity));
    }
  } else if (known === CONFIDENTIALITY) {
    if (terminology.confidentialityLevel(code) === undefined) {
      throw unknownCode("confidentiality", code, terminology.data.confidentiality);
    }
  } else if (!isSystemName(known)) {
    throw unknownCode("code system", system, [ACT_CODE, CONFIDENTIALITY]);
  }
}

/**
 * Checks the form of jurisdictions.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` naming the first unknown code and the closest known one
 */
export function assertKnownJurisdictions(codes: readonly string[]): void {
  const unknown = codes.find((code) => !isJurisdiction(code));
  if (unknown === undefined) return;
  const country = unknown.slice(0, 2).toUpperCase();
  // Of several that are equally close, the first is named.
  const listed = COUNTRIES.has(country) ? [country, ...COUNTRIES] : COUNTRIES;
  throw unknownCode("jurisdiction", unknown, listed);
}

/** Whether a code is one of ISO 3166-1, or has the form of one of ISO 3166-2. */
export function isJurisdiction(code: string): boolean {
  return COUNTRIES.has(code.slice(0, 2)) && /^[A-Z]{2}(?:-[A-Z0-9]{1,3})?$/.test(code);
}

/** Checks codes that are listed, or state a system as `system|code`. */
function assertListed(what: string, codes: readonly string[], listed: Iterable<string>): void {
  if (codes.length === 0) return;
  const known = new Set(listed);
  for (const code of codes) {
    if (known.has(code)) continue;
    const bar = code.lastIndexOf("|");
    if (bar < 0 || bar === code.length - 1 || !isSystemName(code.slice(0, bar))) {
      throw unknownCode(what, code, known);
    }
  }
}

/** Longest code that is repeated in a message. */
const MOST_SHOWN = 64;

function unknownCode(what: string, code: string, known: Iterable<string>): ConsentError {
  const shown = code.slice(0, MOST_SHOWN);
  const nearest = nearestName(shown, known);
  const closest = nearest === undefined ? "" : `; the closest is "${nearest.name}"`;
  return new ConsentError("ERR_CONSENT_TERMINOLOGY", `no ${what} "${shown}" is known${closest}`);
}
