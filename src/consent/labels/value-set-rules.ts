import { isJsonObject } from "../../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { InputError } from "../../errors.ts";
import { codeSystem } from "../terminology/code-systems.ts";
import { DEFAULT_LABEL_RULES } from "./default-rules.ts";
import type { CodeList, LabelRule, LabelRuleSet } from "./label-rules.ts";
import { defaultTerminology, type Terminology } from "../terminology/terminology.ts";

/** A FHIR ValueSet, and the labels that its codes call for. */
export interface LabelledValueSet {
  /** R4 or R5, as parsed: `compose` with codes in it, `expansion`, or both. */
  readonly valueSet: unknown;
  /** ActCode sensitivity codes of all its codes; or that they were judged and are not sensitive. */
  readonly labels: readonly string[] | "not sensitive";
}

/** Result of {@link labelRulesFromValueSets}, for {@link extendLabelRules}. */
export interface ValueSetRules {
  readonly rules: readonly LabelRule[];
  readonly notSensitive: readonly CodeList[];
}

/** Most codes per value set. */
const MAX_CODES = 1_000_000;
const MAX_DEPTH = 64;

const LABEL_RULES_FROM_VALUE_SETS_OPTIONS: OptionsOf<
  NonNullable<Parameters<typeof labelRulesFromValueSets>[1]>
> = { terminology: true, systems: true };

/**
 * Makes label rules from value sets as terminology servers give them: sensitive codes with their
 * labels, and lists of codes that were judged and are not sensitive.
 *
 * Only codes that are listed one by one are taken. A value set that defines more than it lists
 * (`filter`, other value sets, whole systems) needs an expansion. The expansion is then used
 * instead, and must be complete: for one requested with `offset` or `count`, only `total` tells
 * that.
 *
 * @param valueSets - borrowed
 * @param options - `terminology`: knows the sensitivity codes; HL7's by default. `systems`: as for
 *   {@link extendLabelRules}, code systems known besides those of {@link DEFAULT_LABEL_RULES}
 * @throws {InputError} `ERR_INPUT_INVALID` when a label is unknown, or a value set lists no code,
 *   excludes codes without an expansion, cannot be expanded, is a partial expansion, or has a code
 *   without a system or of an unknown system, whose name may be misspelt
 * @see FHIR R4 ValueSet, §4.9.8 (expansion), §4.9.5 (compose)
 * @example
 * const additions = labelRulesFromValueSets([
 *   { valueSet: hivCodes, labels: ["HIV"] },
 *   { valueSet: vitalSigns, labels: "not sensitive" },
 * ]);
 * const rules = extendLabelRules(DEFAULT_LABEL_RULES, { name: "ours", version: "1", ...additions });
 */
export function labelRulesFromValueSets(
  valueSets: readonly LabelledValueSet[],
  options: { readonly terminology?: Terminology; readonly systems?: LabelRuleSet["systems"] } = {},
): ValueSetRules {
  assertOptions(options, LABEL_RULES_FROM_VALUE_SETS_OPTIONS, "labelRulesFromValueSets");
  const { terminology = defaultTerminology(), systems = {} } = options;
  const known = new Set(
    [...systemsOf(DEFAULT_LABEL_RULES), ...Object.keys(systems)].map(codeSystem),
  );
  const rules: LabelRule[] = [];
  const notSensitive: CodeList[] = [];
  valueSets.forEach(({ valueSet, labels }, at) => {
    const path = `valueSets[${at}]`;
    const codes = codesOf(valueSet, path, known);
    if (labels === "not sensitive") {
      notSensitive.push({ codes });
      return;
    }
    if (!Array.isArray(labels) || labels.length === 0) {
      throw invalid(`${path}.labels`, 'must be sensitivity codes, or "not sensitive"');
    }
    for (const label of labels) {
      if (typeof label !== "string" || terminology.labelsBelow(label) === undefined) {
        throw invalid(`${path}.labels`, "must be sensitivity codes of the terminology");
      }
    }
    rules.push({ labels: [...labels], codes });
  });
  return { rules, notSensitive };
}

/**
 * Systems that rules know: a rule of any other system would never match a correctly written code.
 */
function systemsOf({ systems, administrativeSystems, rules }: LabelRuleSet): readonly string[] {
  const named = rules.flatMap(({ codes = {}, prefixes = {} }) =>
    Object.keys({ ...codes, ...prefixes }),
  );
  return [...Object.keys(systems), ...administrativeSystems, ...named];
}

