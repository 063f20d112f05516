/** The elements of a resource type that lead to its patient. */
export interface SubjectElements {
  /** Paths of references to the patient, in order; the first that holds a value decides. */
  readonly direct: readonly string[];
  /** Paths of references to other resources, whose patients are this resource's too. */
  readonly indirect: readonly string[];
  /** Whether a resource without a patient is reported. */
  readonly expected: boolean;
}

const of = (
  direct: readonly string[],
  indirect: readonly string[] = [],
  expected = true,
): SubjectElements => ({ direct, indirect, expected });

/** Most types: R4 and R5 call it `subject` or `patient`, and an encounter has one too. */
const COMMON: SubjectElements = of(["subject", "patient"], ["encounter"]);
/** Types that are only sometimes about a patient. */
const SOMETIMES: SubjectElements = of(["subject", "patient"], ["encounter"], false);

const SPECIAL: Readonly<Record<string, SubjectElements>> = {
  Account: of(["subject"], [], false),
  Appointment: of(["subject", "participant.actor"], [], false),
  AppointmentResponse: of(["actor"], ["appointment"], false),
  AuditEvent: of(["patient"], ["entity.what"], false),
  Basic: SOMETIMES,
  Binary: of([], ["securityContext"], false),
  ChargeItem: of(["subject"], ["encounter", "context"]),
  Communication: of(["subject"], ["encounter", "about"], false),
  CommunicationRequest: of(["subject"], ["encounter", "about"], false),
  Contract: of(["subject"], [], false),
  Coverage: of(["beneficiary"]),
  Device: of(["patient"], [], false),
  DeviceAssociation: of(["subject"], [], false),
  DeviceMetric: of([], ["source"], false),
  DocumentReference: of(["subject"], ["context.encounter", "context"]),
  EnrollmentRequest: of(["candidate", "subject"]),
  EnrollmentResponse: of([], ["request"]),
  Group: of(["member.entity"], [], false),
  Linkage: of([], ["item.resource"], false),
  List: SOMETIMES,
  MeasureReport: SOMETIMES,
  MedicationAdministration: of(["subject"], ["encounter", "context"]),
  MedicationDispense: of(["subject"], ["encounter", "context"]),
  MedicationStatement: of(["subject"], ["encounter", "context"]),
  MessageHeader: of([], ["focus"], false),
  PaymentNotice: of([], ["request", "response"]),
  Person: of(["link.target"], [], false),
  Provenance: of(["patient"], ["target"]),
  RelatedPerson: of(["patient"]),
  ResearchSubject: of(["individual", "subject"]),
  Schedule: of(["actor"], [], false),
  Slot: of([], ["schedule"], false),
  SupplyDelivery: of(["patient"], [], false),
  SupplyRequest: of(["deliverFor", "deliverTo"], [], false),
  Task: of(["for"], ["encounter", "focus"], false),
  Transport: of(["for"], ["encounter", "focus"], false),
};

/** Types that describe organisations, things, definitions or the exchange itself. */
const NOBODY: ReadonlySet<string> = new Set(
  `ActivityDefinition ActorDefinition AdministrableProductDefinition ArtifactAssessment
  BiologicallyDerivedProduct CapabilityStatement CatalogEntry
  ChargeItemDefinition Citation ClinicalUseDefinition CodeSystem CompartmentDefinition ConceptMap
  ConditionDefinition DeviceDefinition EffectEvidenceSynthesis Endpoint EventDefinition Evidence
  EvidenceReport EvidenceVariable ExampleScenario FormularyItem GraphDefinition HealthcareService
  ImplementationGuide Ingredient InsurancePlan InventoryItem InventoryReport Library Location
  ManufacturedItemDefinition Measure Medication MedicationKnowledge MedicinalProduct
  MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductDefinition
  MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction
  MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
  MedicinalProductUndesirableEffect MessageDefinition NamingSystem NutritionProduct
  ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
  PackagedProductDefinition PaymentReconciliation Permission PlanDefinition Practitioner
  PractitionerRole Questionnaire RegulatedAuthorization Requirements ResearchDefinition
  ResearchElementDefinition ResearchStudy RiskEvidenceSynthesis SearchParameter SpecimenDefinition
  StructureDefinition StructureMap Subscription SubscriptionStatus SubscriptionTopic Substance
  SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein
  SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification
  TerminologyCapabilities TestPlan TestReport TestScript ValueSet VerificationResult`.split(/\s+/),
);

/**
 * Finds the elements in which a resource type names its patient.
 *
 * @returns `undefined` for types that are never about a patient
 */
export function subjectElements(resourceType: string): SubjectElements | undefined {
  if (NOBODY.has(resourceType)) return undefined;
  return Object.hasOwn(SPECIAL, resourceType) ? SPECIAL[resourceType] : COMMON;
}
