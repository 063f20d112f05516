import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../../src/bytes/utf8.ts";
import type { NdjsonOptions, NdjsonProgress } from "../../../src/index.ts";
import { alcoholDependence, MRN, observation } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const options: NdjsonOptions = { source: "ehr-1" };
const patient = (id: string, mrn = MRN.value): string =>
  JSON.stringify({ resourceType: "Patient", id, identifier: [{ ...MRN, value: mrn }] });
const about = (id: string, line: string): string => line.replace("Patient/p1", `Patient/${id}`);
const deleted = (...urls: string[]): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: urls.map((url) => ({ request: { method: "DELETE", url } })),
  });
const send = (w: Ward, lines: readonly string[], more: Partial<NdjsonOptions> = {}) =>
  w.hl.recordNdjson([lines.join("\n")], { ...options, ...more });
const released = async (w: Ward): Promise<string[]> =>
  (await opened(await w.ask()))
    .filter(({ resource }) => resource!.resourceType !== "Patient")
    .map(({ resource }) => `${resource!.resourceType}/${String(resource!["id"])}`)
    .sort();
const none = { recorded: 0, amended: 0, known: 0, older: 0, retracted: 0, skipped: 0, copied: 0 };

describe("recordNdjson", () => {
  it("records each line, and a refusal reaches what came by it", async () => {
    const w = await ward();
    await w.permit();
    const lines = [
      patient("p1"),
      observation("o1"),
      "",
      alcoholDependence("c1"),
      observation("o2"),
    ];
    const said = await send(w, lines);
    expect(said).toEqual({
      ...none,
      recorded: 4,
      lines: 5,
      subjects: 1,
      problems: [],
      proposals: [],
    });
    const records = await w.hl.records(w.me);
    expect(records.map(({ head }) => head.manifest.resource!.id).sort()).toEqual([
      ...["c1", "o1", "o2", "p1"],
    ]);
    const o1 = records.find(({ head }) => head.manifest.resource!.id === "o1")!;
    const text = await w.hl.read(o1.record);
    expect(new TextDecoder().decode(text)).toBe(observation("o1"));
    expect(await released(w)).toEqual(["Observation/o1", "Observation/o2"]);
  });

  it("tells of each entry of a Bundle that has no resource", async () => {
    const w = await ward();
    const entries = [
      { request: { method: "DELETE", url: "Observation/none" } },
      { request: { method: "GET", url: "Observation/o1" } },
      {
        resource: JSON.parse(observation("o1")),
        request: { method: "PUT", url: "Observation/o1" },
      },
      { response: { status: "200" } },
    ];
    const bundle = JSON.stringify({ resourceType: "Bundle", type: "batch", entry: entries });
    const said = await send(w, [patient("p1"), bundle]);
    expect(said).toMatchObject({ ...none, recorded: 2, skipped: 3 });
    const gone = "it was deleted at its source, and is not on record";
    const why = "the entry has no resource";
    expect(said.problems).toEqual([
      { line: 2, entry: 0, code: "skipped", type: "Observation", why: gone },
      { line: 2, entry: 1, code: "skipped", why },
      { line: 2, entry: 3, code: "skipped", why },
    ]);
  });

  it("records nothing twice", async () => {
    const w = await ward();
    const lines = [patient("p1"), observation("o1"), observation("o2")];
    await send(w, lines);
    const { size } = w.hl.chain;
    expect(await send(w, lines)).toMatchObject({ ...none, known: 3, lines: 3, subjects: 1 });
    expect(w.hl.chain.size).toBe(size);
    // As a bundle of the same source, too.
    const entries = lines.map((line) => `{"resource":${line}}`).join(",");
    const bundle = `{"resourceType":"Bundle","type":"collection","entry":[${entries}]}`;
    const { known } = await w.hl.recordBundle(null, bundle, { source: options.source });
    expect(known).toHaveLength(3);
  });

  it("treats versions and deletions as they come", async () => {
    const w = await ward();
    await w.permit();
    const version = (n: number, value: string): string =>
      observation("o1", value).replace('"status"', `"meta":{"versionId":"${n}"},"status"`);
    const first = [patient("p1"), version(2, "1.0"), observation("o2"), observation("o3")];
    await send(w, first);
    const said = await send(w, [
      version(1, "9.0"),
      version(3, "2.0"),
      observation("o3").replace("final", "entered-in-error"),
      deleted("Observation/o2", "Observation/o9", "Observation?code=1"),
    ]);
    expect(said).toMatchObject({ ...none, older: 1, amended: 2, retracted: 2, skipped: 2 });
    expect(said.problems).toMatchObject([
      { line: 4, entry: 1, code: "skipped", type: "Observation" },
      { line: 4, entry: 2, code: "skipped", type: "Observation" },
    ]);
    expect(await released(w)).toEqual(["Observation/o1"]);
    const records = await w.hl.records(w.me);
    const o1 = records.find(({ head }) => head.manifest.resource!.id === "o1")!;
    expect(new TextDecoder().decode(await w.hl.read(o1.record))).toBe(version(3, "2.0"));
  });

  it("deletes what stands before the deletion, and not what comes after it", async () => {
    const w = await ward();
    await w.permit();
    const lines = [patient("p1"), observation("o1"), deleted("Observation/o1"), observation("o2")];
    const told: number[] = [];
    const onProgress = (progress: NdjsonProgress): void => void told.push(progress.lines);
    const said = await send(w, lines, { onProgress });
    expect(said).toMatchObject({ ...none, recorded: 3, retracted: 1 });
    // A line counts once what it says is done, not when it was read.
    expect(told).toEqual([2, 3, 4]);
    expect(await released(w)).toEqual(["Observation/o2"]);
  });

  it("finds the persons whose Patients came before, in another file", async () => {
    const w = await ward();
    await w.permit();
    await send(w, [patient("7"), patient("8", "other")]);
    const said = await send(w, [about("7", observation("o1")), about("8", observation("o2"))]);
    expect(said).toMatchObject({ ...none, recorded: 2, subjects: 2 });
    expect(await released(w)).toEqual(["Observation/o1"]);
  });

  it("records what comes before its Patient, in another file", async () => {
    const w = await ward();
    await w.permit();
    const early = await send(w, [about("7", observation("o1")), about("8", observation("o2"))]);
    expect(early).toMatchObject({ ...none, recorded: 2, subjects: 2 });
    await send(w, [patient("8", "other"), patient("7")]);
    const person = await w.hl.findSubject({ source: options.source, reference: "Patient/7" });
    // The number is that of somebody known: people are to say whether the two are one.
    expect(await released(w)).toEqual([]);
    await w.hl.merge(person!, w.me, { reason: "same papers" });
    expect(await released(w)).toEqual(["Observation/o1"]);
  });

  it("tells bad lines by number and reason, never by content, and goes on", async () => {
    const w = await ward();
    const secret = "Mueller-Luedenscheidt";
    const long = JSON.stringify({ resourceType: "Basic", id: secret.repeat(50) });
    const said = await w.hl.recordNdjson(
      [
        utf8ToBytes(
          [
            `{"resourceType":"Patient","id":"${secret}"`,
            `["${secret}"]`,
            `{"resourceType":"${secret}"}`,
            long,
            "",
            patient("p1"),
            `{"resourceType":"Patient","id":"1","id":"${secret}"}`,
            `{"resourceType":"Bundle","entry":"${secret}"}`,
            `{"resourceType":"Binary","id":"${secret}"}`,
            "",
          ].join("\n"),
        ),
        Uint8Array.of(0x22, 0xff, 0x22, 10),
        observation("o1"),
      ],
      { ...options, maxLineBytes: 500 },
    );
    expect(said.problems.map(({ line, code, type }) => [line, code, type])).toEqual([
      [1, "malformed", undefined],
      [2, "malformed", undefined],
      [3, "malformed", undefined],
      [4, "too-long", undefined],
      [7, "malformed", undefined],
      [8, "malformed", "Bundle"],
      [10, "malformed", undefined],
      [9, "skipped", "Binary"],
    ]);
    expect(said).toMatchObject({ ...none, recorded: 2, skipped: 8, lines: 11 });
    expect(JSON.stringify(said)).not.toContain(secret.slice(0, 6));
  });

  it("lists as many problems as it is told, and counts all", async () => {
    const w = await ward();
    const lines = Array.from({ length: 30 }, () => "{");
    const said = await send(w, [...lines, patient("p1")], { maxProblems: 3 });
    expect(said).toMatchObject({ ...none, recorded: 1, skipped: 30, lines: 31 });
    expect(said.problems).toHaveLength(3);
    expect((await send(w, lines, { maxProblems: 0 })).problems).toEqual([]);
  });

  it("says how far it is, asks for no more than it can record, and goes on after a stop", async () => {
    const w = await ward();
    const count = 2500;
    let asked = 0;
    const told: NdjsonProgress[] = [];
    const ahead: number[] = [];
    async function* lines(): AsyncGenerator<string> {
      yield `${patient("p1")}\n`;
      for (let i = 0; i < count; i++) {
        asked++;
        yield `${observation(`o${i}`)}\n`;
      }
    }
    const stop = new AbortController();
    const onProgress = (progress: NdjsonProgress): void => {
      told.push(progress);
      ahead.push(asked + 1 - progress.lines);
      if (told.length === 2) stop.abort(new Error("enough"));
    };
    const { signal } = stop;
    await expect(w.hl.recordNdjson(lines(), { ...options, onProgress, signal })).rejects.toThrow(
      "enough",
    );
    expect(told.map(({ recorded }) => recorded)).toEqual([1000, 2000]);
    expect(Math.max(...ahead)).toBeLessThan(3);
    expect(await w.hl.records(w.me)).toHaveLength(2000);
    const said = await w.hl.recordNdjson(lines(), options);
    expect(said).toMatchObject({ ...none, known: 2000, recorded: 501 });
    expect(await w.hl.records(w.me)).toHaveLength(count + 1);
  });

  it.each([
    { source: "" },
    { source: undefined },
    { maxLineBytes: 0 },
    { maxLineBytes: 1.5 },
    { maxLineBytes: 2 ** 30 },
    { maxProblems: -1 },
    { maxProblems: Infinity },
  ])("refuses %o", async (change) => {
    const w = await ward();
    await expect(
      w.hl.recordNdjson([patient("p1")], { ...options, ...change } as NdjsonOptions),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(w.hl.recordNdjson([1] as never, options)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});
