import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBundle } from "../../../src/fhir/bundle.ts";
import { ward } from "../../support/ward.ts";

/** Two servers, each with a `Patient/23` and an `Encounter/5` of that patient. */
const SERVERS = { a: "https://a.example/fhir", b: "https://b.example/r4/base" } as const;
type Owner = keyof typeof SERVERS;
const IDS = "urn:oid:1.2.3";

/** Numbers that must be escaped in a search, and are each other's but for one character. */
const numberOf = (owner: Owner, run: string): string => `N|${run},${owner}\\$`;

/** How a record names its patient. Where only the server tells, the owner is the server's. */
const WAYS = [
  "relative",
  "versioned",
  "absolute",
  "identifier",
  "both",
  "conditional",
  "contained",
  "encounter",
  "contradicting",
  "old number",
  "either",
  "two elements",
  "made-up number",
] as const;
const HOMES = ["a", "b", "urn", "none"] as const;

interface Draw {
  readonly way: (typeof WAYS)[number];
  readonly home: (typeof HOMES)[number];
  readonly owner: Owner;
}

const draw: fc.Arbitrary<Draw> = fc.record({
  way: fc.constantFrom(...WAYS),
  home: fc.constantFrom(...HOMES),
  owner: fc.constantFrom("a", "b"),
});

const escaped = (value: string): string => value.replace(/[\\,|$]/g, "\\$&");

/** An entry, and whose it is: nobody's where its text does not tell. */
function entryOf({ way, home, owner }: Draw, at: number, run: string) {
  const id = `${at}`;
  const other = owner === "a" ? "b" : "a";
  const number = { system: IDS, value: numberOf(owner, run) };
  const theirs = { system: IDS, value: numberOf(other, run) };
  const absolute = `${SERVERS[owner]}/Patient/23`;
  const query = (...values: string[]) =>
    `Patient?identifier=${encodeURIComponent(values.map((one) => `${IDS}|${escaped(one)}`).join(","))}`;
  const ofHome: Owner | undefined = home === "a" || home === "b" ? home : undefined;
  const said: Record<Draw["way"], readonly [object, Owner | undefined]> = {
    relative: [{ subject: { reference: "Patient/23" } }, ofHome],
    versioned: [{ subject: { reference: "Patient/23/_history/7" } }, ofHome],
    encounter: [{ encounter: { reference: "Encounter/5" } }, ofHome],
    absolute: [{ subject: { reference: absolute } }, owner],
    identifier: [{ subject: { identifier: number } }, owner],
    both: [{ subject: { reference: absolute, identifier: number } }, owner],
    conditional: [{ subject: { reference: query(number.value) } }, owner],
    contained: [
      {
        subject: { reference: "#p" },
        contained: [{ resourceType: "Patient", id: "p", identifier: [number] }],
      },
      owner,
    ],
    contradicting: [{ subject: { reference: absolute, identifier: theirs } }, undefined],
    "old number": [{ subject: { identifier: { ...theirs, use: "old" } } }, undefined],
    either: [{ subject: { reference: query(number.value, theirs.value) } }, undefined],
    "two elements": [
      { subject: { reference: absolute }, patient: { reference: `${SERVERS[other]}/Patient/23` } },
      undefined,
    ],
    "made-up number": [{ subject: { identifier: { system: IDS, value: "000-00" } } }, undefined],
  };
  const [elements, whose] = said[way];
  const fullUrl =
    home === "none"
      ? undefined
      : home === "urn"
        ? `urn:uuid:${id}`
        : `${SERVERS[home]}/Observation/${id}`;
  const resource = { resourceType: "Observation", id, status: "final", ...elements };
  return { id, whose, entry: { ...(fullUrl && { fullUrl }), resource } };
}

const bundled = (run: string) =>
  fc.array(draw, { minLength: 1, maxLength: 12 }).chain((draws) => {
    const records = draws.map((one, at) => entryOf(one, at, run));
    const frame = (["a", "b"] as const).flatMap((owner) => [
      {
        fullUrl: `${SERVERS[owner]}/Patient/23`,
        resource: {
          resourceType: "Patient",
          id: "23",
          identifier: [{ system: IDS, value: numberOf(owner, run) }],
        },
      },
      {
        fullUrl: `${SERVERS[owner]}/Encounter/5`,
        resource: { resourceType: "Encounter", id: "5", subject: { reference: "Patient/23" } },
      },
    ]);
    const entries = [...frame, ...records.map(({ entry }) => entry)];
    return fc.shuffledSubarray(entries, { minLength: entries.length }).map((entry) => ({
      records,
      draws,
      bundle: { resourceType: "Bundle", type: "collection", entry },
    }));
  });

const idsOf = (records: readonly { id: string; whose: Owner | undefined }[], owner: Owner) =>
  [...records.filter(({ whose }) => whose === owner).map(({ id }) => id), "23", "5"].sort();

describe("two patients of one id on two servers, shuffled into one bundle", () => {
  it("are told apart", () => {
    fc.assert(
      fc.property(bundled("x"), ({ records, bundle }) => {
        const { resources, patients } = readBundle(bundle);
        for (const owner of ["a", "b"] as const) {
          const value = numberOf(owner, "x");
          const ids = resources
            .filter((one) => one.patients.length === 1)
            .filter((one) => patients[one.patients[0]!]!.identifier?.value === value)
            .map(({ resource }) => String(resource["id"]));
          expect(ids.sort()).toEqual(idsOf(records, owner));
        }
      }),
      { numRuns: 400 },
    );
  });

  it("are each filed under the patient's own number, and doubtful resources under nobody", async () => {
    const { hl } = await ward();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(bundled("RUN"), async ({ records, bundle }) => {
        // each run is about two persons of its own
        const own = `${run++}-`;
        await hl.recordBundle(null, JSON.stringify(bundle).replaceAll("RUN", own));
        for (const owner of ["a", "b"] as const) {
          const subject = await hl.findSubject({ system: IDS, value: numberOf(owner, own) });
          const filed = subject === undefined ? [] : await hl.records(subject);
          const ids = filed.map(({ head }) => head.manifest.resource!.id!);
          expect(ids.sort()).toEqual(idsOf(records, owner));
        }
      }),
      { numRuns: 20 },
    );
  });
});
