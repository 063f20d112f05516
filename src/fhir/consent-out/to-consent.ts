import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { encodeDirective } from "../../consent/model/directive.ts";
import type { Directive, Rule } from "../../consent/model/model.ts";
import type { DirectiveWitness } from "../../consent/model/witness.ts";
import { InputError } from "../../errors.ts";
import { usualDefault } from "../consent-in/lower.ts";
import type { ConsentDialect, ConsentLoss, FromConsentOptions } from "../consent-in/options.ts";
import type { FhirResource, JsonObject } from "../resource.ts";
import {
  conjunction,
  refusalConditions,
  writeCustodian,
  writeDate,
  writeIdentifier,
  writePeriod,
  writeReference,
} from "./conditions.ts";
import {
  writeExceptions,
  lossList,
  type Note,
  refuses,
  expressiblePart,
  typedProvision,
} from "./provisions.ts";

/** Options of {@link toConsent}. */
export interface ToConsentOptions {
  readonly version: "r4" | "r5";
  /** The patient that the data is about: a reference such as `Patient/1`, or `system|value`. */
  readonly patient: string;
  /** The witness, if the grantor did not sign the directive: as `hl.directives` gives it. */
  readonly witness?: DirectiveWitness;
}

/** A directive as FHIR, and what the resource does not express. */
export interface ExportedConsent {
  readonly resource: FhirResource;
  readonly dialect: ConsentDialect;
  /** Options with which `fromConsent` reads the rest of the directive back. */
  readonly readAs: FromConsentOptions;
  /** Paths start with `root` for rules, otherwise with the directive's field. */
  readonly losses: readonly ConsentLoss[];
}

const TO_CONSENT_OPTIONS: OptionsOf<ToConsentOptions> = {
  version: true,
  patient: true,
  witness: true,
};

/**
 * Writes a directive as a FHIR Consent, R4 (dialect `r4-typed`) or R5.
 *
 * What FHIR cannot express of a rule is written more strictly and listed: a reader of the resource
 * never permits what the rules refuse.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` for an amendment, which is not a whole statement
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive contradicts itself
 * @example
 * const { resource, losses } = toConsent(directive, { version: "r4", patient: "Patient/1" });
 * for (const { path, what } of losses) console.warn(`${path}: ${what}`);
 */
export function toConsent(directive: Directive, options: ToConsentOptions): ExportedConsent {
  assertOptions(options, TO_CONSENT_OPTIONS, "toConsent");
  encodeDirective(directive);
  if (directive.mode === "amend") {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "an amendment states only what changes, but a Consent states everything: export the directive that it amends",
    );
  }
  const { losses, note } = lossList();
  const r5 = options.version === "r5";
  const root: Rule | undefined =
    directive.mode === "suspend"
      ? { id: "suspended", effect: "deny", combine: "deny-overrides", when: {} }
      : directive.root;
  if (directive.mode === "suspend") note("mode", "that it only suspends: written as a refusal");
  const body =
    root === undefined
      ? { elements: {}, reading: undefined }
      : r5
        ? writeR5(directive, root, note)
        : writeR4(directive, root, note);
  const usual = root === undefined ? "none" : usualDefault(root);
  if (directive.default !== usual && directive.mode === "replace") {
    note("default", "the effect where it is silent; pass default");
  }
  noteHeader(directive, note);
  if (options.witness !== undefined) {
    note("witness", "that its grantor did not sign it, beyond who verified it and how");
  }
  // R4 has no element for the controller except in the conditions of the provision.
  const bare = !r5 && root === undefined && directive.controller !== undefined;
  if (bare) note("controller", "whose records it is about; pass controller");
  const dialect: ConsentDialect = r5 ? "r5" : "r4-typed";
  const { predecessors, jurisdictions, grantor, basis, validity } = directive;
  return {
    resource: {
      ...header(directive, options, r5),
      ...(options.witness && { verification: [verification(options.witness, r5)] }),
      ...body.elements,
    },
    dialect,
    readAs: {
      dialect,
      ...(body.reading && { reading: body.reading }),
      zone: validity.zone,
      from: validity.from,
      capacity: grantor.capacity,
      ...(bare && { controller: directive.controller }),
      basis,
      ...(predecessors.length > 0 && { predecessors }),
      ...(grantor.evidence.length > 0 && { evidence: grantor.evidence }),
      ...(jurisdictions && { jurisdictions }),
      ...(directive.mode === "replace" && { default: directive.default }),
    },
    losses,
  };
}

const CONSENT = { coding: [{ system: "http://loinc.org", code: "59284-0" }] };
const SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope";

function header(directive: Directive, options: ToConsentOptions, r5: boolean): FhirResource {
  const { lineage, category, basis, grantor, validity, controller } = directive;
  const given = writeDate(validity.from);
  const url = basis.version === "" ? basis.uri : `${basis.uri}|${basis.version}`;
  const scope = { coding: [{ system: SCOPE, code: category ?? "patient-privacy" }] };
  const common = {
    resourceType: "Consent",
    identifier: [writeIdentifier(lineage)],
    status: directive.mode === "revoke" ? "inactive" : "active",
  };
  if (r5) {
    const day = typeof validity.from === "number" ? given?.slice(0, 10) : given;
    const period = writePeriod(validity);
    return {
      ...common,
      category: category === undefined ? [CONSENT] : [CONSENT, scope],
      subject: writeReference(options.patient, "Patient"),
      ...(day !== undefined && { date: day }),
      ...(period && { period }),
      grantor: [writeReference(grantor.actor)],
      ...(controller !== undefined && { controller: [writeReference(controller)] }),
      policyBasis: { url },
    };
  }
  return {
    ...common,
    scope,
    category: [CONSENT],
    patient: writeReference(options.patient, "Patient"),
    ...(given !== undefined && { dateTime: given }),
    performer: [writeReference(grantor.actor)],
    policy: [{ uri: url }],
  };
}

