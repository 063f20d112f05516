import type { ActorRef, ActorType, DataFilter, DataRef, When } from "../../consent/model/model.ts";
import {
  ACT_CODE,
  ACT_REASON,
  canonicalPurpose,
  canonicalSystem,
  CONFIDENTIALITY,
  HL7_TERMINOLOGY,
} from "../../consent/terminology/terminology.ts";
import { type DateValue, isoInstant, type Period } from "../../consent/model/time.ts";
import { CONSENT_ACTION, PARTICIPATION, RESOURCE_TYPES } from "../consent-in/provision.ts";
import { ACTOR_TYPES, NAME_SYSTEM } from "../consent-in/values.ts";
import type { JsonObject } from "../resource.ts";

/** A rule's conditions in FHIR, and those that FHIR cannot express. */
export interface WrittenConditions {
  readonly elements: JsonObject;
  /** Names of attributes: `roles`, `data.parts`, … */
  readonly lost: readonly string[];
}

const RESTFUL = /^(?:[a-z][a-z0-9+.-]*:\S{0,400}\/)?([A-Z][A-Za-z]{1,63})\/[A-Za-z0-9\-.]{1,64}$/;
const ABSOLUTE = /^[a-z][a-z0-9+.-]{0,31}:\S+$/;
const SPACES = /^\s*$/;
/** First and last millisecond that a FHIR date can name. */
const FIRST = Date.UTC(1000, 0, 1);
const LAST = Date.UTC(10_000, 0, 1) - 1;

/** Writes a rule's conditions as elements of a provision. */
export function writeConditions(when: When, version: "r4" | "r5"): WrittenConditions {
  const elements: Record<string, unknown> = {};
  const lost: string[] = [];
  const put = (attribute: string, element: string, value: unknown): void => {
    if (value === undefined) lost.push(attribute);
    else elements[element] = value;
  };
  const { validity, actors, roles, purposes, actions } = when;
  const { types, codes, labels, period, refs, parts }: DataFilter = when.data ?? {};
  if (validity) put("validity", "period", writePeriod(validity));
  if (actors)
    put(
      "actors",
      "actor",
      writeEach(actors, (actor) => writeActor(actor, version)),
    );
  if (roles && actors) lost.push("roles");
  else if (roles) {
    const asActors = roles.map((id): ActorRef => ({ type: "role", id }));
    put(
      "roles",
      "actor",
      writeEach(asActors, (actor) => writeActor(actor, version)),
    );
  }
  if (actions) put("actions", "action", writeEach(actions, writeAction));
  if (labels) put("data.labels", "securityLabel", writeEach(labels, writeLabel));
  if (purposes) put("purposes", "purpose", writeEach(purposes, writePurpose));
  if (types) {
    put("data.types", version === "r4" ? "class" : "resourceType", writeEach(types, writeType));
  }
  if (codes) {
    const concept = (one: { system: string; code: string }): JsonObject => ({ coding: [one] });
    put("data.codes", "code", writeEach(codes, concept));
  }
  if (period) put("data.period", "dataPeriod", writePeriod(period));
  if (refs) put("data.refs", "data", writeEach(refs, writeRef));
  if (parts) lost.push("data.parts");
  return { elements, lost };
}

/** All values written, or `undefined` if one cannot be. */
function writeEach<T>(
  values: readonly T[],
  write: (value: T) => unknown,
): readonly unknown[] | undefined {
  const written = values.map(write);
  return written.includes(undefined) ? undefined : written;
}

/** A FHIR date or dateTime, or `undefined` if no FHIR date names that instant. */
export function writeDate(value: DateValue): string | undefined {
  if (typeof value === "string") return value;
  return value >= FIRST && value <= LAST ? isoInstant(value) : undefined;
}

/** A FHIR Period, or `undefined` if an end cannot be written. */
export function writePeriod(period: Period): JsonObject | undefined {
  const start = period.from === undefined ? undefined : writeDate(period.from);
  const end = period.to === undefined ? undefined : writeDate(period.to);
  if (period.from !== undefined && start === undefined) return undefined;
  if (period.to !== undefined && end === undefined) return undefined;
  return { ...(start !== undefined && { start }), ...(end !== undefined && { end }) };
}

/** A reference that `fromConsent` reads back as the same name. */
export function writeReference(name: string, type?: string): JsonObject {
  const parts = RESTFUL.exec(name);
  const literal = parts !== null || ABSOLUTE.test(name);
  if (literal && !name.includes("/_history/") && !name.includes("|")) {
    if (parts === null || type === undefined) return { reference: name, ...(type && { type }) };
    if (parts[1] === type || ACTOR_TYPES[parts[1]!] === ACTOR_TYPES[type])
      return { reference: name };
  }
  return { ...(type && { type }), identifier: writeIdentifier(name) };
}

