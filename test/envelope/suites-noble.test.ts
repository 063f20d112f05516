import { expect, it, vi } from "vitest";
import { backend } from "#crypto";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { makeGrant, openGrant } from "../../src/envelope/grant.ts";
import { createCollection, wrapForCollection } from "../../src/envelope/collection.ts";
import { decodeSignedHeader, signHeader } from "../../src/envelope/header.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { basis, context, grantorOf, hospital, keyOf, reader, seal, seeded } from "./parties.ts";

vi.mock("#crypto", () => import("../../src/crypto/noble.ts"));

const unsupported = {
  code: "ERR_ENVELOPE_UNSUPPORTED",
  message: "the suite aes-gcm needs node:crypto, and the backend here is noble",
};
const parts = [{ id: "content", bytes: new Uint8Array(20) }];

it("runs on noble", () => {
  expect(backend).toBe("noble");
});

it("neither seals nor opens aes-gcm without a native backend, and says why", async () => {
  const random = seeded("noble");
  await expect(
    sealEnvelope({ context, parts, signer: hospital, random, suite: "aes-gcm" }),
  ).rejects.toMatchObject(unsupported);
  const sealed = await seal(parts);
  const { header } = decodeSignedHeader(sealed.header);
  const bytes = await signHeader({ ...header, suite: "aes-gcm" }, hospital);
  const opening = openEnvelope({
    envelope: cidOf(bytes, DAG_CBOR),
    header: bytes,
    keys: { cek: sealed.cek },
    context,
    author: keyOf(hospital),
    read: reader(sealed.blocks),
  });
  await expect(opening).rejects.toMatchObject(unsupported);
  const keys = { cek: sealed.cek };
  const wrap = { envelope: sealed.cid, basis, keys, random, suite: "aes-gcm" } as const;
  expect(() => wrapForCollection(createCollection(random), wrap)).toThrow(unsupported.message);
});

it.each(["X25519", "P-256", "X-Wing"] as const)("grants to %s keys all the same", async (alg) => {
  const sealed = await seal(parts);
  const agreement = memoryAgreement({ alg, secret: new Uint8Array(32).fill(5) });
  const grant = await makeGrant({
    envelope: sealed.cid,
    basis,
    keys: { cek: sealed.cek },
    recipient: agreement,
    signer: hospital,
    random: seeded("noble"),
  });
  const grantor = grantorOf(hospital);
  const opened = await openGrant({ grant, agreement, envelope: sealed.cid, basis, grantor });
  expect(opened).toEqual({ cek: sealed.cek });
});