const FORM: Readonly<Record<DirectiveWitness["form"], string>> = {
  paper: "witnessed: signed on paper",
  electronic: "witnessed: confirmed electronically",
  oral: "witnessed: given orally",
};
const R5_ELEMENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.verification";

/** The witness of a directive: R4 has no elements for the witness and the form, only extensions. */
function verification({ by, form, takenAt }: DirectiveWitness, r5: boolean): JsonObject {
  const verifiedBy = writeReference(by, "Organization");
  const verificationType = { text: FORM[form] };
  const when = writeDate(takenAt);
  return {
    verified: true,
    ...(r5
      ? { verificationType, verifiedBy }
      : {
          extension: [
            { url: `${R5_ELEMENT}.verificationType`, valueCodeableConcept: verificationType },
            { url: `${R5_ELEMENT}.verifiedBy`, valueReference: verifiedBy },
          ],
        }),
    ...(when !== undefined && { verificationDate: r5 ? [when] : when }),
  };
}

function noteHeader(directive: Directive, note: Note): void {
  const { grantor, predecessors, jurisdictions, validity } = directive;
  if (predecessors.length > 0) note("predecessors", "what it follows; pass predecessors");
  if (grantor.evidence.length > 0) note("grantor.evidence", "its evidence; pass evidence");
  if (grantor.capacity !== "self") note("grantor.capacity", "the capacity; pass capacity");
  if (jurisdictions !== undefined) note("jurisdictions", "where it applies; pass jurisdictions");
  if (validity.zone !== "UTC") note("validity.zone", "the zone of its dates; pass zone");
  if (writeDate(validity.from) === undefined) note("validity.from", "no FHIR date; pass from");
}

interface Body {
  readonly elements: JsonObject;
  readonly reading: FromConsentOptions["reading"];
}

function writeR4(directive: Directive, root: Rule, note: Note): Body {
  const { controller, validity } = directive;
  const { validity: own, ...when } = root.when;
  if (own !== undefined) note("root", "a period of the rule besides that of the directive");
  // A refusal without its period always refuses; a permit without its period must not be written.
  const bound = root.effect === "permit" ? refusalConditions(when) : when;
  const strict: Rule =
    own === undefined ? root : { ...root, effect: "deny", when: bound, rules: [] };
  const { rules, ...rest } = strict;
  const kept: Rule = rules === undefined || rules.length === 0 ? rest : strict;
  const provision = typedProvision(kept, "root", note) ?? { type: "deny" };
  const actors = Array.isArray(provision["actor"]) ? (provision["actor"] as JsonObject[]) : [];
  const period = validity.to === undefined ? undefined : writePeriod(validity);
  if (validity.to !== undefined && period === undefined) note("root", "when it ends");
  const ended = validity.to !== undefined && period === undefined;
  return {
    elements: {
      provision: {
        ...(ended ? { type: "deny" } : provision),
        ...(controller !== undefined && { actor: [...actors, writeCustodian(controller)] }),
        ...(period && { period }),
      },
    },
    reading: undefined,
  };
}

function writeR5(directive: Directive, root: Rule, note: Note): Body {
  const nothing: Body = { elements: { decision: "deny" }, reading: undefined };
  if (directive.validity.to !== undefined && writePeriod(directive.validity) === undefined) {
    note("root", "when it ends");
    return nothing;
  }
  const said = expressiblePart(root, "r5", "root", note);
  if (said === undefined) return nothing;
  const { effect, elements } = said;
  const bounded = Object.keys(elements).length > 0;
  if (!bounded) {
    const provision = writeExceptions(said.rules, effect, {}, "root", note);
    if (provision === undefined) return nothing;
    return withExceptions(effect, provision);
  }
  const plain = said.rules.length === 0;
  if (plain) return { elements: { decision: effect, provision: [elements] }, reading: "scope" };
  // R5 states either where a decision applies or what is excepted from it; so this refuses the
  // rest.
  note("root", "that it is silent beyond its conditions");
  if (effect === "permit") {
    const inner = writeExceptions(said.rules, effect, elements, "root", note);
    if (inner === undefined) return nothing;
    return withExceptions("deny", [{ ...elements, ...(inner.length > 0 && { provision: inner }) }]);
  }
  const joined = said.rules.flatMap((rule): Rule[] => {
    const when = conjunction(root.when, rule.when);
    if (when !== undefined) return [{ ...rule, when }];
    note(`root/${rule.id}`, "conditions that overlap with those around it");
    // A permit that refuses something nested in it overrides other permits there.
    const bound = rule.effect === "deny" ? rule.when : refusalConditions(rule.when);
    return refuses(rule) ? [{ ...rule, effect: "deny", when: bound, rules: [] }] : [];
  });
  return withExceptions("deny", writeExceptions(joined, "deny", {}, "root", note) ?? []);
}

function withExceptions(decision: Rule["effect"], provision: readonly JsonObject[]): Body {
  return provision.length === 0
    ? { elements: { decision }, reading: undefined }
    : { elements: { decision, provision }, reading: "exception" };
}
