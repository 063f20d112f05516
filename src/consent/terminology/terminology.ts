import { type CID, cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { ConsentError } from "../../errors.ts";
import { OBLIGATIONS } from "./data/obligations.ts";
import { PURPOSES } from "./data/purposes.ts";
import { REFRAINS } from "./data/refrains.ts";
import { SENSITIVITY } from "./data/sensitivity.ts";
import type { Hierarchy } from "./hierarchy.ts";

/** A terminology as data; its hash names it. */
export interface TerminologyData {
  readonly v: 1;
  readonly name: string;
  readonly version: string;
  readonly purposes: Hierarchy;
  readonly sensitivity: Hierarchy;
  readonly obligations: Hierarchy;
  readonly refrains: Hierarchy;
  /** Confidentiality codes from the least to the most confidential. */
  readonly confidentiality: readonly string[];
  /** Further children of sensitivity codes: `[parent, child]`. */
  readonly aliases: readonly (readonly [parent: string, child: string])[];
  /** For each consent category, the purposes that it governs; `null`: all. */
  readonly categories: Readonly<Record<string, readonly string[] | null>>;
}

/** A terminology compiled for subsumption. */
export interface Terminology {
  readonly cid: CID;
  readonly data: TerminologyData;
  /** The code itself and everything below it; `undefined` for an unknown code. */
  purposesBelow(code: string): ReadonlySet<string> | undefined;
  /** As {@link purposesBelow}, for sensitivity labels, aliases included. */
  labelsBelow(code: string): ReadonlySet<string> | undefined;
  /** Position in the order of confidentiality, or `undefined`. */
  confidentialityLevel(code: string): number | undefined;
  /** The display of a code, from any of the hierarchies. */
  display(code: string): string | undefined;
}

export const ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
export const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
export const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/** Break the glass: a permit covers it only if a rule names it. */
export const BTG = "BTG";

const SYSTEM_ALIASES: Readonly<Record<string, string>> = {
  "http://hl7.org/fhir/v3/ActReason": ACT_REASON,
  "http://hl7.org/fhir/v3/ActCode": ACT_CODE,
  "http://hl7.org/fhir/v3/Confidentiality": CONFIDENTIALITY,
  "urn:oid:2.16.840.1.113883.5.8": ACT_REASON,
  "urn:oid:2.16.840.1.113883.5.4": ACT_CODE,
  "urn:oid:2.16.840.1.113883.5.25": CONFIDENTIALITY,
};

/** The canonical name of a code system that has several. */
export function canonicalSystem(system: string): string {
  return Object.hasOwn(SYSTEM_ALIASES, system) ? SYSTEM_ALIASES[system]! : system;
}

/** Every name of a code system, with that of {@link canonicalSystem} first. */
export function systemNames(system: string): readonly string[] {
  const known = canonicalSystem(system);
  return [known, ...Object.keys(SYSTEM_ALIASES).filter((name) => SYSTEM_ALIASES[name] === known)];
}

/**
 * Normalises a purpose to the form that rules compare: ActReason codes bare, others `system|code`.
 */
export function canonicalPurpose(purpose: string): string {
  if (!purpose.includes("|")) return purpose;
  const bar = purpose.lastIndexOf("|");
  const system = canonicalSystem(purpose.slice(0, bar));
  return system === ACT_REASON ? purpose.slice(bar + 1) : `${system}|${purpose.slice(bar + 1)}`;
}

/**
 * HL7 Terminology 7.0.1 as shipped with this library. IHE PCF nests `ETHUD` and `OPIOIDUD` under
 * `ETH`, HL7 under `SUD`; the aliases let rules about either cover both.
 */
export const HL7_TERMINOLOGY: TerminologyData = {
  v: 1,
  name: "hl7-terminology",
  version: "7.0.1",
  purposes: PURPOSES,
  sensitivity: SENSITIVITY,
  obligations: OBLIGATIONS,
  refrains: REFRAINS,
  confidentiality: ["U", "L", "M", "N", "R", "V"],
  aliases: [
    ["ETH", "SUD"],
    ["ETH", "ETHUD"],
    ["ETH", "OPIOIDUD"],
  ],
  categories: {
    "patient-privacy": null,
    research: ["HRESCH", "CLINTRL"],
    treatment: [],
    adr: [],
  },
};

let shipped: Terminology | undefined;

/**
 * The shipped terminology; compiled once.
 *
 * @example
 * defaultTerminology().labelsBelow("SUD")?.has("OPIOIDUD"); // true
 */
export function defaultTerminology(): Terminology {
  shipped ??= makeTerminology(HL7_TERMINOLOGY);
  return shipped;
}

/** Additions to a terminology, for {@link extendTerminology}. */
export interface TerminologyAdditions {
  readonly name: string;
  readonly version: string;
  readonly purposes?: Hierarchy;
  readonly sensitivity?: Hierarchy;
  readonly obligations?: Hierarchy;
  readonly refrains?: Hierarchy;
  readonly aliases?: TerminologyData["aliases"];
  readonly categories?: TerminologyData["categories"];
}

/**
 * Makes a new terminology from one and some additions.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when an addition redefines a code or a category,
 *   or has a parent that does not exist
 * @example
 * const terminology = makeTerminology(
 *   extendTerminology(HL7_TERMINOLOGY, {
 *     name: "our-terms",
 *     version: "1",
 *     purposes: { OURRESEARCH: ["Research of our own", "HRESCH"] },
 *   }),
 * );
 */
export function extendTerminology(
  base: TerminologyData,
  additions: TerminologyAdditions,
): TerminologyData {
  const sensitivity = merged(base.sensitivity, additions.sensitivity);
  for (const code of (additions.aliases ?? []).flat()) assertKnown(sensitivity, code);
  // Otherwise a statement of a category would govern purposes that its author left out.
  if (
    Object.keys(additions.categories ?? {}).some((name) => Object.hasOwn(base.categories, name))
  ) {
    throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "an addition redefines a category");
  }
  return {
    ...base,
    name: additions.name,
    version: additions.version,
    purposes: merged(base.purposes, additions.purposes),
    sensitivity,
    obligations: merged(base.obligations, additions.obligations),
    refrains: merged(base.refrains, additions.refrains),
    aliases: [...base.aliases, ...(additions.aliases ?? [])],
    categories: { ...base.categories, ...additions.categories },
  };
}

