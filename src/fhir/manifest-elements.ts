/**
 * A way to find the time of the events in a resource: from one element (a date, Period or Timing);
 * from two that hold its start and its end; from several, `all` of which count; from when it was
 * `done` and may have `begun` before; or from when it was written down, which tells only that it
 * happened `by` then, or is to happen `since` then.
 */
export type TimeElement =
  | string
  | readonly [start: string, end: string]
  | { readonly all: readonly string[] }
  | { readonly begun: string; readonly done: string }
  | { readonly by: string }
  | { readonly since: string };

/** The elements in which a resource type keeps what a manifest repeats; paths as for `valuesAt`. */
export interface ManifestElements {
  /** Codes of what the resource is and is about: CodeableConcept, Coding or CodeableReference. */
  readonly codes: readonly string[];
  /** When it happened: the first that is present counts. */
  readonly dates: readonly TimeElement[];
  /** The parties who wrote it, did it or stated it. */
  readonly authors: readonly string[];
  readonly encounter: readonly string[];
  readonly status: string;
  /** Whether resources of the type state by codes what they are. */
  readonly coded: boolean;
}

/** Elements that mean the same in every type that has them. */
const CODES: readonly string[] = [
  "code",
  "category",
  "type",
  "class",
  "value[x]",
  "medication[x]",
  "medication",
  "reasonCode",
  "reason",
  "bodySite",
  "specialty",
  "serviceType",
];
const DATES: readonly TimeElement[] = [
  "effective[x]",
  "performed[x]",
  "occurrence[x]",
  "period",
  { since: "authoredOn" },
  { by: "issued" },
  { by: "date" },
  { by: "recordedDate" },
  { by: "recorded" },
  { by: "created" },
];
const AUTHORS: readonly string[] = [
  "author",
  "performer",
  "performer.actor",
  "recorder",
  "asserter",
  "requester",
  "participant.individual",
  "participant.actor",
  "provider",
  "informationSource",
  "enterer",
  "source",
];
const ENCOUNTER: readonly string[] = ["encounter"];

function like(
  own: Partial<Record<"codes" | "authors" | "encounter", readonly string[]>> & {
    readonly dates?: ManifestElements["dates"];
    readonly status?: string;
    readonly coded?: boolean;
  },
): ManifestElements {
  return {
    codes: [...CODES, ...(own.codes ?? [])],
    dates: own.dates ?? DATES,
    authors: own.authors ?? AUTHORS,
    encounter: own.encounter ?? ENCOUNTER,
    status: own.status ?? "status",
    coded: own.coded ?? true,
  };
}

const CONTEXT: readonly string[] = ["encounter", "context"];

