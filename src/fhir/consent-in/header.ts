import type { Basis, Capacity, DirectiveMode, Effect, Grantor } from "../../consent/model/model.ts";
import { ACT_CODE, canonicalSystem } from "../../consent/terminology/terminology.ts";
import type { JsonObject } from "../resource.ts";
import type { ConsentLoss, FromConsentOptions } from "./options.ts";
import { invalid, items, object, optionalText, token, unsupported } from "./refuse.ts";
import { readCoding, readConcept, readReference, type ValueContext } from "./values.ts";

/** The mode of the directive that a Consent's status calls for. */
export function readStatus(resource: JsonObject, r5: boolean): DirectiveMode {
  const status = optionalText(resource["status"], "Consent.status");
  switch (status) {
    case "active":
      return "replace";
    case "inactive":
    case "entered-in-error":
      return "revoke";
    case "draft":
      throw unsupported("Consent.status", "is draft: nothing was agreed yet");
    case "proposed":
    case "rejected":
      if (r5) break;
      throw unsupported(
        "Consent.status",
        status === "proposed"
          ? "is proposed: nothing was agreed yet"
          : "is rejected: nothing was agreed; a refusal is an active consent that denies",
      );
    case "not-done":
    case "unknown":
      if (!r5) break;
      throw unsupported(
        "Consent.status",
        `is ${status}, which does not say whether the consent is in force`,
      );
  }
  throw invalid("Consent.status", "is missing or unknown");
}

const SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope";
const SCOPES = new Set(["patient-privacy", "research", "treatment", "adr"]);
const CATEGORY_CODES = "http://terminology.hl7.org/CodeSystem/consentcategorycodes";
/** R5 categories that express what R4 expresses as scope. */
const CATEGORIES: Readonly<Record<string, string>> = {
  acd: "adr",
  dnr: "adr",
  hcd: "adr",
  polst: "adr",
  research: "research",
  rsdid: "research",
  rsreid: "research",
};

/** The R4 scope that an R5 category expresses, if it expresses one. */
function meaningOf(system: string, code: string): string | undefined {
  const own = code.toLowerCase();
  // The same code in a private code system must not bound what the consent is about.
  const known = system === CATEGORY_CODES || canonicalSystem(system) === ACT_CODE;
  return known && Object.hasOwn(CATEGORIES, own) ? CATEGORIES[own] : undefined;
}

/** The subject matter of a Consent, in the terms of R4's scope. */
export function readCategory(resource: JsonObject, r5: boolean): string | undefined {
  if (!r5) {
    const scope = object(resource["scope"], "Consent.scope");
    const codings = readConcept(scope, "Consent.scope").filter(({ system }) => system === SCOPE);
    const found = new Set(codings.map(({ code }) => code));
    if (found.size > 1) throw unsupported("Consent.scope", "names several scopes");
    const [only] = found;
    if (only === undefined || !SCOPES.has(only)) {
      throw unsupported("Consent.scope", "is not a known scope");
    }
    return only;
  }
  const found = new Set<string>();
  for (const category of items(resource["category"], "Consent.category")) {
    for (const coding of items(category.value["coding"], `${category.path}.coding`)) {
      const { system, code } = readCoding(coding.value, coding.path);
      const meant = meaningOf(system, code);
      if (system === SCOPE && SCOPES.has(code)) found.add(code);
      else if (meant !== undefined) found.add(meant);
    }
  }
  if (found.size > 1) throw unsupported("Consent.category", "names several kinds of consent");
  return [...found][0];
}

/** The patient whose data it is about, and the grantor. */
export function readParties(
  resource: JsonObject,
  r5: boolean,
  options: FromConsentOptions,
  context: ValueContext,
): { readonly patient: string; readonly grantor: Grantor } {
  const element = r5 ? "Consent.subject" : "Consent.patient";
  const subject = r5 ? resource["subject"] : resource["patient"];
  if (subject === undefined) throw unsupported(element, "is missing: the consent is about nobody");
  const patient = readReference(subject, element, context, { anyVersion: true });
  if (patient.type !== undefined && patient.type !== "Patient") {
    throw unsupported(element, "is not a patient");
  }
  const who = r5 ? "Consent.grantor" : "Consent.performer";
  const grantors = items(r5 ? resource["grantor"] : resource["performer"], who, 64);
  if (grantors.length > 1)
    throw unsupported(`${who}[1]`, "is a second grantor: a consent must name one");
  const actor =
    grantors.length === 0
      ? patient.name
      : readReference(grantors[0]!.value, `${who}[0]`, context, { anyVersion: true }).name;
  const capacity: Capacity | undefined =
    options.capacity ?? (actor === patient.name ? "self" : undefined);
  if (capacity === undefined) {
    throw unsupported(
      `${who}[0]`,
      'is not the patient: pass capacity: "guardian", "proxy" or "court"',
    );
  }
  return { patient: patient.name, grantor: { actor, capacity, evidence: options.evidence ?? [] } };
}

