import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { type DateSpan, parseDate } from "./date.ts";
import { isPlaceholder } from "./placeholder.ts";
import { codingsOf, type FhirResource, isObject, list, text, trimmed } from "./resource.ts";

/** A business identifier of a person: the system that assigned it, and its value. */
export interface PatientIdentifier {
  readonly system: string;
  readonly value: string;
}

/** Whether two identifiers are one. */
export const isSameIdentifier = (one: PatientIdentifier, other: PatientIdentifier): boolean =>
  one.system === other.system && one.value === other.value;

export interface PatientIdentifiersOptions {
  /**
   * The current time, in ms since 1970. Without it, identifiers with a stated end count as expired.
   */
  readonly now?: number | undefined;
}

export interface PreferredIdentifierOptions extends PatientIdentifiersOptions {
  /** Identifier systems in order of preference; the first that the patient has is chosen. */
  readonly systems?: readonly string[];
}

interface Candidate extends PatientIdentifier {
  readonly types: readonly string[];
  readonly use: string | undefined;
}

const IDENTIFIER_TYPES: readonly string[] = [
  "http://terminology.hl7.org/CodeSystem/v2-0203",
  "http://hl7.org/fhir/v2/0203",
];

const PATIENT_IDENTIFIERS_OPTIONS: OptionsOf<PatientIdentifiersOptions> = { now: true };

/**
 * Lists a Patient's identifiers that have both a system and a value, except those that are no
 * longer in use (`old`, or expired) or not yet, whose period cannot be read, or that mean "not
 * known" (`000-00-0000`, `999-99-9999`, `unknown`).
 *
 * @param patient - a FHIR Patient (or anything with an `identifier` element)
 * @example
 * const numbers = patientIdentifiers(patient, { now: Date.now() });
 */
export function patientIdentifiers(
  patient: FhirResource,
  options: PatientIdentifiersOptions = {},
): readonly PatientIdentifier[] {
  assertOptions(options, PATIENT_IDENTIFIERS_OPTIONS, "patientIdentifiers");
  return candidates(patient, options).map(({ system, value }) => ({ system, value }));
}

/**
 * Lists the identifiers of a Patient that are marked `old` and have both a system and a value: numbers that
 * were theirs.
 */
export function formerIdentifiers(patient: FhirResource): readonly PatientIdentifier[] {
  return list(patient["identifier"]).flatMap((identifier) => {
    const named = isObject(identifier) && identifier["use"] === "old" && numberOf(identifier);
    return named ? [named] : [];
  });
}

/** The system and value of an identifier, unless it lacks one of them or means "not known". */
function numberOf(identifier: Readonly<Record<string, unknown>>): PatientIdentifier | undefined {
  const system = trimmed(identifier["system"]);
  const value = trimmed(identifier["value"]);
  if (system === undefined || value === undefined || isPlaceholder(value)) return undefined;
  return { system, value };
}

/**
 * Whether an identifier is in use: not `old`, and the time is within its period. A period that
 * cannot be read, or that has no date, cannot be relied on: the identifier is then not in use.
 *
 * @param now - in ms since 1970; without it, an identifier with a stated end is not in use
 */
export function isCurrentIdentifier(identifier: unknown, now: number | undefined): boolean {
  if (!isObject(identifier) || identifier["use"] === "old") return false;
  if (!("period" in identifier) && !("_period" in identifier)) return true;
  const period = identifier["period"];
  if (!isObject(period) || "_start" in period || "_end" in period) return false;
  const [start, end] = ["start", "end"].map((name) => {
    const value = period[name];
    return typeof value === "string" ? parseDate(value) : value === undefined ? null : undefined;
  });
  if (start === undefined || end === undefined || start === end) return false;
  // a date means the whole day in any zone: it may have passed already somewhere
  if (now === undefined) return end === null;
  const began = start === null || start.from - zoneSlack(start) <= now;
  return began && (end === null || now <= end.to + zoneSlack(end));
}

/** Local days begin up to 14 hours before those of UTC, and end up to 12 hours after them. */
const zoneSlack = ({ zoned }: DateSpan): number => (zoned ? 0 : 14 * 3_600_000);

/**
 * Whether a Patient has numbers of an identifier's system, but not this one: then it is another
 * person, or a mistake. Expired numbers count too, for they were the patient's.
 */
export function contradicts(patient: FhirResource, { system, value }: PatientIdentifier): boolean {
  const values = list(patient["identifier"]).flatMap((identifier) => {
    if (!isObject(identifier) || trimmed(identifier["system"]) !== system) return [];
    const own = trimmed(identifier["value"]);
    return own === undefined || isPlaceholder(own) ? [] : [own];
  });
  return values.length > 0 && !values.includes(value);
}

const PREFERRED_IDENTIFIER_OPTIONS: OptionsOf<PreferredIdentifierOptions> = {
  systems: true,
  now: true,
};

/**
 * Picks the identifier under which a custodian files a patient.
 *
 * The order of preference: the caller's systems; a medical record number (`MR` of HL7 v2 table
 * 0203); any other identifier by its `use` (official, usual, none, secondary). Temporary ones and
 * those of civil registries (social security, driver's licence, passport, tax) come last.
 *
 * @returns the identifier, or `undefined` if none has both system and value
 * @example
 * const number = preferredIdentifier(patient, {
 *   systems: ["https://hospital.example/mrn"],
 *   now: Date.now(),
 * });
 */
export function preferredIdentifier(
  patient: FhirResource,
  options: PreferredIdentifierOptions = {},
): PatientIdentifier | undefined {
  assertOptions(options, PREFERRED_IDENTIFIER_OPTIONS, "preferredIdentifier");
  const all = candidates(patient, options);
  for (const system of options.systems ?? []) {
    const found = all.find((candidate) => candidate.system === system);
    if (found !== undefined) return { system, value: found.value };
  }
  let best: Candidate | undefined;
  for (const candidate of all) {
    if (best === undefined || rank(candidate) < rank(best)) best = candidate;
  }
  return best && { system: best.system, value: best.value };
}

function candidates(
  patient: FhirResource,
  { now }: PatientIdentifiersOptions,
): readonly Candidate[] {
  const found: Candidate[] = [];
  for (const identifier of list(patient["identifier"])) {
    if (!isObject(identifier)) continue;
    const number = numberOf(identifier);
    const use = text(identifier["use"]);
    if (number === undefined || !isCurrentIdentifier(identifier, now)) continue;
    const types: string[] = [];
    for (const coding of codingsOf(identifier["type"])) {
      if (coding.system !== undefined && IDENTIFIER_TYPES.includes(coding.system)) {
        types.push(coding.code);
      }
    }
    found.push({ ...number, types, use });
  }
  return found;
}

const CIVIL: readonly string[] = ["SS", "SB", "DL", "PPN", "TAX", "NI", "CZ"];
const USES: readonly (string | undefined)[] = ["official", "usual", undefined, "secondary", "temp"];

function rank({ types, use }: Candidate): number {
  const known = USES.indexOf(use);
  const byUse = known < 0 ? USES.length : known;
  if (types.includes("MR")) return byUse;
  return (types.some((type) => CIVIL.includes(type)) ? 20 : 10) + byUse;
}
