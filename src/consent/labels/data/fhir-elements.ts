const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/**
 * Resource types of FHIR R4 and R5 that may be about a patient and that label rules can judge. Any
 * other type (definitions, messages, binaries, sequences) is unknown to the rules.
 *
 * @see hl7.fhir.r4.core 4.0.1 and hl7.fhir.r5.core 5.0.0, against which test/places checks these
 *   lists
 */
export const JUDGED_TYPES: ReadonlySet<string> = words(`
  Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse Basic
  BiologicallyDerivedProduct BiologicallyDerivedProductDispense BodyStructure CarePlan CareTeam
  ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition
  Condition Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue
  Device DeviceAssociation DeviceDispense DeviceMetric DeviceRequest DeviceUsage DeviceUseStatement
  DiagnosticReport DocumentManifest DocumentReference Encounter EncounterHistory EpisodeOfCare
  ExplanationOfBenefit FamilyMemberHistory Flag GenomicStudy Goal Group GuidanceResponse
  HealthcareService ImagingSelection ImagingStudy Immunization ImmunizationEvaluation
  ImmunizationRecommendation Invoice List Location Media Medication MedicationAdministration
  MedicationDispense MedicationRequest MedicationStatement NutritionIntake NutritionOrder
  NutritionProduct Observation Organization OrganizationAffiliation Patient Person Practitioner
  PractitionerRole Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup
  RequestOrchestration RiskAssessment Schedule ServiceRequest Slot Specimen Substance SupplyDelivery
  SupplyRequest Task VisionPrescription
`);

