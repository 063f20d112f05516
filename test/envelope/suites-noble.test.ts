import { expect, it, vi } from "vitest";
import { backend } from "#crypto";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope, type SealedEnvelope } from "../../src/envelope/seal.ts";
import { makeGrant, openGrant } from "../../src/envelope/grant.ts";
import {
  createCollection,
  unwrapFromCollection,
  wrapForCollection,
} from "../../src/envelope/collection.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { basis, context, grantorOf, hospital, seal, seeded, openingOf } from "./parties.ts";

vi.mock("#crypto", () => import("../../src/crypto/noble.ts"));

const parts = [{ id: "content", bytes: new Uint8Array(20) }];

it("runs on noble", () => {
  expect(backend).toBe("noble");
});

const aesGcm = (): Promise<SealedEnvelope> =>
  sealEnvelope({ context, parts, signer: hospital, random: seeded("noble"), suite: "aes-gcm" });

it("seals and opens aes-gcm with WebCrypto", async () => {
  const { header, parts: opened } = await openEnvelope(openingOf(await aesGcm()));
  expect(header.suite).toBe("aes-gcm");
  expect(opened.get("content")).toEqual(parts[0]!.bytes);
});

it("neither seals nor opens aes-gcm where nothing has it natively, and says why", async () => {
  const sealed = await aesGcm();
  const unsupported = {
    code: "ERR_ENVELOPE_UNSUPPORTED",
    message: "the suite aes-gcm needs node:crypto or WebCrypto, and neither is available",
  };
  // What a browser gives to a page that came over plain HTTP.
  vi.stubGlobal("crypto", { getRandomValues: () => undefined });
  try {
    await expect(aesGcm()).rejects.toMatchObject(unsupported);
    await expect(openEnvelope(openingOf(sealed))).rejects.toMatchObject(unsupported);
  } finally {
    vi.unstubAllGlobals();
  }
});

it("wraps for no collection under aes-gcm, since wrapping does not wait", async () => {
  const random = seeded("noble");
  const { cid: envelope, cek } = await aesGcm();
  const wrap = { envelope, basis, keys: { cek }, random } as const;
  const key = createCollection(random);
  const unsupported = {
    code: "ERR_ENVELOPE_UNSUPPORTED",
    message: "the suite aes-gcm needs node:crypto here, but the backend is noble",
  };
  expect(() => wrapForCollection(key, { ...wrap, suite: "aes-gcm" })).toThrow(
    expect.objectContaining(unsupported) as Error,
  );
  // The suites of wrap and envelope are independent.
  const made = wrapForCollection(key, wrap);
  expect(unwrapFromCollection(key, made, { envelope, basis })).toEqual({ cek });
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
