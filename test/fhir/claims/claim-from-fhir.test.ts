import { describe, expect, it } from "vitest";
import { adjudicate, createPlan, emptyAccumulators } from "../../../src/contract/claims/index.ts";
import { claimFromFhir } from "../../../src/fhir/claims/index.ts";

type Json = Record<string, unknown>;
const CPT = "http://www.ama-assn.org/go/cpt";

const coding = (code: string, system = CPT): Json => ({ coding: [{ system, code }] });
const usd = (value: unknown): Json => ({ value, currency: "USD" });
const item = (more: Json = {}): Json => ({
  sequence: 1,
  productOrService: coding("99213"),
  servicedDate: "2026-03-02",
  net: usd(150.5),
  ...more,
});
const claim = (more: Json = {}): Json => ({
  resourceType: "Claim",
  id: "c1",
  status: "active",
  use: "claim",
  patient: { reference: "Patient/ann" },
  provider: { identifier: { system: "http://hl7.org/fhir/sid/us-npi", value: "1234567893" } },
  insurance: [{ sequence: 1, focal: true, coverage: { reference: "Coverage/a1" } }],
  item: [item()],
  ...more,
});
const coverage = (more: Json = {}): Json => ({
  resourceType: "Coverage",
  id: "a1",
  status: "active",
  beneficiary: { reference: "Patient/ann" },
  period: { start: "2026-01-01", end: "2026-12-31" },
  ...more,
});
const read = (c: Json = claim(), options: Parameters<typeof claimFromFhir>[1] = {}) =>
  claimFromFhir(JSON.stringify(c), { coverage: JSON.stringify(coverage()), ...options });

