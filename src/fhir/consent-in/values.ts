import type { ActorType, Coding } from "../../consent/model/model.ts";
import type { DateValue, Period } from "../../consent/model/time.ts";
import { resolvePeriod } from "../../consent/model/time.ts";
import type { Zone } from "../../consent/model/zone.ts";
import { parseDate } from "../date.ts";
import type { JsonObject } from "../resource.ts";
import { invalid, items, object, optionalText, token, unsupported } from "./refuse.ts";

/** Context for reading values. */
export interface ValueContext {
  readonly zone: Zone;
  readonly base: string | undefined;
  /** Set when a date without a time was read: its meaning depends on the zone. */
  zoneMatters: boolean;
}

/** A FHIR date, dateTime or instant; as the end of a period, its last millisecond. */
export function readDate(
  value: unknown,
  path: string,
  context: ValueContext,
  end: boolean = false,
): DateValue | undefined {
  const written = optionalText(value, path);
  if (written === undefined) return undefined;
  const span = parseDate(written);
  if (span === undefined) throw invalid(path, "is not a FHIR date");
  if (span.zoned) return end ? span.to : span.from;
  context.zoneMatters = true;
  return written;
}

/** A FHIR Period with at least one end. */
export function readPeriod(
  value: unknown,
  path: string,
  context: ValueContext,
): Period | undefined {
  if (value === undefined) return undefined;
  const written = object(value, path);
  const from = readDate(written["start"], `${path}.start`, context);
  const to = readDate(written["end"], `${path}.end`, context, true);
  const period = { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
  if (from === undefined && to === undefined) throw invalid(path, "has neither a start nor an end");
  if (resolvePeriod(period, context.zone) === undefined) {
    throw invalid(path, "ends before it begins, or is out of range");
  }
  return period;
}

/** A coding with system and code. */
export function readCoding(coding: JsonObject, path: string): Coding {
  const system = optionalText(coding["system"], `${path}.system`);
  const code = optionalText(coding["code"], `${path}.code`);
  if (code === undefined) throw unsupported(`${path}.code`, "is missing: only codes are compared");
  if (system === undefined) throw unsupported(`${path}.system`, "is missing");
  return { system, code };
}

/** All codings of a CodeableConcept: ways to say one thing. A concept with only text is refused. */
export function readConcept(concept: JsonObject, path: string): readonly Coding[] {
  const codings = items(concept["coding"], `${path}.coding`);
  if (codings.length === 0) throw unsupported(path, "has no code, only text");
  return codings.map((coding) => readCoding(coding.value, coding.path));
}

/** The target that a reference names. */
export interface NamedReference {
  readonly name: string;
  /** FHIR resource type, if the reference states it. */
  readonly type: string | undefined;
}

/** System of this library's own names that are not FHIR references, such as a member's. */
export const NAME_SYSTEM = "urn:healthledger:name";

const RESTFUL = /^(?:[a-z][a-z0-9+.-]*:\S{0,400}\/)?([A-Z][A-Za-z]{1,63})\/[A-Za-z0-9\-.]{1,64}$/;
const ABSOLUTE = /^[a-z][a-z0-9+.-]{0,31}:\S+$/;

/** The name of a literal reference, otherwise `system|value` of the logical one. */
export function readReference(
  value: unknown,
  path: string,
  context: ValueContext,
  options: { readonly anyVersion?: boolean } = {},
): NamedReference {
  const reference = object(value, path);
  const declared = optionalText(reference["type"], `${path}.type`);
  let literal = optionalText(reference["reference"], `${path}.reference`);
  if (literal === undefined) {
    if (reference["identifier"] === undefined) {
      throw unsupported(path, "names nothing: neither a reference nor an identifier");
    }
    const identifier = object(reference["identifier"], `${path}.identifier`);
    const system = optionalText(identifier["system"], `${path}.identifier.system`);
    const code = optionalText(identifier["value"], `${path}.identifier.value`);
    if (system === undefined || code === undefined) {
      throw unsupported(`${path}.identifier`, "needs system and value to name anything");
    }
    const name = system === NAME_SYSTEM ? code : token(system, code, `${path}.identifier`);
    return { name, type: declared };
  }
  if (literal.startsWith("#")) {
    throw unsupported(
      `${path}.reference`,
      "names a contained resource, which is unknown outside its container",
    );
  }
  const history = literal.indexOf("/_history/");
  if (history >= 0) {
    if (options.anyVersion !== true) {
      throw unsupported(
        `${path}.reference`,
        "names one version, but a directive covers all versions",
      );
    }
    literal = literal.slice(0, history);
  }
  const { base } = context;
  if (base !== undefined && literal.startsWith(base)) literal = literal.slice(base.length);
  const parts = RESTFUL.exec(literal);
  if (parts === null && !ABSOLUTE.test(literal)) {
    throw invalid(`${path}.reference`, "is not a reference to one resource");
  }
  const type = parts?.[1];
  if (type !== undefined && declared !== undefined && type !== declared) {
    throw invalid(`${path}.type`, "contradicts the reference");
  }
  return { name: literal, type: type ?? declared };
}

/** The kind of party of each resource type that can be one. */
export const ACTOR_TYPES: Readonly<Record<string, ActorType>> = {
  CareTeam: "care-team",
  Device: "device",
  Group: "group",
  Organization: "organisation",
  Patient: "person",
  Person: "person",
  Practitioner: "person",
  PractitionerRole: "person",
  RelatedPerson: "person",
};

/** The kind of party of a resource type. */
export function actorType(type: string | undefined, path: string): ActorType {
  if (type === undefined) {
    throw unsupported(`${path}.type`, "is missing, and the reference does not state the type");
  }
  if (!Object.hasOwn(ACTOR_TYPES, type)) throw unsupported(path, "does not name a party");
  return ACTOR_TYPES[type]!;
}
