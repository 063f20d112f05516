import { ConsentError } from "../errors.ts";
import type { RecordQuestion } from "./match.ts";
import type { Coding } from "./model.ts";
import type { Residual } from "./residual.ts";
import { ACT_CODE, canonicalSystem, CONFIDENTIALITY, type Terminology } from "./terminology.ts";
import { defaultTerminology } from "./terminology.ts";

/** A question, and the answer that is wanted. */
export interface ResidualLiteral {
  readonly question: RecordQuestion;
  /** `yes` and `maybe` want at least that, `no` and `not-yes` want less than `maybe`, or `yes`. */
  readonly answer: "yes" | "maybe" | "no" | "not-yes";
}

/** Most alternatives that are written out. */
const MAX_TERMS = 256;

/**
 * Writes a residual as alternatives of joined questions.
 *
 * @returns `undefined` when there are too many to write out
 */
export function alternativesOf(
  residual: Residual,
): readonly (readonly ResidualLiteral[])[] | undefined {
  const { nodes } = residual;
  type Terms = readonly (readonly ResidualLiteral[])[];
  const memo = new Map<string, Terms | undefined>();
  const visit = (at: number, negated: boolean): Terms | undefined => {
    const key = `${at} ${negated}`;
    if (!memo.has(key)) memo.set(key, expand(at, negated));
    return memo.get(key);
  };
  const expand = (at: number, negated: boolean): Terms | undefined => {
    const node = nodes[at]!;
    if (node.op === "not") return visit(node.of, !negated);
    if ("question" in node) {
      const { question } = node;
      const certain = node.op === "certain";
      const answer = negated ? (certain ? "not-yes" : "no") : certain ? "yes" : "maybe";
      return [[{ question, answer }]];
    }
    if ((node.op === "any") !== negated) {
      const terms: (readonly ResidualLiteral[])[] = [];
      for (const one of node.of) {
        const more = visit(one, negated);
        if (more === undefined) return undefined;
        terms.push(...more);
        if (terms.length > MAX_TERMS) return undefined;
      }
      return absorbed(terms);
    }
    let terms: Terms = [[]];
    for (const one of node.of) {
      const more = visit(one, negated);
      if (more === undefined || terms.length * more.length > MAX_TERMS * 8) return undefined;
      terms = absorbed(terms.flatMap((left) => more.flatMap((right) => joined(left, right))));
      if (terms.length > MAX_TERMS) return undefined;
    }
    return terms;
  };
  return visit(residual.root, false);
}

const keys = new WeakMap<RecordQuestion, string>();
function keyOf({ question, answer }: ResidualLiteral): string {
  let key = keys.get(question);
  if (key === undefined) keys.set(question, (key = JSON.stringify(question)));
  return `${answer} ${key}`;
}

const CONTRADICTING: Readonly<Record<ResidualLiteral["answer"], readonly string[]>> = {
  yes: ["no", "not-yes"],
  maybe: ["no"],
  no: ["yes", "maybe"],
  "not-yes": ["yes"],
};
const IMPLIED: Readonly<Record<string, ResidualLiteral["answer"]>> = {
  yes: "maybe",
  no: "not-yes",
};

function joined(
  left: readonly ResidualLiteral[],
  right: readonly ResidualLiteral[],
): readonly (readonly ResidualLiteral[])[] {
  const all = new Map([...left, ...right].map((one) => [keyOf(one), one]));
  for (const { question, answer } of [...all.values()]) {
    for (const other of CONTRADICTING[answer]) {
      if (all.has(keyOf({ question, answer: other as "no" }))) return [];
    }
    const implied = IMPLIED[answer];
    if (implied !== undefined) all.delete(keyOf({ question, answer: implied }));
  }
  return [[...all.values()]];
}

/** Drops alternatives that another one covers. */
function absorbed(
  terms: readonly (readonly ResidualLiteral[])[],
): readonly (readonly ResidualLiteral[])[] {
  const sets = terms.map((term) => new Set(term.map(keyOf)));
  return terms.filter(
    (_, at) =>
      !sets.some(
        (other, index) =>
          index !== at &&
          other.size <= sets[at]!.size &&
          (other.size < sets[at]!.size || index < at) &&
          [...other].every((key) => sets[at]!.has(key)),
      ),
  );
}

/** One search of which the results, together with those of the others, hold what is permitted. */
export interface ResidualSearch {
  /** FHIR resource types; empty: every type. */
  readonly types: readonly string[];
  /** Search parameters as name and value, not yet percent-encoded. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
  /** What the parameters do not say: their results may hold more than is permitted. */
  readonly inexact: readonly string[];
}

/** A form of a residual in another language. */
export interface ResidualExport<T> {
  readonly value: T;
  /** What the form does not say, in words; empty where it says all. */
  readonly inexact: readonly string[];
}

/**
 * Writes a residual as FHIR searches. They find everything that is permitted; wherever `inexact`
 * is not empty they find more, so that each result is still to be asked of `matches`.
 */
