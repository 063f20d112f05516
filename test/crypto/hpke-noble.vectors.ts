import { expect, it, vi } from "vitest";
import { backend } from "#crypto";
import { describeVectors } from "../support/vectors.ts";
import { pqCases, rfc9180Cases, xWingCases } from "./hpke-cases.ts";

vi.mock("#crypto", () => import("../../src/crypto/noble.ts"));

it("runs on noble", () => {
  expect(backend).toBe("noble");
});

describeVectors("HPKE of RFC 9180 on noble", "hpke/rfc9180", rfc9180Cases);
describeVectors("HPKE of draft-ietf-hpke-pq on noble", "hpke/pq", pqCases);
describeVectors("X-Wing on noble", "hpke/x-wing", xWingCases);
