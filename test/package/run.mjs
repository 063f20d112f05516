// @ts-check
// Packs the package, installs the tarball into empty folders, and uses it there as a stranger would.
// Node.js versions to try come from HEALTHLEDGER_NODES (default "20 22 24").
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { checkConsumers } from "./consumers.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const subpaths = Object.keys(manifest.exports)
  .filter((subpath) => subpath !== "./package.json")
  .map((subpath) => subpath.replace(/^\./, "healthledger"));
const versions = (process.env["HEALTHLEDGER_NODES"] ?? "20 22 24").split(/\s+/);
const lmdb = `lmdb@${manifest.devDependencies.lmdb}`;

/** @param {string} command @param {readonly string[]} args @param {string} cwd */
function run(command, args, cwd) {
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { stdout, stderr } = /** @type {{ stdout?: string, stderr?: string }} */ (error);
    throw new Error(`${command} ${args.join(" ")} failed\n${stdout ?? ""}\n${stderr ?? ""}`, {
      cause: error,
    });
  }
}

/** @param {string} version @param {readonly string[]} args @param {string} cwd */
function runNode(version, args, cwd) {
  const own = process.versions.node.split(".")[0] === version;
  if (own) return run(process.execPath, args, cwd);
  return run("npx", ["-y", "-p", `node@${version}`, "node", ...args], cwd);
}

/** @param {string} folder @param {readonly string[]} packages */
function install(folder, packages) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...packages], folder);
}

const IMPORTS = `
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const modules = {};
for (const subpath of ${JSON.stringify(subpaths)}) {
  const imported = await import(subpath);
  assert.ok(Object.keys(imported).length > 0, subpath + " exports nothing");
  assert.ok(!("default" in imported), subpath + " has a default export");
  const required = require(subpath);
  for (const name of Object.keys(imported)) assert.equal(required[name], imported[name], name);
  modules[subpath] = imported;
}
console.log(process.version, Object.keys(modules).length, "subpaths imported and required");
`;

const ERRORS = `
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { InputError, LedgerError } from "healthledger";
import { readBundle } from "healthledger/fhir";
const { readBundle: required } = createRequire(import.meta.url)("healthledger/fhir");
for (const read of [readBundle, required]) {
  try {
    read("{");
    assert.fail("accepted");
  } catch (error) {
    assert.ok(error instanceof InputError && error instanceof LedgerError && error instanceof Error);
    assert.equal(error.code, "ERR_INPUT_INVALID");
    assert.equal(error.name, "InputError");
  }
}
// every error class that any subpath exports is the one that the core exports; the kit's verdict
// on somebody's adapter is no error of this library
const core = await import("healthledger");
for (const subpath of ${JSON.stringify(subpaths)}) {
  for (const [name, value] of Object.entries(await import(subpath))) {
    if (typeof value !== "function" || !(value.prototype instanceof Error)) continue;
    if (name === "KitFailure") continue;
    assert.ok(value === LedgerError || value.prototype instanceof LedgerError, subpath + " " + name);
    if (name in core) assert.equal(value, core[name], subpath + " " + name);
  }
}
console.log(process.version, "instanceof holds across subpaths");
`;

/** Records on another thread, and ends by itself, with `close()` or without. */
const WORKERS = `
import assert from "node:assert/strict";
import { createGenesis, memoryKeys, openLedger } from "healthledger";
import { memoryStorage } from "healthledger/storage/memory";
import { nodeWorkers } from "healthledger/workers";
const [thread, close] = process.argv.slice(2);
let threads = 0;
process.on("worker", () => threads++);
const keys = memoryKeys();
for (const use of ["sign", "checkpoint", "agree"]) await keys.generate({ use });
const genesis = await createGenesis({ origin: "consumer.example/ledger", members: [{ keys }] });
const workers = nodeWorkers(thread === "own" ? {} : { thread: new URL(thread, import.meta.url) });
const hl = await openLedger({ storage: memoryStorage(), keys, genesis, workers });
assert.equal(threads, 0);
const person = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "1" });
const entry = Array.from({ length: 40 }, (_, i) => ({
  resource: { resourceType: "Observation", id: "o" + i, status: "final", code: { text: "x" } },
}));
await hl.recordBundle(person, { resourceType: "Bundle", type: "collection", entry });
assert.equal(threads, 1);
const records = await hl.records(person);
assert.equal(records.length, 40);
for (const { record, head } of records) {
  const { id } = JSON.parse(new TextDecoder().decode(await hl.read(record)));
  assert.equal(head.manifest.resource.id, id);
}
assert.equal((await hl.verify()).ok, true);
if (close === "close") await hl.close();
console.log(process.version, "records on another thread,", thread, close);
`;