describe("claimFromFhir", () => {
  it("reads a claim that is then decided", () => {
    const read_ = read(
      claim({
        identifier: [{ system: "urn:clinic", value: "77" }],
        item: [
          item({ modifier: [coding("25")], quantity: { value: 2 } }),
          item({
            sequence: 2,
            productOrService: { coding: [{ code: "bare" }] },
            servicedDate: undefined,
            servicedPeriod: { start: "2026-03-02T23:00:00-05:00", end: "2026-03-04" },
          }),
        ],
        total: usd(301),
      }),
    );
    expect(read_).toEqual({
      claim: {
        v: 1,
        id: "urn:clinic|77",
        member: "Patient/ann",
        provider: "http://hl7.org/fhir/sid/us-npi|1234567893",
        currency: "USD",
        lines: [
          {
            ...{ sequence: 1, code: `${CPT}|99213`, modifiers: [`${CPT}|25`] },
            ...{ from: "2026-03-02", to: "2026-03-02", units: 2, charge: 15_050 },
          },
          {
            ...{ sequence: 2, code: "bare", modifiers: [] },
            ...{ from: "2026-03-02", to: "2026-03-04", units: 1, charge: 15_050 },
          },
        ],
      },
      coverage: { from: "2026-01-01", to: "2026-12-31" },
      priorCoverages: 0,
    });
    const plan = createPlan({
      v: 1,
      currency: "USD",
      yearStarts: "01-01",
      networks: { in: { contracted: true, coinsurance: 2_000, unlisted: 10_000 } },
      benefits: [{ name: "visit", codes: [`${CPT}|99213`], terms: { in: { copay: 1_000 } } }],
      otherServices: "covered",
      coordination: "standard",
    });
    const { decision } = adjudicate(plan, read_.claim, emptyAccumulators(["2026-01-01"]), {
      received: "2026-03-10",
      coverage: [read_.coverage],
      network: "in",
      authorisations: [],
      standing: [],
      prior: [],
    });
    // 10 and 20 % of 140.50; 20 % of 150.50
    expect(decision.lines.map(({ patient }) => patient)).toEqual([3_810, 3_010]);
  });

  it.each([
    ["0.29", "USD", 29],
    ["1.10", "USD", 110],
    ["1.1e2", "USD", 11_000],
    ["11000e-2", "USD", 11_000],
    ["8999999999.99", "USD", 899_999_999_999],
    ["500", "JPY", 500],
    ["1.0050", "KWD", 1_005],
    ["0", "USD", 0],
  ])("reads %s %s to the last digit", (value, currency, minor) => {
    const text = JSON.stringify(claim({ item: [item({ net: { value: 0, currency } })] }));
    const json = text.replace('"value":0,', `"value":${value},`);
    expect(json).toContain(value);
    const { lines } = claimFromFhir(json, { coverage: JSON.stringify(coverage()) }).claim;
    expect(lines[0]!.charge).toBe(minor);
  });

  it("computes a charge of price, quantity and factor", () => {
    const computed = { net: undefined, unitPrice: usd(100.1), quantity: { value: 3 }, factor: 0.5 };
    expect(read(claim({ item: [item(computed)] })).claim.lines[0]).toMatchObject({
      units: 3,
      charge: 15_015,
    });
    const stated = { unitPrice: usd(1400), factor: 0.75, net: usd(1050) };
    expect(read(claim({ item: [item(stated)] })).claim.lines[0]!.charge).toBe(105_000);
  });

  it("gives the remainder of the total to the one item without an amount, if asked to", () => {
    const items = [item({ net: undefined }), item({ sequence: 2 })];
    const one = claim({ item: items, total: usd(200) });
    expect(read(one, { unpriced: "remainder" }).claim.lines.map(({ charge }) => charge)).toEqual([
      4_950, 15_050,
    ]);
    expect(() => read(one)).toThrow("Claim.item[0].net");
    expect(() => read(claim({ item: items }), { unpriced: "remainder" })).toThrow(
      "Claim.item[0].net",
    );
    const two = claim({ item: [items[0], item({ sequence: 2, net: undefined })], total: usd(200) });
    expect(() => read(two, { unpriced: "remainder" })).toThrow("Claim.item[1].net");
    const less = claim({ item: items, total: usd(150) });
    expect(() => read(less, { unpriced: "remainder" })).toThrow("Claim.total");
  });

  it("takes the days of the whole claim for an item without, if asked to", () => {
    const one = claim({
      item: [item({ servicedDate: undefined })],
      billablePeriod: { start: "2026-03-02T10:00:00Z", end: "2026-03-03T10:00:00Z" },
    });
    expect(() => read(one)).toThrow("Claim.item[0].serviced");
    expect(read(one, { undated: "billable-period" }).claim.lines[0]).toMatchObject({
      from: "2026-03-02",
      to: "2026-03-03",
    });
  });

  it("counts the coverages that come before", () => {
    const insurance = [
      { sequence: 3, focal: false, coverage: { reference: "Coverage/z" } },
      { sequence: 1, focal: false, coverage: { reference: "Coverage/y" } },
      { sequence: 2, focal: true, coverage: { reference: "https://x.example/Coverage/a1" } },
    ];
    expect(read(claim({ insurance })).priorCoverages).toBe(1);
  });

  it("names a claim that it corrects only by what it is told", () => {
    const related = (code: string): Json[] => [
      { relationship: coding(code), claim: { reference: "Claim/c0" } },
    ];
    expect(() => read(claim({ related: related("prior") }))).toThrow("Claim.related[0]");
    expect(read(claim({ related: related("prior") }), { replaces: "c0" }).claim.replaces).toBe(
      "c0",
    );
    expect(read(claim({ related: related("associated") })).claim).not.toHaveProperty("replaces");
  });

  it("reads a contained Coverage, whose patient must be named", () => {
    const contained = coverage({ id: "cov", beneficiary: { reference: "#pat" } });
    const one = claim({
      patient: { reference: "#pat" },
      contained: [contained],
      insurance: [{ sequence: 1, focal: true, coverage: { reference: "#cov" } }],
    });
    const json = JSON.stringify(one);
    expect(claimFromFhir(json, { member: "ann" }).claim.member).toBe("ann");
    expect(() => claimFromFhir(json)).toThrow("Claim.patient");
    expect(() => read(one, { member: "ann" })).toThrow("Claim.insurance[0].coverage");
  });

  it.each<[element: string, change: Json]>([
    ["Claim.status", { status: "cancelled" }],
    ["Claim.use", { use: "preauthorization" }],
    ["Claim.use", { use: undefined }],
    ["Claim.patient", { patient: { reference: "Patient/bob" } }],
    ["Claim.patient", { patient: { display: "Ann" } }],
    ["Claim.provider", { provider: undefined }],
    ["Claim.identifier", { id: undefined }],
    ["Claim.insurance", { insurance: [] }],
    ["Claim.insurance[0].focal", { insurance: [{ sequence: 1, coverage: {} }] }],
    [
      "Claim.insurance[0].coverage",
      { insurance: [{ sequence: 1, focal: true, coverage: { reference: "Coverage/b" } }] },
    ],
    [
      "Claim.insurance[0].coverage",
      { insurance: [{ sequence: 1, focal: true, coverage: { identifier: { value: "x" } } }] },
    ],
    [
      "Claim.insurance[0].coverage",
      { insurance: [{ sequence: 1, focal: true, coverage: { reference: "#x" } }] },
    ],
    ["Claim.item", { item: [] }],
    ["Claim.item[0].sequence", { item: [item({ sequence: 0 })] }],
    ["Claim.item[0].sequence", { item: [item({ sequence: 1.5 })] }],
    ["Claim.item[0].productOrService", { item: [item({ productOrService: { text: "visit" } })] }],
    [
      "Claim.item[0].productOrService",
      { item: [item({ productOrService: { coding: [{ code: "a" }, { code: "b" }] } })] },
    ],
    ["Claim.item[0].modifier[0]", { item: [item({ modifier: [{ text: "x" }] })] }],
    ["Claim.item[0].quantity.value", { item: [item({ quantity: { value: 1.5 } })] }],
    ["Claim.item[0].servicedDate", { item: [item({ servicedDate: "2026-03" })] }],
    ["Claim.item[0].servicedDate", { item: [item({ servicedDate: "2026-02-30" })] }],
    ["Claim.item[0].net", { item: [item({ net: usd(1.005) })] }],
    ["Claim.item[0].net", { item: [item({ net: usd(-1) })] }],
    ["Claim.item[0].net.currency", { item: [item({ net: { value: 1 } })] }],
    ["Claim.item[0].net.currency", { item: [item({ net: { value: 1, currency: "usd" } })] }],
    ["Claim.item[0].net.value", { item: [item({ net: usd("1") })] }],
    ["Claim.item[0].net", { item: [item({ unitPrice: usd(2) })] }],
    ["Claim.item[0].detail", { item: [item({ detail: [{ net: usd(1) }, { net: usd(2) }] })] }],
    [
      "Claim.item[1].net.currency",
      { item: [item(), item({ sequence: 2, net: { value: 1, currency: "EUR" } })] },
    ],
    ["Claim.total", { total: usd(150.49) }],
  ])("refuses %s", (element, change) => {
    expect(() => read(claim(change))).toThrow(
      expect.objectContaining({
        code: "ERR_INPUT_UNSUPPORTED",
        message: expect.stringMatching(new RegExp(`^${element.replace(/[[\].]/g, "\\$&")} `)),
      }),
    );
  });

  it.each<[element: string, change: Json]>([
    ["Coverage.status", { status: "cancelled" }],
    ["Coverage.period", { period: undefined }],
    ["Coverage.period.start", { period: { end: "2026-12-31" } }],
    ["Coverage.period.end", { period: { start: "2026-01-01", end: "2025-12-31" } }],
    ["Coverage.beneficiary", { beneficiary: undefined }],
    ["Coverage", { resourceType: "Claim" }],
  ])("refuses %s", (element, change) => {
    const json = JSON.stringify(coverage(change));
    expect(() => read(claim(), { coverage: json })).toThrow(
      expect.objectContaining({
        code: "ERR_INPUT_UNSUPPORTED",
        message: expect.stringMatching(new RegExp(`^${element.replaceAll(".", "\\.")} `)),
      }),
    );
  });

  it("refuses hostile numbers and texts without reading them for long", () => {
    const json = JSON.stringify(claim());
    for (const value of ["1e999", "1e-999", `1${"0".repeat(60)}`, `0.${"0".repeat(60)}1`]) {
      const hostile = json.replace("150.5", value);
      expect(() => claimFromFhir(hostile, { coverage: JSON.stringify(coverage()) })).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_UNSUPPORTED" }),
      );
    }
    expect(() => read(claim({ id: "x".repeat(257) }))).toThrow("Claim.id");
    expect(() => claimFromFhir("[".repeat(100_000), {})).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
    const many = JSON.stringify(claim({ note: Array.from({ length: 300_000 }, () => 1) }));
    expect(() => claimFromFhir(many, {})).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_TOO_LARGE" }),
    );
    expect(() =>
      read(claim({ item: Array.from({ length: 1_000 }, (_, i) => item({ sequence: i + 1 })) })),
    ).toThrow(expect.objectContaining({ code: "ERR_ENCODING_SHAPE" }));
  });

  it("repeats no content in what it says", () => {
    const secret = "Q-secret-77";
    const changes: Json[] = [
      { status: secret },
      { use: secret },
      { patient: { reference: secret } },
      { item: [item({ servicedDate: secret })] },
      { item: [item({ net: { value: 1, currency: secret } })] },
      { insurance: [{ sequence: 1, focal: true, coverage: { reference: secret } }] },
    ];
    for (const change of changes) {
      expect(() => read(claim(change))).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(secret) }),
      );
    }
  });
});
