import type { CID } from "../../codec/cid.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import type { Residual, ResidualNode } from "../model/residual.ts";

/** A predicate under construction, by position. */
export type Formula = number;
/** Always holds. */
export const TRUE: Formula = 0;
/** Never holds. */
export const FALSE: Formula = 1;

/** Builds predicates from questions; each question is added once. */
export interface Formulas {
  certain(question: RecordQuestion): Formula;
  possible(question: RecordQuestion): Formula;
  all(of: readonly Formula[]): Formula;
  any(of: readonly Formula[]): Formula;
  not(of: Formula): Formula;
  /** The predicate that was built, without steps that the root does not need. */
  finish(root: Formula, terminology: CID): Residual;
}

/** Starts with only the two constants. */
export function createFormulas(): Formulas {
  const nodes: ResidualNode[] = [
    { op: "all", of: [] },
    { op: "any", of: [] },
  ];
  const known = new Map<string, Formula>();
  const questionKeys = new WeakMap<RecordQuestion, string>();
  const add = (key: string, node: ResidualNode): Formula => {
    let at = known.get(key);
    if (at === undefined) known.set(key, (at = nodes.push(node) - 1));
    return at;
  };
  const ask = (op: "certain" | "possible", question: RecordQuestion): Formula => {
    let key = questionKeys.get(question);
    if (key === undefined) questionKeys.set(question, (key = JSON.stringify(question)));
    // A copy: the question has parts of the directive, which the decision's reader must not change.
    return add(`${op} ${key}`, { op, question: JSON.parse(key) as RecordQuestion });
  };
  const join = (op: "all" | "any", given: readonly Formula[]): Formula => {
    const [neutral, final] = op === "all" ? [TRUE, FALSE] : [FALSE, TRUE];
    const of = [...new Set(given)].filter((one) => one !== neutral).sort((a, b) => a - b);
    if (of.length === 0) return neutral;
    if (of.includes(final)) return final;
    if (of.length === 1) return of[0]!;
    const set = new Set(of);
    for (const one of of) {
      const node = nodes[one]!;
      if (node.op === "not" && set.has(node.of)) return final;
    }
    return add(`${op} ${of.join()}`, { op, of });
  };
  return {
    certain: (question) => ask("certain", question),
    possible: (question) => ask("possible", question),
    all: (of) => join("all", of),
    any: (of) => join("any", of),
    not(of) {
      if (of === TRUE) return FALSE;
      if (of === FALSE) return TRUE;
      const node = nodes[of]!;
      return node.op === "not" ? node.of : add(`not ${of}`, { op: "not", of });
    },
    finish(root, terminology) {
      const needed = new Set<Formula>([root]);
      for (let at = root; at >= 0; at--) {
        const node = nodes[at]!;
        if (!needed.has(at) || !("of" in node)) continue;
        for (const one of typeof node.of === "number" ? [node.of] : node.of) needed.add(one);
      }
      const order = [...needed].sort((a, b) => a - b);
      const place = new Map(order.map((old, position) => [old, position]));
      const moved = order.map((old): ResidualNode => {
        const node = nodes[old]!;
        if (node.op === "not") return { op: "not", of: place.get(node.of)! };
        if (node.op === "all" || node.op === "any") {
          return { op: node.op, of: node.of.map((one) => place.get(one)!) };
        }
        return node;
      });
      return { v: 1, terminology, nodes: moved, root: place.get(root)! };
    },
  };
}
