/** Why an example is not recorded, as the ledger says it. */
export const WHY = {
  untold: "it cannot be told whom it is about",
  nobody: "it is about no patient",
  several: "it is about several patients",
  unserved:
    "it names nobody and may have data about somebody, and nothing about a known person refers to it yet",
  unnamed: "it names nobody, and nothing about a known person refers to it",
  unnumbered: "its patient has no identifier that tells who they are",
  contradicting: "its references lead to a different patient from the one that it names",
  misnamed: "its id, its fullUrl and its request name different resources",
  conditional: "its deletion does not name one resource",
  deleted: "it was deleted at its source, and is not on record",
  unread: "resources inside a resource of it are not read",
} as const;

export type Reason = keyof typeof WHY;

/** Ids of examples by reason and type, as found by reading them. */
type Table = Partial<Record<Reason, Readonly<Record<string, string>>>>;

const OF_BOTH: Table = {
  untold: {
    DiagnosticReport: "gingival-mass",
    Group: "101 102 herd1",
    Observation: "herd1 vp-oyster",
    Procedure: "education ob",
    ServiceRequest: "appendectomy-narrative education ob",
    Specimen: "pooled-serum",
    SupplyDelivery: "pumpdelivery",
  },
  nobody: {
    DetectedIssue: "allergy ddi lab",
    EnrollmentResponse: "ER2500",
    ImplementationGuide: "example",
    List: "current-allergies example-empty long med-list",
    MolecularSequence: "coord-0-base coord-1-base sequence-complex-variant",
    Observation: "decimal",
    PaymentNotice: "77654",
    RiskAssessment: "population",
    TestScript:
      "testscript-example testscript-example-history testscript-example-search testscript-example-update",
  },
  several: {
    Person: "example pp",
  },
  unserved: {
    AuditEvent:
      "example example-error example-login example-logout example-pixQuery example-search",
    Basic: "basic-example-narrative classModel",
    Contract: "C-123",
    Group: "example-patientlist",
    List: "example-simple-empty",
    MeasureReport: "hiv-indicators measurereport-cms146-cat3-example",
    Person: "grahame pd",
    SupplyDelivery: "simpledelivery",
    SupplyRequest: "simpleorder",
    Task: "fm-example1 fm-example2 fm-example3 fm-example4 fm-example5 fm-example6",
  },
  unnumbered: {
    Claim: "100152 100155 MED-00050",
  },
  contradicting: {
    ImagingStudy: "example-xr",
    MedicationAdministration:
      "medadmin0301 medadmin0302 medadmin0303 medadmin0304 medadmin0305 medadmin0306 medadmin0307 medadminexample03",
    MedicationDispense: "meddisp0303",
    MedicationRequest:
      "medrx002 medrx0301 medrx0302 medrx0303 medrx0305 medrx0307 medrx0308 medrx0309 medrx0310 medrx0311 medrx0315 medrx0316 medrx0318 medrx0323 medrx0330 medrx0332 medrx0333 medrx0339",
    MedicationStatement: "example005",
  },
};
const OF_R4: Table = {
  nobody: {
    DocumentManifest: "654789",
    ImplementationGuide: "fhir",
    MedicinalProduct: "example",
    MolecularSequence:
      "graphic-example-1 graphic-example-2 graphic-example-3 graphic-example-4 graphic-example-5",
  },
  unserved: {
    MeasureReport: "measurereport-cms146-cat2-example",
  },
  unnamed: {
    SearchParameter: "questionnaireresponse-extensions-QuestionnaireResponse-item-subject",
  },
  contradicting: {
    QuestionnaireResponse: "3141",
    RiskAssessment: "cardiac",
    Task: "example3",
    VisionPrescription: "33124",
  },
};
const OF_R5: Table = {
  untold: {
    DiagnosticReport: "gingival-biopsy",
    DocumentReference: "genomicFileGroupAsSubject",
    Group: "groupDenovoFamily",
    NutritionIntake: "example",
    ResearchSubject: "example-crossover-placebo-to-drug",
  },
  nobody: {
    BiologicallyDerivedProduct: "allogeneicHCT autologousHCT",
    DocumentReference:
      "CNVAnalysis-called SimpleVariantAnalysis-called WES-FullSequencedRegion-GRCh38 genomicBEDfile genomicVCFfile genomicVCFfile-cnv genomicVCFfile-simple",
    MedicinalProductDefinition: "example",
    MolecularSequence: "seq-ordinal sequence-example-fusion",
    Parameters: "example",
    Provenance: "example-biocompute-object example-cwl example-delete signature",
  },
  unserved: {
    MeasureReport: "788ca455-e11b1a59",
    SupplyDelivery: "ISBT128 mphodelivery",
    Transport: "simpledelivery",
  },
  unnumbered: {
    MeasureReport: "general-example-of-report",
  },
  contradicting: {
    GenomicStudy: "example-trio2",
    MedicationDispense: "meddisp0318",
  },
};

function byName(...tables: readonly Table[]): ReadonlyMap<string, Reason> {
  return new Map(
    tables.flatMap((table) =>
      Object.entries(table).flatMap(([reason, types]) =>
        Object.entries(types).flatMap(([type, ids]) =>
          ids.split(" ").map((id) => [`${type}/${id}`, reason as Reason] as const),
        ),
      ),
    ),
  );
}

/** The reasons of resources on lines, by release and by `Type/id`. */
export const NOT_RECORDED: Readonly<Record<"r4" | "r5", ReadonlyMap<string, Reason>>> = {
  r4: byName(OF_BOTH, OF_R4),
  r5: byName(OF_BOTH, OF_R5),
};

type BundleTable = Readonly<Record<string, Partial<Record<Reason, readonly number[]>>>>;

const BUNDLES_OF_BOTH: BundleTable = {
  "10bb101f-a121-4264-a920-67be9cb82c74": { several: [0, -1], misnamed: [2] },
  "3a0707d3-549e-4467-b8b8-5a2ab3800efe": { several: [0, -1], misnamed: [3] },
  "72ac8493-52ac-41bd-8d5d-7258c289b5ea": {
    nobody: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  },
  "bundle-response": { nobody: [7, 8] },
  "bundle-response-medsallergies": { nobody: [1, 2, 3, 4] },
  "bundle-response-simplesummary": { nobody: [1, 2, 3] },
  "bundle-transaction": { unnumbered: [0], nobody: [7], conditional: [6], deleted: [5] },
  ghp: { nobody: [4, 22, 45] },
  "lri-example": { misnamed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] },
  xds: { untold: [0], unserved: [4] },
};

/**
 * The reasons of entries of Bundles, by release, id of the Bundle and position; -1 is a document or message itself.
 */
export const NOT_OF_BUNDLES: Readonly<Record<"r4" | "r5", BundleTable>> = {
  r4: {
    ...BUNDLES_OF_BOTH,
    "bundle-references": { unnumbered: [1, 4] },
    report: { nobody: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] },
  },
  r5: {
    ...BUNDLES_OF_BOTH,
    "0f322dbe-4f8d-4cbd-9ecb-bc8dc6f65f6a": { nobody: [1], unserved: [0], unread: [-1] },
    "787e69f6-81a8-44e4-b404-257013dec332": { nobody: [0] },
    "920a46b7-045a-4773-82bd-8e90c3e15653": { nobody: [0] },
    "fdd78223-f79f-43b4-8979-ad49d4ac248c": { nobody: [0] },
  },
};
