import { createHash } from "node:crypto";
import { x25519PublicKey } from "#crypto";
import { cidOf, DAG_CBOR, type CID } from "../../src/codec/cid.ts";
import { sealEnvelope, type PartContent, type SealedEnvelope } from "../../src/envelope/seal.ts";
import type { EnvelopeContext, SigningKey } from "../../src/envelope/header.ts";
import type { OpenOptions } from "../../src/envelope/open.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";

/** Bytes that look random and are the same on every run. */
export function seeded(seed: string): (length: number) => Uint8Array {
  let count = 0;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += 32) {
      const block = createHash("sha256").update(`${seed}/${count++}`).digest();
      bytes.set(block.subarray(0, Math.min(32, length - at)), at);
    }
    return bytes;
  };
}

const secrets = seeded("keys");
export const hospital: Signer = memorySigner({ alg: "Ed25519", secret: secrets(32) });
export const laboratory: Signer = memorySigner({ alg: "Ed25519", secret: secrets(32) });
export const clinic: Signer = memorySigner({ alg: "ES256", secret: secrets(32) });

export const recipient = memoryAgreement({ alg: "X25519", secret: secrets(32) });
export const otherRecipient = memoryAgreement({ alg: "X25519", secret: secrets(32) });
export const nobody = { alg: "X25519" as const, publicKey: x25519PublicKey(secrets(32)) };

export const ledger: CID = cidOf(new Uint8Array([1]), DAG_CBOR);
export const otherLedger: CID = cidOf(new Uint8Array([2]), DAG_CBOR);
export const context: EnvelopeContext = { ledger, author: hospital.actor, kind: "record" };
export const basis: Uint8Array = new Uint8Array(32).fill(0xba);

export const keyOf = ({ alg, publicKey }: Signer): SigningKey => ({ alg, publicKey });
export const grantorOf = ({ actor, alg, publicKey }: Signer): SigningKey & { actor: string } => ({
  actor,
  alg,
  publicKey,
});

/** Seals parts as the hospital, with randomness that is the same on every run. */
export function seal(parts: readonly PartContent[], seed = "seal"): Promise<SealedEnvelope> {
  return sealEnvelope({ context, parts, signer: hospital, random: seeded(seed) });
}

/** Reads from the blocks of sealed envelopes, and from others put over them. */
export function reader(
  ...lists: readonly (readonly { readonly cid: CID; readonly bytes: Uint8Array }[])[]
): (cid: CID) => Promise<Uint8Array | undefined> {
  const blocks = new Map(lists.flat().map(({ cid, bytes }) => [cid.toString(), bytes]));
  return async (cid) => blocks.get(cid.toString());
}

/** Options that open what the hospital sealed, with its content key. */
export function openingOf(
  { cid, header, cek, blocks }: Pick<SealedEnvelope, "cid" | "header" | "cek" | "blocks">,
  change: Partial<OpenOptions> = {},
): OpenOptions {
  return {
    envelope: cid,
    header,
    keys: { cek },
    context,
    author: keyOf(hospital),
    read: reader(blocks),
    ...change,
  };
}
