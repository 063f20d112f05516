import {
  CPT,
  CVX,
  HCPCS,
  ICD10_CM as ICD10,
  ICD10 as ICD10_WHO,
  LOINC,
  RXNORM,
  SNOMED_CT as SNOMED,
} from "../terminology/code-systems.ts";
import { ICD10_COVERED } from "./data/icd-chapters.ts";
import type { LabelRuleSet } from "./label-rules.ts";
import { ACT_CODE } from "../terminology/terminology.ts";

const HL7 = "http://terminology.hl7.org/CodeSystem";

const list = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Single-gene and chromosomal diseases that both editions of ICD-10 have a code for. */
const HEREDITARY = `D55 D56 D57 D58 D66 D67 D68.0 D68.1 D68.2 D81 D82.0 D82.1 E25.0 E70 E71 E72 E74
  E75 E76 E77 E79.1 E80.0 E80.1 E80.2 E83.0 E83.1 E84 E85.0 E85.1 E85.2 G10 G11 G12 G60.0 G71 H35.5
  N07 O35.1 O35.2 Q61.1 Q61.2 Q77 Q78 Q79.6 Q80 Q81 Q85 Q87 Q90 Q91 Q92 Q93 Q95 Q96 Q97 Q98 Q99`;

/**
 * The shipped rules. They find the common codes of the categories that laws single out. They are a
 * starting point: a deployment must add its own codes and its own law, and they do not replace a
 * terminology server's value sets. They know part of SNOMED CT, LOINC, RxNorm, CPT and HCPCS: any
 * other code of these systems is unknown until a list says that it was judged. They cover ICD-10 by
 * chapters. Tobacco is not among substance use (42 CFR Part 2 leaves it out). The rules ignore
 * ages: an overlay, not a label, says what is sensitive about a minor. They also ignore
 * demographics: race, religion, marital status, place of residence.
 *
 * @see ICD-10-CM tabular list (CDC/NCHS), ICD-10 2019 (WHO), HCPCS Level II (CMS): categories by the
 *   beginnings of their codes
 */