export function toSearchParameters(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualExport<readonly ResidualSearch[]> {
  const terms = alternativesOf(checked(residual, terminology));
  if (terms === undefined) {
    const inexact = ["the rules are too many to be written as searches"];
    return { value: [{ types: [], parameters: [], inexact }], inexact };
  }
  const value = terms.map((term) => searchOf(term, terminology));
  return { value, inexact: [...new Set(value.flatMap((one) => one.inexact))] };
}

function searchOf(term: readonly ResidualLiteral[], terminology: Terminology): ResidualSearch {
  const parameters: (readonly [string, string])[] = [];
  const inexact = new Set<string>();
  let types: readonly string[] | undefined;
  for (const { question, answer } of term) {
    const { data, effect } = question;
    const wanted = answer === "yes" || answer === "maybe";
    if (data?.types !== undefined) {
      const own = data.types;
      if (wanted) types = types === undefined ? own : types.filter((one) => own.includes(one));
      else inexact.add(`not of type ${own.join(", ")}`);
    } else if (data?.labels !== undefined) {
      const codes = tokens(labelsMeant(data.labels, effect, terminology));
      if (answer === "yes") parameters.push(["_security", codes]);
      else if (answer === "no") parameters.push(["_security:not", codes]);
      inexact.add(
        answer === "yes"
          ? "labels may come from somebody who is not trusted to label"
          : "records without labels cannot be told from harmless ones",
      );
    } else if (data?.codes !== undefined) {
      if (answer === "yes") parameters.push(["code", tokens(data.codes)]);
      else if (answer === "no") parameters.push(["code:not", tokens(data.codes)]);
      inexact.add("codes elsewhere in a record than in its code");
    } else if (data?.period !== undefined) {
      const { from, to } = data.period;
      if (answer === "yes" && typeof from !== "number" && typeof to !== "number") {
        if (from !== undefined) parameters.push(["date", `ge${from}`]);
        if (to !== undefined) parameters.push(["date", `le${to}`]);
      }
      inexact.add("the time zone, and records whose date is not known or overlaps");
    } else if (data?.refs !== undefined) {
      const ids = data.refs.map(({ reference }) => reference.split("/").at(-1)!);
      const instances = data.refs.every(({ meaning }) => meaning === "instance");
      if (instances && answer === "yes") parameters.push(["_id", ids.join(",")]);
      else inexact.add("relations to other records");
    } else if (data?.parts !== undefined) inexact.add("parts of a record");
    else if (question.controller !== undefined) inexact.add("whose record it is");
    else inexact.add("the law that the record is under");
  }
  return { types: types ?? [], parameters, inexact: [...inexact] };
}

const tokens = (codes: readonly Coding[]): string =>
  codes.map(({ system, code }) => `${system}|${code}`.replace(/[\\,$]/g, "\\$&")).join(",");

/** Every label that a rule's labels mean, by subsumption and order. */
function labelsMeant(
  labels: readonly Coding[],
  effect: RecordQuestion["effect"],
  terminology: Terminology,
): readonly Coding[] {
  const found = new Map<string, Coding>();
  for (const { system: given, code } of labels) {
    const system = canonicalSystem(given);
    const level = terminology.confidentialityLevel(code);
    let codes: Iterable<string> = [code];
    if (system === ACT_CODE) codes = terminology.labelsBelow(code) ?? [code];
    else if (system === CONFIDENTIALITY && level !== undefined) {
      codes = terminology.data.confidentiality.filter((_, rank) =>
        effect === "permit" ? rank <= level : rank >= level,
      );
    }
    for (const one of codes) found.set(`${system}|${one}`, { system, code: one });
  }
  return [...found.values()];
}

/** One rule of an IHE PCF residual: as in its `ihe_pcf` token extension, later rules first. */
export interface PcfResidualRule {
  readonly type: "forbid" | "permit";
  readonly securityLabel?: readonly Coding[];
  readonly class?: readonly Coding[];
  readonly code?: readonly Coding[];
  readonly dataPeriod?: { readonly start?: string; readonly end?: string };
  readonly data?: readonly {
    readonly meaning: string;
    readonly reference: { readonly reference: string };
  }[];
}

const FHIR_TYPES = "http://hl7.org/fhir/resource-types";

/**
 * Writes a residual in the form that IHE PCF puts into tokens: rules that narrow what the token
 * opens. PCF knows neither three truth values nor alternatives of joined rules: only a conjunction
 * of refusals, or alternatives of single permits after a general refusal, are exact.
 */
export function toPcfResidual(residual: Residual): ResidualExport<readonly PcfResidualRule[]> {
  const terms = alternativesOf(residual);
  const inexact = new Set<string>();
  if (terms === undefined) {
    return { value: [{ type: "forbid" }], inexact: ["the rules are too many: all is refused"] };
  }
  const attributes = (one: ResidualLiteral): Omit<PcfResidualRule, "type"> | undefined => {
    const { data } = one.question;
    if (data?.labels !== undefined) return { securityLabel: data.labels };
    if (data?.types !== undefined) {
      return { class: data.types.map((code) => ({ system: FHIR_TYPES, code })) };
    }
    if (data?.codes !== undefined) return { code: data.codes };
    if (data?.period !== undefined) {
      const { from, to } = data.period;
      if (typeof from === "number" || typeof to === "number") return undefined;
      return {
        dataPeriod: {
          ...(from === undefined ? {} : { start: from }),
          ...(to === undefined ? {} : { end: to }),
        },
      };
    }
    if (data?.refs !== undefined) {
      const refs = data.refs.map(({ meaning, reference }) => ({
        meaning,
        reference: { reference },
      }));
      return { data: refs };
    }
    return undefined;
  };
  const negative = ({ answer }: ResidualLiteral): boolean =>
    answer === "no" || answer === "not-yes";
  const forbids = (term: readonly ResidualLiteral[]): PcfResidualRule[] =>
    term.filter(negative).flatMap((one) => {
      const found = attributes(one);
      if (found === undefined) inexact.add("what PCF cannot ask of a record: all is refused");
      return [{ type: "forbid" as const, ...found }];
    });
  const rules: PcfResidualRule[] = [];
  const positives = terms.map((term) => term.filter((one) => !negative(one)));
  if (terms.length === 1 && positives[0]!.length === 0) {
    rules.push(...forbids(terms[0]!));
  } else {
    rules.push({ type: "forbid" });
    terms.forEach((_, at) => {
      const rule = positives[at]!.reduce<Omit<PcfResidualRule, "type"> | undefined>((sum, one) => {
        const found = attributes(one);
        if (sum === undefined || found === undefined) return undefined;
        if (Object.keys(found).some((key) => key in sum)) return undefined;
        return { ...sum, ...found };
      }, {});
      if (rule === undefined || (positives[at]!.length === 0 && terms.length > 1)) {
        inexact.add("an alternative that PCF cannot say: it is left out");
        return;
      }
      rules.push({ type: "permit", ...rule });
    });
    const common = terms.flatMap(forbids);
    if (terms.length > 1 && common.length > 0) {
      inexact.add("an exception from one alternative is made from all");
    }
    rules.push(...common);
  }
  if (terms.some((term) => term.some(({ question }) => question.data?.labels !== undefined))) {
    inexact.add("records without labels, which PCF takes for harmless");
  }
  return { value: rules, inexact: [...inexact] };
}

/** A FHIR R5 Permission as far as a residual fills it. */
export interface ResidualPermission {
  readonly resourceType: "Permission";
  readonly status: "active";
  readonly combining: "deny-overrides";
  readonly rule: readonly {
    readonly type: "permit" | "deny";
    readonly data?: readonly {
      readonly resource?: readonly {
        readonly meaning: string;
        readonly reference: { readonly reference: string };
      }[];
      readonly security?: readonly Coding[];
      readonly period?: readonly { readonly start?: string; readonly end?: string }[];
      readonly expression?: { readonly language: string; readonly expression: string };
    }[];
  }[];
}

/**
 * Writes a residual as a FHIR R5 Permission: the refusals and permits of {@link toPcfResidual},
 * where denies override.
 */
export function toPermission(residual: Residual): ResidualExport<ResidualPermission> {
  const { value, inexact: lost } = toPcfResidual(residual);
  const inexact = new Set(lost);
  const general = value.some((one) => one.type === "forbid" && Object.keys(one).length === 1);
  const kept = value.filter((one) => Object.keys(one).length > 1 || one.type === "permit");
  const onlyForbids = kept.every(({ type }) => type === "forbid");
  const rules = kept.map((one): ResidualPermission["rule"][number] => {
    const { securityLabel, dataPeriod, data, class: types, code } = one;
    const expressions = [
      (types ?? []).map((item) => `%resource.is(${item.code})`),
      (code ?? []).map(
        (item) =>
          `%resource.code.coding.where(system=${quoted(item.system)} and code=${quoted(item.code)}).exists()`,
      ),
    ]
      .filter((group) => group.length > 0)
      .map((group) => `(${group.join(" or ")})`);
    if (expressions.length > 0) inexact.add("types and codes, as an expression");
    const said = {
      ...(data === undefined ? {} : { resource: data }),
      ...(securityLabel === undefined ? {} : { security: securityLabel }),
      ...(dataPeriod === undefined ? {} : { period: [dataPeriod] }),
      ...(expressions.length === 0
        ? {}
        : {
            expression: { language: "text/fhirpath", expression: expressions.join(" and ") },
          }),
    };
    return {
      type: one.type === "forbid" ? "deny" : "permit",
      ...(Object.keys(said).length === 0 ? {} : { data: [said] }),
    };
  });
  return {
    value: {
      resourceType: "Permission",
      status: "active",
      combining: "deny-overrides",
      rule: general || !onlyForbids ? rules : [{ type: "permit" }, ...rules],
    },
    inexact: [...inexact],
  };
}

const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;

function checked(residual: Residual, terminology: Terminology): Residual {
  if (terminology.cid.equals(residual.terminology)) return residual;
  throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "the residual names another terminology");
}