const CONSUMER = `${subpaths.map((subpath, i) => `import * as m${i} from "${subpath}";`).join("\n")}
import { InputError, LedgerError, type ErrorCode } from "healthledger";
import { readBundle, describeResource, type BundleReading } from "healthledger/fhir";

export const all: readonly object[] = [${subpaths.map((_, i) => `m${i}`).join(", ")}];
export function read(json: Uint8Array): BundleReading | ErrorCode {
  try {
    return readBundle(json);
  } catch (error) {
    if (error instanceof InputError) {
      const code: Extract<ErrorCode, \`ERR_INPUT_\${string}\`> = error.code;
      return code;
    }
    if (error instanceof LedgerError) return error.code;
    throw error;
  }
}
// @ts-expect-error a resource is no string
describeResource("Observation");
`;

const folder = mkdtempSync(join(tmpdir(), "healthledger-package-"));
try {
  const [packed] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root),
  );
  const tarball = join(folder, packed.filename);
  /** @type {string[]} */
  const files = packed.files.map((/** @type {{ path: string }} */ file) => file.path);
  for (const wanted of ["LICENSE", "README.md", "package.json", "docs/errors.md"]) {
    assert.ok(files.includes(wanted), `${wanted} is not in the package`);
  }
  const stray = files.filter(
    (path) =>
      !/^(dist\/|docs\/.*\.md$|examples\/.*\.(mjs|json|md|html|css)$|[A-Z]+(\.md)?$|package\.json$)/.test(
        path,
      ),
  );
  assert.deepEqual(stray, [], "files that do not belong into the package");
  for (const path of files.filter((file) => file.endsWith(".js"))) {
    assert.doesNotMatch(
      readFileSync(join(root, path), "utf8"),
      /\.ts["']/,
      `${path} names a source`,
    );
  }
  console.log(`packed ${files.length} files, ${packed.size} bytes`);

  const full = join(folder, "full");
  install(full, [tarball, lmdb]);
  writeFileSync(join(full, "imports.mjs"), IMPORTS);
  writeFileSync(join(full, "errors.mjs"), ERRORS);
  writeFileSync(join(full, "workers.mjs"), WORKERS);
  for (const version of versions) {
    process.stdout.write(runNode(version, ["--no-warnings", "imports.mjs"], full));
    process.stdout.write(runNode(version, ["--no-warnings", "errors.mjs"], full));
    for (const end of ["close", "leave"]) {
      process.stdout.write(runNode(version, ["--no-warnings", "workers.mjs", "own", end], full));
    }
  }
  await build({
    entryPoints: {
      app: join(full, "workers.mjs"),
      thread: join(full, "node_modules/healthledger/dist/workers/thread.js"),
    },
    ...{ outdir: join(folder, "bundled"), outExtension: { ".js": ".mjs" } },
    ...{ bundle: true, format: "esm", platform: "node", target: "node20", logLevel: "error" },
  });
  for (const version of versions) {
    const args = ["--no-warnings", "app.mjs", "./thread.mjs", "close"];
    process.stdout.write(runNode(version, args, join(folder, "bundled")));
  }

  // a consumer's own development condition does not reach into the package
  run(process.execPath, ["--no-warnings", "--conditions=source", "imports.mjs"], full);
  run(process.execPath, ["--no-warnings", "--conditions=development", "imports.mjs"], full);

  const bare = join(folder, "bare");
  install(bare, ["--omit=peer", tarball]);
  assert.throws(() => run(process.execPath, ["-e", 'require("lmdb")'], bare));
  writeFileSync(join(bare, "imports.mjs"), IMPORTS);
  run(process.execPath, ["--no-warnings", "imports.mjs"], bare);
  console.log("nothing breaks at import where lmdb is absent");

  const tsc = resolve(root, "node_modules/typescript/bin/tsc");
  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    writeFileSync(join(full, "consumer.ts"), CONSUMER);
    const compilerOptions = {
      module,
      moduleResolution,
      target: "es2022",
      lib: ["es2023", "dom", "esnext.disposable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
    };
    writeFileSync(
      join(full, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["consumer.ts"] }),
    );
    run(process.execPath, [tsc, "-p", "."], full);
    console.log(`a consumer's types check under moduleResolution ${moduleResolution}`);
  }
  checkConsumers({ root, folder, tarball, lmdb, files, run, install });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
