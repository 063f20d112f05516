// @ts-check
// What the page says to the hospital and learns from it. Whatever it takes is proved by the genesis record alone.
import { handInDirective, pullFromCustodian, signDirective, verifyDescription } from "healthledger";
import { decodeKeyState, decodeMemberState, lightClient, publicPeer } from "healthledger/light";
import { trustFromGenesis } from "healthledger/verify";

/** @typedef {import("healthledger").Pulled} Pulled */
/** @typedef {Extract<Pulled, { kind: "consent" }>} Consent */
/** @typedef {Extract<Pulled, { kind: "access" | "difference" }>} Access */
/** @typedef {Awaited<ReturnType<import("./keys.mjs").makeKeys>>} Keys */
/** @typedef {import("healthledger").PersonIdentifier} Patient */
/** @typedef {"in force" | "withdrawn" | "suspended" | "replaced"} Standing */

/** @param {string} hex */
export const fromHex = (hex) =>
  Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
/** @param {Uint8Array} bytes */
export const toHex = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * The hospital's agreement key in force, by the ledger's state.
 *
 * @param {import("healthledger/verify").Trust} trust
 * @param {ReturnType<typeof publicPeer>} peer
 */
async function agreementKey(trust, peer) {
  const light = lightClient({ trust, peers: [peer] });
  try {
    await light.sync();
    const { value } = await light.state(`sys/member/${peer.did}`);
    for (const id of value === null ? [] : decodeMemberState(value).keys) {
      const key = (await light.state(`sys/key/${toHex(id)}`)).value;
      const state = key && decodeKeyState(key);
      if (state?.use === "agree" && state.until === null) {
        return { alg: /** @type {"X25519"} */ (state.alg), publicKey: state.publicKey };
      }
    }
  } finally {
    await light.close();
  }
  throw new Error("the hospital has no key on the ledger to seal to");
}

/**
 * Whom the page speaks to. The genesis record comes with the page here, as its script does: who serves the one is
 * believed for the other. An app brings both along.
 *
 * @param {{ genesis: string, custodian: string, descriptions: readonly string[] }} setup
 */
export function hospital({ genesis, custodian, descriptions }) {
  const trust = trustFromGenesis(fromHex(genesis));
  const peer = publicPeer({ url: new URL("/ledger", location.href).href, did: custodian });
  // Each organisation signs what it calls itself.
  const names = new Map(
    descriptions.map((bytes) => {
      const { name, member } = verifyDescription(fromHex(bytes), trust.ledger);
      return [member.actor, name];
    }),
  );
  /** @param {Keys} keys */
  const toIt = async (keys) => ({
    ...{ peer, trust, signer: keys.signer, agreement: keys.agreement },
    custodianKey: await agreementKey(trust, peer),
  });
  return {
    /** @param {string} did */
    nameOf: (did) => names.get(did) ?? did,

    /**
     * Everything that is filed about the patient, in order.
     *
     * @param {Keys} keys @param {Patient} patient
     */
    async filed(keys, patient) {
      /** @type {Pulled[]} */
      const all = [];
      for await (const one of pullFromCustodian({ ...(await toIt(keys)), patient })) all.push(one);
      return all;
    },

    /**
     * Ends a consent, and those before it that say something under the same name.
     *
     * @param {Keys} keys @param {Patient} patient @param {Consent} consent
     */
    async withdraw(keys, patient, { entry, directive }) {
      const { root: _root, ...rest } = directive;
      const salt = crypto.getRandomValues(new Uint8Array(32));
      /** @type {import("healthledger/consent").Directive} */
      const withdrawal = {
        ...{ ...rest, mode: "revoke", default: "none", predecessors: [entry] },
        grantor: { actor: keys.signer.actor, capacity: "self", evidence: [] },
        validity: { from: Date.now() - 1000, zone: "UTC" },
      };
      const whom = { ledger: trust.ledger, person: patient, salt };
      const signed = await signDirective(withdrawal, keys.signer, whom);
      return handInDirective({ ...(await toIt(keys)), patient, signed, salt });
    },
  };
}

/** @param {import("healthledger/consent").Directive} directive */
const scopeOf = ({ controller, category, jurisdictions }) =>
  JSON.stringify([controller, category, jurisdictions]);
const EVERYTHING = JSON.stringify([undefined, undefined, undefined]);

/**
 * Whether a directive has begun, and is about all that an earlier one of its name is about.
 *
 * @param {Consent} later @param {Consent} earlier @param {number} now
 */
function covers({ directive: later }, { directive: earlier }, now) {
  const { from } = later.validity;
  const begins = typeof from === "number" ? from : Date.parse(from);
  const scope = scopeOf(later);
  return (
    later.lineage === earlier.lineage &&
    begins <= now &&
    (scope === EVERYTHING || scope === scopeOf(earlier))
  );
}

/**
 * What became of each permission and refusal by those filed after it under the same name. What the hospital decides
 * also heeds the law, and until when each says that it holds.
 *
 * @param {readonly Pulled[]} filed - in order
 * @param {number} now
 * @returns {readonly { readonly consent: Consent, readonly standing: Standing }[]}
 */
export function consentsOf(filed, now) {
  const consents = filed.filter((one) => one.kind === "consent");
  return consents
    .filter(({ directive }) => directive.root !== undefined)
    .map((consent) => {
      const later = consents.filter(
        (one) => one.number > consent.number && covers(one, consent, now),
      );
      /** @param {string} mode */
      const has = (mode) => later.some(({ directive }) => directive.mode === mode);
      const isReplaced = later.some(
        ({ directive: { mode, predecessors } }) =>
          mode === "replace" && predecessors.includes(consent.entry),
      );
      if (has("revoke")) return { consent, standing: "withdrawn" };
      if (has("suspend")) return { consent, standing: "suspended" };
      return { consent, standing: isReplaced ? "replaced" : "in force" };
    });
}
