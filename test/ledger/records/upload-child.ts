import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { writeSync } from "node:fs";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN, observation } from "../../support/hospital.ts";

export const UPLOAD_CHILD: string = fileURLToPath(import.meta.url);

/** The bytes of one attachment, a few blocks of them, told apart by their number. */
export function* studyOf(n: number): Generator<Uint8Array> {
  for (let i = 0; i < 50; i++) yield new Uint8Array(65_000).fill(n * 50 + i);
}

/** SHA-256 of {@link studyOf}. */
export function digestOfStudy(n: number): string {
  const digest = createHash("sha256");
  for (const piece of studyOf(n)) digest.update(piece);
  return digest.digest("hex");
}

// Records studies until it is killed, and says on its own line which ones were acknowledged.
// Arguments: path of the store, number of the first study.
if (process.argv[1] === UPLOAD_CHILD) {
  const [path, first] = process.argv.slice(2) as [string, string];
  const world = await foundWorld(await lmdbStorage({ path }));
  const hl = await world.open({ lane: 0, signedHeads: "store" });
  const me = await hl.ensureSubject(MRN);
  writeSync(1, "ready\n");
  for (let n = Number(first); ; n++) {
    const attachments = [{ mediaType: "application/dicom", source: studyOf(n) }];
    const { id } = await hl.record(me, observation(`study-${n}`), { attachments });
    writeSync(1, `recorded ${id} ${n}\n`);
  }
}
