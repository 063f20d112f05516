import { canonicalSystem } from "./terminology.ts";

export const SNOMED_CT = "http://snomed.info/sct";
export const LOINC = "http://loinc.org";
export const ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm";
export const ICD10 = "http://hl7.org/fhir/sid/icd-10";
export const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
export const CPT = "http://www.ama-assn.org/go/cpt";
export const HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets";
export const UCUM = "http://unitsofmeasure.org";
export const CVX = "http://hl7.org/fhir/sid/cvx";

/** Alternative names of known systems, folded as in {@link fold}. */
const NAMES: ReadonlyMap<string, string> = new Map(
  (
    [
      [SNOMED_CT, "2.16.840.1.113883.6.96"],
      [LOINC, "2.16.840.1.113883.6.1"],
      [ICD10_CM, "2.16.840.1.113883.6.90", "http://hl7.org/fhir/sid/icd-10-us"],
      [ICD10, "2.16.840.1.113883.6.3"],
      [RXNORM, "2.16.840.1.113883.6.88"],
      [CPT, "2.16.840.1.113883.6.12"],
      [HCPCS, "2.16.840.1.113883.6.285", "2.16.840.1.113883.6.14"],
      [CVX, "2.16.840.1.113883.12.292", "2.16.840.1.113883.6.59"],
      [UCUM, "2.16.840.1.113883.6.8"],
    ] as const
  ).flatMap(([system, ...others]) =>
    [system, ...others].flatMap((name) =>
      /^\d/.test(name)
        ? [[name, system] as const, [`urn:oid:${name}`, system] as const]
        : [[fold(name), system] as const],
    ),
  ),
);

/** A SNOMED CT edition or version: `http://snomed.info/sct/731000124108/version/20240301`. */
const SNOMED_EDITION = /^http:\/\/snomed\.info\/x?sct(?:\/\d+(?:\/version\/\d+)?)?$/;

function fold(name: string): string {
  return name
    .toLowerCase()
    .replace(/^https:/, "http:")
    .replace(/\/+$/, "");
}

/**
 * The canonical name of a code system, whatever its spelling: an OID, another case, `https`, a
 * trailing slash or version. Unknown systems keep their name, without surrounding spaces and
 * version.
 */
export function codeSystem(name: string): string {
  let system = called.get(name);
  if (system === undefined) {
    system = readSystem(name);
    if (called.size >= MOST_CALLED) called.clear();
    if (name.length <= LONGEST_CALLED) called.set(name, system);
  }
  return system;
}

/** Caches names: resources repeat the same few. */
const called = /* @__PURE__ */ new Map<string, string>();
const MOST_CALLED = 1024;
const LONGEST_CALLED = 256;

function readSystem(name: string): string {
  const bar = name.indexOf("|");
  const bare = (bar < 0 ? name : name.slice(0, bar)).trim();
  const folded = fold(bare);
  return (
    NAMES.get(folded) ??
    (SNOMED_EDITION.test(folded) ? SNOMED_CT : canonicalSystem(bare.replace(/\/+$/, "")))
  );
}

/** The result of reading a code. */
export interface Spelling {
  /** The codes in it, each in the form that rules compare. */
  readonly codes: readonly string[];
  /** Whether it is one code of its system and nothing more. */
  readonly whole: boolean;
}

/** Systems in which a longer code is a kind of its prefix. */
export const NESTED_CODES: ReadonlySet<string> = new Set([ICD10_CM, ICD10]);

/** Categories end in a digit, except for a few of ICD-10-CM (`C4A`, `C7B`): `B2O` is not `B20`. */
const ICD = /^[A-Z][0-9][0-9AB](?:[0-9A-Z]{1,4})?$/;
const SCTID = /^[1-9][0-9]{5,17}$/;
const PLAIN: Readonly<Record<string, RegExp>> = {
  [LOINC]: /^(?:L[APLG])?[1-9][0-9]{0,6}-[0-9]$/,
  [RXNORM]: /^[1-9][0-9]{0,7}$/,
  [CPT]: /^[0-9]{4}[0-9A-Z]$/,
  [HCPCS]: /^[A-Z][0-9]{4}$/,
  [CVX]: /^[0-9]{1,3}$/,
};

/**
 * Normalises a code to the form that rules compare: without surrounding spaces, in upper case if
 * the system uses only that, ICD-10 without dot and dagger, SNOMED CT without terms.
 *
 * @param system - as {@link codeSystem} gives it
 * @returns the codes that could be read; `whole` is false for a post-coordinated expression, a
 *   range, a code with a modifier, and anything else that is not a code of the system
 */
export function spellCode(system: string, code: string): Spelling {
  const text = code.trim();
  if (system === SNOMED_CT) {
    const ids = text.replace(/\|[^|]*\|/g, " ").trim();
    if (SCTID.test(ids)) return { codes: [ids], whole: true };
    return { codes: ids.match(/[0-9]{6,18}/g) ?? [], whole: false };
  }
  if (NESTED_CODES.has(system)) {
    const bare = text
      .toUpperCase()
      .replace(/[†*+!]$/, "")
      .replace(".", "");
    if (ICD.test(bare)) return { codes: [bare], whole: true };
    // A range, several codes, or a code with its name: the codes in it count, but are not
    // everything.
    const parts = text.toUpperCase().match(/[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?/g) ?? [];
    return { codes: parts.map((part) => part.replace(".", "")), whole: false };
  }
  const plain = Object.hasOwn(PLAIN, system) ? PLAIN[system] : undefined;
  // An invisible character may make one code look like another.
  if (plain === undefined) return { codes: [text], whole: /^[^\p{C}]+$/u.test(text) };
  const upper = text.toUpperCase();
  return { codes: [upper], whole: plain.test(upper) };
}

/**
 * Folds the variants of a code or a prefix. In unknown systems two codes may differ in case alone:
 * such codes are told apart if one is called harmless, but not if one is called sensitive.
 */
export function foldCode(system: string, code: string): string {
  if (system === SNOMED_CT) return code.trim();
  if (NESTED_CODES.has(system)) return code.trim().toUpperCase().replace(".", "");
  if (Object.hasOwn(PLAIN, system)) return code.trim().toUpperCase();
  return code.toLowerCase().replace(/[\s.]/g, "");
}