/** The law or policy that a Consent is based on. */
export function readBasis(resource: JsonObject, r5: boolean, options: FromConsentOptions): Basis {
  if (options.basis !== undefined) return options.basis;
  const found: Basis[] = [];
  const concept = (value: unknown, path: string): void => {
    const [coding] = readConcept(object(value, path), path);
    found.push({ uri: token(coding!.system, coding!.code, path), version: "" });
  };
  const canonical = (value: unknown, path: string): void => {
    const written = optionalText(value, path);
    if (written === undefined) return;
    const [uri = "", version = ""] = written.split("|");
    if (uri.trim() === "") throw invalid(path, "names no policy");
    found.push({ uri, version });
  };
  if (r5) {
    if (resource["policyBasis"] !== undefined) {
      canonical(
        object(resource["policyBasis"], "Consent.policyBasis")["url"],
        "Consent.policyBasis.url",
      );
    }
    if (found.length === 0) {
      for (const one of items(resource["regulatoryBasis"], "Consent.regulatoryBasis")) {
        concept(one.value, one.path);
      }
    }
  } else {
    for (const one of items(resource["policy"], "Consent.policy")) {
      canonical(one.value["uri"], `${one.path}.uri`);
    }
    if (found.length === 0 && resource["policyRule"] !== undefined) {
      concept(resource["policyRule"], "Consent.policyRule");
    }
  }
  if (found.length !== 1) {
    throw unsupported(
      r5 ? "Consent.policyBasis" : "Consent.policy",
      `${found.length === 0 ? "names no policy" : "names several policies"}: pass basis`,
    );
  }
  return found[0]!;
}

const POLICY_RULES: Readonly<Record<string, Effect>> = {
  OPTIN: "permit",
  OPTINR: "permit",
  OPTOUT: "deny",
  OPTOUTE: "deny",
};

/** The effect of an R4 policyRule, if it is one of the four codes that state one. */
export function readPolicyRule(resource: JsonObject): Effect | undefined {
  if (resource["policyRule"] === undefined) return undefined;
  const concept = object(resource["policyRule"], "Consent.policyRule");
  const effects = new Set<Effect>();
  for (const { value, path } of items(concept["coding"], "Consent.policyRule.coding")) {
    const { system, code } = readCoding(value, path);
    if (canonicalSystem(system) === ACT_CODE && Object.hasOwn(POLICY_RULES, code))
      effects.add(POLICY_RULES[code]!);
  }
  if (effects.size > 1) throw invalid("Consent.policyRule", "says both permit and deny");
  return [...effects][0];
}

/** The organisation to whose records the consent is limited. */
export function readController(
  resource: JsonObject,
  r5: boolean,
  custodian: string | undefined,
  options: FromConsentOptions,
  context: ValueContext,
): string | undefined {
  if (options.controller !== undefined) {
    if (custodian !== undefined && options.controller !== custodian) {
      throw unsupported("Consent.provision", "names another custodian than the option controller");
    }
    return options.controller ?? undefined;
  }
  const named = r5 ? items(resource["controller"], "Consent.controller", 64) : [];
  const controllers = new Set(
    named.map((one) => readReference(one.value, one.path, context, { anyVersion: true }).name),
  );
  if (custodian !== undefined) controllers.add(custodian);
  if (controllers.size > 1) {
    throw unsupported(
      named.length > 1 ? "Consent.controller[1]" : "Consent.controller",
      "is another controller: import once for each, passing controller",
    );
  }
  return [...controllers][0];
}

const UNREAD: Readonly<Record<string, string>> = {
  "Consent.organization":
    "who manages the consent; pass controller to limit the directive to its records",
  "Consent.manager": "who manages the consent",
  "Consent.sourceAttachment": "the signed document; pass evidence to name it by its CID",
  "Consent.sourceReference": "the signed document; pass evidence to name it by its CID",
  "Consent.policyText": "the wording of the policy",
  "Consent.verification": "by whom and when it was verified",
  "Consent.contained": "resources inside the consent",
  "Consent.text": "a narrative that was not generated from the elements alone, and may say more",
  "Consent.provision": "what was agreed before it was withdrawn",
};

/** Describes elements that were not read, which the directive therefore does not carry. */
export function lossesOf(paths: readonly string[]): ConsentLoss[] {
  return paths.map((path) => ({
    path,
    what: UNREAD[path] ?? "is not read: the directive does not carry what it says",
  }));
}

/** Kinds of consent that say only that the consent is about the use of records. */
const GENERAL: ReadonlySet<string> = new Set([
  "http://loinc.org|59284-0",
  "http://loinc.org|57016-8",
  "http://loinc.org|57017-6",
  "http://loinc.org|64292-6",
]);

/** Categories that may limit the consent in a way unknown to this library. */
export function unreadCategories(resource: JsonObject, r5: boolean): ConsentLoss[] {
  return items(resource["category"], "Consent.category").flatMap(({ value, path }) => {
    const codings = items(value["coding"], `${path}.coding`).map((one) => one.value);
    const known = codings.some(({ system, code }) => {
      if (typeof system !== "string" || typeof code !== "string") return false;
      return (
        GENERAL.has(`${system}|${code}`) ||
        (r5 && (system === SCOPE ? SCOPES.has(code) : meaningOf(system, code) !== undefined))
      );
    });
    return known ? [] : [{ path, what: "a kind of consent that does not limit the directive" }];
  });
}
