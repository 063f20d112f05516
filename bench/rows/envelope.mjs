// @ts-check
import { randomBytes } from "node:crypto";
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import * as age from "age-encryption";
import * as jose from "jose";
import {
  floorGrant,
  floorOpen,
  floorOpenGrant,
  floorSeal,
  floorWrap,
} from "../lib/envelope-floor.mjs";
import { envelope as env, hl } from "../lib/healthledger.mjs";
import { rates } from "../lib/measure.mjs";

const random = (/** @type {number} */ length) => new Uint8Array(randomBytes(length));
const signer = hl.memorySigner({ alg: "Ed25519", secret: random(32) });
const agreement = hl.memoryAgreement({ alg: "X25519", secret: random(32) });
const recipient = { alg: /** @type {const} */ ("X25519"), publicKey: agreement.publicKey };
const basis = random(32);
const context = {
  ledger: hl.cidOf(random(32), hl.DAG_CBOR),
  author: signer.actor,
  kind: "record",
};
const author = { alg: signer.alg, publicKey: signer.publicKey };
const grantor = { ...author, actor: signer.actor };

/** @param {Uint8Array} bytes @param {number} recipients */
async function seal(bytes, recipients) {
  const parts = [{ id: "content", bytes }];
  const sealed = await env.sealEnvelope({ context, parts, signer, random });
  const keys = { cek: sealed.cek };
  const grants = [];
  for (let i = 0; i < recipients; i++) {
    const { cid: envelope } = sealed;
    grants.push(await env.makeGrant({ envelope, basis, keys, recipient, signer, random }));
  }
  return { ...sealed, grants };
}

/** @param {Awaited<ReturnType<typeof seal>>} sealed */
async function open({ cid: envelope, header, blocks, grants }) {
  const grant = /** @type {Uint8Array} */ (grants[0]);
  const keys = await env.openGrant({ grant, agreement, envelope, basis, grantor });
  const byName = new Map(blocks.map(({ cid, bytes }) => [cid.toString(), bytes]));
  const read = async (/** @type {{ toString(): string }} */ cid) => byName.get(cid.toString());
  const opened = await env.openEnvelope({ envelope, header, keys, context, author, read });
  env.wipeKeys(keys);
  return opened.parts.get("content");
}

const josePair = await jose.generateKeyPair("ECDH-ES+A256KW", { crv: "X25519", extractable: true });
const joseAlg = "ECDH-ES+A256KW";

/** @param {Uint8Array} bytes @param {number} recipients */
function joseSeal(bytes, recipients) {
  if (recipients === 1) {
    return new jose.CompactEncrypt(bytes)
      .setProtectedHeader({ alg: joseAlg, enc: "A256GCM" })
      .encrypt(josePair.publicKey);
  }
  const jwe = new jose.GeneralEncrypt(bytes).setProtectedHeader({ enc: "A256GCM" });
  for (let i = 0; i < recipients; i++) {
    jwe.addRecipient(josePair.publicKey).setUnprotectedHeader({ alg: joseAlg });
  }
  return jwe.encrypt();
}

/** @param {any} jwe */
const joseOpen = (jwe) =>
  typeof jwe === "string"
    ? jose.compactDecrypt(jwe, josePair.privateKey)
    : jose.generalDecrypt(jwe, josePair.privateKey);

const joseAuthor = await jose.generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });

/** Signed, then encrypted: what ours does twice. @param {Uint8Array} bytes */
async function joseSignedSeal(bytes) {
  const jws = await new jose.CompactSign(bytes)
    .setProtectedHeader({ alg: "EdDSA" })
    .sign(joseAuthor.privateKey);
  return joseSeal(new TextEncoder().encode(jws), 1);
}

/** @param {any} jwe */
async function joseSignedOpen(jwe) {
  const { plaintext } = await jose.compactDecrypt(jwe, josePair.privateKey);
  return jose.compactVerify(plaintext, joseAuthor.publicKey);
}

const hpke = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});
const hpkePair = await hpke.kem.generateKeyPair();

const ageIdentity = await age.generateIdentity();
const ageRecipient = await age.identityToRecipient(ageIdentity);

/** @param {Uint8Array} bytes @param {number} recipients */
async function ageSeal(bytes, recipients) {
  const encrypter = new age.Encrypter();
  for (let i = 0; i < recipients; i++) encrypter.addRecipient(ageRecipient);
  return encrypter.encrypt(bytes);
}

/** @param {Uint8Array} sealed */
async function ageOpen(sealed) {
  const decrypter = new age.Decrypter();
  decrypter.addIdentity(ageIdentity);
  return decrypter.decrypt(sealed);
}

/**
 * @param {string} name
 * @param {number} times
 * @param {(i: number) => unknown} work
 */
