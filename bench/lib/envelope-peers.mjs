// @ts-check
// What peers make of the same content for the same recipients. Nothing here needs Node.js.
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import * as age from "age-encryption";
import * as jose from "jose";

const JOSE_ALG = "ECDH-ES+A256KW";

/**
 * Sealing by a peer; what it gives opens what was sealed.
 * @typedef {(bytes: Uint8Array, recipients: number) => Promise<() => Promise<unknown>>} PeerSeal
 */

/**
 * Every peer's way to seal to X25519 keys, under keys made for the occasion.
 *
 * @returns {Promise<Readonly<Record<"jose" | "jose, signed" | "@hpke/core" | "age-encryption", PeerSeal>>>}
 */
export async function envelopePeers() {
  const pair = await jose.generateKeyPair(JOSE_ALG, { crv: "X25519", extractable: true });
  const author = await jose.generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const hpke = new CipherSuite({
    kem: new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: new Aes256Gcm(),
  });
  const { publicKey, privateKey } = await hpke.kem.generateKeyPair();
  const identity = await age.generateIdentity();
  const ageRecipient = await age.identityToRecipient(identity);

  return {
    async jose(bytes, recipients) {
      if (recipients === 1) {
        const jwe = await new jose.CompactEncrypt(bytes)
          .setProtectedHeader({ alg: JOSE_ALG, enc: "A256GCM" })
          .encrypt(pair.publicKey);
        return () => jose.compactDecrypt(jwe, pair.privateKey);
      }
      const general = new jose.GeneralEncrypt(bytes).setProtectedHeader({ enc: "A256GCM" });
      for (let i = 0; i < recipients; i++) {
        general.addRecipient(pair.publicKey).setUnprotectedHeader({ alg: JOSE_ALG });
      }
      const jwe = await general.encrypt();
      return () => jose.generalDecrypt(jwe, pair.privateKey);
    },
    // what ours does twice: signed, then encrypted
    async "jose, signed"(bytes) {
      const jws = await new jose.CompactSign(bytes)
        .setProtectedHeader({ alg: "EdDSA" })
        .sign(author.privateKey);
      const jwe = await new jose.CompactEncrypt(new TextEncoder().encode(jws))
        .setProtectedHeader({ alg: JOSE_ALG, enc: "A256GCM" })
        .encrypt(pair.publicKey);
      return async () => {
        const { plaintext } = await jose.compactDecrypt(jwe, pair.privateKey);
        return jose.compactVerify(plaintext, author.publicKey);
      };
    },
    async "@hpke/core"(bytes) {
      const { enc, ct } = await hpke.seal({ recipientPublicKey: publicKey }, bytes);
      return () => hpke.open({ recipientKey: privateKey, enc }, ct);
    },
    async "age-encryption"(bytes, recipients) {
      const encrypter = new age.Encrypter();
      for (let i = 0; i < recipients; i++) encrypter.addRecipient(ageRecipient);
      const sealed = await encrypter.encrypt(bytes);
      return () => {
        const decrypter = new age.Decrypter();
        decrypter.addIdentity(identity);
        return decrypter.decrypt(sealed);
      };
    },
  };
}
