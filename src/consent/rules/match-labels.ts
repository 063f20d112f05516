import { least, greatest } from "../../bytes/lists.ts";
import type { Coding } from "../model/model.ts";
import type { ConsentResource } from "../model/resource.ts";
import {
  type Terminology,
  canonicalSystem,
  ACT_CODE,
  CONFIDENTIALITY,
  ACT_REASON,
} from "../terminology/terminology.ts";
import type { MatchContext, LabelView } from "./match-context.ts";
import { type Match, UNKNOWN, YES, NO } from "./truth.ts";

/** A test of a record's labels. A permit needs a stamp, for labels may be missing without one. */
export function labelTest(
  labels: readonly Coding[],
  deny: boolean,
  terminology: Terminology,
): (context: MatchContext) => Match {
  const sensitivity = new Set<string>();
  const others = new Set<string>();
  const levels: number[] = [];
  let foreign = false;
  for (const { system, code } of labels) {
    const known = canonicalSystem(system);
    const below = known === ACT_CODE ? terminology.labelsBelow(code) : undefined;
    if (below !== undefined) {
      for (const item of below) sensitivity.add(item);
    } else if (known === CONFIDENTIALITY && terminology.confidentialityLevel(code) !== undefined) {
      levels.push(terminology.confidentialityLevel(code)!);
    } else {
      // An unknown label may be meant for any record.
      foreign = true;
      others.add(`${known}|${code}`);
    }
  }
  // A permit covers levels up to the named one, a deny those from it upwards.
  const bound = levels.length === 0 ? -1 : deny ? least(levels) : greatest(levels);
  return (context) => {
    if (context.resource.labels === null) return UNKNOWN;
    const view = (context.labels ??= labelView(context.resource, terminology));
    if (!view.stamped && !deny) return UNKNOWN;
    for (const code of view.sensitivity) if (sensitivity.has(code)) return YES;
    for (const token of view.others) if (others.has(token)) return YES;
    if (bound >= 0 && view.level >= 0) {
      if (deny ? view.level >= bound : view.level <= bound) return YES;
    }
    if (!view.stamped || foreign || view.others.length > 0) return UNKNOWN;
    return bound >= 0 && view.level < 0 ? UNKNOWN : NO;
  };
}

/**
 * HL7's labels of the trustworthiness and alteration of data, which do not describe its content.
 */
const INTEGRITY = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

function labelView(resource: ConsentResource, terminology: Terminology): LabelView {
  const sensitivity: string[] = [];
  const others: string[] = [];
  let level = -1;
  const { obligations, refrains } = terminology.data;
  for (const { system, code } of resource.labels!.codes) {
    const known = canonicalSystem(system);
    if (known === ACT_REASON || known === INTEGRITY) continue;
    const rank = known === CONFIDENTIALITY ? terminology.confidentialityLevel(code) : undefined;
    if (rank !== undefined) level = Math.max(level, rank);
    else if (known !== ACT_CODE) others.push(`${known}|${code}`);
    else if (terminology.labelsBelow(code) !== undefined) sensitivity.push(code);
    else if (!Object.hasOwn(obligations, code) && !Object.hasOwn(refrains, code)) {
      others.push(`${known}|${code}`);
    }
  }
  return { stamped: resource.labels!.stamp !== null, sensitivity, level, others };
}
