import { fileURLToPath } from "node:url";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN } from "../../support/hospital.ts";

export const LONG_LINE_CHILD: string = fileURLToPath(import.meta.url);

const MIB = 1024 * 1024;
const AFTER = 20;
const CHUNK = new TextEncoder().encode("x".repeat(64 * 1024));

/** What is in use once nothing more can be given back, and what the process holds of the machine's memory. */
function memory(): { readonly used: number; readonly resident: number } {
  (globalThis as { gc?: () => void }).gc!();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, resident: rss };
}

const line = (id: string): string =>
  `${JSON.stringify({
    ...{ resourceType: "Observation", id, status: "final", code: { text: "weight" } },
    subject: { identifier: MRN },
  })}\n`;

// Records a line, one that goes on for so many bytes, and lines after it; says what memory the long one took beyond
// what was in use before. Arguments: path of the store, number of bytes. Wants --expose-gc.
if (process.argv[1] === LONG_LINE_CHILD) {
  const [path, bytes] = process.argv.slice(2) as [string, string];
  const world = await foundWorld(await lmdbStorage({ path }));
  const hl = await world.open({ lane: 0, signedHeads: "store" });
  await hl.recordNdjson([line("first")], { source: "ehr-1" });
  let before = memory();
  let used = 0;
  let resident = 0;
  async function* input(): AsyncGenerator<Uint8Array | string> {
    yield line("before");
    before = memory();
    yield '{"resourceType":"Observation","id":"long","note":[{"text":"';
    for (let sent = 0; sent < Number(bytes); sent += CHUNK.length) {
      if (sent % (16 * MIB) === 0) {
        const now = memory();
        used = Math.max(used, now.used - before.used);
        resident = Math.max(resident, now.resident - before.resident);
      }
      yield CHUNK;
    }
    yield '"}]}\n';
    for (let i = 0; i < AFTER; i++) yield line(`after-${i}`);
    // And one that no line break ends.
    for (let sent = 0; sent < Number(bytes) / 8; sent += CHUNK.length) yield CHUNK;
  }
  const said = await hl.recordNdjson(input(), { source: "ehr-1" });
  const after = memory();
  const records = await hl.records(await hl.ensureSubject(MRN));
  await hl.close();
  const { recorded, skipped, lines, problems } = said;
  const kept = after.used - before.used;
  console.log(
    JSON.stringify({
      ...{ recorded, skipped, lines, problems, records: records.length },
      ...{ used, resident, kept },
    }),
  );
}