export const DEFAULT_LABEL_RULES: LabelRuleSet = {
  v: 2,
  name: "healthledger-default",
  version: "4",
  systems: {
    [SNOMED]: { covers: "part" },
    [LOINC]: { covers: "part" },
    [RXNORM]: { covers: "part" },
    [CPT]: { covers: "part" },
    [HCPCS]: { covers: "part" },
    [CVX]: { covers: "all" },
    [ICD10]: { covers: ICD10_COVERED },
    [ICD10_WHO]: { covers: ICD10_COVERED },
  },
  administrativeSystems: [
    ...list(`adjudication admit-source allergyintolerance-clinical allergyintolerance-verification
      claim-type claimcareteamrole claiminformationcategory condition-category condition-clinical
      condition-ver-status coverage-class data-absent-reason diagnosis-role discharge-disposition
      dose-rate-type ex-diagnosistype ex-paymenttype ex-serviceplace goal-achievement goal-priority
      location-physical-type medicationrequest-category medicationrequest-course-of-therapy
      observation-category organization-type payeetype processpriority referencerange-meaning
      v2-0074 v2-0203 v3-ActPriority v3-ActReason v3-Confidentiality v3-GTSAbbreviation
      v3-MaritalStatus v3-NullFlavor v3-ObservationInterpretation v3-ObservationValue v3-ParticipationMode
      v3-ParticipationType v3-RouteOfAdministration v3-TimingEvent`).map(
      (name) => `${HL7}/${name}`,
    ),
    "http://hl7.org/fhir/resource-types",
    "http://hl7.org/fhir/restful-interaction",
    "http://hl7.org/fhir/us/core/CodeSystem/condition-category",
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
    "http://unitsofmeasure.org",
    "http://www.nubc.org/patient-discharge",
    "https://bluebutton.cms.gov/resources/codesystem/adjudication",
    "https://bluebutton.cms.gov/resources/variables/line_cms_type_srvc_cd",
    // The generator of a synthetic patient.
    "https://smarthealthit.org/tags",
    "urn:ietf:bcp:*",
    "urn:iso:std:iso:3166*",
    "urn:iso:std:iso:4217",
    // The CDC's codes of race and ethnicity.
    "urn:oid:2.16.840.1.113883.6.238",
  ],
  administrativeCodes: {
    // Only ActCode's kinds of encounters: its other codes tell programmes, policies and much else.
    codes: {
      [ACT_CODE]: list("AMB EMER FLD HH IMP ACUTE NONAC OBSENC PRENC SS VR"),
    },
  },
  notSensitive: [],
  rules: [
    {
      // The origin or destination of a patient, and the department that tested.
      labels: ["PSY", "MH", "BH"],
      codes: {
        [`${HL7}/admit-source`]: ["psych"],
        [`${HL7}/discharge-disposition`]: ["psy"],
        // Psychiatric facility: inpatient, partial, residential; community mental health centre.
        [`${HL7}/ex-serviceplace`]: ["51", "52", "53", "56"],
        "http://www.nubc.org/patient-discharge": ["65", "93"],
        "https://bluebutton.cms.gov/resources/variables/line_cms_type_srvc_cd": ["T"],
      },
    },
    { labels: ["GDIS"], codes: { [`${HL7}/v2-0074`]: ["CG", "GE"] } },
    // Residential, outpatient and opioid treatment.
    { labels: ["SUD", "ETH"], codes: { [`${HL7}/ex-serviceplace`]: ["55", "57", "58"] } },
    {
      labels: ["SUD", "ETH", "ETHUD"],
      codes: {
        [SNOMED]: list("7200002 66590003 15167005 25702006 24165007"),
        [LOINC]: list("5640-8 5643-2 75624-7 75626-2 72109-2"),
        [RXNORM]: list("3554 82819"),
        [CPT]: list("80320"),
      },
      prefixes: {
        [ICD10]:
          list(`F10 E24.4 K70 T51 G31.2 G62.1 G72.1 I42.6 K29.2 K85.2 K86.0 O99.31 O35.4 P04.3
          Q86.0 R78.0 Y90 Z63.72 Z71.4 Z81.1`),
        [ICD10_WHO]:
          list(`F10 E24.4 K70 T51 G31.2 G62.1 G72.1 I42.6 K29.2 K85.2 K86.0 O35.4 P04.3 Q86.0
          R78.0 X45 X65 Y15 Y90 Y91 Z50.2 Z71.4 Z72.1 Z81.1`),
      },
    },
    {
      labels: ["SUD", "ETH", "OPIOIDUD"],
      codes: {
        [SNOMED]: list("5602001 75544000"),
        [LOINC]: list("3879-4 19295-5"),
        [RXNORM]: list("1819 6813 7242 7243 351264 351265 1191222"),
        [HCPCS]: list(`H0020 J0571 J0572 J0573 J0574 J0575 J2310 J2315 G2067 G2068 G2069 G2070 G2071
          G2072 G2073 G2074 G2075 G2076 G2077 G2078 G2079 G2080 G2086 G2087 G2088`),
      },
      prefixes: {
        [ICD10]: list("F11 R78.1 T40.0 T40.1 T40.2 T40.3 T40.4 T40.6"),
        [ICD10_WHO]: list("F11 R78.1 T40.0 T40.1 T40.2 T40.3 T40.4 T40.6"),
      },
    },
    {
      labels: ["SUD", "ETH"],
      codes: {
        [SNOMED]: list(`55680006 26416006 191816009 6525002 31956009 78267003 85005007 37344009
          64386003 56876005 266707007 60112009 61480009 313071005 408935001 408936000`),
        [LOINC]: list("18282-4 3397-7 19261-7 3349-8 82667-7"),
        [CPT]: list("99408 99409 80305 80306 80307"),
        [HCPCS]: list("G0396 G0397 H2034 H2035 H2036"),
      },
      prefixes: {
        [ICD10]: list(`F12 F13 F14 F15 F16 F18 F19 F55 T40.5 T40.7 T40.8 T40.9 T43.6 T50.90 T50.91
          O35.5 O99.32 P04.14 P04.16 P04.17 P04.1A P04.4 P04.8 P96.1 R78.1 R78.2 R78.3 R78.4 R78.5 R78.6 R82.5
          Z63.72 Z71.5 Z81.3 Z81.4`),
        [ICD10_WHO]:
          list(`F12 F13 F14 F15 F16 F18 F19 F55 O35.5 P04.4 P96.1 R78.1 R78.2 R78.3 R78.4 R78.5 R78.6 R82.5
          T40.5 T40.7 T40.8 T40.9 T43.6 X42 X62 Y12 Z04.0 Z50.3 Z71.5 Z72.2 Z81.3 Z81.4 Z86.4`),
        [HCPCS]: list("H000 H001 H004 H005 T1006 T1007 T1012"),
      },
    },
    {
      labels: ["PSY", "MH", "BH"],
      codes: {
        [SNOMED]: list(`35489007 370143000 36923009 66344007 47505003 192127007 406506008 197480006
          21897009 371631005 13746004 58214004 69322001 191736004 231504006 78667006 82313006
          6471006 72366004 56882008 78004001 20010003 79094001 225337009 88848003 736254008
          718347000 737434004 304822001 425680009 405783006 386522008`),
        [LOINC]: list(`44249-1 44261-6 55757-9 55758-7 69737-5 70274-6 71354-5 89204-2 73831-0
          73832-8 34788-0 28635-1 28627-0`),
        [RXNORM]: list(`36437 4493 2556 321988 32937 39786 72625 42347 10737 15996 6448 51272 61381
          35636 89013 5093 2626 115698 6901 38400 700810 596 6470 2598 3322 328670 406022 1091392
          312938 310385`),
        [CPT]: list("90785 90791 90792 96127 96130 96131 96136 96137"),
        [HCPCS]: list("G0444 G0502 G0503 G0504"),
      },
      prefixes: {
        [ICD10]: list(`F06 F07 F09 F2 F3 F4 F5 F6 F90 F91 F92 F93 F94 F95 F98 F99 O90.6 O99.34 R44
          R45 T14.91 X71 X72 X73 X74 X75 X76 X77 X78 X79 X80 X81 X82 X83 Z04.6 Z13.3 Z73.0 Z81.8
          Z86.5 Z91.49 Z91.5`),
        [ICD10_WHO]:
          list(`F06 F07 F09 F2 F3 F4 F5 F6 F90 F91 F92 F93 F94 F95 F98 F99 O99.3 R44 R45 X6
          X70 X71 X72 X73 X74 X75 X76 X77 X78 X79 X80 X81 X82 X83 X84 Y87.0 Z00.4 Z03.2 Z04.6 Z09.3
          Z13.3 Z50.4 Z54.3 Z73.0 Z81.8 Z86.5 Z91.4 Z91.5`),
        [CPT]: list("908"),
      },
    },
    {
      labels: ["COGN"],
      codes: {
        [SNOMED]: list("26929004 230265002 52448006 386257007 850261000000100"),
        [LOINC]: list("72106-8"),
        [RXNORM]: list("135447 6719 4637 997221 997223 996740 310436 1100184"),
      },
      prefixes: {
        [ICD10]: list("F01 F02 F03 F04 F05 F06 F07 F09 G30 G31.0 G31.1 G31.8"),
        [ICD10_WHO]: list("F00 F01 F02 F03 F04 F05 F06 F07 F09 G30 G31.0 G31.1 G31.8"),
      },
    },
    {
      labels: ["DVD"],
      prefixes: {
        [ICD10]: list("F7 F8 Z81.0"),
        [ICD10_WHO]: list("F7 F8 Z81.0"),
      },
    },
    {
      labels: ["HIV"],
      codes: {
        [SNOMED]: list("86406008 62479008 165816005 91947003"),
        [LOINC]: list(`7917-8 7918-6 29893-5 31201-7 75622-1 20447-9 25836-8 10351-5 56888-1 80203-3
          24467-3`),
        [RXNORM]: list(`276237 300195 117466 195085 1433868 11413 68244 190521 719872 85762 460132
          343047 53654`),
        [CPT]: list(
          "86689 86701 86702 86703 87389 87390 87391 87534 87535 87536 87537 87538 87539",
        ),
      },
      prefixes: {
        [ICD10]: list("B20 B97.35 O98.7 R75 Z11.4 Z20.6 Z21 Z29.81 Z71.7 Z83.0"),
        [ICD10_WHO]: list("B20 B21 B22 B23 B24 F02.4 O98.7 R75 Z11.4 Z20.6 Z21 Z71.7 Z83.0"),
      },
    },
    {
      labels: ["STD", "SEX"],
      codes: {
        [SNOMED]: list("76272004 15628003 105629000 33839006"),
        [LOINC]: list("20507-0 21613-5 24111-7 43304-5"),
      },
      prefixes: {
        [ICD10]:
          list(`A50 A51 A52 A53 A54 A55 A56 A57 A58 A59 A60 A63 A64 B85.3 B97.7 O98.1 O98.2 O98.3
          R85.81 R85.82 R87.81 R87.82 Z11.3 Z11.51 Z20.2 Z22.4`),
        [ICD10_WHO]:
          list(`A50 A51 A52 A53 A54 A55 A56 A57 A58 A59 A60 A63 A64 B85.3 B97.7 I98.0 M03.1
          M73.0 M73.1 N29.0 N74.2 N74.3 N74.4 O98.1 O98.2 O98.3 Z11.3 Z20.2 Z22.4`),
      },
    },
    {
      labels: ["PREGNANT", "SEX"],
      codes: {
        [SNOMED]: list(
          "72892002 77386006 79586000 19169002 47200007 398254007 424441002 424619006",
        ),
        [LOINC]: list("82810-3 2106-3 2118-8 2110-5 19080-1 11778-8 11996-6"),
        [RXNORM]: list("6916"),
      },
      prefixes: {
        [ICD10]: list("O N96 Z03.7 Z32 Z33 Z34 Z36 Z37 Z39 Z3A Z64.0 Z87.5"),
        [ICD10_WHO]: list("O N96 Z32 Z33 Z34 Z35 Z36 Z37 Z39 Z64.0 Z87.5"),
        [CPT]: list("59"),
      },
    },
    {
      labels: ["SEX"],
      codes: {
        [SNOMED]: list(`22523008 243077000 13197004 65200003 169553002 287664005 267020005
          860914002`),
        [RXNORM]: list(`6373 4124 7514 6691 14584 11636 136411 748856 748962 749762 749785 748879
          751905 757594 831533 807283 1605257 1856546 1534809 389221 1359133 1000126`),
        [CPT]: list("55250 58300 58301 58600 58605 58611 58670 58671 11981 11982 11983"),
      },
      prefixes: {
        [ICD10]: list(`Z30 Z31 N46 N52 N53 N90.81 N94.1 N97 F52 F65 F66 R68.82 Z70 Z72.5 Z79.3 Z92.0
          Z97.5 Z98.5`),
        [ICD10_WHO]: list("Z30 Z31 N46 N48.4 N94.1 N97 F52 F65 F66 Z70 Z72.5 Z92.0 Z97.5"),
      },
    },
    {
      labels: ["GENDER", "SEX"],
      prefixes: { [ICD10]: list("F64 Z87.890"), [ICD10_WHO]: list("F64") },
    },
    {
      labels: ["SDV"],
      codes: { [SNOMED]: list("248110007 706893006"), [LOINC]: list("76499-3") },
      prefixes: {
        [ICD10]:
          list(`O9A.3 O9A.4 O9A.5 T74 T76 Y07 Z04.4 Z04.7 Z04.81 Z04.82 Z56.81 Z62.81 Z69 Z91.41
          Z91.42`),
        [ICD10_WHO]: list("T74 Y05 Y06 Y07 Z04.4 Z04.5 Z61.4 Z61.5 Z61.6"),
      },
    },
    {
      labels: ["GDIS"],
      codes: { [SNOMED]: list("230265002") },
      prefixes: {
        [ICD10]: list(
          `${HEREDITARY} E78.01 E88.01 O28.5 Z13.7 Z14 Z15 Z31.43 Z31.44 Z31.5 Z82.7 Z84.81`,
        ),
        [ICD10_WHO]: list(`${HEREDITARY} Z13.7 Z31.5 Z82.7`),
        // Molecular pathology and genomic sequencing: 81105 to 81479.
        [CPT]: list("811 812 813 814"),
      },
    },
    { labels: ["SCA"], prefixes: { [ICD10]: list("D57"), [ICD10_WHO]: list("D57") } },
  ],
};
