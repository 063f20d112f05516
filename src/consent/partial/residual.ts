import { ConsentError } from "../../errors.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import { compileTests, type AttributeTest } from "../rules/match.ts";
import type { MatchContext } from "../rules/match-context.ts";
import { NO, YES } from "../rules/truth.ts";
import type { ConsentResource } from "../model/resource.ts";
import { compileScope } from "../rules/scope.ts";
import { defaultTerminology, type Terminology } from "../terminology/terminology.ts";
import { findZone } from "../model/zone.ts";
import type { Residual } from "../model/residual.ts";

/** A residual prepared for many records. */
export type ResidualMatcher = (resource: ConsentResource) => boolean;

/**
 * Prepares a residual for many records.
 *
 * @param terminology - the one that the residual names; default: the shipped one
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names another terminology
 * @throws {RangeError} when a step refers to a step that is not before it
 * @example
 * const mayHave = compileResidual(decision.filter!);
 * const released = records.filter(mayHave);
 */
export function compileResidual(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualMatcher {
  if (!terminology.cid.equals(residual.terminology)) {
    throw new ConsentError(
      "ERR_CONSENT_TERMINOLOGY",
      "the residual names another terminology: pass the one that it names",
    );
  }
  const { nodes, root } = residual;
  const tests = nodes.map((node) => "question" in node && testOf(node.question, terminology));
  nodes.forEach((node, position) => {
    const of = "of" in node ? (typeof node.of === "number" ? [node.of] : node.of) : [];
    for (const other of of) {
      if (!(other >= 0 && other < position))
        throw new RangeError("a step must refer only to steps before it");
    }
  });
  if (nodes[root] === undefined) throw new RangeError("the root is not a step of the residual");
  const held = new Uint8Array(nodes.length);
  const holds = (resource: ConsentResource): boolean => {
    const context = contextOf(resource);
    for (let position = 0; position <= root; position++) {
      const node = nodes[position]!;
      let value: boolean;
      switch (node.op) {
        case "all":
          value = true;
          for (const other of node.of) if (held[other] === 0) value = false;
          break;
        case "any":
          value = false;
          for (const other of node.of) if (held[other] === 1) value = true;
          break;
        case "not":
          value = held[node.of] === 0;
          break;
        default: {
          const answer = (tests[position] as AttributeTest).run(context);
          value = node.op === "certain" ? answer === YES : answer !== NO;
        }
      }
      held[position] = value ? 1 : 0;
    }
    return held[root] === 1;
  };
  const matcher: ResidualMatcher = (resource) =>
    holds(resource) && (resource.contains ?? []).every(matcher);
  return matcher;
}

/**
 * Whether a residual holds for a record; for many records use {@link compileResidual}.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names another terminology
 * @example
 * if (decision.filter !== undefined && matches(decision.filter, record)) release(record);
 */
export function matches(
  residual: Residual,
  resource: ConsentResource,
  terminology?: Terminology,
): boolean {
  return compileResidual(residual, terminology)(resource);
}

/** The test that checks a question on a record. */
function testOf(question: RecordQuestion, terminology: Terminology): AttributeTest {
  const { effect, data, zone } = question;
  const tests =
    data === undefined
      ? compileScope(question, terminology)?.[0]
      : compileTests(
          { id: "question", effect, combine: "deny-overrides", when: { data } },
          zone === null ? undefined : findZone(zone),
          terminology,
        );
  if (tests?.length !== 1) throw new RangeError("a question must ask about exactly one attribute");
  return tests[0]!;
}

/** A context for tests that depend on the record alone. */
function contextOf(resource: ConsentResource): MatchContext {
  return {
    request: NOBODY,
    asOf: 0,
    purpose: "",
    resource,
    labels: undefined,
    period: undefined,
    periodZone: undefined,
  };
}

const NOBODY: MatchContext["request"] = {
  action: "",
  persons: [],
  userStated: false,
  belongsTo: [],
  device: undefined,
  hasRole: () => NO,
};
