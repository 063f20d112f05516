import type { Walk } from "../bytes/steps.ts";
import { type FhirCoding, isObject, type JsonObject, list, text } from "./resource.ts";

/** Most UTF-16 units of the other codes in a description. */
const MAX_UNITS = 32_768;

/** Extensions whose plain codes are of a list that FHIR fixes, like those of elements. */
const PUBLISHED = "http://hl7.org/fhir/";

export interface OtherCodes {
  readonly codes: readonly FhirCoding[];
  /** Whether there are more: too many to list, or some without a system or a code. */
  readonly more: boolean;
}

/** Collects codes, object by object. */
export interface OtherCodeCollector {
  /** Takes the codes of one JSON object, without those of nested objects. */
  look(value: JsonObject): void;
  /** Records that some codes were not looked at. */
  addUnknown(): void;
  found(): OtherCodes;
}

/**
 * Starts collecting every code of a resource, in any element, extension or contained resource.
 *
 * Units of a Quantity without a system, and elements of FHIR's primitive type `code` (`status`,
 * `gender`), whose lists FHIR fixes, do not count as codes here.
 *
 * @param known - codes to leave out
 */
export function collectOtherCodes(known: readonly FhirCoding[], walk: Walk): OtherCodeCollector {
  const codes: FhirCoding[] = [];
  const seen = new Set<string>();
  let units = 0;
  let more = false;
  const add = (coding: FhirCoding): void => {
    const key = keyOf(coding);
    if (seen.has(key)) return;
    seen.add(key);
    units += key.length;
    if (units > MAX_UNITS) more = true;
    else codes.push(coding);
  };
  const coding = (value: unknown): void => {
    const system = isObject(value) ? text(value["system"]) : undefined;
    const code = isObject(value) ? text(value["code"]) : undefined;
    if (system !== undefined && code !== undefined) add({ system, code });
    else if (code === undefined || !seen.has(keyOf({ code }))) more = true;
  };
  walk.each(known, (one) => void seen.add(keyOf(one)));
  return {
    look(value) {
      const { coding: codings, code } = value;
      if (Array.isArray(codings)) walk.each(codings as readonly unknown[], coding);
      else if (codings !== undefined && codings !== null) coding(codings);
      // An object in an element of this name is visited by itself.
      if (code !== undefined && !isUnit(value)) {
        for (const one of list(code)) {
          if (typeof one !== "object") coding({ system: value["system"], code: one });
        }
      }
      if (value["valueCode"] !== undefined && !text(value["url"])?.startsWith(PUBLISHED)) {
        more = true;
      }
    },
    addUnknown() {
      more = true;
    },
    found: () => ({ codes, more }),
  };
}

const keyOf = ({ system, code }: FhirCoding): string => JSON.stringify([system, code]);

/** Whether a code is the unit of a Quantity without a system, which only software reads. */
const isUnit = (value: Readonly<Record<string, unknown>>): boolean =>
  !("system" in value) && ("value" in value || "unit" in value);
