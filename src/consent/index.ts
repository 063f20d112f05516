export { lastInstantOfMinority, MAX_CAPACITY_CHAIN } from "./rules/capacity.ts";
export type { CapacityScope } from "./model/model.ts";
export * from "./model/decision.ts";
export * from "./model/directive.ts";
export * from "./duo.ts";
export {
  compileDirectives,
  evaluate,
  evaluateRequest,
  type CompiledConsent,
  type EvaluateOptions,
  type PreparedRequest,
} from "./evaluate.ts";
export * from "./labels/external-labeller.ts";
export { explain, type ExplainOptions } from "./explain.ts";
export { filter, type FilteredPage, type FilterOptions } from "./filter.ts";
export {
  extendLabelRules,
  type CodeList,
  type LabelRule,
  type LabelRuleAdditions,
  type LabelRuleSet,
  type SystemCoverage,
} from "./labels/label-rules.ts";
export * from "./labels/labeller.ts";
export * from "./labels/value-set-rules.ts";
export type { SetAside, SetAsideReason } from "./model/decision.ts";
export * from "./model/model.ts";
export * from "./overlays/minors.ts";
export * from "./overlays/part-2.ts";
export * from "./model/residual.ts";
export * from "./partial/residual.ts";
export { toPcfResidual, type PcfResidualRule } from "./partial/residual-pcf.ts";
export {
  toResidualPermission,
  type ResidualPermission,
  type ResidualPermissionData,
  type ResidualPermissionRule,
} from "./partial/residual-permission.ts";
export { toSearchParameters, type ResidualSearch } from "./partial/residual-search.ts";
export {
  alternativesOf,
  type ResidualExport,
  type ResidualLiteral,
  type ResidualTerm,
} from "./partial/residual-terms.ts";
export type { RecordQuestion } from "./model/record-question.ts";
export type { ClaimedRole, ConsentRequest, RequestQuery } from "./model/request.ts";
export type { ConsentResource, LabelStamp, ResourceLabels } from "./model/resource.ts";
export * from "./model/snapshot.ts";
export type { Hierarchy } from "./terminology/hierarchy.ts";
export * from "./terminology/terminology.ts";
export {
  fromFhirDateTime,
  isDateValue,
  MAX_INSTANT,
  resolvePeriod,
  type DateValue,
  type Interval,
  type Period,
} from "./model/time.ts";
export { findZone, isZoneName, type Zone } from "./model/zone.ts";
export * from "./model/trust.ts";
export * from "./model/witness.ts";