const SPECIAL: Readonly<Record<string, ManifestElements>> = {
  AdverseEvent: like({
    codes: ["event", "seriousness", "severity", "resultingEffect"],
    dates: ["occurrence[x]", "date", { by: "detected" }, { by: "recordedDate" }],
    authors: ["recorder"],
  }),
  AllergyIntolerance: like({
    codes: ["reaction.substance", "reaction.manifestation"],
    // as a condition it continues: neither its record nor its last occurrence ends it
    dates: [{ since: "onset[x]" }, { since: "reaction.onset" }],
    status: "clinicalStatus",
  }),
  Appointment: like({
    codes: ["appointmentType", "serviceCategory"],
    dates: [["start", "end"], "requestedPeriod", { since: "created" }],
    authors: ["participant.actor"],
  }),
  AuditEvent: like({
    coded: false,
    codes: ["subtype", "purposeOfEvent", "agent.purposeOfUse", "authorization"],
    dates: ["period", "occurred[x]", { by: "recorded" }],
    authors: ["agent.who"],
  }),
  CarePlan: like({
    codes: ["activity.detail.code", "activity.detail.reasonCode", "addresses"],
    dates: ["period"],
    authors: ["author", "contributor", "custodian"],
  }),
  CareTeam: like({ coded: false, dates: ["period"], authors: ["managingOrganization"] }),
  Claim: like({
    codes: [
      "subType",
      "diagnosis.diagnosisCodeableConcept",
      "procedure.procedureCodeableConcept",
      "item.productOrService",
      "supportingInfo.code",
    ],
    dates: ["billablePeriod", "item.serviced[x]", { by: "created" }],
    authors: ["provider", "enterer"],
  }),
  ClaimResponse: like({
    codes: ["subType", "addItem.productOrService"],
    dates: [{ by: "created" }],
    authors: ["insurer", "requestor"],
  }),
  ClinicalImpression: like({
    codes: ["finding.itemCodeableConcept", "prognosisCodeableConcept"],
    dates: ["effective[x]", { by: "date" }],
    authors: ["assessor", "performer"],
  }),
  Communication: like({
    codes: ["topic", "medium"],
    dates: [{ begun: "sent", done: "received" }],
    authors: ["sender"],
  }),
  Composition: like({
    codes: ["section.code", "event.code", "event.detail"],
    dates: ["event.period", { by: "date" }],
  }),
  Condition: like({
    codes: ["stage.summary", "evidence.code"],
    dates: [["onset[x]", "abatement[x]"]],
    authors: ["recorder", "asserter", "participant.actor"],
    status: "clinicalStatus",
  }),
  Consent: like({
    coded: false,
    codes: ["scope", "policyRule"],
    dates: ["dateTime", "date"],
    authors: ["performer", "grantor", "organization", "controller"],
  }),
  Coverage: like({
    coded: false,
    codes: ["relationship"],
    dates: ["period"],
    authors: ["payor", "insurer"],
  }),
  DetectedIssue: like({
    codes: ["mitigation.action"],
    dates: [{ all: ["identified[x]", "mitigation.date"] }],
  }),
  Device: like({
    codes: ["type", "specialization.systemType"],
    dates: [["manufactureDate", "expirationDate"]],
    authors: ["owner"],
  }),
  DeviceDispense: like({ dates: [{ begun: "preparedDate", done: "whenHandedOver" }] }),
  DeviceUsage: like({ dates: ["timing[x]"] }),
  DeviceUseStatement: like({ dates: ["timing[x]"] }),
  DiagnosticReport: like({
    codes: ["conclusionCode"],
    authors: ["performer", "resultsInterpreter"],
  }),
  DocumentReference: like({
    codes: [
      "context.event",
      "context.facilityType",
      "context.practiceSetting",
      "event",
      "modality",
    ],
    dates: ["context.period", "period", { by: "date" }],
    authors: ["author", "authenticator", "custodian"],
    encounter: ["context.encounter", "context"],
  }),
  Encounter: like({
    codes: ["diagnosis.use", "reason.value", "hospitalization.dischargeDisposition"],
    dates: ["period", "actualPeriod"],
    authors: ["participant.individual", "participant.actor", "serviceProvider"],
    encounter: ["partOf"],
  }),
  EpisodeOfCare: like({
    dates: ["period"],
    authors: ["careManager", "managingOrganization"],
  }),
  ExplanationOfBenefit: like({
    codes: [
      "subType",
      "diagnosis.diagnosisCodeableConcept",
      "procedure.procedureCodeableConcept",
      "item.productOrService",
    ],
    dates: ["billablePeriod", "item.serviced[x]", { by: "created" }],
    authors: ["provider", "insurer"],
  }),
  FamilyMemberHistory: like({
    codes: ["relationship", "condition.code"],
    dates: [{ by: "date" }],
    authors: ["author", "participant.actor"],
  }),
  Goal: like({
    codes: ["description", "target.measure", "target.detail[x]"],
    dates: [{ since: "start[x]" }],
    authors: ["expressedBy", "source"],
    status: "lifecycleStatus",
  }),
  ImagingStudy: like({
    codes: ["modality", "procedureCode", "series.modality", "series.bodySite"],
    dates: ["started", "series.started"],
    authors: ["referrer", "interpreter"],
  }),
  Immunization: like({
    codes: ["vaccineCode", "protocolApplied.targetDisease", "site", "route", "programEligibility"],
    dates: ["occurrence[x]", { by: "recorded" }],
  }),
  ImmunizationRecommendation: like({
    codes: ["recommendation.vaccineCode", "recommendation.targetDisease"],
    dates: [{ since: "date" }],
    authors: ["authority"],
  }),
  List: like({ codes: ["item.flag"], authors: ["source"] }),
  Media: like({
    codes: ["modality", "view"],
    dates: ["created[x]", { by: "issued" }],
    authors: ["operator"],
  }),
  Medication: like({ codes: ["ingredient.item[x]", "ingredient.item"], dates: [] }),
  MedicationAdministration: like({
    dates: ["effective[x]", "occurence[x]", { by: "recorded" }],
    encounter: CONTEXT,
  }),
  MedicationDispense: like({
    // R5 records its beginning, if neither of the two is known
    dates: [{ begun: "whenPrepared", done: "whenHandedOver" }, { since: "recorded" }],
    encounter: CONTEXT,
  }),
  MedicationRequest: like({
    codes: ["courseOfTherapyType"],
    dates: [["authoredOn", "dispenseRequest.validityPeriod.end"]],
    authors: ["requester", "recorder", "performer"],
  }),
  MedicationStatement: like({
    dates: ["effective[x]"],
    encounter: CONTEXT,
  }),
  NutritionOrder: like({
    codes: ["oralDiet.type", "supplement.type", "enteralFormula.baseFormulaType"],
    dates: [{ since: "dateTime" }],
    authors: ["orderer"],
  }),
  Observation: like({ codes: ["component.code", "component.value[x]"] }),
  Patient: like({
    coded: false,
    codes: [],
    dates: [],
    authors: ["managingOrganization"],
    status: "active",
  }),
  Procedure: like({
    codes: ["outcome", "complication", "usedCode", "followUp"],
    authors: ["performer.actor", "recorder", "asserter"],
  }),
  Provenance: like({
    coded: false,
    codes: ["activity"],
    dates: ["occurred[x]", { by: "recorded" }],
    authors: ["agent.who"],
  }),
  QuestionnaireResponse: like({
    codes: ["item.answer.valueCoding", "item.item.answer.valueCoding"],
    // when the answers last changed: earlier answers, and what they describe, are from before
    dates: [{ by: "authored" }],
    authors: ["author", "source"],
  }),
  RelatedPerson: like({
    coded: false,
    codes: ["relationship"],
    dates: ["period"],
    status: "active",
  }),
  ResearchSubject: like({ coded: false, dates: ["period"] }),
  RiskAssessment: like({
    codes: ["method", "prediction.outcome"],
    dates: ["occurrence[x]"],
  }),
  ServiceRequest: like({
    codes: ["orderDetail"],
    dates: ["occurrence[x]", { since: "authoredOn" }],
    authors: ["requester", "performer"],
  }),
  Specimen: like({
    codes: ["collection.bodySite", "collection.method", "condition"],
    dates: ["collection.collected[x]", { by: "receivedTime" }],
    authors: ["collection.collector"],
  }),
  Task: like({
    codes: ["businessStatus"],
    dates: ["executionPeriod", ["authoredOn", "lastModified"]],
    authors: ["requester", "owner"],
  }),
  VisionPrescription: like({
    dates: [{ since: "dateWritten" }, { since: "created" }],
    authors: ["prescriber"],
  }),
};

const OTHERS: ManifestElements = like({});

/** The elements of a resource type; for types without an entry of their own, the common ones. */
export function manifestElements(resourceType: string): ManifestElements {
  return Object.hasOwn(SPECIAL, resourceType) ? SPECIAL[resourceType]! : OTHERS;
}
