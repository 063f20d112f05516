import fc from "fast-check";
import type {
  ConsentRequest,
  ConsentResource,
  DataFilter,
  Directive,
  Period,
  Rule,
  When,
} from "../../../src/consent/index.ts";
import { confidentiality, requestOf, resourceOf, sensitivity, stamp } from "./support.ts";

const some = <T>(...values: readonly T[]): fc.Arbitrary<T[]> =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 2 });
const PURPOSES = ["TREAT", "ETREAT", "BTG", "HRESCH", "HPAYMT", "urn:x|OWN"];
const labels = [sensitivity("PSY"), sensitivity("HIV"), confidentiality("N"), confidentiality("R")];
/** Without what is undefined. */
function defined<T>(value: object): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 3 });

const data = fc
  .record({
    types: maybe(some("Observation", "Condition")),
    labels: maybe(some(...labels)),
    codes: maybe(some({ system: "http://loinc.org", code: "1-8" })),
    period: maybe(fc.constantFrom({ from: "2022" }, { to: "2022-06" }, { from: "2021-01-01" })),
    refs: maybe(
      some(
        { meaning: "authoredby" as const, reference: "Practitioner/author" },
        { meaning: "dependents" as const, reference: "Encounter/1" },
        { meaning: "related" as const, reference: "Observation/2" },
        { meaning: "instance" as const, reference: "did:key:z1" },
      ),
    ),
    parts: maybe(fc.oneof({ weight: 30, arbitrary: fc.constant(undefined) }, some("note"))),
  })
  .map((one) => defined<DataFilter>(one));
const when: fc.Arbitrary<When> = fc
  .record({
    validity: maybe(fc.constantFrom<Period>({ to: "2023" }, { from: "2023-07-01", to: "2025" })),
    actors: maybe(
      some(
        { type: "person" as const, id: "Practitioner/asks" },
        { type: "organisation" as const, id: "hospital-b" },
        { type: "role" as const, id: "nurse" },
      ),
    ),
    roles: maybe(fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, some("nurse"))),
    purposes: maybe(some(...PURPOSES)),
    actions: maybe(some("access", "urn:x|print")),
    data: maybe(data),
  })
  .map(({ data: filter, ...rest }) =>
    defined<When>({
      ...rest,
      data: filter !== undefined && Object.keys(filter).length > 0 ? filter : undefined,
    }),
  );

function ruleOf(depth: number, plain: boolean): fc.Arbitrary<Omit<Rule, "id">> {
  return fc
    .record({
      effect: fc.constantFrom("permit", "deny") as fc.Arbitrary<Rule["effect"]>,
      combine: fc.oneof(
        { weight: plain ? 20 : 3, arbitrary: fc.constant("deny-overrides" as const) },
        fc.constant("permit-overrides" as const),
      ),
      when,
      obligations: plain
        ? fc.constant(undefined)
        : fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, some("ENCRYPT")),
      breakGlass: plain
        ? fc.constant(undefined)
        : fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, fc.constant("never" as const)),
      rules:
        depth === 0
          ? fc.constant(undefined)
          : maybe(fc.array(ruleOf(depth - 1, plain), { minLength: 1, maxLength: 3 })),
    })
    .map((rule) => defined<Omit<Rule, "id">>(rule));
}

function named(rule: Omit<Rule, "id">, id: string): Rule {
  const rules = rule.rules?.map((inner, index) => named(inner, `${id}.${index}`));
  return { ...rule, id, ...(rules && { rules }) };
}

/** Directives of up to three levels of rules; half of them with nothing that FHIR lacks. */
export const directives: fc.Arbitrary<Directive> = fc
  .record({
    root: fc.oneof(ruleOf(2, true), ruleOf(2, false)),
    open: fc.boolean(),
    default: fc.constantFrom<Directive["default"]>("permit", "deny", "none"),
    mode: fc.oneof(
      { weight: 18, arbitrary: fc.constant("replace" as const) },
      fc.constantFrom("suspend" as const, "revoke" as const),
    ),
    to: maybe(fc.constantFrom("2024-03", Date.UTC(2024, 2, 31, 12))),
    zone: fc.constantFrom("UTC", "+09:00"),
    controller: maybe(fc.constantFrom("Organization/1", "hospital-a")),
    category: maybe(fc.constantFrom("research", "patient-privacy")),
    capacity: fc.constantFrom("self" as const, "proxy" as const),
  })
  .map(({ root, open, mode, to, controller, category, zone, capacity, ...rest }) => ({
    v: 1 as const,
    lineage: "main",
    predecessors: [],
    mode,
    grantor: { actor: "Patient/1", capacity, evidence: [] },
    ...(controller !== undefined && { controller }),
    ...(category !== undefined && { category }),
    basis: { uri: "urn:example:policy", version: "3" },
    validity: { from: "2022-01-01", zone, ...(to && mode === "replace" && { to }) },
    default: mode === "replace" ? rest.default : ("none" as const),
    ...(mode === "replace" && { root: named(open ? { ...root, when: {} } : root, "r") }),
  }));

export const requests: fc.Arbitrary<ConsentRequest> = fc
  .record({
    purposes: some(...PURPOSES, "PurposeOfUse"),
    action: fc.constantFrom("access", "urn:x|print"),
    user: fc.constantFrom("Practitioner/asks", "Practitioner/other", undefined),
    requester: fc.constantFrom("hospital-b", "Organization/asks"),
    roles: fc.constantFrom([], [{ code: "nurse", attestedBy: "hospital" }], undefined),
  })
  .map(({ user, roles, ...rest }) => {
    const { user: _, roles: __, ...base } = requestOf(rest);
    return { ...base, ...(user !== undefined && { user }), ...(roles && { roles }) };
  });

export const resources: fc.Arbitrary<ConsentResource> = fc
  .record({
    id: fc.constantFrom("Observation/1", "did:key:z1", "Observation/2"),
    type: fc.constantFrom("Observation", "Condition"),
    codes: fc.constantFrom([{ system: "http://loinc.org", code: "1-8" }], []),
    labels: fc.oneof(
      fc.constant(null),
      fc.subarray(labels).map((codes) => ({ codes, stamp })),
      fc.subarray(labels).map((codes) => ({ codes, stamp: null })),
    ),
    period: fc.constantFrom({ from: "2022-06-13", to: "2022-06-13" }, { from: "2019", to: "2022" }),
    authors: fc.constantFrom(["Practitioner/author"], []),
    encounter: fc.constantFrom("Encounter/1", "Encounter/2"),
    referredBy: fc.constantFrom(["Observation/2"], []),
    controller: fc.constantFrom("Organization/1", "hospital-a"),
  })
  .map((more) => resourceOf(more));

export const asOfs: fc.Arbitrary<string> = fc.constantFrom(
  "2022-06-01",
  "2023-09-01",
  "2024-06-01",
  "2026-01-01",
);
