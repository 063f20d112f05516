import { type CID, cidOf, DAG_CBOR } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";
import { DEFAULT_LABEL_RULES } from "./data/label-rules.ts";
import { findCodes, type FoundCodes } from "./label-codes.ts";
import type { Coding } from "./model.ts";
import type { ResourceLabels } from "./resource.ts";
import { ACT_CODE, canonicalSystem, CONFIDENTIALITY, HL7_TERMINOLOGY } from "./terminology.ts";

const LEVELS = HL7_TERMINOLOGY.confidentiality;

/** Codes that call for labels. */
export interface LabelRule {
  /** ActCode sensitivity codes. */
  readonly labels: readonly string[];
  /** Exact codes by system. */
  readonly codes?: Readonly<Record<string, readonly string[]>>;
  /** Beginnings of codes by system, for systems whose codes are hierarchical as text. */
  readonly prefixes?: Readonly<Record<string, readonly string[]>>;
}

/** Label rules as data: what is hashed to name them. */
export interface LabelRuleSet {
  readonly v: 1;
  readonly name: string;
  readonly version: string;
  /** Systems whose codes these rules judge: a code of theirs without a rule is not sensitive. */
  readonly clinicalSystems: readonly string[];
  /**
   * Systems whose codes say nothing clinical; a `*` at the end stands for any rest. What is in neither
   * list is unknown, and so is whatever is coded by it alone.
   */
  readonly administrativeSystems: readonly string[];
  readonly rules: readonly LabelRule[];
}

/** Where a labeller finds what a resource refers to. */
export interface LabelOptions {
  /** @returns the resource that a reference names, or `undefined` when it is not at hand */
  readonly resolve?: (reference: string) => unknown;
}

/** Gives resources their sensitivity and confidentiality labels. Pure. */
export interface Labeller {
  readonly name: string;
  readonly version: string;
  /** Names the rules that are applied. */
  readonly cid: CID;
  /**
   * Labels a FHIR resource by every code in it, wherever it stands, and by the security labels that
   * it bears already: those may add to what the codes say, and take nothing away.
   *
   * @returns labels with a stamp when everything in the resource was judged; labels without a stamp
   *   when some were found but something could not be judged (free text, a code of an unknown
   *   system, a reference that is not at hand); `null` when nothing was found and something could
   *   not be judged. Only a stamp says that what is not mentioned is not there.
   */
  label(resource: unknown, options?: LabelOptions): ResourceLabels | null;
  /** Labels by codes that were extracted already; no codes at all cannot be judged. */
  labelCodes(codes: readonly Coding[]): ResourceLabels | null;
}

export { DEFAULT_LABEL_RULES };

/** What {@link extendLabelRules} adds to a set of rules. */
export interface LabelRuleAdditions {
  readonly name: string;
  readonly version: string;
  readonly rules?: readonly LabelRule[];
  readonly clinicalSystems?: readonly string[];
  readonly administrativeSystems?: readonly string[];
}

/**
 * Makes a new set of rules out of one and some additions. Rules add up: none takes away what another
 * found.
 *
 * @throws {RangeError} when the new set is called like the old one: stamps would not tell them apart
 */
export function extendLabelRules(base: LabelRuleSet, additions: LabelRuleAdditions): LabelRuleSet {
  const { name, version } = additions;
  if (name === base.name && version === base.version) {
    throw new RangeError("rules that differ need another name or version");
  }
  return {
    v: 1,
    name,
    version,
    clinicalSystems: [...base.clinicalSystems, ...(additions.clinicalSystems ?? [])],
    administrativeSystems: [
      ...base.administrativeSystems,
      ...(additions.administrativeSystems ?? []),
    ],
    rules: [...base.rules, ...(additions.rules ?? [])],
  };
}

/**
 * Makes a labeller of a set of rules; the shipped ones by default.
 *
 * @throws {RangeError} when the rules have no name or version to stamp with, or one gives no label
 */