/** An identifier that `fromConsent` reads back as the same name. */
export function writeIdentifier(name: string): JsonObject {
  const bar = name.indexOf("|");
  const system = bar < 0 ? "" : name.slice(0, bar);
  const value = name.slice(bar + 1);
  return SPACES.test(system) || SPACES.test(value) || system === NAME_SYSTEM
    ? { system: NAME_SYSTEM, value: name }
    : { system, value };
}

const TYPES: Readonly<Record<Exclude<ActorType, "role">, string>> = {
  "care-team": "CareTeam",
  device: "Device",
  group: "Group",
  organisation: "Organization",
  person: "Person",
};

/** The actor element for the organisation to whose records a provision is limited. */
export function writeCustodian(name: string): JsonObject {
  return {
    role: { coding: [{ system: PARTICIPATION, code: "CST" }] },
    reference: writeReference(name),
  };
}

function writeActor({ type, id }: ActorRef, version: "r4" | "r5"): JsonObject | undefined {
  if (SPACES.test(id)) return undefined;
  if (type === "role") {
    // R4 requires a reference; a role is nobody in particular.
    if (version === "r4") return undefined;
    const { system, value } = writeIdentifier(id);
    // Within the participation system a role would mean a participation in the disclosure.
    const coding =
      system === PARTICIPATION ? { system: NAME_SYSTEM, code: id } : { system, code: value };
    return { role: { coding: [coding] } };
  }
  return {
    role: { coding: [{ system: PARTICIPATION, code: "IRCP" }] },
    reference: writeReference(id, TYPES[type]),
  };
}

function writeRef({ meaning, reference }: DataRef): JsonObject | undefined {
  return SPACES.test(reference) ? undefined : { meaning, reference: writeReference(reference) };
}

function writeAction(action: string): JsonObject | undefined {
  const coding = tokenOf(action, CONSENT_ACTION);
  return coding && { coding: [coding] };
}

function writePurpose(purpose: string): JsonObject | undefined {
  return tokenOf(canonicalPurpose(purpose), ACT_REASON);
}

/** A bare code of a given code system, or `system|code` of another one. */
function tokenOf(token: string, own: string): JsonObject | undefined {
  const bar = token.lastIndexOf("|");
  const system = bar < 0 ? own : token.slice(0, bar);
  const code = token.slice(bar + 1);
  if (SPACES.test(system) || SPACES.test(code) || (bar >= 0 && system === own)) return undefined;
  return { system, code };
}

function writeLabel(label: { readonly system: string; readonly code: string }): unknown {
  const system = canonicalSystem(label.system);
  const { obligations, refrains } = HL7_TERMINOLOGY;
  const handling = Object.hasOwn(obligations, label.code) || Object.hasOwn(refrains, label.code);
  if (system === ACT_REASON || (system === ACT_CODE && handling)) return undefined;
  return { system, code: label.code };
}

function writeType(code: string): JsonObject | undefined {
  return /^[A-Z][A-Za-z]{1,63}$/.test(code) ? { system: RESOURCE_TYPES, code } : undefined;
}

const byOrder = (label: { readonly system: string }): boolean =>
  canonicalSystem(label.system) === CONFIDENTIALITY;

/**
 * Merges the conditions of a rule and of one nested in it, if they are about different attributes
 * and the outer conditions mean the same for permit and deny.
 */
export function conjunction(outer: When, inner: When): When | undefined {
  const { data: dataA = {}, ...restA } = outer;
  const { data: dataB = {}, ...restB } = inner;
  const shared = (x: object, y: object): boolean => Object.keys(x).some((key) => key in y);
  if (shared(restA, restB) || shared(dataA, dataB)) return undefined;
  // A permit needs containment and a refusal overlap; a permit covers levels up to the named one
  // and a refusal those from it upwards.
  if (dataA.period || dataA.parts || dataA.labels?.some(byOrder)) return undefined;
  const data = { ...dataA, ...dataB };
  return { ...restA, ...restB, ...(Object.keys(data).length > 0 && { data }) };
}

/** Turns the conditions of a permit into those of a refusal that covers at least as much. */
export function refusalConditions(when: When): When {
  if (when.data?.labels?.some(byOrder) !== true) return when;
  const { data, ...rest } = when;
  const { labels: _, ...others } = data;
  return { ...rest, ...(Object.keys(others).length > 0 && { data: others }) };
}
