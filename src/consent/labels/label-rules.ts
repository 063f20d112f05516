import { codeSystem, foldCode, NESTED_CODES, spellCode } from "../terminology/code-systems.ts";

/** Codes of code systems. */
export interface CodeList {
  /** Exact codes by system. */
  readonly codes?: Readonly<Record<string, readonly string[]>>;
  /** Prefixes of codes by system, for systems in which longer codes are kinds of shorter ones. */
  readonly prefixes?: Readonly<Record<string, readonly string[]>>;
}

/** Codes that call for labels. */
export interface LabelRule extends CodeList {
  /** ActCode sensitivity codes. */
  readonly labels: readonly string[];
}

/** How much of a code system a set of rules covers. */
export interface SystemCoverage {
  /**
   * `"all"`: the whole system was judged, so that a code without a rule is not sensitive. `"part"`:
   * a code in no rule and no list was not judged, and is unknown. A list of prefixes: `"all"` for
   * the codes that begin with one of them (chapters), `"part"` for the others.
   */
  readonly covers: "all" | "part" | readonly string[];
  /**
   * Declares that codes which nobody judged count as not sensitive. Data that patients refuse is
   * then released under every code of the system that no rule lists.
   */
  readonly unlisted?: "harmless";
}

/** Label rules as data; their hash names them. */
export interface LabelRuleSet {
  readonly v: 2;
  readonly name: string;
  readonly version: string;
  /** Names of the sets that this one extends: stamps by them count as older than this set's own. */
  readonly extends?: readonly string[];
  /** Systems whose codes these rules judge. A system listed neither here nor below is unknown. */
  readonly systems: Readonly<Record<string, SystemCoverage>>;
  /**
   * Systems whose codes say nothing clinical, and profiles and extensions that say nothing beyond
   * their codes. A trailing `*` matches any rest.
   */
  readonly administrativeSystems: readonly string[];
  /** Codes of other systems that say nothing clinical. */
  readonly administrativeCodes: CodeList;
  readonly rules: readonly LabelRule[];
  /**
   * Codes that were judged and found not sensitive. A rule that finds one sensitive takes
   * precedence.
   */
  readonly notSensitive: readonly CodeList[];
}

/** Additions to a set of rules, for {@link extendLabelRules}. */
export interface LabelRuleAdditions {
  readonly name: string;
  readonly version: string;
  readonly rules?: readonly LabelRule[];
  readonly notSensitive?: readonly CodeList[];
  /** Replaces the set's coverage of the same systems. */
  readonly systems?: Readonly<Record<string, SystemCoverage>>;
  readonly administrativeSystems?: readonly string[];
}

/**
 * Makes a new set of rules from a set and additions. Rules add up: no rule removes what another
 * found.
 *
 * @throws {RangeError} when the new set has the name and version of the old one: stamps would not
 *   tell the two apart
 * @example
 * const rules = extendLabelRules(DEFAULT_LABEL_RULES, {
 *   name: "our-rules",
 *   version: "1",
 *   rules: [{ labels: ["HIV"], codes: { "http://loinc.org": ["29893-5"] } }],
 * });
 */
export function extendLabelRules(base: LabelRuleSet, additions: LabelRuleAdditions): LabelRuleSet {
  const { name, version } = additions;
  if (name === base.name && version === base.version) {
    throw new RangeError("rules that differ from the base need another name or version");
  }
  return {
    v: 2,
    name,
    version,
    extends: [...new Set([...(base.extends ?? []), base.name])],
    systems: { ...base.systems, ...additions.systems },
    administrativeSystems: [
      ...base.administrativeSystems,
      ...(additions.administrativeSystems ?? []),
    ],
    administrativeCodes: base.administrativeCodes,
    rules: [...base.rules, ...(additions.rules ?? [])],
    notSensitive: [...base.notSensitive, ...(additions.notSensitive ?? [])],
  };
}

/** The judgement of the rules on one code. */
export interface CodeJudgement {
  /** ActCode sensitivity codes that it calls for. */
  readonly labels: readonly string[];
  /** Whether these are all the labels that it may call for. */
  readonly judged: boolean;
  /** Whether its system is one whose codes say nothing clinical. */
  readonly administrative: boolean;
}

/** Rules that are ready to judge codes. */
export interface CompiledRules {
  judge(system: string, code: string): CodeJudgement;
  /** Whether a system, profile or extension is administrative. */
  isAdministrative(name: string): boolean;
}

/** Most judgements that are kept: resources repeat the same few codes. */
const MAX_KNOWN = 8192;
/** Most UTF-16 units of a code and its system that are kept: longer ones are hardly repeated. */
const LONGEST_KNOWN = 512;

/**
 * Prepares rules for judging codes.
 *
 * @throws {RangeError} when the rules have no name or version for stamps, or a rule has no label
 */
