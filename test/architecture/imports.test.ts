import { describe, expect, it } from "vitest";
import { type Import, importsOf, sourceFiles } from "./source.ts";

/** The layers of docs/design/README.md: what each folder may import besides itself. */
const BASE = ["errors", "bytes"];
const PRIMITIVES = [...BASE, "codec", "crypto"];
const IDENTITY = [...PRIMITIVES, "identity", "merkle"];
const RECORDS = [...IDENTITY, "block", "envelope", "consent"];
const CORE = [...RECORDS, "fhir", "chain", "contract"];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  bytes: ["errors"],
  // Turns of the event loop: no folder of pure functions imports it.
  loop: [],
  codec: [...BASE, "crypto"],
  crypto: BASE,
  identity: PRIMITIVES,
  merkle: PRIMITIVES,
  block: IDENTITY,
  envelope: [...IDENTITY, "loop"],
  consent: IDENTITY,
  contract: [...IDENTITY, "block"],
  fhir: [...RECORDS, "contract"],
  chain: [...RECORDS, "contract", "storage"],
  verify: [...RECORDS, "chain"],
  ledger: [...CORE, "loop", "storage", "transport", "network"],
  storage: PRIMITIVES,
  transport: [...IDENTITY, "block"],
  network: [...CORE, "storage", "transport", "loop"],
  light: [...CORE, "transport", "network"],
  // Threads of Node.js for what a ledger describes and seals: the ledger does not know of them.
  workers: [...CORE, "ledger"],
  testing: [...CORE, "ledger", "verify", "storage", "transport", "network", "loop"],
  index: [...CORE, "ledger", "verify", "storage"],
};

/** Third-party packages, and the only folders that may import each. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@noble/ciphers": ["crypto"],
  "@noble/curves": ["crypto"],
  "@noble/hashes": ["crypto"],
  "@noble/post-quantum": ["crypto"],
  // CIDs and bases: small, pure, part of the public types
  multiformats: ["bytes", "codec", "identity", "block", "chain", "ledger", "storage"],
};

/** Files that may touch Node.js: backends and adapters. */
const NODE_FILES = [
  /^crypto\/node(-[a-z0-9-]+)?\.ts$/,
  /^identity\/file-(heads|keys|lock|shards)\.ts$/,
  /^storage\/(lmdb)(\/.*|-[a-z-]+)?\.ts$/,
  /^transport\/folder\.ts$/,
  /^testing\//,
  /^workers\/(index|pool|thread)\.ts$/,
];
/** Clients that an adapter may import, always optional peers. */
const CLIENTS: Readonly<Record<string, RegExp>> = {
  lmdb: /^storage\/lmdb(\/|\.ts$)/,
};

/** Adapters of `storage/`; all other files there are their interfaces. */
const ADAPTERS = /^storage\/(memory|lmdb|sqlite|postgres|indexeddb|s3)(?:\/|-[a-z-]+\.ts$|\.ts$)/;

const folderOf = (path: string): string => path.split("/")[0]!.replace(/\.ts$/, "");
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
const adapterOf = (path: string): string | undefined => ADAPTERS.exec(path)?.[1];

/** Why an import may not stand in a file, or `undefined`. */
function violation(path: string, imported: Import): string | undefined {
  const folder = folderOf(path);
  const { specifier, file } = imported;
  if (file !== undefined) {
    if (!file.endsWith(".ts")) return "relative imports end in .ts";
    const target = folderOf(file);
    const adapter = adapterOf(file);
    if (folder === "testing" && target === "testing") return undefined;
    if (adapter !== undefined && adapter !== adapterOf(path) && folder !== "testing") {
      return "only testing may import an adapter";
    }
    if (target === folder) return undefined;
    const allowed = MAY_IMPORT[folder];
    if (allowed === undefined) return `folder ${folder} has no rule`;
    return allowed.includes(target) ? undefined : `${folder} may not import ${target}`;
  }
  if (specifier === "#crypto") {
    return folder === "bytes" || folder === "errors"
      ? `${folder} may not import crypto`
      : undefined;
  }
  if (specifier.startsWith("node:")) {
    return NODE_FILES.some((pattern) => pattern.test(path)) ? undefined : "may not touch Node.js";
  }
  const name = packageOf(specifier);
  if (CLIENTS[name]?.test(path)) return undefined;
  if (folder === "testing" && name in CLIENTS) return undefined;
  if (PACKAGES[name]?.includes(folder)) return undefined;
  return `${folder} may not import the package ${name}`;
}

