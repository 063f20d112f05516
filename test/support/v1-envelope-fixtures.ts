import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { toBase64 } from "../../src/bytes/base64.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { wrapForCollection } from "../../src/envelope/collection.ts";
import { makeGrant } from "../../src/envelope/grant.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { sealMembership } from "../../src/envelope/membership.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { seeded } from "../envelope/parties.ts";
import { bytesFor, signerFor } from "./ledger.ts";

/**
 * Writes `envelope.json` and `recipients.json` of `test/fixtures/format/v1/`: envelopes of fixed
 * keys with grants, a membership and wraps. They were written when format v1 was frozen; run it
 * again only for another format version, into another folder:
 *
 *     node --import tsx --conditions=healthledger-source test/support/v1-envelope-fixtures.ts <folder>
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("name the folder to write to");

const ledger = cidOf(utf8ToBytes("a ledger"), DAG_CBOR);
const basis = bytesFor("basis of v1");
const write = (name: string, value: object): void =>
  writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);

async function writeEnvelope(): Promise<void> {
  const signer = memorySigner({ alg: "ES256", secret: bytesFor("author of envelope v1") });
  const recipient = memoryAgreement({ alg: "X25519", secret: bytesFor("recipient of v1") });
  const random = seeded("envelope v1");
  const contents = {
    manifest: utf8ToBytes('{"type":"Observation"}'),
    content: new Uint8Array(65_539).map((_, i) => i % 251),
    empty: new Uint8Array(0),
  };
  const supersedes = cidOf(utf8ToBytes("an older envelope"), DAG_CBOR);
  const sealed = await sealEnvelope({
    context: { ledger, author: signer.actor, kind: "access" },
    parts: Object.entries(contents).map(([id, bytes]) => ({ id, bytes })),
    ...{ signer, random, supersedes },
  });
  const { header } = decodeSignedHeader(sealed.header);
  const terms = { envelope: sealed.cid, basis, recipient, signer, random };
  const some = derivePartKeys(header, sealed.cek, ["manifest"]);
  write("envelope.json", {
    note: "Written once; these bytes must decode for ever.",
    ledger: String(ledger),
    author: { actor: signer.actor, alg: signer.alg, publicKey: toHex(signer.publicKey) },
    kind: "access",
    supersedes: String(supersedes),
    recipientSecret: toHex(bytesFor("recipient of v1")),
    basis: toHex(basis),
    cek: toHex(sealed.cek),
    envelope: String(sealed.cid),
    header: toHex(sealed.header),
    blocks: Object.fromEntries(
      sealed.blocks.map(({ cid, bytes }) => [String(cid), toBase64(bytes)]),
    ),
    parts: Object.fromEntries(
      Object.entries(contents).map(([id, bytes]) => [
        id,
        { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") },
      ]),
    ),
    grants: {
      parts: toHex(await makeGrant({ ...terms, keys: some })),
      cek: toHex(await makeGrant({ ...terms, keys: { cek: sealed.cek } })),
    },
  });
}

async function writeRecipients(): Promise<void> {
  const signer = signerFor("author of recipients v1");
  const random = seeded("recipients v1");
  const sealed = await sealEnvelope({
    context: { ledger, author: signer.actor, kind: "record" },
    parts: [
      { id: "manifest", bytes: utf8ToBytes("type") },
      { id: "content", bytes: utf8ToBytes("a resource") },
    ],
    ...{ signer, random, suite: "aes-gcm" },
  });
  const keys = { cek: sealed.cek };
  const collection = { collection: random(32), epoch: 1, key: random(32) };
  const secrets: Record<string, string> = {};
  const grants: Record<string, string> = {};
  const memberships: Record<string, string> = {};
  for (const alg of ["X25519", "P-256", "X-Wing"] as const) {
    const secret = bytesFor(`recipient of v1 ${alg}`);
    const recipient = memoryAgreement({ alg, secret });
    secrets[alg] = toHex(secret);
    const terms = { basis, recipient, signer, random };
    grants[alg] = toHex(await makeGrant({ ...terms, envelope: sealed.cid, keys }));
    memberships[alg] = toHex(await sealMembership({ ...terms, key: collection }));
  }
  const wrap = (suite: "chacha" | "aes-gcm"): string =>
    toHex(wrapForCollection(collection, { envelope: sealed.cid, basis, keys, random, suite }));
  write("recipients.json", {
    ledger: String(ledger),
    author: { actor: signer.actor, publicKey: toHex(signer.publicKey) },
    basis: toHex(basis),
    secrets,
    envelope: String(sealed.cid),
    header: toHex(sealed.header),
    blocks: Object.fromEntries(sealed.blocks.map(({ cid, bytes }) => [String(cid), toHex(bytes)])),
    cek: toHex(sealed.cek),
    grants,
    collection: {
      collection: toHex(collection.collection),
      epoch: collection.epoch,
      key: toHex(collection.key),
    },
    memberships,
    wraps: { chacha: wrap("chacha"), "aes-gcm": wrap("aes-gcm") },
  });
}

await writeEnvelope();
await writeRecipients();
