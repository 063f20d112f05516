// Runs the whole conformance kit without a test runner, for Node.js versions other than this one:
//   node --conditions=healthledger-source --import tsx test/sqlite/run-kit.ts
import { runKit } from "../../src/testing/kit.ts";
import { fileCases } from "../../src/testing/storage-files.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { staged } from "../support/host-features.ts";
import { effort } from "../support/effort.ts";
import { OWN_CLIENT } from "./client.ts";
import { FEATURES, sqliteSubjects } from "./subject.ts";

const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 4 });
const cases = await staged([...storageCases, ...processCases({ rounds }), ...fileCases]);
const results = await runKit(cases, sqliteSubjects, {
  features: FEATURES,
  timeout: 600_000,
});
for (const result of results) {
  const why = result.outcome === "skipped" ? ` (not offered: ${result.lacks.join(", ")})` : "";
  console.log(`${result.outcome}: ${result.name}${why}`);
  if (result.outcome === "failed") console.log(result.error);
}
const passed = results.filter(({ outcome }) => outcome === "passed").length;
console.log(`${OWN_CLIENT} on Node.js ${process.version}: ${passed} of ${cases.length} passed`);
if (results.some(({ outcome }) => outcome === "failed") || passed === 0) process.exitCode = 1;
