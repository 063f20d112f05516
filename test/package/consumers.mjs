// @ts-check
// The packed tarball under other tools than Node.js and npm, each installed into a folder of its own.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";

/** Versions that were tried; the oldest TypeScript is the one that docs/imports.md names. */
const TOOLS = {
  typescript: "typescript@5.7.3",
  nodeTypes: "@types/node@20.19.43",
  webpack: "webpack@5.113.0",
  jest: "jest@30.5.2",
  yarn: "@yarnpkg/cli-dist@4.18.1",
  bun: "bun@1.4.5",
};

/**
 * What a consumer is tried with.
 * @typedef {object} Packed
 * @property {string} root - of the repository
 * @property {string} folder - empty, of this run
 * @property {string} tarball
 * @property {string} lmdb - the package and its version
 * @property {readonly string[]} files - what the tarball holds
 * @property {(command: string, args: readonly string[], cwd: string) => string} run
 * @property {(folder: string, packages: readonly string[]) => void} install
 */

/** The program of docs/getting-started.md. @param {string} root */
function firstProgram(root) {
  const page = readFileSync(join(root, "docs/getting-started.md"), "utf8");
  const blocks = [...page.matchAll(/^```js (?:run|then)\n(.*?)^```/gms)].map(([, code]) => code);
  assert.ok(blocks.length > 8, "the guide has no program");
  return blocks.join("");
}

/** Founds a ledger in memory, records and reads. Ends with `count`, the records that are there. */
const ROUND = `
import { createGenesis, memoryKeys, openLedger } from "healthledger";
import { memoryStorage } from "healthledger/storage/memory";
export async function round() {
  const keys = memoryKeys();
  for (const use of ["sign", "checkpoint", "agree"]) await keys.generate({ use });
  const genesis = await createGenesis({ origin: "consumer.example/ledger", members: [{ keys }] });
  const hl = await openLedger({ storage: memoryStorage(), keys, genesis });
  const person = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "1" });
  const observation = { resourceType: "Observation", id: "o", status: "final", code: { text: "x" } };
  const { id } = await hl.record(person, observation);
  const text = new TextDecoder().decode(await hl.read(id));
  if (text !== JSON.stringify(observation)) throw new Error(text);
  if (!(await hl.verify()).ok) throw new Error("does not verify");
  return (await hl.records(person)).length;
}
`;

/** Links in the pages that stand at the top of the package, and in the guide's first page, lead to files of it. */
/** @param {Packed} packed */
function checkLinks({ root, files }) {
  let count = 0;
  const isThere = (/** @type {string} */ path) =>
    files.some((file) => file === path || file.startsWith(`${path.replace(/\/$/, "")}/`));
  for (const page of files.filter((file) => file.endsWith(".md"))) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const target = posix.normalize(posix.join(posix.dirname(page), link));
      // pages below docs/ also name tests and benchmarks, which stand in the repository alone
      if (page.startsWith("docs/") && /^(test|bench)\//.test(target)) continue;
      assert.ok(isThere(target), `${page} links to ${link}, which is not in the package`);
      count++;
    }
  }
  assert.ok(count > 50, "no links were found");
  console.log(`${count} links of packed pages lead to packed files`);
}

/** @param {Packed} packed */
function checkTypes({ root, folder, tarball, lmdb, run, install }) {
  const at = join(folder, "no-dom");
  install(at, [tarball, lmdb, TOOLS.typescript, TOOLS.nodeTypes]);
  writeFileSync(join(at, "first.ts"), firstProgram(root));
  const compilerOptions = {
    ...{ module: "nodenext", target: "es2022", lib: ["es2022"], types: ["node"] },
    ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    ...{ skipLibCheck: false, noEmit: true },
  };
  writeFileSync(
    join(at, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["first.ts"] }),
  );
  for (const base of [at, root]) {
    const tsc = resolve(base, "node_modules/typescript/bin/tsc");
    run(process.execPath, [tsc, "-p", "."], at);
    const version = run(process.execPath, [tsc, "--version"], at).trim();
    console.log(`getting started compiles without the DOM's types, ${version}`);
  }
}