export function createLabeller(rules: LabelRuleSet = DEFAULT_LABEL_RULES): Labeller {
  if (rules.name === "" || rules.version === "")
    throw new RangeError("rules need a name and version");
  if (rules.rules.some(({ labels }) => labels.length === 0)) {
    throw new RangeError("a rule without labels would do nothing");
  }
  const exact = new Map<string, Map<string, Set<string>>>();
  const prefixes = new Map<
    string,
    { readonly text: string; readonly labels: readonly string[] }[]
  >();
  for (const rule of rules.rules) {
    for (const [system, codes] of Object.entries(rule.codes ?? {})) {
      const byCode = exact.get(system) ?? new Map<string, Set<string>>();
      exact.set(system, byCode);
      for (const code of codes) {
        const labels = byCode.get(code) ?? new Set<string>();
        byCode.set(code, labels);
        for (const label of rule.labels) labels.add(label);
      }
    }
    for (const [system, texts] of Object.entries(rule.prefixes ?? {})) {
      const own = prefixes.get(system) ?? [];
      prefixes.set(system, own);
      for (const text of texts) own.push({ text, labels: rule.labels });
    }
  }
  const clinical = new Set(rules.clinicalSystems);
  const administrative = new Set(rules.administrativeSystems);
  const beginnings = rules.administrativeSystems
    .filter((name) => name.endsWith("*"))
    .map((name) => name.slice(0, -1));
  const kindOf = (system: string): "clinical" | "administrative" | "unknown" => {
    if (clinical.has(system)) return "clinical";
    return administrative.has(system) || beginnings.some((prefix) => system.startsWith(prefix))
      ? "administrative"
      : "unknown";
  };
  const stamp = { labeller: rules.name, version: rules.version };

  function judge(found: FoundCodes): ResourceLabels | null {
    const labels = new Set<string>();
    for (const { system, code } of found.codes) {
      for (const label of exact.get(system)?.get(code) ?? []) labels.add(label);
      for (const prefix of prefixes.get(system) ?? []) {
        if (code.startsWith(prefix.text)) for (const label of prefix.labels) labels.add(label);
      }
    }
    let level = LEVELS.indexOf(labels.size > 0 ? "R" : "N");
    for (const { system, code } of found.labels) {
      const known = canonicalSystem(system);
      if (known === CONFIDENTIALITY) level = Math.max(level, LEVELS.indexOf(code));
      if (known !== ACT_CODE || !Object.hasOwn(HL7_TERMINOLOGY.sensitivity, code)) continue;
      labels.add(code);
      level = Math.max(level, LEVELS.indexOf("R"));
    }
    if (found.unjudged && level === LEVELS.indexOf("N")) return null;
    const codes: Coding[] = [...labels].sort().map((code) => ({ system: ACT_CODE, code }));
    codes.push({ system: CONFIDENTIALITY, code: LEVELS[level]! });
    return { codes, stamp: found.unjudged ? null : stamp };
  }

  return {
    name: rules.name,
    version: rules.version,
    cid: cidOf(encode(rules), DAG_CBOR),
    label: (resource, options = {}) => judge(findCodes(resource, kindOf, options.resolve)),
    labelCodes(codes) {
      const unjudged = codes.length === 0 || codes.some((one) => kindOf(one.system) === "unknown");
      return judge({ codes, labels: [], unjudged });
    },
  };
}

/**
 * Whether a resource should be labelled again: what it bears was made by another labeller, by
 * another version of its rules, or by nobody. Labels without a stamp were made by nobody, since the
 * rules could not judge the resource; other rules may.
 */
export function needsRelabelling(
  labels: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "version">,
): boolean {
  const stamp = labels?.stamp;
  if (stamp === null || stamp === undefined) return true;
  return stamp.labeller !== labeller.name || stamp.version !== labeller.version;
}
