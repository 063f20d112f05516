import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { atOnce, type Steps } from "../../bytes/steps.ts";
import { type CID, cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { codeSystem } from "../terminology/code-systems.ts";
import { DEFAULT_LABEL_RULES } from "./default-rules.ts";
import {
  codeSteps,
  type FoundCodes,
  type ResolveReference,
  type UnjudgedCode,
} from "./label-codes.ts";
import { securityLabelsOf } from "./security-labels.ts";
import { compileRules, type LabelRuleSet } from "./label-rules.ts";
import type { Coding } from "../model/model.ts";
import type { LabelStamp, ResourceLabels } from "../model/resource.ts";
import {
  ACT_CODE,
  ACT_REASON,
  CONFIDENTIALITY,
  defaultTerminology,
  isMadeOfData,
  type Terminology,
} from "../terminology/terminology.ts";

export { DEFAULT_LABEL_RULES };
export type { ResolveReference, UnjudgedCode } from "./label-codes.ts";

/** How a labeller resolves references. */
export interface LabelOptions {
  /**
   * Resolves a literal reference.
   *
   * @param from - the resource that holds the reference, whose server resolves it
   * @returns the resource, a list of its versions (all of them count), or `undefined` if it is not
   *   available
   */
  readonly resolve?: ResolveReference;
  /**
   * Resources that this one was part of, such as a Bundle or the Composition of a document. Their
   * labels may apply to the resource: it gets them, and no stamp.
   */
  readonly within?: readonly unknown[];
}

/** The parts of a resource that the rules did not judge. */
export interface Unjudged {
  /** Codes that the rules do not know, each once. */
  readonly codes: readonly UnjudgedCode[];
  /** Everything else, by element; contains no data of the patient. */
  readonly others: readonly string[];
}

/** Gives resources their sensitivity and confidentiality labels. Pure. */
export interface Labeller {
  readonly name: string;
  readonly version: string;
  /** Names the rules that the labeller applies. */
  readonly cid: CID;
  /** Names of labellers, besides its own, whose stamps count as older than this one's rules. */
  readonly replaces?: readonly string[];
  /**
   * Labels a FHIR resource by every code in it, in any element, and by the security labels that it
   * bears already. Those labels may add to the result of the codes but remove nothing.
   *
   * @returns labels with a stamp if everything in the resource was judged; labels without a stamp
   *   if some were found but something could not be judged (free text, a code of an unknown system,
   *   an unresolved reference); `null` if no label was found and something could not be judged.
   *   Only a stamp says that sensitivities without a label are absent.
   */
  label(resource: unknown, options?: LabelOptions): ResourceLabels | null;
  /**
   * Tells why a resource gets no stamp; empty if it gets one. Includes what was not judged in the
   * resources that it refers to.
   */
  unjudged(resource: unknown, options?: LabelOptions): Unjudged;
  /** Labels by codes that were extracted already; an empty list cannot be judged. */
  labelCodes(codes: readonly Coding[]): ResourceLabels | null;
}

/** Options of {@link createLabeller}. */
export interface LabellerOptions {
  /** The terminology of the labels that resources bear. Default {@link defaultTerminology}. */
  readonly terminology?: Terminology;
}

const CREATE_LABELLER_OPTIONS: OptionsOf<LabellerOptions> = { terminology: true };

/**
 * Makes a labeller from a set of rules; the shipped ones by default.
 *
 * @throws {RangeError} when the rules have no name or version for stamps, or a rule has no label
 * @example
 * const labeller = createLabeller();
 * const labels = labeller.label(observation);
 * if (labels?.stamp == null) console.log(labeller.unjudged(observation).codes);
 */
export function createLabeller(
  rules: LabelRuleSet = DEFAULT_LABEL_RULES,
  options: LabellerOptions = {},
): Labeller {
  assertOptions(options, CREATE_LABELLER_OPTIONS, "createLabeller");
  const { terminology = defaultTerminology() } = options;
  const compiled = compileRules(rules);
  // All labels share it: whoever changes those that were given must not change what is stamped next.
  const stamp = Object.freeze({ labeller: rules.name, version: rules.version });
  const { obligations, refrains, confidentiality } = terminology.data;
  const isLabel = (code: string): boolean => terminology.labelsBelow(code) !== undefined;
  const least = terminology.confidentialityLevel("N") ?? 0;
  const restricted = terminology.confidentialityLevel("R") ?? least;

  /** Whether consent can interpret a label that a resource bears. */
  const isUnderstood = ({ system, code }: Coding): boolean => {
    if (system === ACT_REASON || system === INTEGRITY) return true;
    if (system === CONFIDENTIALITY) return terminology.confidentialityLevel(code) !== undefined;
    if (system !== ACT_CODE) return false;
    return isLabel(code) || Object.hasOwn(obligations, code) || Object.hasOwn(refrains, code);
  };

  function* judge(found: FoundCodes, within: readonly Coding[]): Steps<ResourceLabels | null> {
    const labels = new Map<string, Coding>();
    const add = (coding: Coding): unknown => labels.set(JSON.stringify(coding), coding);
    for (const code of found.labels) add({ system: ACT_CODE, code });
    let level = found.labels.size > 0 ? restricted : least;
    let complete = found.unjudged.codes.length === 0 && found.unjudged.others.size === 0;
    let count = 0;
    for (const { system: name, code } of [...found.borne, ...within]) {
      if (++count % STEP === 0) yield;
      const label = { system: codeSystem(name), code };
      if (!isUnderstood(label)) complete = false;
      if (label.system === "") continue;
      if (label.system === CONFIDENTIALITY) {
        level = Math.max(level, terminology.confidentialityLevel(code) ?? least);
      } else if (!isUnderstood(label)) {
        // The meaning of this label is unknown here; a refusal that names it still applies.
        add(label);
      } else if (label.system === ACT_CODE && isLabel(code)) {
        add(label);
        level = Math.max(level, restricted);
      }
    }
    // A Bundle's own labels do not tell which of its resources they are true of.
    if (within.some((label) => !isUnderstood(label) || says(label))) complete = false;
    if (!complete && labels.size === 0 && level === least) return null;
    const codes = [...labels.values()].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
    if (complete || level > least)
      codes.push({ system: CONFIDENTIALITY, code: confidentiality[level]! });
    return { codes, stamp: complete ? stamp : null };
  }

  const says = ({ system, code }: Coding): boolean =>
    system === CONFIDENTIALITY
      ? (terminology.confidentialityLevel(code) ?? least) > least
      : system === ACT_CODE && isLabel(code);

  function* labelSteps(
    resource: unknown,
    { resolve, within = [] }: LabelOptions = {},
  ): Steps<ResourceLabels | null> {
    const found = yield* codeSteps(resource, compiled, isLabel, resolve);
    return yield* judge(
      found,
      within.flatMap((whole) => securityLabelsOf(whole)),
    );
  }

  const label: Labeller["label"] = (resource, options) => atOnce(labelSteps(resource, options));
  STEPS.set(label, labelSteps);
  if (isMadeOfData(terminology)) MADE_OF.set(label, { rules, terminology });

  return {
    name: rules.name,
    version: rules.version,
    cid: cidOf(encode(rules), DAG_CBOR),
    replaces: [...new Set([...(rules.extends ?? []), DEFAULT_LABEL_RULES.name])],
    label,
    unjudged(resource, { resolve } = {}) {
      const { unjudged } = atOnce(codeSteps(resource, compiled, isLabel, resolve));
      const { codes, others } = unjudged;
      return { codes, others: [...others].sort() };
    },
    labelCodes(codes) {
      return atOnce(labelSteps({ resourceType: "Basic", code: { coding: codes } }));
    },
  };
}

type LabelSteps = (resource: unknown, options?: LabelOptions) => Steps<ResourceLabels | null>;

/**
 * Keyed by the function: a labeller with `label` replaced must be asked through its replacement.
 */
const STEPS = /* @__PURE__ */ new WeakMap<Labeller["label"], LabelSteps>();

/** What a labeller was made of. */
export interface LabellerParts {
  readonly rules: LabelRuleSet;
  readonly terminology: Terminology;
}

/** Keyed as {@link STEPS}. */
const MADE_OF = /* @__PURE__ */ new WeakMap<Labeller["label"], LabellerParts>();

/**
 * What a labeller was made of; `undefined` if functions of others take part in what it does.
 */
export const partsOfLabeller = ({ label }: Pick<Labeller, "label">): LabellerParts | undefined =>
  MADE_OF.get(label);

/**
 * As {@link Labeller.label}, by steps.
 *
 * @returns `undefined` for a labeller that {@link createLabeller} did not make
 */
export function labelStepsOf(
  { label }: Pick<Labeller, "label">,
  resource: unknown,
  options?: LabelOptions,
): Steps<ResourceLabels | null> | undefined {
  return STEPS.get(label)?.(resource, options);
}

/** Labels on a resource between two points at which judging can be interrupted. */
const STEP = 1024;

const INTEGRITY = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const sortKey = ({ system, code }: Coding): string =>
  `${system === ACT_CODE ? "" : system} ${code}`;

/** Whether a stamp is by rules that the labeller's rules replace: it counts as no stamp. */
export function isOutdated(
  stamp: LabelStamp,
  labeller: Pick<Labeller, "name" | "version" | "replaces">,
): boolean {
  if (stamp.labeller === labeller.name) return stamp.version !== labeller.version;
  return labeller.replaces?.includes(stamp.labeller) === true;
}

/**
 * Whether a resource should be labelled again: its labels have no stamp, or were made by another
 * labeller or by another version of its rules. Labels have no stamp if the rules could not judge
 * the resource; other rules may be able to.
 *
 * @example
 * const labels = needsRelabelling(record.labels, labeller) ? labeller.label(content) : record.labels;
 */
export function needsRelabelling(
  labels: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "version">,
): boolean {
  const stamp = labels?.stamp;
  if (stamp === null || stamp === undefined) return true;
  return stamp.labeller !== labeller.name || stamp.version !== labeller.version;
}
