import { fileURLToPath } from "node:url";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN } from "../../support/hospital.ts";

export const MEMORY_CHILD: string = fileURLToPath(import.meta.url);

const PEOPLE = 500;

function* lines(bytes: number): Generator<string> {
  let sent = 0;
  for (let i = 0; sent < bytes; i++) {
    const person = i % PEOPLE;
    const identifier = { ...MRN, value: `memory-${person}` };
    const line = JSON.stringify({
      resourceType: "Observation",
      id: `o${i}`,
      meta: { versionId: "1" },
      status: "final",
      code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
      subject: { identifier },
      note: [{ text: `${i} `.repeat(300) }],
    });
    sent += line.length + 1;
    yield `${line}\n`;
  }
}

// Records so many bytes of NDJSON, and says the most memory that was in use between its transactions.
// Arguments: path of the store, number of bytes. Wants --expose-gc.
if (process.argv[1] === MEMORY_CHILD) {
  const [path, bytes] = process.argv.slice(2) as [string, string];
  const world = await foundWorld(await lmdbStorage({ path }));
  const hl = await world.open({ lane: 0, signedHeads: "store" });
  let most = 0;
  let count = 0;
  const { recorded } = await hl.recordNdjson(lines(Number(bytes)), {
    source: "ehr-1",
    onProgress() {
      if (count++ % 8 !== 0) return;
      (globalThis as { gc?: () => void }).gc!();
      const { heapUsed, external } = process.memoryUsage();
      most = Math.max(most, heapUsed + external);
    },
  });
  await hl.close();
  console.log(JSON.stringify({ recorded, most }));
}
