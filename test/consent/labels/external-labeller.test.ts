import { describe, expect, it } from "vitest";
import {
  createLabeller,
  externalLabeller,
  needsRelabelling,
  type ExternalLabellerOptions,
} from "../../../src/consent/index.ts";
import { confidentiality, sensitivity } from "../support.ts";

const never = (): AbortSignal => new AbortController().signal;
const labeller = (call: ExternalLabellerOptions["call"], more = {}) => {
  const failures: unknown[] = [];
  const made = externalLabeller({
    name: "sls",
    version: "1",
    timeout: 1_000,
    timer: never,
    call,
    onFailure: (cause) => failures.push(cause),
    ...more,
  });
  return { ...made, failures };
};
const codes = [sensitivity("HIV")];

describe("externalLabeller", () => {
  it("stamps what the service judged as a whole", async () => {
    const { label } = labeller(async () => ({ codes, complete: true, version: "7" }));
    expect(await label({})).toEqual({ codes, stamp: { labeller: "sls", version: "7" } });
  });

  it("stamps nothing that the service could not judge", async () => {
    const { label } = labeller(async () => ({ codes, complete: false }));
    expect(await label({})).toEqual({ codes, stamp: null });
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["no codes", { complete: true }],
    ["no word on completeness", { codes }],
    ["codes of another shape", { codes: ["HIV"], complete: true }],
    ["an empty code", { codes: [{ system: "s", code: "" }], complete: true }],
    ["too many codes", { codes: Array(257).fill(codes[0]), complete: true }],
  ])("leaves unlabelled what is answered with %s", async (_, answer) => {
    const one = labeller(async () => answer);
    expect(await one.label({})).toBeNull();
    expect(one.failures).toHaveLength(1);
  });

  it("leaves unlabelled what the service fails on, now or later", async () => {
    const later = labeller(() => Promise.reject(new Error("down")));
    expect(await later.label({})).toBeNull();
    const now = labeller(() => {
      throw new Error("down");
    });
    expect(await now.label({})).toBeNull();
    expect(now.failures).toHaveLength(1);
  });

  it("does not wait for a service that is too slow", async () => {
    const limit = new AbortController();
    const slow = labeller(() => new Promise(() => {}), { timer: () => limit.signal });
    const answer = slow.label({});
    limit.abort(new Error("too slow"));
    expect(await answer).toBeNull();
  });

  it("stops when the caller does", async () => {
    const caller = new AbortController();
    const one = labeller(() => new Promise(() => {}));
    const answer = one.label({}, { signal: caller.signal });
    caller.abort(new Error("enough"));
    await expect(answer).rejects.toThrow("enough");
    expect(one.failures).toEqual([]);
  });
});

describe("externalLabeller with something that it may not lower", () => {
  const hiv = {
    resourceType: "Condition",
    code: { coding: [{ system: "http://hl7.org/fhir/sid/icd-10-cm", code: "B20" }] },
  };
  const names = (labels: Awaited<ReturnType<ReturnType<typeof labeller>["label"]>>) =>
    labels?.codes.map(({ code }) => code);
  const beside = { atLeast: createLabeller() };

  it("keeps what is found here", async () => {
    const one = labeller(async () => ({ codes: [confidentiality("N")], complete: true }), beside);
    expect(names(await one.label(hiv))).toEqual(["N", "HIV", "R"]);
    const other = labeller(async () => ({ codes: [], complete: true }), beside);
    expect((await other.label(hiv))!.stamp).toEqual({ labeller: "sls", version: "1" });
  });

  it("adds what the service knows, and not that all is well", async () => {
    const glucose = { ...hiv, code: { coding: [{ system: "http://loinc.org", code: "2339-0" }] } };
    const one = labeller(async () => ({ codes: [sensitivity("PSY")], complete: true }), beside);
    expect(names(await one.label(glucose))).toEqual(["PSY"]);
  });

  it("leaves what is found here, without a stamp, where the service fails", async () => {
    const one = labeller(() => Promise.reject(new Error("down")), beside);
    const labels = await one.label(hiv);
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(labels!.stamp).toBeNull();
    expect(await one.label({ resourceType: "Condition" })).toBeNull();
  });
});

describe("labelMany", () => {
  it("answers in order, with no more calls under way than it may", async () => {
    let running = 0;
    let most = 0;
    const one = labeller(async (resource) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      if (resource === 3) throw new Error("down");
      return { codes: [sensitivity(`X${String(resource)}`)], complete: true };
    });
    const labels = await one.labelMany([0, 1, 2, 3, 4, 5, 6], { atOnce: 3 });
    expect(labels.map((item) => item?.codes[0]!.code)).toEqual([
      ...["X0", "X1", "X2", undefined, "X4", "X5", "X6"],
    ]);
    expect(most).toBe(3);
    expect(await one.labelMany([])).toEqual([]);
    await expect(one.labelMany([1], { atOnce: 0 })).rejects.toThrow(RangeError);
  });

  it("stops when the caller does", async () => {
    const caller = new AbortController();
    const one = labeller(() => new Promise(() => {}));
    const answer = one.labelMany([1, 2, 3], { signal: caller.signal });
    caller.abort(new Error("enough"));
    await expect(answer).rejects.toThrow("enough");
  });
});

describe("needsRelabelling", () => {
  const { name, version } = createLabeller();

  it.each<[string, Parameters<typeof needsRelabelling>[0], boolean]>([
    ["no labels", null, true],
    ["labels without a stamp", { codes, stamp: null }, true],
    ["another version", { codes, stamp: { labeller: name, version: "0" } }, true],
    ["another labeller", { codes, stamp: { labeller: "sls", version } }, true],
    ["the same rules", { codes, stamp: { labeller: name, version } }, false],
  ])("of %s", (_, labels, then) => {
    expect(needsRelabelling(labels, { name, version })).toBe(then);
  });
});
