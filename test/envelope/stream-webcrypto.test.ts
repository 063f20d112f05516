import { expect, it, vi } from "vitest";
import { backend } from "#crypto";
import { describeStreams } from "./stream-cases.ts";

vi.mock("#crypto", () => import("../../src/crypto/noble.ts"));

it("runs on noble and WebCrypto, as in a browser", () => {
  expect([backend, typeof globalThis.crypto.subtle]).toEqual(["noble", "object"]);
});

describeStreams("aes-gcm", { flat: true });
// Sealed by noble, and named by WebCrypto.
describeStreams("chacha", { flat: false });
