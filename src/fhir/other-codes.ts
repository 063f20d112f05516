import type { Walk } from "../bytes/steps.ts";
import { type Distinct, distinct } from "./distinct.ts";
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
  const seen = distinctCodings();
  /** At least the units of the codes, while that is not above the limit; then exactly. */
  let units = 0;
  let isExact = false;
  let more = false;
  const hasRoom = (coding: FhirCoding): boolean => {
    if (!isExact) {
      units += mostUnits(coding);
      if (units <= MAX_UNITS) return true;
      isExact = true;
      units = keyOf(coding).length;
      for (const one of codes) units += keyOf(one).length;
    } else units += keyOf(coding).length;
    return units <= MAX_UNITS;
  };
  const add = (system: string | undefined, code: string | undefined): void => {
    if (system === undefined || code === undefined) {
      if (code === undefined || !seen.has({ code })) more = true;
      return;
    }
    const coding = { system, code };
    if (!seen.add(coding)) return;
    if (hasRoom(coding)) codes.push(coding);
    else more = true;
  };
  const addItem = (value: unknown): void => {
    if (isObject(value)) add(text(value["system"]), text(value["code"]));
    else more = true;
  };
  walk.each(known, (one) => void seen.add(one));
  return {
    look(value) {
      const { coding: codings, code } = value;
      if (Array.isArray(codings)) {
        if (codings.length === 1) addItem(codings[0]);
        else walk.each(codings as readonly unknown[], addItem);
      } else if (codings !== undefined && codings !== null) addItem(codings);
      // An object in an element of this name is visited by itself.
      if (code !== undefined && !isUnit(value)) {
        if (typeof code === "string") add(text(value["system"]), text(code));
        else {
          for (const one of list(code)) {
            if (typeof one !== "object") add(text(value["system"]), text(one));
          }
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

/** Starts a list of distinct codings. */
export function distinctCodings(): Distinct<FhirCoding> {
  return distinct(isSameCoding, keyOf);
}

const isSameCoding = (one: FhirCoding, other: FhirCoding): boolean =>
  one.code === other.code && one.system === other.system;

const keyOf = ({ system, code }: FhirCoding): string => JSON.stringify([system, code]);

/** The length of a key, if every unit in it needed an escape of six units. */
const mostUnits = ({ system = "", code }: FhirCoding): number =>
  6 * (system.length + code.length) + 7;

/** Whether a code is the unit of a Quantity without a system, which only software reads. */
const isUnit = (value: Readonly<Record<string, unknown>>): boolean =>
  !("system" in value) && ("value" in value || "unit" in value);