function codesOf(
  valueSet: unknown,
  path: string,
  known: ReadonlySet<string>,
): Record<string, readonly string[]> {
  if (!isJsonObject(valueSet) || valueSet["resourceType"] !== "ValueSet") {
    throw invalid(path, "must be a ValueSet");
  }
  const { expansion, compose } = valueSet;
  const found = new Map<string, Set<string>>();
  let count = 0;
  const add = (system: unknown, code: unknown, where: string): void => {
    if (typeof system !== "string" || !/^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(system)) {
      throw invalid(where, "needs a code system");
    }
    if (!known.has(codeSystem(system))) {
      throw invalid(where, "is of a code system that neither the default rules nor `systems` know");
    }
    if (typeof code !== "string" || code.trim() === "") throw invalid(where, "needs a code");
    if (++count > MAX_CODES) throw invalid(path, `lists more than ${MAX_CODES} codes`);
    const own = found.get(system) ?? new Set<string>();
    found.set(system, own.add(code));
  };
  if (expansion !== undefined) readExpansion(expansion, `${path}.expansion`, add);
  else readCompose(compose, `${path}.compose`, add);
  if (found.size === 0) throw invalid(path, "lists no code");
  return Object.fromEntries([...found].map(([system, codes]) => [system, [...codes]]));
}

type Add = (system: unknown, code: unknown, where: string) => void;

function readExpansion(expansion: unknown, path: string, add: Add): void {
  if (!isJsonObject(expansion)) throw invalid(path, "must be an object");
  const { contains, total, offset, next, parameter } = expansion;
  const extensions = listOf(expansion["extension"], path);
  const parameters = listOf(parameter, path).filter(isJsonObject);
  const part =
    (offset !== undefined && offset !== 0) ||
    next !== undefined ||
    extensions.some(
      (one) => isJsonObject(one) && /valueset-(?:toocostly|unclosed)$/.test(String(one["url"])),
    ) ||
    parameters.some(
      ({ name, ...value }) =>
        name === "limitedExpansion" ||
        (name === "offset" && Object.values(value).some((one) => Number(one) !== 0)),
    );
  if (part) throw invalid(path, "is a partial expansion: request the whole of it");
  let entries = 0;
  const read = (list: unknown, where: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw invalid(where, "is too deep");
    listOf(list, where).forEach((item, at) => {
      const here = `${where}[${at}]`;
      if (!isJsonObject(item)) throw invalid(here, "must be an object");
      entries++;
      // An abstract heading has codes below it, and may have no code itself.
      if (item["code"] !== undefined || item["abstract"] !== true) {
        add(item["system"], item["code"], here);
      }
      read(item["contains"], `${here}.contains`, depth + 1);
    });
  };
  read(contains, `${path}.contains`, 0);
  const paged = parameters.some(({ name }) => name === "count" || name === "offset");
  // A paged expansion is complete only if it says how many codes there are.
  const all = total === undefined ? !paged : typeof total === "number" && total <= entries;
  if (!all) throw invalid(path, "is a partial expansion: request the whole of it");
}

function readCompose(compose: unknown, path: string, add: Add): void {
  if (!isJsonObject(compose)) throw invalid(path, "is missing, and there is no expansion");
  if (listOf(compose["exclude"], path).length > 0) {
    throw invalid(`${path}.exclude`, "needs an expansion");
  }
  listOf(compose["include"], path).forEach((include, at) => {
    const here = `${path}.include[${at}]`;
    if (!isJsonObject(include)) throw invalid(here, "must be an object");
    for (const name of ["filter", "valueSet"]) {
      if (include[name] !== undefined) throw invalid(`${here}.${name}`, "needs an expansion");
    }
    const concepts = listOf(include["concept"], here);
    // Without concepts, an include means the whole system.
    if (concepts.length === 0) throw invalid(here, "lists no code, and needs an expansion");
    concepts.forEach((item, i) => {
      add(
        include["system"],
        isJsonObject(item) ? item["code"] : undefined,
        `${here}.concept[${i}]`,
      );
    });
  });
}

function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(path, "must be a list");
  return value;
}

function invalid(path: string, what: string): InputError {
  return new InputError("ERR_INPUT_INVALID", `${path} ${what}`);
}
