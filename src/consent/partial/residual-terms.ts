import { appendTo, greatest, least } from "../../bytes/lists.ts";
import { isComparable, isPlainName } from "../rules/alike.ts";
import { RESOURCE_TYPES } from "../terminology/data/resource-types.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import type { Coding } from "../model/model.ts";
import type { Residual } from "../model/residual.ts";
import {
  ACT_CODE,
  canonicalSystem,
  CONFIDENTIALITY,
  type Terminology,
} from "../terminology/terminology.ts";

/** A question, and the answer that is required. */
export interface ResidualLiteral {
  readonly question: RecordQuestion;
  /**
   * `yes` and `maybe` require at least that; `no` and `not-yes` require less than `maybe` or `yes`.
   */
  readonly answer: "yes" | "maybe" | "no" | "not-yes";
}

/** Questions that must all be answered as required. */
export type ResidualTerm = readonly ResidualLiteral[];

/** A residual in another language. */
export interface ResidualExport<T> {
  readonly value: T;
  /** Conditions that the form does not express, in words; empty if it expresses everything. */
  readonly inexact: readonly string[];
}

/** Most alternatives that are written out. */
export const MAX_TERMS = 256;
/** Most steps of writing them out: rules can be crafted to multiply and cancel. */
const MAX_WORK = 4_000_000;

/** A term as the numbers of its literals, ascending. */
type Term = readonly number[];

/**
 * Writes a residual as alternatives, each a conjunction of questions.
 *
 * @returns `undefined` if there are too many to write out
 */
export function alternativesOf(residual: Residual): readonly ResidualTerm[] | undefined {
  const { nodes, root } = residual;
  const { literals, numberOf } = numberLiterals();
  let work = 0;
  const absorb = (terms: readonly Term[]): readonly Term[] => {
    const sets = terms.map((term) => new Set(term));
    return terms.filter((term, at) => {
      work += terms.length;
      return !sets.some(
        (other, index) =>
          index !== at &&
          (other.size < term.length || (other.size === term.length && index < at)) &&
          contains(sets[at]!, terms[index]!),
      );
    });
  };
  // Finds what is needed, and with which sign, from the root down; then builds it from the leaves
  // up.
  const needed = new Set<number>([signed(root, false)]);
  for (let at = root; at >= 0; at--) {
    const node = nodes[at]!;
    if (!("of" in node)) continue;
    for (const negated of [false, true]) {
      if (!needed.has(signed(at, negated))) continue;
      if (typeof node.of === "number") needed.add(signed(node.of, !negated));
      else for (const one of node.of) needed.add(signed(one, negated));
    }
  }
  const made = new Map<number, readonly Term[]>();
  for (let at = 0; at <= root; at++) {
    const node = nodes[at]!;
    for (const negated of [false, true]) {
      if (!needed.has(signed(at, negated))) continue;
      let terms: readonly Term[];
      if ("question" in node) {
        terms = [[numberOf(node.question, answerFor(node.op, negated))]];
      } else if (node.op === "not") {
        terms = made.get(signed(node.of, !negated))!;
      } else if ((node.op === "any") !== negated) {
        const all: Term[] = [];
        for (const one of node.of) {
          appendTo(all, made.get(signed(one, negated))!);
          if (all.length > MAX_TERMS) return undefined;
        }
        terms = absorb(all);
      } else {
        terms = [[]];
        for (const one of node.of) {
          const more = made.get(signed(one, negated))!;
          work += terms.length * more.length * 8;
          if (terms.length * more.length > MAX_TERMS * 8 || work > MAX_WORK) return undefined;
          const product = terms.flatMap((left) => more.flatMap((right) => join(left, right)));
          terms = absorb(product);
          if (terms.length > MAX_TERMS) return undefined;
        }
      }
      if (work > MAX_WORK) return undefined;
      made.set(signed(at, negated), terms);
    }
  }
  return made.get(signed(root, false))!.map((term) => term.map((one) => literals[one]!));
}

const signed = (at: number, negated: boolean): number => at * 2 + (negated ? 1 : 0);

