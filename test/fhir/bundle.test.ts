import { describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { InputError } from "../../src/errors.ts";
import { readBundle, readResource, type FhirReadOptions } from "../../src/fhir/bundle.ts";

const A = "urn:uuid:0a000000-0000-4000-8000-000000000001";
const B = "urn:uuid:0a000000-0000-4000-8000-000000000002";

const bundle = (...entry: unknown[]) => ({ resourceType: "Bundle", type: "collection", entry });
const patient = (id: string, ...identifier: unknown[]) => ({
  resourceType: "Patient",
  id,
  identifier,
});
const observation = (subject: unknown, more: object = {}) => ({
  resourceType: "Observation",
  status: "final",
  subject,
  ...more,
});
const mrn = (value: string) => ({ system: "urn:oid:1.2.3", value });

/** For each resource, the references of the patients that it is about. */
function about(input: unknown): (string | undefined)[][] {
  const { resources, patients } = readBundle(input);
  return resources.map((resource) => resource.patients.map((at) => patients[at]!.reference));
}

function refusal(input: unknown, options?: FhirReadOptions): InputError {
  try {
    readBundle(input, options);
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
  throw new Error("accepted");
}

describe("readBundle", () => {
  it("keeps the exact text of each resource", () => {
    const first =
      '{ "resourceType":"Observation",\n "valueQuantity": {"value": 1.0, "unit":"µg"}, "subject":{"reference":"Patient/1"} }';
    const second =
      '{"resourceType":"Basic","extension":[{"url":"x","valueInteger64":12345678901234567890},{"valueDecimal":0.10e-3}]}';
    const text = `\uFEFF{"type":"batch","entry":[{"resource":${first}},\r\n{"resource" :  ${second} }],"resourceType":"Bundle"}`;
    for (const input of [text, utf8ToBytes(text)]) {
      const { type, resources } = readBundle(input);
      expect(type).toBe("batch");
      expect(resources.map((resource) => bytesToUtf8(resource.text))).toEqual([first, second]);
      expect(resources[0]!.resource["valueQuantity"]).toEqual({ value: 1, unit: "µg" });
    }
  });

  it("resolves urn:uuid references", () => {
    const input = bundle(
      { fullUrl: A, resource: patient("1") },
      { fullUrl: B, resource: patient("2") },
      { resource: observation({ reference: B }) },
    );
    expect(about(input)).toEqual([[A], [B], [B]]);
  });

  it("resolves relative references by server, then by type and id", () => {
    const input = bundle(
      { fullUrl: "https://a.example/fhir/Patient/1", resource: patient("1") },
      { fullUrl: "https://b.example/fhir/Patient/1", resource: patient("1") },
      {
        fullUrl: "https://b.example/fhir/Observation/9",
        resource: observation({ reference: "Patient/1/_history/3" }),
      },
      { resource: patient("2") },
      { resource: observation({ reference: "Patient/2" }) },
      { resource: observation({ reference: "Patient/1" }) },
    );
    expect(about(input)).toEqual([
      ["https://a.example/fhir/Patient/1"],
      ["https://b.example/fhir/Patient/1"],
      ["https://b.example/fhir/Patient/1"],
      ["Patient/2"],
      ["Patient/2"],
      [],
    ]);
    expect(readBundle(input).problems).toContainEqual({
      code: "unresolved-patient",
      path: "Bundle.entry[5]",
    });
  });

  it("does not take another server's patient for one of the same id", () => {
    const input = bundle(
      { fullUrl: "https://a.example/fhir/Patient/1", resource: patient("1") },
      { resource: observation({ reference: "https://z.example/fhir/Patient/1" }) },
    );
    expect(about(input)[1]).toEqual(["https://z.example/fhir/Patient/1"]);
  });

  it("names patients whose resource is elsewhere", () => {
    const { patients, resources, problems } = readBundle(
      bundle(
        { resource: observation({ reference: "Patient/7" }) },
        { resource: observation({ reference: "Patient/7" }) },
        { resource: observation({ type: "Patient", identifier: mrn("8") }) },
        { resource: observation({ reference: "Patient?identifier=urn:oid:1.2.3|8" }) },
      ),
    );
    expect(patients).toEqual([{ reference: "Patient/7" }, { identifier: mrn("8") }]);
    expect(resources.map((resource) => resource.patients)).toEqual([[0], [0], [1], [1]]);
    expect(problems).toEqual([]);
  });

  it("resolves business identifiers and conditional references to the bundle's own patients", () => {
    const input = bundle(
      { fullUrl: A, resource: patient("1", mrn("1")) },
      { resource: observation({ identifier: mrn("1") }) },
      { resource: observation({ reference: "Patient?identifier=urn:oid:1.2.3|1" }) },
    );
    expect(about(input)).toEqual([[A], [A], [A]]);
  });

  it("resolves contained patients, joined by their identifier", () => {
    const contained = [patient("p", mrn("5"))];
    const { patients, resources } = readBundle(
      bundle(
        { resource: observation({ reference: "#p" }, { contained }) },
        { resource: observation({ reference: "#p" }, { contained }) },
        { resource: observation({ reference: "#p" }, { contained: [patient("p")] }) },
        { resource: observation({ reference: "#p" }, { contained: [patient("p")] }) },
      ),
    );
    expect(resources.map((resource) => resource.patients)).toEqual([[0], [0], [1], [2]]);
    expect(patients[0]!.identifier).toEqual(mrn("5"));
  });

  it("keeps Patient resources of one identifier apart, saying so", () => {
    const { patients, problems } = readBundle(
      bundle(
        { fullUrl: A, resource: patient("1", mrn("1")) },
        { fullUrl: B, resource: patient("2", mrn("1")) },
      ),
    );
    expect(patients).toHaveLength(2);
    expect(problems).toEqual([{ code: "same-identifier", path: "Bundle.entry[1]" }]);
  });

  it.each([
    ["Coverage", { beneficiary: { reference: A } }],
    ["Claim", { patient: { reference: A } }],
    ["ResearchSubject", { individual: { reference: A } }],
    ["Task", { for: { reference: A } }],
    [
      "Appointment",
      { participant: [{ actor: { reference: A } }, { actor: { reference: "Practitioner/1" } }] },
    ],
    ["Consent", { patient: { reference: A } }],
    ["Consent", { subject: { reference: A } }],
    ["Group", { member: [{ entity: { reference: A } }] }],
    ["Provenance", { target: [{ reference: "urn:uuid:obs" }] }],
    ["AuditEvent", { entity: [{ what: { reference: "urn:uuid:obs" } }] }],
    ["QuestionnaireResponse", { encounter: { reference: "urn:uuid:enc" } }],
    ["Binary", { securityContext: { reference: "urn:uuid:obs" } }],
    ["SomethingNew", { subject: { reference: A } }],
  ])("finds the patient of a %s", (resourceType, elements) => {
    const input = bundle(
      { fullUrl: A, resource: patient("1") },
      { fullUrl: "urn:uuid:obs", resource: observation({ reference: A }) },
      {
        fullUrl: "urn:uuid:enc",
        resource: { resourceType: "Encounter", subject: { reference: A } },
      },
      { resource: { resourceType, ...elements } },
    );
    expect(about(input)[3]).toEqual([A]);
    expect(readBundle(input).problems).toEqual([]);
  });

  it("reports resources that are about nobody, several, or somebody unknown", () => {
    const { resources, problems } = readBundle(
      bundle(
        { resource: { resourceType: "Organization", id: "o" } },
        { resource: { resourceType: "Location", id: "l" } },
        { resource: { resourceType: "Practitioner", id: "p" } },
        { fullUrl: A, resource: patient("1") },
        { fullUrl: B, resource: patient("2") },
        { resource: { resourceType: "Observation", status: "final" } },
        { resource: observation({ reference: "urn:uuid:nobody" }) },
        { resource: { resourceType: "Account", subject: [{ reference: A }, { reference: B }] } },
        { resource: observation({ reference: "Group/3" }) },
      ),
    );
    expect(resources.map((resource) => resource.patients)).toEqual([
      [],
      [],
      [],
      [0],
      [1],
      [],
      [],
      [0, 1],
      [],
    ]);
    expect(problems).toEqual([
      { code: "no-patient", path: "Bundle.entry[5]" },
      { code: "unresolved-patient", path: "Bundle.entry[6]" },
      { code: "several-patients", path: "Bundle.entry[7]" },
      { code: "unresolved-patient", path: "Bundle.entry[8]" },
    ]);
  });

  it("ends on references that go in circles", () => {
    const input = bundle(
      { fullUrl: A, resource: { resourceType: "Provenance", target: [{ reference: B }] } },
      {
        fullUrl: B,
        resource: { resourceType: "Provenance", target: [{ reference: A }, { reference: "#" }] },
      },
    );
    expect(about(input)).toEqual([[], []]);
  });

  it("reports entries that do not add records", () => {
    const { resources, problems } = readBundle(
      bundle(
        { request: { method: "DELETE", url: "Patient/1" } },
        { resource: patient("1"), request: { method: "PUT", url: "Patient/1" } },
        { resource: { resourceType: "Binary" }, request: { method: "PATCH", url: "Patient/1" } },
        { resource: bundle() },
        { resource: patient("1") },
      ),
    );
    expect(resources[0]!.request).toEqual({ method: "PUT", url: "Patient/1" });
    expect(resources.map(({ index }) => index)).toEqual([1, 2, 3, 4]);
    expect(problems.map(({ code, path }) => `${code} ${path}`)).toEqual(
      expect.arrayContaining([
        "no-resource Bundle.entry[0]",
        "not-a-write Bundle.entry[2]",
        "nested Bundle.entry[3]",
        "duplicate Bundle.entry[4]",
      ]),
    );
  });

  it("accepts a bundle without entries", () => {
    expect(readBundle('{"resourceType":"Bundle","type":"searchset"}')).toEqual({
      type: "searchset",
      patients: [],
      resources: [],
      problems: [],
    });
  });

  it.each([
    ['{"resourceType":"Patient"}', "Bundle.resourceType"],
    ["[]", "Bundle.resourceType"],
    ["null", "Bundle.resourceType"],
    ['{"resourceType":"Bundle"}', "Bundle.type"],
    ['{"resourceType":"Bundle","type":"batch","entry":{}}', "Bundle.entry must be a list"],
    ['{"resourceType":"Bundle","type":"batch","entry":[1]}', "Bundle.entry[0] must be an object"],
    [
      '{"resourceType":"Bundle","type":"batch","entry":[{"resource":[]}]}',
      "Bundle.entry[0].resource must be an object",
    ],
    [
      '{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"id":"1"}}]}',
      "Bundle.entry[0].resource.resourceType",
    ],
    [
      '{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient","id":"1","id":"2"}}]}',
      "Bundle.entry[0].resource.id: duplicate name",
    ],
    [
      '{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":1,"resource":{}}]}',
      "Bundle.entry[0].fullUrl must be a string",
    ],
    ["{", "Bundle: expected a name"],
  ])("refuses %s", (input, message) => {
    const error = refusal(input);
    expect(error.code).toBe("ERR_INPUT_INVALID");
    expect(error.message).toContain(message);
  });

  it("refuses bytes that are not UTF-8, cycles, and values that are not JSON", () => {
    expect(refusal(new Uint8Array([0x7b, 0xff])).code).toBe("ERR_INPUT_INVALID");
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    expect(refusal(cyclic).code).toBe("ERR_INPUT_INVALID");
    expect(() => readBundle(42)).toThrow(TypeError);
    expect(() => readBundle(undefined)).toThrow(TypeError);
  });

  it("refuses what is too large, too deep or too many", () => {
    const json = JSON.stringify(bundle({ resource: patient("1") }, { resource: patient("2") }));
    expect(refusal(json, { maxLength: json.length - 1 }).code).toBe("ERR_INPUT_TOO_LARGE");
    expect(refusal(json, { maxEntries: 1 }).code).toBe("ERR_INPUT_TOO_LARGE");
    expect(refusal(json, { maxDepth: 3 }).code).toBe("ERR_INPUT_INVALID");
    expect(readBundle(json, { maxLength: json.length, maxEntries: 2, maxDepth: 5 }).type).toBe(
      "collection",
    );
  });
});

describe("readResource", () => {
  it("keeps the text", () => {
    const text = ' {"resourceType":"Observation","valueQuantity":{"value":6.30}}\n';
    const read = readResource(text);
    expect(bytesToUtf8(read.text)).toBe(text.trim());
    expect(read.resource.resourceType).toBe("Observation");
  });

  it("refuses what names no type", () => {
    expect(() => readResource('{"resourceType":"observation"}')).toThrow("resource.resourceType");
    expect(() => readResource("{}")).toThrow(InputError);
  });
});
