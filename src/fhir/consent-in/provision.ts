import {
  type ActorRef,
  type Coding,
  type DataRef,
  type Effect,
  MAX_RULE_DEPTH,
  MAX_RULES,
  MAX_VALUES,
  type RefMeaning,
  type When,
} from "../../consent/model/model.ts";
import {
  ACT_CODE,
  ACT_REASON,
  canonicalPurpose,
  canonicalSystem,
  HL7_TERMINOLOGY,
} from "../../consent/terminology/terminology.ts";
import type { JsonObject } from "../resource.ts";
import type { ConsentDialect } from "./options.ts";
import {
  checkElements,
  invalid,
  items,
  object,
  optionalText,
  token,
  tooLarge,
  unsupported,
} from "./refuse.ts";
import {
  actorType,
  NAME_SYSTEM,
  readCoding,
  readConcept,
  readPeriod,
  readReference,
  type ValueContext,
} from "./values.ts";

/** A provision as read, before the dialect places it among rules. */
export interface Provision {
  readonly path: string;
  readonly type: Effect | undefined;
  readonly when: When;
  /** The organisation whose records it is about, if it names one. */
  readonly custodian: string | undefined;
  readonly nested: readonly Provision[];
}

/** State of reading provisions; counts them. */
export interface ProvisionContext extends ValueContext {
  readonly dialect: ConsentDialect;
  provisions: number;
}

const R4 = new Set(
  "type period actor action securityLabel purpose class code dataPeriod data provision".split(" "),
);
const R5 = new Set(
  "period actor action securityLabel purpose documentType resourceType code dataPeriod data expression provision".split(
    " ",
  ),
);
export const PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/** FHIR's own actions, which rules name by their bare codes. */
export const CONSENT_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction";
export const RESOURCE_TYPES = "http://hl7.org/fhir/resource-types";
const RECIPIENTS = new Set(["IRCP", "PRCP"]);

/** Reads a provision and the provisions nested in it. */
export function readProvision(
  value: JsonObject,
  path: string,
  context: ProvisionContext,
  depth: number = 1,
): Provision {
  const { dialect } = context;
  // The base around the provisions takes one level of rules.
  if (depth >= MAX_RULE_DEPTH) throw tooLarge(path, `nests deeper than ${MAX_RULE_DEPTH - 1}`);
  if (++context.provisions >= MAX_RULES)
    throw tooLarge("Consent.provision", "has too many provisions");
  checkElements(value, path, dialect === "r5" ? R5 : R4);
  if (dialect === "r4-pcf") checkPcf(value, path, depth);
  if (value["expression"] !== undefined) {
    throw unsupported(`${path}.expression`, "is a program, not a condition that can be compared");
  }
  const type = optionalText(value["type"], `${path}.type`);
  if (type !== undefined && type !== "permit" && type !== "deny") {
    throw invalid(`${path}.type`, "must be permit or deny");
  }
  const actors = readActors(value["actor"], `${path}.actor`, context);
  const refs = readData(value["data"], `${path}.data`, context);
  if (actors.authors.length > 0 && refs.length > 0) {
    throw unsupported(
      `${path}.actor`,
      "names an author as well as data: a rule cannot require both",
    );
  }
  const nested = items(value["provision"], `${path}.provision`, MAX_RULES).map((item) =>
    readProvision(item.value, item.path, context, depth + 1),
  );
  return {
    path,
    type,
    when: readWhen(value, path, context, actors.recipients, [...actors.authors, ...refs]),
    custodian: actors.custodian,
    nested,
  };
}

function readWhen(
  value: JsonObject,
  path: string,
  context: ProvisionContext,
  actors: readonly ActorRef[],
  refs: readonly DataRef[],
): When {
  const validity = readPeriod(value["period"], `${path}.period`, context);
  const purposes = items(value["purpose"], `${path}.purpose`, MAX_VALUES).map((item) => {
    const { system, code } = readCoding(item.value, item.path);
    return canonicalPurpose(token(system, code, item.path));
  });
  const actions = items(value["action"], `${path}.action`, MAX_VALUES).map(readAction);
  const labels = items(value["securityLabel"], `${path}.securityLabel`, MAX_VALUES).map(readLabel);
  const kinds = context.dialect === "r5" ? "resourceType" : "class";
  const types = items(value[kinds], `${path}.${kinds}`, MAX_VALUES).map(readType);
  if (value["documentType"] !== undefined) {
    throw unsupported(`${path}.documentType`, "is unknown for records: a rule cannot ask for it");
  }
  const codes = items(value["code"], `${path}.code`, MAX_VALUES).flatMap((item) =>
    readConcept(item.value, item.path),
  );
  if (codes.length > MAX_VALUES) throw tooLarge(`${path}.code`, `has more than ${MAX_VALUES}`);
  const period = readPeriod(value["dataPeriod"], `${path}.dataPeriod`, context);
  const data = {
    ...(types.length > 0 && { types }),
    ...(codes.length > 0 && { codes }),
    ...(labels.length > 0 && { labels }),
    ...(period && { period }),
    ...(refs.length > 0 && { refs }),
  };
  return {
    ...(validity && { validity }),
    ...(actors.length > 0 && { actors }),
    ...(purposes.length > 0 && { purposes }),
    ...(actions.length > 0 && { actions }),
    ...(Object.keys(data).length > 0 && { data }),
  };
}

