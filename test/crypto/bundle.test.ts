import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

// Makes esbuild forget that package.json promises modules without effects, to see whether it holds.
const distrustful: Plugin = {
  name: "distrustful",
  setup(builder) {
    builder.onResolve({ filter: /\.ts$|^#/ }, async ({ path, pluginData, ...rest }) => {
      if (pluginData === "resolved") return undefined;
      const { importer, namespace, resolveDir, kind } = rest;
      const options = { importer, namespace, resolveDir, kind, pluginData: "resolved" };
      return { ...(await builder.resolve(path, options)), sideEffects: true };
    });
  },
};

async function bundledModules(
  contents: string,
  plugins: Plugin[] = [],
): Promise<readonly string[]> {
  const result = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    format: "esm",
    platform: "browser",
    conditions: ["healthledger-source"],
    write: false,
    metafile: true,
    plugins,
  });
  const [output] = Object.values(result.metafile.outputs);
  return Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
}

describe("a bundle", () => {
  const unwanted = /nist|weierstrass|ciphers|chacha|scrypt|pbkdf2|hkdf|montgomery|node-|hpke/;

  it("that hashes and checks Ed25519 holds no P-256, ChaCha20 or scrypt", async () => {
    const modules = await bundledModules(
      `export { sha256, ed25519Verify } from "./src/crypto/noble.ts";`,
    );
    expect(modules.filter((path) => unwanted.test(path))).toEqual([]);
    expect(modules.some((path) => path.endsWith("abstract/edwards.js"))).toBe(true);
  });

  it("that names the Ed25519 verifier and reads actors holds no P-256 either", async () => {
    const modules = await bundledModules(`
      export { ed25519Verifier } from "./src/crypto/ed25519-verifier.ts";
      export { signingInput } from "./src/crypto/signing-input.ts";
      export { keyId, parseActor } from "./src/identity/actor.ts";
    `);
    expect(modules.filter((path) => unwanted.test(path))).toEqual([]);
    expect(modules).toContain("src/crypto/noble.ts");
  });

  it("of which nothing is used holds nothing: no module has effects on import", async () => {
    // All but what runs on Node.js only, which a browser's bundle cannot hold.
    const files = ["crypto", "identity"].flatMap((folder) =>
      readdirSync(`${root}src/${folder}`)
        .map((name) => `${folder}/${name}`)
        .filter((path) => !/^(crypto\/node|identity\/file-)/.test(path)),
    );
    expect(files).toContain("crypto/noble.ts");
    const imports = files.map((path) => `import "./src/${path}";`);
    const modules = await bundledModules(imports.join("\n"), [distrustful]);
    expect(modules.filter((path) => /^src\/(crypto|identity)\//.test(path))).toEqual([]);
  });
});
