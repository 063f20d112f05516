import { createCipheriv } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { bytesFor } from "../support/ledger.ts";

const key = bytesFor("key");
const iv = bytesFor("iv").slice(0, 12);
const aad = bytesFor("aad");
const plaintext = new TextEncoder().encode("sealed once");

/** SP 800-38D by node:crypto itself. */
function expected(): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  cipher.setAAD(aad);
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return new Uint8Array(sealed);
}

describe.each(["node", "noble"] as const)("AES-GCM of one message, backend %s", (backend) => {
  it("is that of node:crypto, and opens nothing that was changed", async () => {
    vi.resetModules();
    vi.doMock("#crypto", () => import(`../../src/crypto/${backend}.ts`));
    const { hasNativeAesGcm, openAesGcm, sealAesGcm } =
      await import("../../src/crypto/aes-gcm-once.ts");
    expect(hasNativeAesGcm()).toBe(true);
    const sealed = await sealAesGcm(key, iv, plaintext, aad);
    expect([...sealed]).toEqual([...expected()]);
    expect(await openAesGcm(key, iv, sealed, aad)).toEqual(plaintext);
    for (const at of [0, sealed.length - 1]) {
      const changed = sealed.slice();
      changed[at]! ^= 1;
      expect(await openAesGcm(key, iv, changed, aad)).toBeUndefined();
    }
    expect(await openAesGcm(key, iv, sealed, iv)).toBeUndefined();
    expect(await openAesGcm(aad, iv, sealed, aad)).toBeUndefined();
    vi.doUnmock("#crypto");
  });
});
