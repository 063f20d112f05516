import { expect, it, vi } from "vitest";
import { exportJwe, importJwe } from "../../src/envelope/jwe.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";

// A page from plain HTTP: no node:crypto, and no WebCrypto either.
vi.mock("../../src/crypto/aes-gcm-once.ts", async (original) => ({
  ...(await original<object>()),
  hasNativeAesGcm: () => false,
}));

it("says what it needs where nothing native has AES, and records no access", async () => {
  const unsupported = expect.objectContaining({
    code: "ERR_ENVELOPE_UNSUPPORTED",
    message: expect.stringContaining("WebCrypto"),
  });
  const random = (length: number) => new Uint8Array(length);
  await expect(exportJwe({ content: new Uint8Array(1), random })).rejects.toThrow(unsupported);
  await expect(importJwe("a.b.c.d.e", new Uint8Array(32))).rejects.toThrow(unsupported);
  const world = await foundWorld();
  const hl = await world.open();
  const me = await hl.ensureSubject(MRN);
  await hl.record(me, observation("bp-1"));
  const asking = { signer: world.hospitalB.signer(), agreement: world.hospitalB.agreement() };
  await expect(hl.exportRecords(asking, { patient: MRN, purposes: ["TREAT"] })).rejects.toThrow(
    unsupported,
  );
  for await (const access of hl.audit(me)) throw new Error(`recorded ${access.recordedAt}`);
});
