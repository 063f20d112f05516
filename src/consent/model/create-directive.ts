import { isPlainObject } from "../../bytes/guards.ts";
import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import { ConsentError } from "../../errors.ts";
import { assertKnownJurisdictions, assertKnownRule } from "../terminology/known-codes.ts";
import { defaultTerminology, type Terminology } from "../terminology/terminology.ts";
import { decodeDirective, encodeDirective } from "./directive.ts";
import type {
  Basis,
  Capacity,
  DataFilter,
  Directive,
  Effect,
  Grantor,
  Rule,
  Validity,
  When,
} from "./model.ts";

/**
 * What is permitted or denied. Attributes must all match; of the values of one attribute, one
 * suffices; an attribute that is left out matches anything. Those from `types` on describe the data.
 */
export interface DirectiveStatement
  extends Omit<When, "data">, DataFilter, Pick<Rule, "obligations" | "refrains" | "breakGlass"> {
  /** Names the rule in explanations; unique within the directive. Default: made from its place. */
  readonly id?: string;
  /** Exceptions: the opposite effect applies there, with exceptions of its own. */
  readonly except?: DirectiveStatement | readonly DirectiveStatement[];
}

/** Options of {@link createDirective}. */
export interface CreateDirectiveOptions {
  /** Names the series of statements of which the newest is in force. */
  readonly lineage: string;
  /** The party that makes the statement; a plain name has the capacity `self`. */
  readonly grantor:
    | string
    | {
        readonly actor: string;
        /** Default `self`. */
        readonly capacity?: Capacity;
        /** Default: none. */
        readonly evidence?: readonly CID[];
      };
  /** The law or policy that the statement is based on. */
  readonly basis: Basis;
  /** When it comes into force: an instant in ms since 1970, or a date. */
  readonly from: Validity["from"];
  /** When it ends, inclusive. Default: never. */
  readonly to?: Validity["from"];
  /** Time zone of its dates: `UTC`, a fixed offset, or an IANA name. Default `UTC`. */
  readonly zone?: string;
  readonly permit?: DirectiveStatement | readonly DirectiveStatement[];
  /** A denial overrides the other statements of the directive. */
  readonly deny?: DirectiveStatement | readonly DirectiveStatement[];
  /** The effect on everything else. Default `deny`; for an amendment always `none`. */
  readonly otherwise?: Effect | "none";
  /** The entry, or entries, of the same lineage that this directive replaces. Default: none. */
  readonly replaces?: EntryId | readonly EntryId[];
  /**
   * The entries of the same lineage that this directive amends: they still apply where it is
   * silent.
   */
  readonly amends?: EntryId | readonly EntryId[];
  /** Only records of this controller. Default: records of any. */
  readonly controller?: string;
  /** FHIR consent scope. Default: not stated. */
  readonly category?: string;
  /** ISO 3166 codes. Default: everywhere. */
  readonly jurisdictions?: readonly string[];
  /**
   * Lists the codes that the statements may use; it does not become part of the directive. A ledger that
   * is to judge by codes of one's own must be opened with the same. Default: the shipped terminology.
   */
  readonly terminology?: Terminology;
}

const OPTIONS: Readonly<Record<keyof CreateDirectiveOptions, true>> = {
  lineage: true,
  grantor: true,
  basis: true,
  from: true,
  to: true,
  zone: true,
  permit: true,
  deny: true,
  otherwise: true,
  replaces: true,
  amends: true,
  controller: true,
  category: true,
  jurisdictions: true,
  terminology: true,
};
/** Where each attribute of a statement stands in a rule. */
const ATTRIBUTES: Readonly<Record<keyof DirectiveStatement, "rule" | "when" | "data" | "here">> = {
  id: "here",
  except: "here",
  obligations: "rule",
  refrains: "rule",
  breakGlass: "rule",
  validity: "when",
  actors: "when",
  roles: "when",
  purposes: "when",
  actions: "when",
  types: "data",
  codes: "data",
  labels: "data",
  period: "data",
  refs: "data",
  parts: "data",
};

const invalid = (why: string): ConsentError => new ConsentError("ERR_CONSENT_INVALID", why);

/**
 * Makes a directive from what a person says: what is permitted, what is denied, and except what.
 *
 * A single statement becomes the directive's root. Several stand side by side beneath one that says
 * `otherwise` of everything else, which then counts like a statement, not as a mere default: a permit
 * in another lineage does not open what it denies.
 *
 * Purposes, actions, resource types, labels, obligations and refrains must be known to the terminology.
 * A code of one's own either is in the given `terminology`, or states its system: `system|code`, for a label
 * a `system` other than HL7's, for a resource type its canonical URL. Nothing lists roles, parties, parts
 * and clinical codes, so a misspelt one of those is not noticed.
 *
 * @returns a directive of its own that {@link encodeDirective} accepts
 * @throws {TypeError} for an unknown option or attribute, or one that is `undefined` or `null`, which would
 *   silently match everything; and for what is no plain object, of which not everything is seen
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when it says nothing, or contradicts itself,
 *   `ERR_CONSENT_TERMINOLOGY` when it names an unknown code; the message names the closest known one
 * @throws {EncodingError} when a value is of another type, or too large
 * @throws {InputError} `ERR_INPUT_INVALID` when what it replaces or amends is not an entry's id
 * @example
 * createDirective({
 *   lineage: "privacy",
 *   grantor: "Patient/1",
 *   basis: { uri: "https://example.org/privacy-policy", version: "1" },
 *   from: "2026-01-01",
 *   permit: { purposes: ["TREAT"], except: { types: ["Condition"] } },
 * });
 */
