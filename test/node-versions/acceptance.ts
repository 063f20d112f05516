// Run by hand or by CI on each supported Node, which differ in what OpenSSL accepts:
//   node --conditions=healthledger-source --import tsx test/node-versions/acceptance.ts
//   npx -y -p node@22 node --conditions=healthledger-source --import tsx test/node-versions/acceptance.ts
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import * as noble from "../../src/crypto/noble.ts";
import * as node from "../../src/crypto/node.ts";
import { webcryptoVerify } from "../../src/crypto/webcrypto.ts";
import { acceptedOf, type SignatureCase } from "./accepted.ts";

const folder =
  process.env["HEALTHLEDGER_VECTORS"] ??
  new URL("../../../shared/vectors", import.meta.url).pathname;
const file = readFileSync(`${folder}/ed25519/ed25519vectors.json`, "utf8");
const cases = JSON.parse(file) as readonly SignatureCase[];
const accepted = (verify: Parameters<typeof acceptedOf>[1]) => acceptedOf(cases, verify);

const expected = await accepted(noble.ed25519Verify);
assert.equal(expected.length, 43);
assert.deepEqual(await accepted(node.ed25519Verify), expected);
const web = await accepted((s, m, k) => webcryptoVerify("Ed25519", s, m, k));
assert.deepEqual(web, expected);

for (let i = 0; i < 50; i++) {
  const secret = noble.sha256(Uint8Array.of(i));
  const message = secret.slice(0, i % 32);
  for (const name of ["ed25519PublicKey", "p256PublicKey", "x25519PublicKey"] as const) {
    assert.equal(toHex(node[name](secret)), toHex(noble[name](secret)));
  }
  for (const [one, other] of [
    [node, noble],
    [noble, node],
  ] as const) {
    const ed = one.ed25519Sign(message, secret);
    const es = one.p256Sign(message, secret);
    assert(other.ed25519Verify(ed, message, other.ed25519PublicKey(secret)));
    assert(other.p256Verify(es, message, other.p256PublicKey(secret)));
    assert(await webcryptoVerify("ES256", es, message, other.p256PublicKey(secret)));
  }
  const mine = node.x25519(secret, noble.x25519PublicKey(secret));
  assert.equal(toHex(mine), toHex(noble.x25519(secret, node.x25519PublicKey(secret))));
  assert.equal(toHex(node.hmacSha256(secret, message)), toHex(noble.hmacSha256(secret, message)));
}
for (const bad of ["00", "01"]) {
  const point = fromHex(bad + "00".repeat(31));
  assert.throws(() => node.x25519(noble.sha256(), point), /all zero/);
}
console.log(`${process.version} OpenSSL ${process.versions.openssl}: 43 of 914, backends agree`);
