import { afterEach, describe, expect, it, vi } from "vitest";
import { createLabeller, labelStepsOf } from "../../../src/consent/labels/labeller.ts";
import { describeSteps } from "../../../src/fhir/describe-resource.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";
import { bytesFor } from "../../support/ledger.ts";

const bundleOf = (resources: readonly object[]) =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "collection",
    entry: resources.map((resource) => ({ resource })),
  });
const observations = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => JSON.parse(observation(`o${i}`)) as object);
const patients = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    resourceType: "Patient",
    id: `p${i}`,
    identifier: [{ system: MRN.system, value: `M-${i}` }],
  }));

afterEach(() => vi.restoreAllMocks());

describe("recordBundle and the event loop", () => {
  it("seals and indexes a thousand resources a few at a time", async () => {
    // Counts what sealing draws between two turns of the loop; a look at the clock takes 1 ms.
    let drawn = 0;
    let sinceTurn = 0;
    const random = (length: number): Uint8Array => {
      sinceTurn++;
      const bytes = bytesFor(`drawn ${drawn++}`);
      return Uint8Array.from({ length }, (_, i) => bytes[i % bytes.length]!);
    };
    const { hl, me } = await ward({ random });
    let now = 1e6;
    vi.spyOn(performance, "now").mockImplementation(() => ++now);
    let most = 0;
    let turns = 0;
    let isDone = false;
    const turn = (): void => {
      most = Math.max(most, sinceTurn);
      sinceTurn = 0;
      turns++;
      if (!isDone) setImmediate(turn);
    };
    drawn = 0;
    setImmediate(turn);
    await hl.recordBundle(me, bundleOf(observations(1000)));
    // It is taken in too; the values for the index, sealed when it is closed, have their turns too.
    const sealing = turns;
    expect(await hl.records(me)).toHaveLength(1000);
    await hl.close();
    isDone = true;
    expect(drawn).toBeGreaterThan(3000);
    expect(sealing).toBeGreaterThan(150 + 80);
    expect(turns - sealing).toBeGreaterThan(80);
    expect(most).toBeLessThan(100);
  });

  it("tells of every 25 resources that are sealed, and of each transaction", async () => {
    const { hl, me } = await ward();
    const told: object[] = [];
    await hl.recordBundle(me, bundleOf(observations(60)), {
      onProgress: (progress) => told.push(progress),
    });
    expect(told).toEqual([
      { done: 0, sealed: 25, total: 60 },
      { done: 0, sealed: 50, total: 60 },
      { done: 60, sealed: 60, total: 60 },
    ]);
  });

  it("ends while resources are sealed, with nothing recorded", async () => {
    const { hl, me } = await ward();
    const stop = new AbortController();
    const bundle = bundleOf(observations(60));
    const onProgress = (): void => stop.abort(new Error("enough"));
    const { signal } = stop;
    await expect(hl.recordBundle(me, bundle, { onProgress, signal })).rejects.toThrow("enough");
    expect(await hl.records(me)).toEqual([]);
    await hl.recordBundle(me, bundle);
    expect(await hl.records(me)).toHaveLength(60);
  });

  it("ends while persons are made known; those who are stay", async () => {
    const { hl, traps } = await ward();
    const stop = new AbortController();
    traps.after = async () => stop.abort(new Error("enough"));
    const bundle = bundleOf(patients(200));
    const { signal } = stop;
    await expect(hl.recordBundle(null, bundle, { signal })).rejects.toThrow("enough");
    const known = await Promise.all(
      [0, 63, 64, 199].map((i) => hl.findSubject({ ...MRN, value: `M-${i}` })),
    );
    expect(known.map((one) => one !== undefined)).toEqual([true, true, false, false]);
    expect(await hl.records(known[0]!)).toEqual([]);
    const { recorded } = await hl.recordBundle(null, bundle);
    expect(recorded).toHaveLength(200);
  });

  it("records what a bundle said when the call was made", async () => {
    const { hl, me } = await ward();
    const bytes = new TextEncoder().encode(bundleOf(observations(80)));
    const before = bytes.slice();
    const recording = hl.recordBundle(me, bytes);
    bytes.fill(0x20);
    const { recorded } = await recording;
    const text = new TextDecoder().decode(await hl.read(recorded[79]!.id));
    expect(new TextDecoder().decode(before)).toContain(text);
  });
});

describe("one large resource and the event loop", () => {
  const COUNT = 20_000;

  it.each([
    ["is described", describeSteps],
    ["is labelled", (resource: never) => labelStepsOf(createLabeller(), resource)!],
  ] as const)("%s some thousand values at a time", (_, stepsOf) => {
    // Counts the components that are looked at between two pauses.
    let looked = 0;
    let most = 0;
    let total = 0;
    const component = Array.from({ length: COUNT }, () => ({
      get valueInteger() {
        looked++;
        return 1;
      },
    }));
    const resource = { ...(JSON.parse(observation("large")) as object), component };
    const steps = stepsOf(resource as never);
    for (let done: boolean | undefined = false; done !== true;) {
      ({ done } = steps.next());
      most = Math.max(most, looked);
      total += looked;
      looked = 0;
    }
    expect(total).toBeGreaterThanOrEqual(COUNT);
    expect(most).toBeLessThan(4096);
  });

  it("is labelled by the function that a labeller has in place of another's", () => {
    const label = () => null;
    expect(labelStepsOf({ ...createLabeller(), label }, {})).toBeUndefined();
  });

  it("has its contained resources looked up once, however many name them", async () => {
    const { hl, me } = await ward();
    let looked = 0;
    const contained = Array.from({ length: 3000 }, (_, i) => ({
      resourceType: "Observation",
      get id() {
        looked++;
        return `c${i}`;
      },
    }));
    const hasMember = contained.map((_, i) => ({ reference: `#c${i}` }));
    createLabeller().label({ resourceType: "Observation", contained, hasMember });
    expect(looked).toBeLessThan(10 * 3000);
    const text = { ...(JSON.parse(observation("many")) as object), hasMember };
    expect(await hl.record(me, JSON.stringify(text))).toHaveProperty("id");
  });
});
