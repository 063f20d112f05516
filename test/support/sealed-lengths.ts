import {
  guessCodes,
  type Guesses,
  guessOften,
  overall,
  sealEach,
  type SealedRecord,
} from "./guess-by-length.ts";

// Run by scripts/sealed-lengths.mjs.
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("name a folder of FHIR bundles");

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const said = ({ right, majority }: Guesses): string =>
  `${percent(right)} (majority ${percent(majority)})`;
const sum = (lengths: readonly number[]): number => lengths.reduce((total, one) => total + one, 0);

function report(
  name: string,
  records: readonly SealedRecord[],
  lengthsOf: (record: SealedRecord) => readonly number[],
): void {
  const codes = guessCodes(records, lengthsOf);
  const parts = records.reduce((total, { plain }) => total + sum(plain) + 32, 0);
  const blobs = records.reduce((total, record) => total + record.lengths[0]!, 0) + parts;
  const stored = records.reduce((total, record) => total + sum(lengthsOf(record)), 0);
  console.log(`${name}: ${records.length} records`);
  console.log(
    `  header and ciphertext: ${(stored / blobs).toFixed(2)} times those without padding`,
  );
  console.log(`  type: ${said(guessOften(records.map((one) => [one.type, lengthsOf(one)])))}`);
  console.log(`  code, given the type: ${said(overall(codes))}`);
  for (const [type, guesses] of codes) console.log(`    ${type}: ${said(guesses)}`);
}

for (const padding of ["stepped", "uniform"] as const) {
  const records = await sealEach(folder, padding, true);
  if (padding === "stepped") {
    report("without padding", records, ({ lengths, plain }) => [
      lengths[0]!,
      ...plain.map((length) => length + 16),
    ]);
  }
  report(padding, records, ({ lengths }) => lengths);
}