const ANSWERS: readonly ResidualLiteral["answer"][] = ["yes", "maybe", "no", "not-yes"];

function answerFor(op: "certain" | "possible", negated: boolean): number {
  const answer = negated
    ? op === "certain"
      ? "not-yes"
      : "no"
    : op === "certain"
      ? "yes"
      : "maybe";
  return ANSWERS.indexOf(answer);
}

/** Numbers literals so that those of one question are adjacent, in the order of {@link ANSWERS}. */
function numberLiterals(): {
  readonly literals: readonly ResidualLiteral[];
  numberOf(question: RecordQuestion, answer: number): number;
} {
  const literals: ResidualLiteral[] = [];
  const first = new Map<string, number>();
  return {
    literals,
    numberOf(question, answer) {
      const key = JSON.stringify(question);
      let base = first.get(key);
      if (base === undefined) {
        first.set(key, (base = literals.length));
        appendTo(
          literals,
          ANSWERS.map((one) => ({ question, answer: one })),
        );
      }
      return base + answer;
    },
  };
}

/** Both terms in one; empty if they contradict each other. */
function join(left: Term, right: Term): readonly Term[] {
  const all = new Set([...left, ...right]);
  for (const one of all) {
    const base = one - (one % 4);
    const has = (answer: number): boolean => all.has(base + answer);
    // yes contradicts no and not-yes; maybe contradicts no.
    if ((has(0) && (has(2) || has(3))) || (has(1) && has(2))) return [];
    // yes implies maybe, and no implies not-yes.
    if (has(0)) all.delete(base + 1);
    if (has(2)) all.delete(base + 3);
  }
  return [[...all].sort((a, b) => a - b)];
}

function contains(all: ReadonlySet<number>, some: Term): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}

/** Whether an answer depends on what a record is, rather than on what it is not. */
export const isPositive = ({ answer }: ResidualLiteral): boolean =>
  answer === "yes" || answer === "maybe";

/** Every label that a rule's labels mean, by subsumption and order. */
export function labelsMeant(
  { data, effect }: RecordQuestion,
  terminology: Terminology,
): readonly Coding[] {
  const found = new Map<string, Coding>();
  for (const { system: given, code } of data?.labels ?? []) {
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

/**
 * Whether everything that a question names is known. An unknown name may mean any record, which a
 * language without a third truth value cannot express.
 */
export function isUnderstood({ data, zone }: RecordQuestion, terminology: Terminology): boolean {
  const { types = [], codes = [], labels = [], refs = [] } = data ?? {};
  return (
    zone !== null &&
    types.every((type) => RESOURCE_TYPES.has(type)) &&
    codes.every(isComparable) &&
    refs.every(({ reference }) => isPlainName(reference)) &&
    labels.every(
      (label) =>
        isLevel(label, terminology) ||
        (canonicalSystem(label.system) === ACT_CODE &&
          terminology.labelsBelow(label.code) !== undefined),
    )
  );
}

/** Whether a label is a confidentiality level. */
export function isLevel({ system, code }: Coding, terminology: Terminology): boolean {
  return (
    canonicalSystem(system) === CONFIDENTIALITY &&
    terminology.confidentialityLevel(code) !== undefined
  );
}

/** Drops literals that the rest of a term implies. */
export function withoutImplied(term: ResidualTerm, terminology: Terminology): ResidualTerm {
  const levels = ({ question }: ResidualLiteral): readonly number[] | undefined => {
    const labels = question.data?.labels;
    if (labels?.every((one) => isLevel(one, terminology)) !== true) return undefined;
    return labels.map(({ code }) => terminology.confidentialityLevel(code)!);
  };
  // A level certainly at or below a permit's bound is certainly below a higher one.
  const bounds = term.flatMap((one) => {
    const own = one.answer === "yes" && one.question.effect === "permit" ? levels(one) : undefined;
    return own === undefined ? [] : [greatest(own)];
  });
  return term.filter((one) => {
    if (isPositive(one) || one.question.effect !== "deny") return true;
    const own = levels(one);
    return own === undefined || !bounds.some((bound) => bound < least(own));
  });
}