/** Names of all elements of these types and of the data types in them. */
export const ELEMENT_NAMES: ReadonlySet<string> = words(`
  abatementAge abatementDateTime abatementPeriod abatementRange abatementString about
  accessionIdentifier accident account accounts achievementStatus action actionId active activity
  actor actorCanonical actorReference actual actualPeriod actuality add addItem additionalInfo
  additionalInstruction additive additiveCodeableConcept additiveProductName additiveReference
  additiveType address addressContactPoint addressExtendedContactDetail addressString addressUrl
  addresses adherence adjudication adjustment adjustmentReason administeredProduct administration
  administrationInstruction admission admitSource age ageAge ageRange ageString agent aggregate
  alias allDay allergyIntolerance allowedBoolean allowedCodeableConcept allowedMoney allowedString
  allowedUnsignedInt altitude amount analysis answer appliesTo appliesToAll appointment
  appointmentRequired appointmentType asNeeded asNeededBoolean asNeededCodeableConcept asNeededFor
  asserter assessment assessmentMethod assessor assigner assurance attachment attester authenticator
  author authorReference authorString authored authoredOn authority authorization
  authorizationRequired authorizationSupporting authorizationUrl authorizingPrescription
  availability availabilityExceptions availabilityStatus availableEndTime availableStartTime
  availableTime axis backCurve balance base baseFormulaProductName baseFormulaType basedOn basis
  batch beneficiary benefit benefitBalance benefitPeriod billablePeriod billingStatus
  biologicalSourceEvent birthDate bodyLandmarkOrientation bodySite bodyStructure bodysite bornDate
  bornPeriod bornString boundsDuration boundsPeriod boundsRange brand businessArrangement
  businessStatus calculatedAt calibration caloricDensity cancelationReason cancellationDate
  cancellationReason cancelledReason capacity cardinalityBehavior careManager careTeam
  careTeamSequence carrierAIDC carrierHRF category causality changePattern changeType channelType
  characteristic chargeItemCodeableConcept chargeItemReference city claim claimResponse class
  classHistory clinicalStatus clockFacePosition closingTime code codeCodeableConcept codeReference
  coding collectedDateTime collectedPeriod collection collector color combined comment communication
  communicationRequest comparator compartment complication complicationDetail component composition
  concept conclusion conclusionCode condition confidentiality conformsTo consumedItem contact
  contained container content contentAttachment contentCodeableConcept contentReference
  contentString contentType context continuous contract contraindicatedVaccineCode
  contributedToDeath contributingFactor contributor controller coordinate costCenter
  costToBeneficiary count countMax country courseOfTherapyType coverage coverageArea coveragePeriod
  coverageTiming created createdDateTime createdPeriod creation criticality currency custodian cycle
  cylinder dailyAmount data dataAbsentReason dataPeriod dataRequirement date dateAsserted
  dateCriterion dateOfDiagnosis dateOfService dateTime dateWritten dayOfMonth dayOfWeek daysOfWeek
  daysSupply deceasedAge deceasedBoolean deceasedDate deceasedDateTime deceasedRange deceasedString
  decision definition definitionCanonical definitionUri deleted deliverFor deliverFrom deliverTo
  deliveryDevice denominator dependent derivedFrom description destination detail detailBoolean
  detailCodeableConcept detailInteger detailQuantity detailRange detailRatio detailSequence
  detailString detected detectedIssue device deviceIdentifier deviceName diagnosis
  diagnosisCodeableConcept diagnosisReference diagnosisRelatedGroup diagnosisSequence diameter
  dietPreference dischargeDisposition dispenseInterval dispenseRequest dispenser
  dispenserInstruction display displayName disposition distanceFromLandmark distinctIdentifier
  district div division doNotPerform docStatus documentType documentation dosage dosageInstruction
  dose doseAdministrationAid doseAndRate doseForm doseNumber doseNumberPositiveInt doseNumberString
  doseQuantity doseRange doseStatus doseStatusReason dueDate dueDuration duration durationMax
  durationUnit during dynamicValue education effectiveDateTime effectiveDosePeriod effectiveInstant
  effectivePeriod effectiveTiming eligibility emptyReason encounter end endRelationship endpoint
  enteralFormula enteredDate enterer entity entityRelatedness entry entryType episodeOfCare error
  estimate estimatedAge evaluationMessage event eventHistory evidence exception exclude
  excludeFoodModifier excluded excludedStructure excludingDate excludingRecurrenceId executionPeriod
  expectedInResearchStudy expectedSupplyDuration expirationDate expiry exposureRoute expressedBy
  expression extension extraDetails eye facility facilityType factor factorOverride family
  fastingStatusCodeableConcept fastingStatusDuration feature file financial finding flag
  fluidConsistencyType focal focalDevice focus followUp foodPreferenceModifier foodType for
  forecastReason forecastStatus form formCode format frameOfReferenceUid frames frequency
  frequencyMax friday function fundingSource fundsReserve fundsReserveRequested gateway gender
  generalPractitioner generatedByIdentifier generatedByReference genomeBuild given goal grantee
  grantor groupIdentifier groupingBehavior guarantor hasMember hash healthcareService height high
  highNumerator hospitalization hoursOfOperation id identifiedDateTime identifiedPeriod identifier
  image imageRegion2D imageRegion3D imagingStudy immunizationEvent implicated implicitRules
  inResponseTo inactive includedStructure individual inforce information informationProvider
  informationSequence informationSource ingredient ingredientLabel initialFill input installDate
  instance instanceCodeableConcept instanceReference instantiates instantiatesCanonical
  instantiatesReference instantiatesUri instruction instructionMarkdown instructionReference
  insurance insurancePlan insurer intent interpretation interpreter investigation isActive
  isSubPotent isSubpotent issued issuer item itemCodeableConcept itemReference itemSequence
  jurisdiction kind knownAllergen landmarkDescription language lastModified lastOccurrence
  lastOccurrenceDate lastUpdated laterality latitude length lensSpecification lifecycleStatus line
  lineItem link linkId location locationAddress locationCode locationCodeableConcept
  locationQualifier locationReference longitude lotNumber low lowNumerator manager managingEntity
  managingOrganization manifestation manipulated manipulation manufactureDate manufacturer
  maritalStatus marketingAuthorizationHolder masterIdentifier matchStatus maxDosePerAdministration
  maxDosePerLifetime maxDosePerPeriod maxParticipants maxVolumeToDeliver meaning measure
  measurementFrequency measurementPeriod media medication medicationCodeableConcept
  medicationReference medium member membership meta method methodType minutesDuration
  mitigatingAction mitigation modality mode modelNumber modifier modifierExtension moduleCanonical
  moduleCodeableConcept moduleUri monday monthInterval monthlyTemplate morphology
  multipleBirthBoolean multipleBirthInteger name net network normalValue notAvailable
  notAvailableTime notConsumed notConsumedReason notPerformedReason note noteNumber nthWeekOfMonth
  number numberOfInstances numberOfRepeatsAllowed numberOfSeries numerator nutrient nutritionProduct
  observation occurenceDateTime occurencePeriod occurenceTiming occurredDateTime occurredPeriod
  occurrenceAge occurrenceChanged occurrenceCount occurrenceDate occurrenceDateTime occurrencePeriod
  occurrenceRange occurrenceString occurrenceTiming offeredIn offset offsetDuration offsetRange
  onAdmission onBehalfOf onHold onset onsetAge onsetDateTime onsetPeriod onsetRange onsetString
  openingTime operation operationalStatus operator oralDiet order orderDetail orderedBy orderer
  organization origin originRelationshipType originalPrescription originatingAppointment other
  outcome outcomeCode outcomeCodeableConcept outcomeReference output outputParameters
  outsideFoodAllowed overbooked overrideReason owner packageCode pages parameter parameterFocus
  parent partNumber partOf participant participantStatus participantType participatingOrganization
  party path patient patientInstruction patientPaid payee payeeType payload payment paymentBy
  paymentTerms payor performedActivity performedAge performedDateTime performedPeriod performedRange
  performedString performer performerType performingOrganization period periodDate periodMax
  periodPeriod periodUnit photo physicalType plannedActivityReference plannedEndDate
  plannedStartDate planningHorizon policy policyBasis policyHolder policyRule policyText position
  postalCode power practiceSetting practitioner preAdmissionIdentifier preAuthPeriod preAuthRef
  preAuthRefPeriod precedence precheckBehavior prediction preferred prefix preparedDate prescriber
  prescription presentationDate presentedForm preventiveAction previous previousAppointment
  priceComponent priceOverride primarySource priorPrescription priorRequest priority prism
  probabilityDecimal probabilityRange problem procedure procedureCode procedureCodeableConcept
  procedureReference procedureSequence processNote processing processingFacility product
  productCategory productCode productCodeableConcept productName productOrService
  productOrServiceEnd productReference productRelatedness productStatus profile
  prognosisCodeableConcept prognosisReference program programCode programEligibility programStatus
  progress project property proposedNewTime protocol protocolApplied protocolPerformed providedBy
  provider provision publicationDate purpose qualification qualifier qualitativeRisk quantity
  quantityQuantity quantityRange quantityRatio questionnaire rank rate rateQuantity rateRange
  rateRatio rationale reAdmission reaction reason reasonCode reasonReference received receivedTime
  receiver recipient recommendation recorded recordedDate recordedOn recorder recurrenceId
  recurrenceTemplate recurrenceType recurring ref reference referenceDocument referenceRange
  referral referralMethod referralRequest referrer regionType regionsCalled regionsStudied
  regulatoryBasis related relatedAccount relatedAction relatedClinicalInformation relatedData
  relatesTo relationship relativeRisk relevantHistory renderedDosageInstruction repeat repetitions
  replaces report reportOrigin reported reportedBoolean reportedReference request requestIdentifier
  requestedPerformer requestedPeriod requester requestingOrganization requestor required
  requiredBehavior requirement requisition resource resourceType responsibility responsible
  responsibleParty restriction result resultingCondition resultingEffect resultsInterpreter revenue
  reviewOutcome role route routeOfAdministration routeofAdministration safety saturday scale
  schedule scheduledPeriod scheduledString scheduledTiming scope section security securityLabel
  selectionBehavior sender sent sequence serialNumber series seriesDoses seriesDosesPositiveInt
  seriesDosesString seriesNumber seriesUid seriousness service serviceCategory servicePeriod
  serviceProvider serviceProvisionCode serviceType servicedDate servicedPeriod sessionKey severity
  sex signature site size slot sopClass source sourceAttachment sourcePatientInfo sourceReference
  spatialReference specialArrangement specialCourtesy specialization specialty specification
  specimen specimenQuantity sphere stage start startCodeableConcept startDate started state status
  statusChanged statusDate statusHistory statusReason statusReasonCodeableConcept
  statusReasonReference storage storageTempRequirements strength strengthCodeableConcept
  strengthQuantity strengthRatio structure study studyUid subDetail subDetailSequence
  subPotentReason subSite subType subdetailSequence subject subjectMedicalHistory subjectStatus
  subpotentReason subrogation subscriber subscriberId subset substance substanceCodeableConcept
  substanceReference substitution suffix summary sunday supplement suppliedItem supplier
  supportingImmunization supportingInfo supportingInfoSequence supportingInformation
  supportingPatientInformation surfaceOrientation suspectEntity system systemType tag target
  targetDisease targetId targetIdentifier targetReference tax team telecom temperature term text
  textEquivalent texture thursday time timeDateTime timeOfDay timePeriod timezone timing timingAge
  timingDate timingDateTime timingDuration timingPeriod timingRange timingTiming title topic total
  totalGross totalNet totalPriceComponent totalVolume traceNumber transform triggeredBy tuesday type
  typeCanonical typeReference udi udiCarrier uid unit unitPrice unitPriceComponent uri url
  usageInstruction usageReason usageStatus use useBy useContext used usedCode usedMoney
  usedReference usedString usedUnsignedInt userSelected vaccineCode validityPeriod value
  valueAddress valueAge valueAnnotation valueAttachment valueAvailability valueBase64Binary
  valueBoolean valueCanonical valueCode valueCodeableConcept valueCodeableReference valueCoding
  valueContactDetail valueContactPoint valueContributor valueCount valueDataRequirement valueDate
  valueDateTime valueDecimal valueDistance valueDosage valueDuration valueExpression
  valueExtendedContactDetail valueHumanName valueId valueIdentifier valueInstant valueInteger
  valueInteger64 valueMarkdown valueMeta valueMoney valueOid valueParameterDefinition valuePeriod
  valuePositiveInt valueQuantity valueRange valueRatio valueRatioRange valueReference
  valueRelatedArtifact valueSampledData valueSignature valueString valueTime valueTiming
  valueTriggerDefinition valueUnsignedInt valueUri valueUrl valueUsageContext valueUuid verification
  verificationDate verificationStatus verificationType verified verifiedBy verifiedWith version
  versionId view virtualService wasSubstituted wednesday weekInterval weeklyTemplate what when
  whenDateTime whenHandedOver whenPeriod whenPrepared whenRange who width yearInterval
  yearlyTemplate
`);

/**
 * Elements that always hold a code of a fixed list, or an identifier that FHIR defines: never
 * prose.
 */
export const TOKEN_ELEMENTS: ReadonlySet<string> = words(`
  actionId actuality assurance base cardinalityBehavior category code combined comparator
  confidentiality contentType criticality currency dayOfWeek daysOfWeek decision docStatus
  durationUnit endRelationship entryType eye frameOfReferenceUid gender groupingBehavior intent kind
  language lifecycleStatus meaning membership mode operationalStatus outcome participantStatus
  periodUnit precheckBehavior priority productCategory purpose regionType relationship required
  requiredBehavior role scale selectionBehavior seriesUid severity status studyUid targetId uid use
  valueCode valueId valueOid valueUuid versionId when
`);