const side = (name, times, work) => ({
  name,
  async round() {
    for (let i = 0; i < times; i++) await work(i);
    return times;
  },
});

/**
 * @param {string} what
 * @param {number} bytes
 * @param {number} recipients
 * @param {number} times
 */
const row = (what, bytes, recipients, times) => ({
  name: `${what}/${bytes === 1024 ? "1k" : "16m"}-${recipients}`,
  unit: "envelopes/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const content = random(bytes);
    const count = short ? Math.ceil(times / 50) : times;
    const slower = Math.ceil(count / 4);
    const floorSealed = () => {
      const sealed = floorSeal(content);
      const grants = Array.from({ length: recipients }, () =>
        floorGrant(sealed.key.subarray(0, 32)),
      );
      return { sealed, grants };
    };
    const done = {
      ours: await seal(content, recipients),
      floor: floorSealed(),
      jose: await joseSeal(content, recipients),
      age: await ageSeal(content, recipients),
      signed: await joseSignedSeal(content.subarray(0, 1024)),
      hpke: await hpke.seal({ recipientPublicKey: hpkePair.publicKey }, content),
    };
    const sealing = what === "seal";
    const sides = [
      side("ours", count, () => (sealing ? seal(content, recipients) : open(done.ours))),
      side("floor", count, () => {
        if (sealing) return floorSealed();
        floorOpenGrant(/** @type {any} */ (done.floor.grants[0]));
        return floorOpen(done.floor.sealed);
      }),
      side("jose", slower, () => (sealing ? joseSeal(content, recipients) : joseOpen(done.jose))),
      side("age", slower, () => (sealing ? ageSeal(content, recipients) : ageOpen(done.age))),
    ];
    if (recipients === 1) {
      const { enc, ct } = done.hpke;
      sides.push(
        side("signed", slower, () =>
          sealing ? joseSignedSeal(content) : joseSignedOpen(done.signed),
        ),
      );
      sides.push(
        side("hpke", slower, () =>
          sealing
            ? hpke.seal({ recipientPublicKey: hpkePair.publicKey }, content)
            : hpke.open({ recipientKey: hpkePair.privateKey, enc }, ct),
        ),
      );
    }
    const { ours, floor, ...others } = await rates(sides, { rounds });
    note("jose, @hpke/core and age sign nothing; ours signs header and grants, and names blocks");
    const { jose: byJose, age: byAge, hpke: byHpke, signed } = others;
    return {
      value: /** @type {number} */ (ours),
      floor: /** @type {number} */ (floor),
      peers: {
        jose: /** @type {number} */ (byJose),
        "age-encryption": /** @type {number} */ (byAge),
        ...(signed === undefined ? {} : { "jose, signed": signed }),
        ...(byHpke === undefined ? {} : { "@hpke/core": byHpke }),
      },
    };
  },
});

const rewrap = {
  name: "grant/rewrap",
  unit: "grants/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short }) {
    const { cid: envelope, grants } = await seal(random(1024), 1);
    const grant = /** @type {Uint8Array} */ (grants[0]);
    const to = { recipient, basis: random(32), signer, random };
    const bare = floorGrant(random(32));
    const times = short ? 10 : 500;
    const { ours, floor } = await rates(
      [
        side("ours", times, () =>
          env.rewrapGrant({ grant, agreement, envelope, basis, grantor, to }),
        ),
        side("floor", times, () => floorGrant(floorOpenGrant(bare))),
      ],
      { rounds },
    );
    return { value: /** @type {number} */ (ours), floor: /** @type {number} */ (floor) };
  },
};

const collection = {
  name: "grant/collection",
  unit: "wraps/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const key = env.createCollection(random);
    const { cid: envelope, cek } = await seal(random(1024), 1);
    const keys = { cek };
    const times = short ? 100 : 20_000;
    const content = random(38);
    let cpu = 0;
    let wraps = 0;
    const { ours, floor } = await rates(
      [
        {
          name: "ours",
          round() {
            const before = process.cpuUsage();
            for (let i = 0; i < times; i++) {
              env.wrapForCollection(key, { envelope, basis, keys, random });
            }
            const { user, system } = process.cpuUsage(before);
            cpu += user + system;
            wraps += times;
            return times;
          },
        },
        {
          name: "floor",
          round() {
            for (let i = 0; i < times; i++) {
              randomBytes(12);
              floorWrap(key.key, content);
            }
            return times;
          },
        },
      ],
      { rounds },
    );
    note(`${(cpu / wraps).toFixed(1)} µs of CPU a wrap`);
    return { value: /** @type {number} */ (ours), floor: /** @type {number} */ (floor) };
  },
};

export const rows = [
  row("seal", 1024, 1, 1000),
  row("open", 1024, 1, 1000),
  row("seal", 16 << 20, 10, 4),
  row("open", 16 << 20, 10, 4),
  rewrap,
  collection,
];
