import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { encodeDirective } from "../../consent/model/directive.ts";
import type { Directive, DirectiveMode, Rule, Validity } from "../../consent/model/model.ts";
import { resolvePeriod } from "../../consent/model/time.ts";
import { findZone } from "../../consent/model/zone.ts";
import { readResource } from "../bundle.ts";
import { isObject, type JsonObject, list } from "../resource.ts";
import {
  readBasis,
  readCategory,
  readController,
  readParties,
  readPolicyRule,
  readStatus,
  lossesOf,
  unreadCategories,
} from "./header.ts";
import { readLineage } from "./lineage.ts";
import { type Lowered, lowerOntoBase, lowerTyped, usualDefault } from "./lower.ts";
import { lowerPcf } from "./lower-pcf.ts";
import type { ConsentDialect, FromConsentOptions, ImportedConsent } from "./options.ts";
import { type Provision, type ProvisionContext, readProvision } from "./provision.ts";
import { checkElements, checkResource, invalid, items, object, unsupported } from "./refuse.ts";
import { track } from "./unread.ts";
import { readDate, readPeriod } from "./values.ts";

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "));
const COMMON =
  "resourceType meta implicitRules language text contained identifier status category " +
  "sourceAttachment sourceReference verification provision";
const R4 = words(`${COMMON} scope patient dateTime performer organization policy policyRule`);
const R5 = words(
  `${COMMON} subject date period grantor grantee manager controller regulatoryBasis policyBasis ` +
    "policyText decision",
);
const PCF = /^https:\/\/profiles\.ihe\.net\/ITI\/PCF\/StructureDefinition\/IHE\.PCF\.consent[A-Z]/;

const FROM_CONSENT_OPTIONS: OptionsOf<FromConsentOptions> = {
  ...{ dialect: true, profiles: true, reading: true, zone: true, base: true, lineage: true },
  ...{ fullUrl: true, predecessors: true, capacity: true, evidence: true, controller: true },
  ...{ jurisdictions: true, basis: true, from: true, default: true },
};

/**
 * Reads a FHIR Consent, R4 or R5, as a directive.
 *
 * Refuses what a directive cannot express, with its path in the resource. What the resource leaves
 * open must be passed as an option; nothing is guessed.
 *
 * @param consent - the resource: parsed (borrowed), or its JSON text, or that text in UTF-8
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when it cannot be represented, or needs an option
 *   that the message names; `ERR_INPUT_INVALID` when it is not such a resource;
 *   `ERR_INPUT_TOO_LARGE`
 * @throws {RangeError} when `zone` is unknown
 * @example
 *   const fullUrl = "https://ehr.example/fhir/Consent/1";
 *   const { directive, losses } = fromConsent(consentJson, { dialect: "r4-pcf", fullUrl });
 */
export function fromConsent(consent: unknown, options: FromConsentOptions = {}): ImportedConsent {
  assertOptions(options, FROM_CONSENT_OPTIONS, "fromConsent");
  const written =
    typeof consent === "string" || consent instanceof Uint8Array
      ? readResource(consent).resource
      : consent;
  if (!isObject(written) || written["resourceType"] !== "Consent") {
    throw invalid("Consent.resourceType", 'must be "Consent"');
  }
  const extensions = checkResource(written);
  const tracked = track(written);
  const resource = tracked.view;
  const dialect = options.dialect ?? declaredDialect(resource, options);
  const r5 = dialect === "r5";
  checkElements(resource, "Consent", r5 ? R5 : R4);
  if (options.reading !== undefined && (dialect === "r4-pcf" || dialect === "r4-typed")) {
    throw new TypeError(`the dialect ${dialect} does not take the option reading`);
  }
  // Checked without being read: if it states the base, it is reported as lost unless it is the
  // basis.
  if (dialect === "r4-typed" && readPolicyRule(written) !== undefined) {
    throw unsupported("Consent.policyRule", 'states the base: pass dialect: "r4-policy-rule"');
  }
  const zoneName = options.zone ?? "UTC";
  const zone = findZone(zoneName);
  if (zone === undefined) throw new RangeError("zone is not known to this engine");
  const context: ProvisionContext = {
    dialect,
    zone,
    base: options.base,
    zoneMatters: false,
    provisions: 0,
  };

  const mode = readStatus(resource, r5);
  const { patient, grantor } = readParties(resource, r5, options, context);
  const category = readCategory(resource, r5);
  if (resource["grantee"] !== undefined) {
    throw unsupported("Consent.grantee", "binds a party as a whole: name recipients in provisions");
  }
  const lowered = mode === "replace" ? lower(resource, dialect, options, context) : undefined;
  const controller = readController(resource, r5, lowered?.custodian, options, context);
  const given = readDate(
    resource[r5 ? "date" : "dateTime"],
    `Consent.${r5 ? "date" : "dateTime"}`,
    context,
  );
  const stated = r5 ? readPeriod(resource["period"], "Consent.period", context) : undefined;
  // R5 has a period of its own; a period in a provision stays with that provision.
  const root = stated === undefined ? lowered?.root : lowered && withOwnPeriod(lowered);
  const held = stated ?? lowered?.period;
  const from = held?.from ?? options.from ?? given;
  if (from === undefined) {
    throw unsupported(`Consent.${r5 ? "date" : "dateTime"}`, "is missing: pass from");
  }
  const to = mode === "replace" ? held?.to : undefined;
  const validity: Validity = { from, ...(to !== undefined && { to }), zone: zoneName };
  if (resolvePeriod(validity, zone) === undefined) {
    throw invalid("Consent", "ended before it was given: pass from if that is intended");
  }
  const directive: Directive = {
    v: 1,
    lineage: readLineage(resource, options),
    predecessors: options.predecessors ?? [],
    mode,
    grantor,
    ...(controller !== undefined && { controller }),
    ...(category !== undefined && { category }),
    basis: readBasis(resource, r5, options),
    ...(options.jurisdictions && { jurisdictions: options.jurisdictions }),
    validity,
    default: defaultOf(mode, dialect, root, options),
    ...(root && { root }),
  };
  encodeDirective(directive);
  const losses = [...unreadCategories(resource, r5), ...lossesOf(tracked.unread())];
  for (const path of extensions) losses.push({ path, what: "an extension, which is not read" });
  if (context.zoneMatters && options.zone === undefined) {
    losses.push({
      path: "Consent",
      what: "its dates have no zone and were read in UTC; pass zone",
    });
  }
  return { directive, patient, dialect, losses };
}

