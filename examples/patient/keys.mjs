// @ts-check
// The patient's two keys: made by WebCrypto, never readable by a script, kept in IndexedDB. P-256, because every
// browser has it.
import { agreementFromEcdh, webcryptoSigner } from "healthledger";

/** @typedef {{ readonly sign: CryptoKeyPair, readonly agree: CryptoKeyPair }} Pairs */

/** @returns {Promise<IDBDatabase>} */
function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("my-keys", 1);
    opening.addEventListener("upgradeneeded", () => opening.result.createObjectStore("pairs"));
    opening.addEventListener("success", () => resolve(opening.result));
    opening.addEventListener("error", () => reject(opening.error));
  });
}

/**
 * Does one thing in a transaction, and waits until it is on disk.
 *
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} act
 * @returns {Promise<T>}
 */
async function within(mode, act) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction("pairs", mode, { durability: "strict" });
      const request = act(transaction.objectStore("pairs"));
      transaction.addEventListener("complete", () => resolve(request.result));
      transaction.addEventListener("abort", () => reject(transaction.error));
    });
  } finally {
    db.close();
  }
}

/** @param {Pairs} pairs */
async function usable({ sign, agree }) {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", agree.publicKey));
  // A ledger has points in their compressed form: the parity of y, then x.
  const publicKey = Uint8Array.of(2 + ((raw[64] ?? 0) & 1), ...raw.subarray(1, 33));
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const agreement = agreementFromEcdh({
    ...{ alg: "P-256", publicKey },
    async ecdh(point) {
      const theirs = await crypto.subtle.importKey("raw", new Uint8Array(point), curve, false, []);
      const secret = await crypto.subtle.deriveBits(
        { name: "ECDH", public: theirs },
        agree.privateKey,
        256,
      );
      return new Uint8Array(secret);
    },
  });
  return { signer: await webcryptoSigner({ keyPair: sign }), agreement };
}

/** The keys that this browser has; `undefined`: none yet. */
export async function keptKeys() {
  /** @type {Pairs | undefined} */
  const pairs = await within("readonly", (store) => store.get("mine"));
  return pairs && usable(pairs);
}

/** Makes keys and keeps them. Fails if there are some, which the hospital may have attested. */
export async function makeKeys() {
  const isExtractable = false;
  const sign = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    isExtractable,
    ["sign", "verify"],
  );
  const agree = await crypto.subtle.generateKey(
    { name: "ECDH", namedCurve: "P-256" },
    isExtractable,
    ["deriveBits"],
  );
  await within("readwrite", (store) => store.add({ sign, agree }, "mine"));
  return usable({ sign, agree });
}
