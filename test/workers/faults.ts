import { expect } from "vitest";
import { WorkerError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { nodeWorkers } from "../../src/workers/index.ts";
import { ndjson, patient } from "../support/drugs.ts";
import { observation } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";

const GROUPS = 3;
const EACH = 12;
/** One patient, and what each group adds. */
export const RECORDED: number = 1 + GROUPS * EACH;
const SOURCE = { source: "ehr-1" } as const;

const about = (json: string): object => ({
  ...(JSON.parse(json) as object),
  subject: { reference: "Patient/p0" },
});

/** Lines, each of which is a job to describe and a job to seal. */
export const groups = (): Iterable<string> =>
  ndjson(
    Array.from({ length: GROUPS }, (_, group) => ({
      ...{ resourceType: "Bundle", type: "collection" },
      entry: [
        { resource: patient("p0") },
        ...Array.from({ length: EACH }, (__, i) => ({
          resource: about(observation(`g${group}-${i}`)),
        })),
      ],
    })),
  );

const nothing = "{ bytes: new Uint8Array(0), lengths: [] }";
/** What a thread does instead of answering, for {@link Bundles.faulty}. */
export const FAULTS: Readonly<Record<string, string>> = {
  dies: "process.exit(1)",
  throws: 'throw new Error("broken")',
  "answers nothing": "port.postMessage(null)",
  "answers with too little": `port.postMessage({
    id, gave: { said: "[]", drafts: ${nothing}, counts: [], pieces: ${nothing} },
  })`,
  "answers with something else": 'port.postMessage({ id, gave: "yes" })',
  "answers with text that is no JSON": `port.postMessage({
    id, gave: { said: "[", drafts: ${nothing}, counts: [1], pieces: ${nothing} },
  })`,
};
export const TWICE = "port.postMessage(given); port.postMessage(given);";
export const HANG = "for (;;);";

/** A call that meets a fault rejects; the next goes on where it stopped, until all is there once. */
export async function expectRecovered(thread: URL): Promise<void> {
  const w = await ward({ workers: nodeWorkers({ thread }) });
  let tries = 0;
  for (; ; tries++) {
    let durable = 0;
    const onProgress = ({ lines }: { readonly lines: number }) => (durable = lines);
    const error = await w.hl
      .recordNdjson(groups(), { ...SOURCE, onProgress })
      .then(() => undefined)
      .catch((reason: unknown) => reason);
    const ids = (await w.hl.records(w.me)).flatMap(({ head: { manifest } }) =>
      manifest.resource!.type === "Observation" ? [manifest.resource!.id!] : [],
    );
    expect(new Set(ids).size).toBe(ids.length);
    for (let group = 0; group < durable; group++) {
      expect(ids.filter((id) => id.startsWith(`g${group}-`))).toHaveLength(EACH);
    }
    if (error === undefined) break;
    expect(error).toBeInstanceOf(WorkerError);
    expect((error as WorkerError).code).toBe("ERR_WORKER_FAILED");
    expect(tries).toBeLessThan(5);
  }
  expect(tries).toBeGreaterThan(0);
  const records = await w.hl.records(w.me);
  expect(records).toHaveLength(RECORDED);
  for (const { record } of records) expect(await w.hl.read(record)).toBeInstanceOf(Uint8Array);
  expect(await w.hl.verify()).toMatchObject({ ok: true });
  await w.hl.close();
}

export async function expectNothingDoubled(thread: URL): Promise<void> {
  const w = await ward({ workers: nodeWorkers({ thread }) });
  expect(await w.hl.recordNdjson(groups(), SOURCE)).toMatchObject({ recorded: RECORDED });
  expect(await w.hl.records(w.me)).toHaveLength(RECORDED);
  await w.hl.close();
}

/** A ledger whose thread hangs closes; without the thread everything can be recorded. */
export async function expectClosed(thread: URL): Promise<void> {
  const inner = memoryStorage();
  const w = await ward({ inner, workers: nodeWorkers({ thread, timeout: 1500 }) });
  const call = w.hl.recordNdjson(groups(), SOURCE).catch((error: unknown) => error);
  await w.hl.close();
  expect(await call).toMatchObject({ code: "ERR_WORKER_FAILED" });
  const hl = await w.open({ storage: inner });
  expect(await hl.verify()).toMatchObject({ ok: true });
  expect(await hl.recordNdjson(groups(), SOURCE)).toMatchObject({ skipped: 0 });
  expect(await hl.records(w.me)).toHaveLength(RECORDED);
  await hl.close();
}
