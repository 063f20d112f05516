import { type FhirCoding, isObject, list, text } from "./resource.ts";

/** Most UTF-16 units of the codes that a description repeats from elsewhere in a resource. */
const MAX_UNITS = 32_768;
/** Resources nest no deeper than this; `readBundle` refuses what does. */
const MAX_DEPTH = 1000;

/** Extensions whose plain codes are of a list that FHIR fixes, as those of elements are. */
const PUBLISHED = "http://hl7.org/fhir/";

export interface OtherCodes {
  readonly codes: readonly FhirCoding[];
  /** Whether there are more: too many to repeat, or some that name no system or no code. */
  readonly more: boolean;
}

/**
 * Every code of a resource wherever it stands: in any element, extension or contained resource.
 *
 * Units of a Quantity without a system, and elements of FHIR's primitive type `code` (`status`,
 * `gender`), whose lists FHIR fixes, are no codes in this sense.
 *
 * @param resource - as parsed; borrowed
 * @param known - codes to leave out
 */
export function otherCodesOf(resource: unknown, known: readonly FhirCoding[]): OtherCodes {
  const codes: FhirCoding[] = [];
  const seen = new Set(known.map(keyOf));
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
  const visit = (value: unknown, depth: number): void => {
    if (depth > MAX_DEPTH) {
      more = true;
    } else if (Array.isArray(value)) {
      for (const item of value) visit(item, depth + 1);
    } else if (isObject(value)) {
      for (const item of list(value["coding"])) coding(item);
      // Objects are what an element of this name holds, and are visited as such.
      const plain = list(value["code"]).filter((one) => typeof one !== "object");
      for (const code of plain) if (!isUnit(value)) coding({ system: value["system"], code });
      if (value["valueCode"] !== undefined && !text(value["url"])?.startsWith(PUBLISHED)) {
        more = true;
      }
      for (const name of Object.keys(value)) visit(value[name], depth + 1);
    }
  };
  visit(resource, 0);
  return { codes, more };
}

const keyOf = ({ system, code }: FhirCoding): string => JSON.stringify([system, code]);

/** A Quantity that says no system has a code that only software reads. */
const isUnit = (value: Readonly<Record<string, unknown>>): boolean =>
  !("system" in value) && ("value" in value || "unit" in value);
