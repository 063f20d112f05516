import { describe, expect, it } from "vitest";
import { memorySigner } from "../../../src/identity/signer.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const A = "http://a.example/fhir";
const B = "http://b.example/fhir";
const IDS = "urn:oid:1.2.3";
const SSN = "http://hl7.org/fhir/sid/us-ssn";

const number = (value: string, more: object = {}) => ({ system: IDS, value, ...more });
const patient = (id: string, ...identifier: object[]) => ({
  resourceType: "Patient",
  id,
  identifier,
});
const seen = (id: string, subject: object, more: object = {}) => ({
  ...(JSON.parse(observation(id)) as object),
  subject,
  ...more,
});
const bundleOf = (...entry: object[]): string =>
  JSON.stringify({ resourceType: "Bundle", type: "collection", entry });

/** Everybody's own key, by which each of them says what he allows. */
const keyOf = (value: string) => memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${value}`) });

/** What the patient of a number says: all for treatment, or nothing at all. */
async function says(w: Ward, value: string, effect: "permit" | "deny"): Promise<void> {
  const key = keyOf(value);
  const when = { purposes: ["TREAT"] };
  const root = { id: "all", effect, combine: "deny-overrides", when } as const;
  const subject = await w.hl.ensureSubject(number(value));
  await w.hl.consent(subject, treatmentOnly(key, { root }), { signer: key });
}

/** Ids of what is released about the patient of a number. */
async function released(w: Ward, value: string): Promise<unknown[]> {
  const answer = await w.hl.request(w.b, { patient: number(value), purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

describe("recordBundle of several persons", () => {
  it("releases nothing of server b's patient by the word of server a's", async () => {
    const w = await ward();
    await says(w, "MARY", "permit");
    await says(w, "JOHN", "deny");
    const done = await w.hl.recordBundle(
      null,
      bundleOf(
        { fullUrl: `${A}/Patient/23`, resource: patient("23", number("MARY")) },
        { fullUrl: `${A}/Observation/a`, resource: seen("a", { reference: "Patient/23" }) },
        { fullUrl: `${B}/Observation/b`, resource: seen("b", { reference: "Patient/23" }) },
        { fullUrl: "urn:uuid:c", resource: seen("c", { reference: "Patient/23" }) },
        {
          fullUrl: `${B}/Observation/d`,
          resource: seen("d", { reference: "Patient/23", identifier: number("JOHN") }),
        },
        {
          fullUrl: `${A}/Observation/e`,
          resource: seen("e", { reference: "Patient/23", identifier: number("JOHN") }),
        },
      ),
    );
    expect(await released(w, "MARY")).toEqual(["23", "a"]);
    expect(await released(w, "JOHN")).toEqual([]);
    const john = await w.hl.ensureSubject(number("JOHN"));
    const his = (await w.hl.records(john)).map(({ head }) => head.manifest.resource!.id);
    // by one reference with a number it is known whose Patient/23 of server b is
    expect(his.sort()).toEqual(["b", "d"]);
    expect(done.skipped).toEqual([
      { type: "Observation", index: 3, why: "it cannot be told whom it is about" },
      { type: "Observation", index: 5, why: "it cannot be told whom it is about" },
    ]);
    expect(done.problems).toEqual([
      { code: "unresolved-patient", path: "Bundle.entry[3]" },
      { code: "unresolved-patient", path: "Bundle.entry[5]" },
    ]);
  });

  it("files nothing that a conditional reference may mean for two", async () => {
    const w = await ward();
    await says(w, "1,2", "permit");
    const about = (id: string, query: string) => ({
      resource: seen(id, { reference: `Patient?identifier=${query}` }),
    });
    const { skipped, subjects } = await w.hl.recordBundle(
      null,
      bundleOf(
        { fullUrl: "urn:uuid:p", resource: patient("p", number("1,2")) },
        about("escaped", `${IDS}|1\\,2`),
        about("either", `${IDS}|1,${IDS}|1\\,2`),
        about("both", `${IDS}|1\\,2&identifier=${IDS}|2`),
      ),
    );
    expect(subjects.map(({ identifier }) => identifier.value)).toEqual(["1,2"]);
    expect(await released(w, "1,2")).toEqual(["escaped", "p"]);
    expect(skipped.map(({ index }) => index)).toEqual([2, 3]);
  });

  it("lets no expired number win, and none that is nobody's", async () => {
    const w = await ward();
    await says(w, "REUSED", "permit");
    await says(w, "999-99-9999", "permit");
    const { subjects, skipped } = await w.hl.recordBundle(
      null,
      bundleOf(
        {
          fullUrl: `${A}/Patient/1`,
          resource: patient(
            "1",
            number("REUSED", { period: { end: "2001-01-01" } }),
            number("CURRENT"),
          ),
        },
        { fullUrl: `${A}/Observation/1`, resource: seen("of-1", { reference: "Patient/1" }) },
        {
          fullUrl: `${A}/Patient/2`,
          resource: patient("2", number("999-99-9999"), { system: SSN, value: "000-00-0000" }),
        },
        { fullUrl: `${A}/Observation/2`, resource: seen("of-2", { reference: "Patient/2" }) },
        { resource: seen("of-3", { identifier: number("999-99-9999") }) },
      ),
    );
    expect(await released(w, "REUSED")).toEqual([]);
    expect(await released(w, "999-99-9999")).toEqual([]);
    expect(subjects.map(({ identifier }) => identifier.value)).toEqual(["CURRENT"]);
    expect(skipped.map(({ index, why }) => [index, why])).toEqual([
      [2, "its patient has no identifier that tells who they are"],
      [3, "its patient has no identifier that tells who they are"],
      [4, "it cannot be told whom it is about"],
    ]);
    const current = await w.hl.ensureSubject(number("CURRENT"));
    expect(await w.hl.records(current)).toHaveLength(2);
  });

  it("takes two Patients of one name and two numbers for two", async () => {
    const w = await ward();
    await says(w, "ONE", "permit");
    await says(w, "TWO", "deny");
    const { skipped } = await w.hl.recordBundle(
      null,
      bundleOf(
        { resource: patient("1", number("ONE")) },
        { resource: patient("1", number("TWO"), { system: "urn:other", value: "7" }) },
        { resource: seen("whose", { reference: "Patient/1" }) },
        { resource: seen("hers", { identifier: number("TWO") }) },
      ),
    );
    expect(await released(w, "ONE")).toEqual(["1"]);
    expect(await released(w, "TWO")).toEqual([]);
    expect(await w.hl.records(await w.hl.ensureSubject(number("TWO")))).toHaveLength(2);
    expect(skipped.map(({ index }) => index)).toEqual([2]);
  });

  it("says that a patient is linked to another record", async () => {
    const w = await ward();
    const link = [{ other: { reference: "Patient/2" }, type: "seealso" }];
    const { problems } = await w.hl.recordBundle(
      null,
      bundleOf({ resource: { ...patient("1", number("ONE")), link } }),
    );
    expect(problems).toEqual([{ code: "linked-patient", path: "Bundle.entry[0]" }]);
  });
});

describe("a person named by the caller", () => {
  const refused = { code: "ERR_INPUT_OTHER_PERSON" };

  it("is not given a bundle about somebody with another number", async () => {
    const w = await ward();
    const two = await w.hl.ensureSubject(number("TWO"));
    const bundles = [
      bundleOf(
        { fullUrl: `${A}/Patient/1`, resource: patient("1", number("ONE")) },
        { fullUrl: `${A}/Observation/1`, resource: seen("o", { reference: "Patient/1" }) },
      ),
      bundleOf({ resource: seen("o", { reference: "Patient/1", identifier: number("ONE") }) }),
      bundleOf({ resource: seen("o", { reference: `Patient?identifier=${IDS}|ONE` }) }),
      bundleOf({
        resource: seen("o", { reference: "#p" }, { contained: [patient("p", number("ONE"))] }),
      }),
      bundleOf(
        // the expired number was his; the current one is not
        { resource: patient("1", number("TWO", { use: "old" }), number("ONE")) },
      ),
    ];
    for (const bundle of bundles) {
      await expect(w.hl.recordBundle(two, bundle)).rejects.toMatchObject(refused);
    }
    expect(await w.hl.records(two)).toEqual([]);
    const done = await w.hl.recordBundle(
      two,
      bundleOf(
        { fullUrl: `${A}/Patient/1`, resource: patient("1", number("x9"), number("TWO")) },
        { fullUrl: `${A}/Observation/1`, resource: seen("o", { reference: "Patient/1" }) },
      ),
    );
    expect(done.recorded).toHaveLength(2);
  });

  it("is not given a resource about somebody with another number, or about two", async () => {
    const w = await ward();
    const two = await w.hl.ensureSubject(number("TWO"));
    const resources: object[] = [
      patient("1", number("ONE")),
      seen("o", { identifier: number("ONE") }),
      seen("o", { reference: "Patient/1", identifier: number("ONE") }),
      seen("o", { reference: `Patient?identifier=${IDS}%7CONE` }),
      seen("o", { reference: "#p" }, { contained: [patient("p", number("ONE"))] }),
      seen("o", { identifier: number("TWO") }, { patient: { reference: "Patient/2" } }),
      {
        resourceType: "Group",
        member: [1, 2].map((n) => ({ entity: { reference: `Patient/${n}` } })),
      },
    ];
    const within = (...entry: object[]) => ({ resourceType: "Bundle", type: "document", entry });
    resources.push(
      within({ fullUrl: `${A}/Patient/1`, resource: patient("1", number("ONE")) }),
      within(
        { fullUrl: `${A}/Patient/2`, resource: patient("2", number("TWO")) },
        { fullUrl: `${B}/Observation/1`, resource: seen("o", { reference: "Patient/2" }) },
      ),
    );
    for (const resource of resources) {
      await expect(w.hl.record(two, JSON.stringify(resource))).rejects.toMatchObject(refused);
    }
    const first = await w.hl.record(two, JSON.stringify(seen("o", { identifier: number("TWO") })));
    const theirs = JSON.stringify(seen("o", { identifier: number("ONE") }));
    await expect(w.hl.amend(first.id, theirs)).rejects.toMatchObject(refused);
    await w.hl.record(two, JSON.stringify(patient("2", { system: SSN, value: "123-11-2222" })));
    await w.hl.record(two, JSON.stringify(seen("p", { reference: "urn:uuid:of-somebody" })));
    expect(await w.hl.records(two)).toHaveLength(3);
  });
});
