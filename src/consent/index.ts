export {
  decideDataUse,
  type DataUseDecision,
  type DataUseReason,
  type DataUseTerm,
  type ResearchKind,
  type ResearchPurpose,
} from "./duo.ts";
export {
  compileDirectives,
  evaluate,
  evaluateRequest,
  type CompiledConsent,
  type EvaluateOptions,
  type PreparedRequest,
} from "./evaluate.ts";
export { explain, type ExplainOptions } from "./explain.ts";
export { filter, type FilteredPage, type FilterOptions } from "./filter.ts";
export {
  externalLabeller,
  type ExternalLabeller,
  type ExternalLabellerOptions,
} from "./labels/external-labeller.ts";
export {
  extendLabelRules,
  type CodeList,
  type LabelRule,
  type LabelRuleAdditions,
  type LabelRuleSet,
  type SystemCoverage,
} from "./labels/label-rules.ts";
export {
  createLabeller,
  DEFAULT_LABEL_RULES,
  needsRelabelling,
  type Labeller,
  type LabellerOptions,
  type LabelOptions,
  type ResolveReference,
  type Unjudged,
  type UnjudgedCode,
} from "./labels/labeller.ts";
export {
  labelRulesFromValueSets,
  type LabelledValueSet,
  type ValueSetRules,
} from "./labels/value-set-rules.ts";
export type {
  Decision,
  Layer,
  Outcome,
  Reason,
  ReasonKind,
  SetAside,
  SetAsideReason,
  Witnessed,
} from "./model/decision.ts";
export {
  createDirective,
  type CreateDirectiveOptions,
  type DirectiveStatement,
} from "./model/create-directive.ts";
export { decodeDirective, directiveCid, encodeDirective } from "./model/directive.ts";
export type {
  ActorRef,
  ActorType,
  Basis,
  Capacity,
  CapacityScope,
  Coding,
  Combine,
  DataFilter,
  DataRef,
  Directive,
  DirectiveMode,
  Effect,
  Grantor,
  Overlay,
  RefMeaning,
  Requirement,
  Rule,
  Validity,
  When,
} from "./model/model.ts";
export type { RecordQuestion } from "./model/record-question.ts";
export type { ClaimedRole, ConsentRequest, RequestQuery } from "./model/request.ts";
export type { Residual, ResidualNode } from "./model/residual.ts";
export type { ConsentResource, LabelStamp, ResourceLabels } from "./model/resource.ts";
export {
  snapshotCid,
  type CapacityFact,
  type ConsentSnapshot,
  type RoleAttestation,
  type SnapshotDirective,
  type SnapshotMembership,
  type SnapshotOverlay,
  type SnapshotPlace,
  type Standing,
} from "./model/snapshot.ts";
export type { DateValue, Interval, Period } from "./model/time.ts";
export type { DirectiveForm, DirectiveWitness, WitnessForm } from "./model/witness.ts";
export { findZone, type Zone } from "./model/zone.ts";
export {
  MINOR_CONSENT_LABELS,
  minorSelfConsentOverlay,
  type MinorSelfConsentOptions,
} from "./overlays/minors.ts";
export { part2Overlay, type Part2Options } from "./overlays/part-2.ts";
export { capacityRole, ownAccess, type OwnAccessOptions } from "./own-access.ts";
export { compileResidual, matches, type ResidualMatcher } from "./partial/residual.ts";
export { toPcfResidual, type PcfResidualRule } from "./partial/residual-pcf.ts";
export {
  toResidualPermission,
  type ResidualPermission,
  type ResidualPermissionData,
  type ResidualPermissionRule,
} from "./partial/residual-permission.ts";
export { toSearchParameters, type ResidualSearch } from "./partial/residual-search.ts";
export type { ResidualExport, ResidualLiteral, ResidualTerm } from "./partial/residual-terms.ts";
export { lastInstantOfMinority } from "./rules/capacity.ts";
export type { Hierarchy } from "./terminology/hierarchy.ts";
export {
  ACT_CODE,
  ACT_REASON,
  BTG,
  CONFIDENTIALITY,
  defaultTerminology,
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
  type Terminology,
  type TerminologyAdditions,
  type TerminologyData,
} from "./terminology/terminology.ts";
