// @ts-check
// Bundles single imports the way a browser application would, and holds them to their budgets.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Bytes after minification and gzip, dependencies included. */
const BUDGETS = [
  // receipts and checkpoints alone: what an auditor's page loads
  {
    name: "verify",
    code: 'export * from "healthledger/verify";',
    gzip: 35_000,
    without: /nist|p256|ciphers|post-quantum|sha3|hpke|envelope\/(?!header)/,
  },
  {
    name: "verify with ES256",
    code: 'export * from "healthledger/verify"; export * from "healthledger/verify/es256";',
    gzip: 45_000,
  },
  // with what hands a labeller to another thread
  { name: "consent", code: 'export * from "healthledger/consent";', gzip: 70_000 },
  // with reading and writing FHIR Consent, which brings the model of directives along
  { name: "fhir", code: 'export * from "healthledger/fhir";', gzip: 52_000 },
  { name: "envelope", code: 'export * from "healthledger/envelope";', gzip: 62_000 },
  // trees and proofs alone, as a monitor of several logs uses them: hashes and no signatures
  {
    name: "merkle",
    code: 'export * from "healthledger/merkle";',
    gzip: 12_000,
    without: /curves|ciphers|post-quantum/,
  },
  // a service that orders, checkpoints and witnesses blocks, and opens no envelope
  {
    name: "chain",
    code: 'export * from "healthledger/chain";',
    gzip: 78_000,
    without: /ciphers|post-quantum/,
  },
  // a copy of a ledger, or what serves one: no envelope is opened
  {
    name: "network",
    code: 'export * from "healthledger/network";',
    gzip: 92_000,
    without: /ciphers|post-quantum/,
  },
  // with the copy and the outbox of a member elsewhere
  // a browser or an auditor that follows a ledger without a store
  {
    name: "light",
    code: 'export * from "healthledger/light";',
    gzip: 45_000,
    without: /nist|p256|ciphers|post-quantum|sha3|hpke|envelope\/(?!header)/,
  },
  // defining contracts, and their tags and commitments
  {
    name: "contract",
    code: 'export * from "healthledger/contract";',
    gzip: 17_000,
    without: /curves|ciphers|post-quantum/,
  },
  // deciding insurance claims, and reading and writing them as FHIR
  {
    name: "contract/claims",
    code: 'export * from "healthledger/contract/claims";',
    gzip: 22_000,
    without: /curves|ciphers|post-quantum/,
  },
  { name: "fhir/claims", code: 'export * from "healthledger/fhir/claims";', gzip: 17_000 },
  { name: "core", code: 'export * from "healthledger";', gzip: 330_000 },
];

const { exports, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
let failed = false;
for (const { name, code, gzip: budget, without } of BUDGETS) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: process.cwd() },
    bundle: true,
    // optional peers are there only where the application installs them
    external: Object.keys(peerDependencies),
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    logLevel: "error",
    plugins: [
      {
        name: "self",
        setup({ onResolve, resolve }) {
          onResolve({ filter: /^healthledger(\/|$)/ }, ({ path, resolveDir, kind }) =>
            resolve(exports[path.replace("healthledger", ".")].default, { resolveDir, kind }),
          );
        },
      },
    ],
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error("nothing was bundled");
  const size = gzipSync(output.contents, { level: 9 }).length;
  const inputs = Object.values(metafile.outputs).flatMap(({ inputs: used }) =>
    Object.entries(used),
  );
  const unwanted = inputs.filter(
    ([path, { bytesInOutput }]) => bytesInOutput > 0 && without?.test(path),
  );
  const problems = [
    ...(size > budget ? [`over its budget of ${budget}`] : []),
    ...unwanted.map(([path, { bytesInOutput }]) => `holds ${bytesInOutput} bytes of ${path}`),
  ];
  failed ||= problems.length > 0;
  console.log(
    `${name.padEnd(18)} ${String(output.contents.length).padStart(8)} bytes ${String(size).padStart(7)} gzip  ${problems.join("; ") || "ok"}`,
  );
  if (problems.length > 0 || process.argv.includes("--verbose")) {
    inputs.sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput);
    for (const [path, { bytesInOutput }] of inputs.slice(0, 12)) {
      console.log(`  ${String(bytesInOutput).padStart(8)} ${path}`);
    }
  }
}
process.exitCode = failed ? 1 : 0;
