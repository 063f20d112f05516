import type { ConsentResource } from "../model/resource.ts";
import type { Interval } from "../model/time.ts";
import type { Zone } from "../model/zone.ts";
import type { RequestView } from "./request-view.ts";

/**
 * The facts that a rule is matched against: one purpose of one request, one resource, one moment.
 */
export interface MatchContext {
  readonly request: RequestView;
  readonly asOf: number;
  purpose: string;
  resource: ConsentResource;
  /** Computed on first use for each resource. */
  labels: LabelView | undefined;
  /** The resource's period, read in the zone last asked for; most directives share a zone. */
  period: Interval | undefined;
  periodZone: Zone | undefined;
}

/** The labels of a resource, classified once. */
export interface LabelView {
  readonly stamped: boolean;
  readonly sensitivity: readonly string[];
  /** Highest confidentiality, or -1. */
  readonly level: number;
  /** Labels unknown to the terminology: each may mean any other. */
  readonly others: readonly string[];
}