/** @param {Packed} packed */
function checkWebpack({ folder, tarball, run, install }) {
  const at = join(folder, "webpack");
  install(at, [tarball, TOOLS.webpack]);
  writeFileSync(join(at, "round.mjs"), ROUND);
  writeFileSync(
    join(at, "entry.mjs"),
    `import * as envelope from "healthledger/envelope";
import { indexeddbStorage } from "healthledger/storage/indexeddb";
import { round } from "./round.mjs";
console.log(await round(), typeof envelope.exportJwe, typeof indexeddbStorage);
`,
  );
  writeFileSync(
    join(at, "bundle.mjs"),
    `import webpack from "webpack";
const context = process.cwd();
for (const target of ["web", "node"]) {
  const output = { path: context + "/out-" + target, module: true, chunkFormat: "module" };
  const options = { mode: "production", entry: "./entry.mjs", experiments: { outputModule: true } };
  const quiet = { performance: { hints: false } };
  const stats = await new Promise((resolve, reject) =>
    webpack({ ...options, ...quiet, context, target: [target, "es2022"], output }, (error, done) =>
      error ? reject(error) : resolve(done)));
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  if (errors.length + warnings.length > 0) throw new Error(JSON.stringify([...errors, ...warnings]));
}
`,
  );
  run(process.execPath, ["bundle.mjs"], at);
  for (const target of ["web", "node"]) {
    const out = join(at, `out-${target}`);
    cpSync(join(out, "main.mjs"), join(at, `${target}.mjs`));
    assert.equal(run(process.execPath, [`${target}.mjs`], at).trim(), "1 function function");
  }
  console.log("webpack bundles it without a warning, and the bundles run");
}

/** @param {Packed} packed */
function checkJest({ folder, tarball, run, install }) {
  const at = join(folder, "jest");
  install(at, [tarball, TOOLS.jest]);
  writeFileSync(join(at, "round.mjs"), ROUND);
  writeFileSync(
    join(at, "first.test.mjs"),
    `import { InputError } from "healthledger";
import { readBundle } from "healthledger/fhir";
import { round } from "./round.mjs";
test("records", async () => expect(await round()).toBe(1));
test("throws typed errors", () => expect(() => readBundle("{")).toThrow(InputError));
`,
  );
  const jest = join(at, "node_modules/jest/bin/jest.js");
  const flags = ["--experimental-vm-modules", "--no-warnings", jest];
  run(process.execPath, [...flags, "--testMatch", "**/*.test.mjs"], at);
  console.log("jest runs it with --experimental-vm-modules");
}

/** @param {Packed} packed */
function checkPlugAndPlay({ root, folder, tarball, lmdb, run, install }) {
  const tool = join(folder, "yarn");
  install(tool, [TOOLS.yarn]);
  const yarn = join(tool, "node_modules/@yarnpkg/cli-dist/bin/yarn.js");
  const at = join(folder, "pnp");
  mkdirSync(at);
  cpSync(tarball, join(at, "healthledger.tgz"));
  const [name = "", version = ""] = lmdb.split("@");
  const dependencies = { healthledger: "file:./healthledger.tgz", [name]: version };
  const manifest = { name: "app", private: true, type: "module", dependencies };
  writeFileSync(join(at, "package.json"), JSON.stringify(manifest));
  const registry = run("npm", ["config", "get", "registry"], folder).trim().replace(/\/$/, "");
  writeFileSync(
    join(at, ".yarnrc.yml"),
    `nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\nenableImmutableInstalls: false
npmRegistryServer: "${registry}"\nunsafeHttpWhitelist: ["*"]\n`,
  );
  writeFileSync(join(at, "yarn.lock"), "");
  run(process.execPath, [yarn, "install"], at);
  writeFileSync(join(at, "first.mjs"), firstProgram(root));
  const said = run(process.execPath, [yarn, "node", "first.mjs"], at);
  assert.match(said, /blocks checked: [1-9]/);
  writeFileSync(
    join(at, "shards.mjs"),
    `import { fileShardKeys } from "healthledger/keys/file";
const keys = await fileShardKeys("data/shards");
for (const byte of [7, 8]) await keys.replace(new Uint8Array(32).fill(byte));
console.log((await keys.load())[0]);
await keys.close();
`,
  );
  assert.match(run(process.execPath, [yarn, "node", "shards.mjs"], at), /^8$/m);
  console.log("getting started runs under yarn's Plug'n'Play");
}

/** @param {Packed} packed */
function checkBun({ root, folder, tarball, lmdb, run, install }) {
  const at = join(folder, "bun");
  install(at, [tarball, lmdb, TOOLS.bun]);
  // npm runs no install scripts of dependencies everywhere; this one puts the binary in its place
  run(process.execPath, ["node_modules/bun/install.js"], at);
  writeFileSync(join(at, "round.mjs"), ROUND);
  const program = 'import { round } from "./round.mjs"; console.log(await round(), Bun.version);';
  writeFileSync(join(at, "program.mjs"), program);
  const bun = join(at, "node_modules/.bin/bun");
  assert.match(run(bun, ["program.mjs"], at), /^1 \d/);
  writeFileSync(join(at, "first.mjs"), firstProgram(root));
  console.log(`Bun ${run(bun, ["--version"], at).trim()} records and reads in memory`);
}

/** @param {Packed} packed */
export function checkConsumers(packed) {
  checkLinks(packed);
  checkTypes(packed);
  checkWebpack(packed);
  checkJest(packed);
  checkPlugAndPlay(packed);
  checkBun(packed);
}
