// @ts-check
// Runs a TypeScript file of the project on every supported Node.js.
// The versions come from HEALTHLEDGER_NODES (default "20 22 24").
import { spawnSync } from "node:child_process";

const [file, ...rest] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: node scripts/each-node.mjs FILE [ARGUMENT ...]");
const args = ["--conditions=healthledger-source", "--import", "tsx", file, ...rest];
for (const version of (process.env["HEALTHLEDGER_NODES"] ?? "20 22 24").split(/\s+/)) {
  const own = process.versions.node.split(".")[0] === version;
  const { status } = own
    ? spawnSync(process.execPath, args, { stdio: "inherit" })
    : spawnSync("npx", ["-y", "-p", `node@${version}`, "node", ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
