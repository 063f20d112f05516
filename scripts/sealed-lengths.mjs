// @ts-check
// Measures what the lengths of sealed records tell: node scripts/sealed-lengths.mjs FOLDER
// FOLDER holds FHIR bundles as JSON, such as Synthea writes.
import { spawnSync } from "node:child_process";

const args = ["--conditions=healthledger-source", "--import", "tsx"];
const file = "test/support/sealed-lengths.ts";
const { status } = spawnSync(process.execPath, [...args, file, ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
