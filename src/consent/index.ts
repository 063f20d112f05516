export { lastInstantOfMinority, MAX_CAPACITY_CHAIN, type CapacityScope } from "./capacity.ts";
export * from "./decision.ts";
export * from "./directive.ts";
export * from "./duo.ts";
export {
  compileDirectives,
  evaluate,
  evaluateRequest,
  type CompiledConsent,
  type EvaluateOptions,
  type PreparedRequest,
} from "./evaluate.ts";
export * from "./external-labeller.ts";
export { explain, type ExplainOptions } from "./explain.ts";
export { filter, type FilteredPage, type FilterOptions } from "./filter.ts";
export {
  extendLabelRules,
  type CodeList,
  type LabelRule,
  type LabelRuleAdditions,
  type LabelRuleSet,
  type SystemCoverage,
} from "./label-rules.ts";
export * from "./labeller.ts";
export * from "./value-set-rules.ts";
export type { SetAside, SetAsideReason } from "./lineage.ts";
export * from "./model.ts";
export * from "./overlays/minors.ts";
export * from "./overlays/part-2.ts";
export * from "./residual.ts";
export { toPcfResidual, type PcfResidualRule } from "./residual-pcf.ts";
export {
  toPermission,
  type ResidualPermission,
  type ResidualPermissionData,
  type ResidualPermissionRule,
} from "./residual-permission.ts";
export { toSearchParameters, type ResidualSearch } from "./residual-search.ts";
export {
  alternativesOf,
  type ResidualExport,
  type ResidualLiteral,
  type ResidualTerm,
} from "./residual-terms.ts";
export type { RecordQuestion } from "./match.ts";
export type { ClaimedRole, ConsentRequest, RequestQuery } from "./request.ts";
export type { ConsentResource, LabelStamp, ResourceLabels } from "./resource.ts";
export * from "./snapshot.ts";
export * from "./terminology.ts";
export {
  fromFhirDateTime,
  isDateValue,
  MAX_INSTANT,
  resolvePeriod,
  type DateValue,
  type Interval,
  type Period,
} from "./time.ts";
export { findZone, isZoneName, type Zone } from "./zone.ts";
export * from "./witness.ts";
