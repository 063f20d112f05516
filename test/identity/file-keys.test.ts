import { fork } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { sealCose } from "../../src/crypto/cose-hpke.ts";
import { verifySignature } from "../../src/crypto/sign.ts";
import { fileKeys, type FileKeysOptions } from "../../src/identity/file-keys.ts";
import { signWith } from "../../src/identity/signer.ts";

const cost = { N: 2 ** 14, r: 8, p: 1 };
const bytes = utf8ToBytes("a structure");
const options: FileKeysOptions = { passphrase: "correct horse", cost, create: true };
let folder = "";
let path = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "healthledger-keys-"));
  path = join(folder, "keys");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const refused = (message: string) => ({
  code: "ERR_SIGNATURE_KEYSTORE",
  message: expect.stringContaining(message) as unknown,
});

describe("fileKeys", () => {
  it("finds everything again after reopening", async () => {
    const keys = await fileKeys(path, options);
    const signing = await keys.generate({ use: "sign" });
    const recovery = await keys.generate({ use: "recovery", alg: "ES256" });
    const agreement = await keys.generate({ use: "agree" });
    for (const alg of ["P-256", "X-Wing"] as const) await keys.generate({ use: "agree", alg });
    await keys.retire(agreement.key);
    const listed = keys.list();
    await keys.close();

    const again = await fileKeys(path, { passphrase: "correct horse" });
    expect(again.list()).toEqual(listed);
    for (const { key } of [signing, recovery]) {
      const signer = again.signer(key);
      const { alg, publicKey } = signer;
      const signature = await signWith(signer, "header", bytes);
      expect(verifySignature({ alg, publicKey, signature, what: "header", bytes })).toBe(true);
    }
    const to = again.agreement(agreement.key);
    const message = sealCose(to, bytes, bytes, new Uint8Array(32).fill(1));
    expect(await to.unwrap(message, bytes)).toEqual(bytes);
    await again.close();
  });

  it("leaves one file, readable by its owner only, without the secret or the passphrase", async () => {
    const keys = await fileKeys(path, options);
    const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 100);
    await keys.add({ use: "sign", secret });
    await keys.close();
    expect(await readdir(folder)).toEqual(["keys"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const written = toHex(await readFile(path));
    expect(written).not.toContain(toHex(secret));
    expect(written).not.toContain(toHex(utf8ToBytes("correct horse")));
  });

  it("tells a missing file, a wrong passphrase, a foreign and a damaged file apart", async () => {
    await expect(fileKeys(path, { passphrase: "x" })).rejects.toMatchObject(
      refused("there is no key file"),
    );
    await (await fileKeys(path, options)).close();
    await expect(fileKeys(path, { passphrase: "wrong" })).rejects.toMatchObject(
      refused("wrong passphrase"),
    );
    const good = await readFile(path);
    const attempt = async (content: Uint8Array) => {
      await writeFile(path, content);
      return fileKeys(path, options);
    };
    await expect(attempt(utf8ToBytes("not cbor"))).rejects.toMatchObject(
      refused("the file is not a key file"),
    );
    await expect(attempt(new Uint8Array(0))).rejects.toMatchObject(
      refused("the file is not a key file"),
    );
    await expect(attempt(new Uint8Array(2_000_000))).rejects.toMatchObject(
      refused("the file is not a key file"),
    );
    await expect(attempt(good.subarray(0, -1))).rejects.toMatchObject(
      refused("the file is not a key file"),
    );
    const file = decode(new Uint8Array(good)) as Record<string, Uint8Array>;
    for (const field of ["nonce", "sealed"]) {
      const changed = file[field]!.slice();
      changed[0]! ^= 1;
      await expect(attempt(encode({ ...file, [field]: changed }))).rejects.toMatchObject(
        refused("damaged or was altered"),
      );
    }
    await expect(attempt(encode({ ...file, v: 2 }))).rejects.toMatchObject(
      refused("the file is not a key file"),
    );
    await (await attempt(good)).close();
  });

  it("refuses scrypt parameters that are a toy or a trap, before it spends anything", async () => {
    await (await fileKeys(path, options)).close();
    const file = decode(new Uint8Array(await readFile(path))) as {
      scrypt: Record<string, unknown>;
    };
    const started = performance.now();
    for (const change of [
      { N: 2 ** 30 },
      { N: 2 ** 13 },
      { N: 2 ** 14 + 1 },
      { r: 1024 },
      { r: 1 },
      { p: 1_000_000 },
      { p: 0 },
    ]) {
      await writeFile(path, encode({ ...file, scrypt: { ...file.scrypt, ...change } }));
      await expect(fileKeys(path, options)).rejects.toMatchObject(refused("out of bounds"));
    }
    expect(performance.now() - started).toBeLessThan(1000);
    const weak = { ...options, cost: { N: 1024, r: 8, p: 1 } };
    await expect(fileKeys(path, weak)).rejects.toMatchObject(refused("out of bounds"));
  });

  it("reads passphrases alike however they were composed, and none that is empty", async () => {
    await (await fileKeys(path, { ...options, passphrase: "cl\u00e9" })).close();
    await (await fileKeys(path, { passphrase: "cle\u0301" })).close();
    await (await fileKeys(path, { passphrase: utf8ToBytes("cl\u00e9") })).close();
    await expect(fileKeys(path, { passphrase: "" })).rejects.toThrow(RangeError);
  });

  it("loses no key when several handles write at once", async () => {
    const handles = await Promise.all([1, 2, 3, 4].map(() => fileKeys(path, options)));
    const made = await Promise.all(
      [...handles, ...handles].map((keys) => keys.generate({ use: "sign" })),
    );
    await Promise.all(handles.map((keys) => keys.close()));
    const keys = await fileKeys(path, options);
    const held = keys.list().map(({ key }) => toHex(key));
    expect(held.sort()).toEqual(made.map(({ key }) => toHex(key)).sort());
    expect(await readdir(folder)).toEqual(["keys"]);
    await keys.close();
  });

  it("loses no key when several processes write at once", async () => {
    await (await fileKeys(path, options)).close();
    const script = new URL("./file-keys.child.ts", import.meta.url);
    const run = () =>
      new Promise<void>((resolve, reject) => {
        const execArgv = ["--conditions=healthledger-source", "--import", "tsx"];
        const child = fork(script, [path, "3"], { execArgv, stdio: "inherit" });
        child.on("error", reject);
        child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`))));
      });
    await Promise.all([run(), run(), run()]);
    const keys = await fileKeys(path, options);
    expect(keys.list()).toHaveLength(9);
    await keys.close();
  });

  it("takes over a lock whose process died before it had written its name", async () => {
    const keys = await fileKeys(path, options);
    await writeFile(`${path}.lock`, "");
    await keys.generate({ use: "sign" });
    await expect(readFile(`${path}.lock`)).rejects.toMatchObject({ code: "ENOENT" });
    // One that names itself late is waited for.
    const hasty = await fileKeys(path, { ...options, lockTimeout: 1500 });
    await writeFile(`${path}.lock`, "");
    const late = setTimeout(
      () => void writeFile(`${path}.lock`, `${process.pid} ${hostname()} 00\n`),
      300,
    );
    await expect(hasty.generate({ use: "sign" })).rejects.toMatchObject(refused("locked"));
    clearTimeout(late);
    await rm(`${path}.lock`);
  });

  it("takes over the lock of a process that is gone, and waits for one that is not", async () => {
    const keys = await fileKeys(path, { ...options, lockTimeout: 100 });
    // Above Linux's and macOS's largest process id.
    await writeFile(`${path}.lock`, `4999999 ${hostname()} 00\n`);
    await keys.generate({ use: "sign" });
    await writeFile(`${path}.lock`, `${process.pid} ${hostname()} 00\n`);
    await expect(keys.generate({ use: "sign" })).rejects.toMatchObject(refused("locked"));
    await writeFile(`${path}.lock`, `4999999 elsewhere 00\n`);
    await expect(keys.generate({ use: "sign" })).rejects.toMatchObject(refused("locked"));
    await rm(`${path}.lock`);
    await keys.generate({ use: "sign" });
    expect(keys.list()).toHaveLength(2);
    await keys.close();
  });

  it("changes nothing if the file was replaced or removed meanwhile", async () => {
    const keys = await fileKeys(path, options);
    await rm(path);
    await expect(keys.generate({ use: "sign" })).rejects.toMatchObject(refused("disappeared"));
    await (await fileKeys(path, options)).close();
    await expect(keys.generate({ use: "sign" })).rejects.toMatchObject(
      refused("the key file was replaced by another one"),
    );
    expect(keys.list()).toEqual([]);
    await keys.close();
  });
});