export function createDirective(options: CreateDirectiveOptions): Directive {
  assertKnown(options, OPTIONS, "createDirective");
  const { lineage, basis, from, to, zone = "UTC", grantor } = options;
  const { terminology = defaultTerminology() } = options;
  const { mode, predecessors } = placeOf(options);
  const otherwise = options.otherwise ?? (mode === "amend" ? "none" : "deny");
  const directive: Directive = {
    v: 1,
    lineage,
    predecessors,
    mode,
    grantor: grantorOf(grantor),
    basis,
    validity: { from, ...(to === undefined ? {} : { to }), zone },
    default: otherwise,
    root: rootOf(options, otherwise),
    ...pick(options, ["controller", "category", "jurisdictions"]),
  };
  const made = decodeDirective(encodeDirective(directive));
  assertKnownRule(made.root!, terminology);
  assertKnownJurisdictions(made.jurisdictions ?? []);
  return made;
}

function placeOf({
  replaces,
  amends,
}: CreateDirectiveOptions): Pick<Directive, "mode" | "predecessors"> {
  if (replaces !== undefined && amends !== undefined) {
    throw invalid("a directive either replaces or amends");
  }
  const named = amends ?? replaces ?? [];
  if (amends?.length === 0) throw invalid("a directive that amends names what it amends");
  return {
    mode: amends === undefined ? "replace" : "amend",
    predecessors: typeof named === "string" ? [named] : named,
  };
}

function grantorOf(given: CreateDirectiveOptions["grantor"]): Grantor {
  if (typeof given === "string") return { actor: given, capacity: "self", evidence: [] };
  assertKnown(given, { actor: true, capacity: true, evidence: true }, "grantor");
  return { actor: given.actor, capacity: given.capacity ?? "self", evidence: given.evidence ?? [] };
}

function rootOf(options: CreateDirectiveOptions, otherwise: Effect | "none"): Rule {
  const permits = listOf(options.permit);
  const denies = listOf(options.deny);
  const rules = [...rulesOf(permits, "permit", "permit"), ...rulesOf(denies, "deny", "deny")];
  const [only] = rules;
  if (only === undefined) throw invalid("a directive permits or denies something");
  if (rules.length === 1) return only;
  if (otherwise === "none") {
    throw invalid("of several statements in one directive, otherwise is permit or deny");
  }
  return { id: "all", effect: otherwise, combine: "deny-overrides", when: {}, rules };
}

function rulesOf(
  statements: readonly DirectiveStatement[],
  effect: Effect,
  name: string,
): readonly Rule[] {
  return statements.map((statement, i) =>
    ruleOf(statement, effect, statements.length === 1 ? name : `${name}-${i + 1}`),
  );
}

function ruleOf(statement: DirectiveStatement, effect: Effect, name: string): Rule {
  assertKnown(statement, ATTRIBUTES, "a statement");
  const within = (place: "rule" | "when" | "data") =>
    Object.fromEntries(
      Object.entries(statement).filter(
        ([key]) => ATTRIBUTES[key as keyof DirectiveStatement] === place,
      ),
    );
  const data = within("data");
  const id = statement.id ?? name;
  const opposite = effect === "permit" ? "deny" : "permit";
  const rules = rulesOf(listOf(statement.except), opposite, `${id}-except`);
  return {
    id,
    effect,
    combine: "deny-overrides",
    when: { ...within("when"), ...(Object.keys(data).length === 0 ? {} : { data }) },
    ...within("rule"),
    ...(rules.length === 0 ? {} : { rules }),
  };
}

/** One statement, or several; an empty list is a slip, for it would say nothing. */
function listOf(
  given: DirectiveStatement | readonly DirectiveStatement[] | undefined,
): readonly DirectiveStatement[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) return [given as DirectiveStatement];
  if (given.length === 0) throw invalid("a list of statements is empty");
  return given;
}

function assertKnown(given: object, names: Readonly<Record<string, unknown>>, what: string): void {
  if (!isPlainObject(given)) throw new TypeError(`${what} is no plain object`);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(names, name)) throw new TypeError(`${what} has no ${name}`);
    if (value === undefined || value === null) {
      throw new TypeError(`${name} is ${String(value)}: leave it out, or say it`);
    }
  }
}

function pick<T extends object, K extends keyof T>(
  from: T,
  names: readonly K[],
): Partial<Pick<T, K>> {
  return Object.fromEntries(
    names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])),
  ) as Partial<Pick<T, K>>;
}
