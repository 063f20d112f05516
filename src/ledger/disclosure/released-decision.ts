import type { CID } from "multiformats/cid";
import { least } from "../../bytes/lists.ts";
import { cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import type { Decision } from "../../consent/index.ts";
import { EVALUATOR } from "../../consent/model/decision.ts";
import type { Decided, Judgement } from "./decide-records.ts";

/**
 * The decision for a requester who gets nothing. It is the same whether somebody refused, no rule applied,
 * or there are no records. The access entry holds the real reason.
 */
export function denialWithoutReasons(asOf: number): Decision {
  return {
    outcome: "deny",
    obligations: [],
    refrains: [],
    breakGlass: null,
    reasons: [],
    setAside: [],
    basedOn: [],
    snapshot: NOTHING,
    asOf,
    expiresAt: null,
    evaluator: EVALUATOR,
  };
}

/** In place of a snapshot that must not be revealed: CID of the empty map. */
const NOTHING: CID = cidOf(encode({}), DAG_CBOR);

/** The later decision about a record that the first decision permitted. */
export function laterDecision(first: Decided, second: Judgement, stands: boolean): Decided {
  const { record } = first.record;
  const later = second.decided.find((one) => one.record.record === record)?.decision;
  if (later !== undefined && stands && later.outcome !== "permit") {
    return { ...first, decision: later, brokenGlass: false };
  }
  // The requester may no longer ask, or the record is no longer the version that was decided about.
  const decision: Decision = {
    ...second.probe,
    outcome: stands ? "not-applicable" : "deny",
    obligations: [],
    refrains: [],
    reasons: [],
    basedOn: [],
  };
  return { ...first, decision, brokenGlass: false };
}

/** One decision for all released records: the requester is bound by the duties of every one. */
export function uniteDecisions(decisions: readonly Decision[]): Decision | undefined {
  const [first] = decisions;
  if (first === undefined) return undefined;
  const all = <T>(pick: (decision: Decision) => readonly T[]): T[] => [
    ...new Map(
      decisions.flatMap((one) => pick(one)).map((item) => [JSON.stringify(item), item]),
    ).values(),
  ];
  const ends = decisions.flatMap(({ expiresAt }) => expiresAt ?? []);
  return {
    ...decisions.at(-1)!,
    obligations: all(({ obligations }) => obligations).sort(),
    refrains: all(({ refrains }) => refrains).sort(),
    reasons: all(({ reasons }) => reasons),
    basedOn: all(({ basedOn }) => basedOn),
    expiresAt: ends.length === 0 ? null : least(ends),
  };
}