function violationsIn(path: string, text: string): string[] {
  return importsOf(path, text).flatMap((imported) => {
    const reason = violation(path, imported);
    return reason === undefined ? [] : [`${path}: "${imported.specifier}": ${reason}`];
  });
}

describe("import rules", () => {
  const files = sourceFiles();

  it("run downwards only, and leave Node.js and clients to backends and adapters", () => {
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap(({ path, text }) => violationsIn(path, text))).toEqual([]);
  });

  it("name no folder, package or adapter that is not there", () => {
    const folders = new Set(files.map(({ path }) => folderOf(path)));
    expect([...folders].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
    const adapters = new Set(files.flatMap(({ path }) => adapterOf(path) ?? []));
    expect([...adapters].sort()).toEqual([
      "indexeddb",
      "lmdb",
      "memory",
      "postgres",
      "s3",
      "sqlite",
    ]);
    const used = new Set(
      files.flatMap(({ path, text }) =>
        importsOf(path, text)
          .filter(({ file }) => file === undefined)
          .map(({ specifier }) => `${folderOf(path)}: ${packageOf(specifier)}`),
      ),
    );
    for (const [name, allowed] of Object.entries(PACKAGES)) {
      for (const folder of allowed) expect(used).toContain(`${folder}: ${name}`);
    }
  });

  it("make no circles between files, of types neither", () => {
    const graph = new Map(
      files.map(({ path, text }) => [
        path,
        importsOf(path, text).flatMap(({ file }) => (file === undefined ? [] : [file])),
      ]),
    );
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) circles.push([...trail, path].join(" -> "));
      else if (!done.has(path)) {
        for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
        done.add(path);
      }
    };
    for (const { path } of files) visit(path, []);
    expect(circles).toEqual([]);
  });

  it.each([
    ["merkle/tree.ts", 'import { x } from "../chain/x.ts";'],
    ["merkle/tree.ts", 'import type { X } from "../block/x.ts";'],
    ["block/entry.ts", 'import { x } from "../envelope/x.ts";'],
    ["consent/model.ts", 'export { x } from "../fhir/x.ts";'],
    ["consent/model.ts", 'type X = import("../ledger/x.ts").X;'],
    ["chain/rules.ts", 'await import("../ledger/x.ts");'],
    ["chain/append.ts", 'import { memoryStorage } from "../storage/memory.ts";'],
    ["ledger/open.ts", 'import { lmdbStorage } from "../storage/lmdb.ts";'],
    ["index.ts", 'export * from "../src/storage/lmdb.ts";'],
    ["storage/memory.ts", 'import { x } from "./lmdb/keys.ts";'],
    ["storage/lmdb.ts", 'import { x } from "../ledger/open.ts";'],
    ["storage/types.ts", 'import { x } from "./memory.ts";'],
    ["storage/memory.ts", 'import { readFileSync } from "node:fs";'],
    ["identity/signer.ts", 'import { scryptSync } from "node:crypto";'],
    ["crypto/noble.ts", 'import { createHash } from "node:crypto";'],
    ["storage/sqlite.ts", 'import { open } from "lmdb";'],
    ["merkle/hash.ts", 'import { sha256 } from "@noble/hashes/sha2.js";'],
    ["merkle/hash.ts", 'require("left-pad");'],
    ["merkle/hash.ts", 'import { x } from "./tree";'],
    ["bytes/hex.ts", 'import { sha256 } from "#crypto";'],
    ["elsewhere/x.ts", 'import { x } from "../errors.ts";'],
  ])("catch what is planted in %s: %s", (path, text) => {
    expect(violationsIn(path, text)).toHaveLength(1);
  });

  it.each([
    ["chain/append.ts", 'import type { ChainStore } from "../storage/types.ts";'],
    ["storage/lmdb.ts", 'import { x } from "./lmdb/keys.ts"; await import("lmdb");'],
    ["storage/lmdb/environment.ts", 'import { mkdirSync } from "node:fs";'],
    ["testing/kit.ts", 'import { memoryStorage } from "../storage/memory.ts";'],
    ["codec/cid.ts", 'import { sha256 } from "#crypto";'],
  ])("admit in %s: %s", (path, text) => {
    expect(violationsIn(path, text)).toEqual([]);
  });
});
