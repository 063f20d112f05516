import { codingsOf, type FhirResource, isObject, list, text } from "./resource.ts";

/** A business identifier of a person: who assigned it, and what it is. */
export interface PatientIdentifier {
  readonly system: string;
  readonly value: string;
}

export interface PreferredIdentifierOptions {
  /** Identifier systems in order of preference; the first that the patient has wins. */
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

/**
 * Lists a Patient's identifiers that have both a system and a value, but for those in use no more.
 *
 * @param patient - a FHIR Patient (or anything with an `identifier` element)
 */
export function patientIdentifiers(patient: FhirResource): readonly PatientIdentifier[] {
  return candidates(patient).map(({ system, value }) => ({ system, value }));
}

/**
 * Picks the identifier under which a custodian files a patient.
 *
 * In this order: the caller's systems; a medical record number (`MR` of HL7 v2 table 0203); any
 * other identifier by its `use` (official, usual, none, secondary), temporary ones and those of
 * civil registries (social security, driver's licence, passport, tax) last.
 *
 * @returns the identifier, or `undefined` when none has both system and value
 */
export function preferredIdentifier(
  patient: FhirResource,
  options: PreferredIdentifierOptions = {},
): PatientIdentifier | undefined {
  const all = candidates(patient);
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

function candidates(patient: FhirResource): readonly Candidate[] {
  const found: Candidate[] = [];
  for (const identifier of list(patient["identifier"])) {
    if (!isObject(identifier)) continue;
    const system = text(identifier["system"]);
    const value = text(identifier["value"]);
    const use = text(identifier["use"]);
    if (system === undefined || value === undefined || use === "old") continue;
    const types: string[] = [];
    for (const coding of codingsOf(identifier["type"])) {
      if (coding.system !== undefined && IDENTIFIER_TYPES.includes(coding.system)) {
        types.push(coding.code);
      }
    }
    found.push({ system, value, types, use });
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