export function compileRules(rules: LabelRuleSet): CompiledRules {
  if (rules.name === "" || rules.version === "")
    throw new RangeError("rules need a name and version");
  if (rules.rules.some(({ labels }) => labels.length === 0)) {
    throw new RangeError("a rule without labels would do nothing: list its codes in notSensitive");
  }
  const sensitive = new Map<string, Sensitive>();
  const sensitiveOf = (name: string): Sensitive => {
    const system = codeSystem(name);
    let own = sensitive.get(system);
    if (own === undefined) sensitive.set(system, (own = { exact: new Map(), prefixes: [] }));
    return own;
  };
  for (const { labels, codes = {}, prefixes = {} } of rules.rules) {
    for (const [name, list] of Object.entries(codes)) {
      const { exact, prefixes: beginnings } = sensitiveOf(name);
      const system = codeSystem(name);
      for (const code of list) {
        const text = foldCode(system, code);
        exact.set(text, new Set([...(exact.get(text) ?? []), ...labels]));
        // A subtype of something sensitive is sensitive.
        if (NESTED_CODES.has(system)) beginnings.push({ text, labels });
      }
    }
    for (const [name, list] of Object.entries(prefixes)) {
      const system = codeSystem(name);
      for (const text of list) {
        sensitiveOf(name).prefixes.push({ text: foldCode(system, text), labels });
      }
    }
  }
  const harmless = harmlessCodes(rules);
  const asides = new Set<string>();
  for (const [name, list] of Object.entries(rules.administrativeCodes.codes ?? {})) {
    for (const code of list) asides.add(JSON.stringify([codeSystem(name), code]));
  }
  const exactly = new Set(rules.administrativeSystems.filter((name) => !name.endsWith("*")));
  const beginnings = rules.administrativeSystems
    .filter((name) => name.endsWith("*"))
    .map((name) => name.slice(0, -1));
  const isAdministrative = (name: string): boolean =>
    exactly.has(name) || beginnings.some((prefix) => name.startsWith(prefix));

  function judgeAnew(name: string, code: string): CodeJudgement {
    const system = codeSystem(name);
    const { codes, whole } = spellCode(system, code);
    const labels = new Set<string>();
    const own = sensitive.get(system);
    let open = false;
    for (const text of codes.map((one) => foldCode(system, one))) {
      for (const label of own?.exact.get(text) ?? []) labels.add(label);
      for (const prefix of own?.prefixes ?? []) {
        if (text.startsWith(prefix.text)) for (const label of prefix.labels) labels.add(label);
      }
      // A heading may mean what a rule says about one of the codes below it.
      open ||= (own?.prefixes ?? []).some(
        (prefix) => prefix.text.startsWith(text) && prefix.labels.some((one) => !labels.has(one)),
      );
    }
    const administrative =
      isAdministrative(system) || asides.has(JSON.stringify([system, codes[0]]));
    const listed = administrative || labels.size > 0 || harmless(system, codes[0]);
    return { labels: [...labels], judged: whole && !open && listed, administrative };
  }

  const known = new Map<string, Map<string, CodeJudgement>>();
  let count = 0;
  return {
    isAdministrative,
    judge(system, code) {
      let ofSystem = known.get(system);
      let judgement = ofSystem?.get(code);
      if (judgement !== undefined) return judgement;
      judgement = judgeAnew(system, code);
      if (system.length + code.length > LONGEST_KNOWN) return judgement;
      if (ofSystem === undefined || count >= MAX_KNOWN) {
        if (count >= MAX_KNOWN) {
          known.clear();
          count = 0;
        }
        known.set(system, (ofSystem = new Map()));
      }
      ofSystem.set(code, judgement);
      count++;
      return judgement;
    },
  };
}

interface Sensitive {
  readonly exact: Map<string, ReadonlySet<string>>;
  readonly prefixes: { readonly text: string; readonly labels: readonly string[] }[];
}

/** Tells which of the codes that no rule finds sensitive are not sensitive. */
function harmlessCodes(rules: LabelRuleSet): (system: string, code: string | undefined) => boolean {
  const exact = new Map<string, Set<string>>();
  const prefixes = new Map<string, string[]>();
  const everything = new Set<string>();
  const spelled = (system: string, code: string): string =>
    NESTED_CODES.has(system) ? foldCode(system, code) : code.trim();
  const begin = (system: string, texts: readonly string[]): void => {
    const own = prefixes.get(system) ?? [];
    prefixes.set(system, own);
    for (const text of texts) own.push(spelled(system, text));
  };
  for (const list of rules.notSensitive) {
    for (const [name, codes] of Object.entries(list.codes ?? {})) {
      const system = codeSystem(name);
      const own = exact.get(system) ?? new Set();
      exact.set(system, own);
      for (const code of codes) own.add(spelled(system, code));
    }
    for (const [name, texts] of Object.entries(list.prefixes ?? {})) begin(codeSystem(name), texts);
  }
  for (const [name, { covers, unlisted }] of Object.entries(rules.systems)) {
    const system = codeSystem(name);
    if (covers === "all" || unlisted === "harmless") everything.add(system);
    else if (covers !== "part") begin(system, covers);
  }
  return (system, code) => {
    if (code === undefined) return false;
    if (everything.has(system) || exact.get(system)?.has(code) === true) return true;
    return prefixes.get(system)?.some((text) => code.startsWith(text)) === true;
  };
}