function checkPcf(value: JsonObject, path: string, depth: number): void {
  for (const element of ["action", "class", "code"]) {
    if (value[element] !== undefined) {
      throw unsupported(`${path}.${element}`, "is not used by IHE PCF");
    }
  }
  if (depth > 1 && value["provision"] !== undefined) {
    throw unsupported(`${path}.provision`, "nests deeper than IHE PCF allows");
  }
}

function readActors(
  value: unknown,
  path: string,
  context: ProvisionContext,
): {
  readonly recipients: readonly ActorRef[];
  readonly authors: readonly DataRef[];
  readonly custodian: string | undefined;
} {
  const recipients: ActorRef[] = [];
  const authors: DataRef[] = [];
  let custodian: string | undefined;
  for (const actor of items(value, path, MAX_VALUES)) {
    const role =
      actor.value["role"] === undefined
        ? undefined
        : readConcept(object(actor.value["role"], `${actor.path}.role`), `${actor.path}.role`);
    const parts = new Set(
      role?.filter(({ system }) => system === PARTICIPATION).map(({ code }) => code),
    );
    if (parts.size > 1) throw unsupported(`${actor.path}.role`, "names several participations");
    const [part] = parts;
    if (actor.value["reference"] === undefined) {
      if (context.dialect !== "r5" || role?.length !== 1 || part !== undefined) {
        throw unsupported(`${actor.path}.reference`, "is missing: nobody is named");
      }
      const { system, code } = role[0]!;
      // Codes of two systems are two roles; a rule on one must not match the other.
      const id = system === NAME_SYSTEM ? code : token(system, code, `${actor.path}.role`);
      recipients.push({ type: "role", id });
      continue;
    }
    if (part === undefined ? context.dialect !== "r5" || role !== undefined : false) {
      throw unsupported(`${actor.path}.role`, "does not say how the actor participates");
    }
    const at = `${actor.path}.reference`;
    const named = readReference(actor.value["reference"], at, context, { anyVersion: true });
    if (part === undefined || RECIPIENTS.has(part)) {
      recipients.push({ type: actorType(named.type, at), id: named.name });
    } else if (context.dialect === "r4-pcf") {
      throw unsupported(`${actor.path}.role`, "must be IRCP in IHE PCF");
    } else if (part === "AUT") {
      authors.push({ meaning: "authoredby", reference: named.name });
    } else if (part === "CST") {
      if (custodian !== undefined) throw unsupported(actor.path, "is a second custodian");
      custodian = named.name;
    } else {
      throw unsupported(`${actor.path}.role`, "is not a participation that rules cover");
    }
  }
  return { recipients, authors, custodian };
}

const MEANINGS: readonly RefMeaning[] = ["instance", "related", "dependents", "authoredby"];

function readData(value: unknown, path: string, context: ProvisionContext): readonly DataRef[] {
  return items(value, path, MAX_VALUES).map((item) => {
    const written = optionalText(item.value["meaning"], `${item.path}.meaning`);
    const meaning = MEANINGS.find((known) => known === written);
    if (meaning === undefined) throw invalid(`${item.path}.meaning`, "is missing or unknown");
    const { name } = readReference(item.value["reference"], `${item.path}.reference`, context);
    if (context.dialect !== "r4-pcf") return { meaning, reference: name };
    if (meaning === "dependents") {
      throw unsupported(`${item.path}.meaning`, "is not used by IHE PCF");
    }
    // In PCF, data related to an encounter refers to it; in FHIR, the encounter refers to the data.
    return { meaning: meaning === "related" ? "dependents" : meaning, reference: name };
  });
}

function readAction(item: { readonly value: JsonObject; readonly path: string }): string {
  const codings = readConcept(item.value, item.path);
  const standard = codings.find((coding) => coding.system === CONSENT_ACTION);
  if (standard !== undefined) return standard.code;
  if (codings.length > 1) throw unsupported(item.path, "has several codes, none of FHIR's own");
  return token(codings[0]!.system, codings[0]!.code, item.path);
}

function readLabel(item: { readonly value: JsonObject; readonly path: string }): Coding {
  const { system, code } = readCoding(item.value, item.path);
  const coding = { system: canonicalSystem(system), code };
  const { obligations, refrains } = HL7_TERMINOLOGY;
  const handling =
    coding.system === ACT_CODE &&
    (Object.hasOwn(obligations, coding.code) || Object.hasOwn(refrains, coding.code));
  if (handling || coding.system === ACT_REASON) {
    throw unsupported(item.path, "says how to handle data, not which data");
  }
  return coding;
}

function readType(item: { readonly value: JsonObject; readonly path: string }): string {
  const { system, code } = readCoding(item.value, item.path);
  if (system !== RESOURCE_TYPES || !/^[A-Z][A-Za-z]{1,63}$/.test(code)) {
    throw unsupported(item.path, "is not a FHIR resource type");
  }
  return code;
}