/** Finds the dialect: the caller's, or that of a profile which the resource declares. */
function declaredDialect(resource: JsonObject, options: FromConsentOptions): ConsentDialect {
  const meta = resource["meta"] === undefined ? {} : object(resource["meta"], "Consent.meta");
  const found = new Set<ConsentDialect>();
  for (const profile of list(meta["profile"])) {
    if (typeof profile !== "string") continue;
    const url = profile.split("|")[0]!;
    if (options.profiles !== undefined && Object.hasOwn(options.profiles, url)) {
      found.add(options.profiles[url]!);
    } else if (PCF.test(url)) {
      found.add("r4-pcf");
    }
  }
  if (found.size === 1) return [...found][0]!;
  throw unsupported(
    "Consent.meta.profile",
    `declares ${found.size === 0 ? "no" : "more than one"} dialect: pass dialect: "r5", ` +
      '"r4-typed", "r4-policy-rule" or "r4-pcf"',
  );
}

function lower(
  resource: JsonObject,
  dialect: ConsentDialect,
  options: FromConsentOptions,
  context: ProvisionContext,
): Lowered {
  if (dialect === "r5") {
    const base = resource["decision"];
    if (base !== "permit" && base !== "deny") {
      throw unsupported("Consent.decision", "must be permit or deny, to state the base");
    }
    const provisions = items(resource["provision"], "Consent.provision").map((one) =>
      readProvision(one.value, one.path, context),
    );
    return lowerOntoBase(base, provisions, options.reading, "Consent");
  }
  const provision: Provision | undefined =
    resource["provision"] === undefined
      ? undefined
      : readProvision(
          object(resource["provision"], "Consent.provision"),
          "Consent.provision",
          context,
        );
  if (dialect === "r4-policy-rule") {
    const base = readPolicyRule(resource);
    if (base === undefined) {
      throw unsupported("Consent.policyRule", "must be OPTIN or OPTOUT, to state the base");
    }
    return lowerOntoBase(
      base,
      provision === undefined ? [] : [provision],
      options.reading,
      "Consent",
    );
  }
  if (provision === undefined) throw unsupported("Consent.provision", "is missing");
  if (dialect === "r4-pcf") {
    if (resource["policyRule"] !== undefined) {
      throw unsupported("Consent.policyRule", "is not used by IHE PCF");
    }
    return lowerPcf(provision);
  }
  return lowerTyped(provision);
}

function withOwnPeriod({ root, period }: Lowered): Rule {
  return period === undefined ? root : { ...root, when: { ...root.when, validity: period } };
}

function defaultOf(
  mode: DirectiveMode,
  dialect: ConsentDialect,
  root: Rule | undefined,
  options: FromConsentOptions,
): Directive["default"] {
  if (mode !== "replace" || root === undefined) return "none";
  if (options.default !== undefined) return options.default;
  if (dialect === "r4-pcf") return "deny";
  return usualDefault(root);
}