/**
 * Compiles a terminology.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when a hierarchy has a cycle, or a purpose is
 *   below `BTG`, which a permit must cover only by that name
 * @example
 * const terminology = makeTerminology(HL7_TERMINOLOGY);
 * const compiled = compileDirectives(snapshot, { terminology });
 */
export function makeTerminology(data: TerminologyData): Terminology {
  const purposes = closure(data.purposes, []);
  if ((purposes.get(BTG)?.size ?? 1) > 1) {
    throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "a purpose must not be below BTG");
  }
  const labels = closure(data.sensitivity, data.aliases);
  const levels = new Map(data.confidentiality.map((code, level) => [code, level]));
  const cid = cidOf(encode(data), DAG_CBOR);
  const made: Terminology = {
    cid,
    data,
    purposesBelow: (code) => purposes.get(code),
    labelsBelow: (code) => labels.get(code),
    confidentialityLevel: (code) => levels.get(code),
    display(code) {
      for (const hierarchy of [data.purposes, data.sensitivity, data.obligations, data.refrains]) {
        if (Object.hasOwn(hierarchy, code)) return hierarchy[code]![0];
      }
      return undefined;
    },
  };
  MADE.add(made);
  // Nobody can replace a function of it and still have it pass for one that is made of data.
  return Object.freeze(made);
}

const MADE = /* @__PURE__ */ new WeakSet<Terminology>();

/** Whether {@link makeTerminology} made a terminology, so that its data says all that it does. */
export const isMadeOfData = (terminology: Terminology): boolean => MADE.has(terminology);

function merged(base: Hierarchy, additions: Hierarchy | undefined): Hierarchy {
  for (const code of Object.keys(additions ?? {})) {
    if (Object.hasOwn(base, code)) {
      throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "an addition redefines a code");
    }
  }
  const all = { ...base, ...additions };
  for (const [, ...parents] of Object.values(additions ?? {})) {
    for (const parent of parents) assertKnown(all, parent);
  }
  return all;
}

/** Refuses an unknown parent: no rule would ever match a code below a misspelt one. */
function assertKnown(hierarchy: Hierarchy, code: string): void {
  if (!Object.hasOwn(hierarchy, code)) {
    throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "an addition names an unknown parent code");
  }
}

function closure(
  hierarchy: Hierarchy,
  aliases: TerminologyData["aliases"],
): Map<string, ReadonlySet<string>> {
  const children = new Map<string, string[]>();
  const link = (parent: string, child: string): void => {
    const list = children.get(parent);
    if (list === undefined) children.set(parent, [child]);
    else list.push(child);
  };
  for (const [code, [, ...parents]] of Object.entries(hierarchy)) {
    for (const parent of parents) link(parent, code);
  }
  for (const [parent, child] of aliases) link(parent, child);
  const below = new Map<string, ReadonlySet<string>>();
  const open = new Set<string>();
  const visit = (code: string): ReadonlySet<string> => {
    const known = below.get(code);
    if (known !== undefined) return known;
    if (open.has(code))
      throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "a hierarchy has a cycle");
    open.add(code);
    const set = new Set([code]);
    for (const child of children.get(code) ?? []) for (const item of visit(child)) set.add(item);
    open.delete(code);
    below.set(code, set);
    return set;
  };
  for (const code of Object.keys(hierarchy)) visit(code);
  return below;
}
