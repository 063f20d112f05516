import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { createPlan, decodePlan, encodePlan } from "../../src/contract/claims/index.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("claims.md");
const bytes = page.hex("plan");

describe("docs/spec/claims.md", () => {
  it("shows the bytes of the plan it describes, by both encoders", () => {
    const described = {
      v: 1,
      currency: "USD",
      yearStarts: "01-01",
      networks: { in: { contracted: true, coinsurance: 2_000, unlisted: 10_000 } },
      benefits: [],
      otherServices: "covered",
      coordination: "standard",
    } as const;
    expect(new Uint8Array(reference.encode(described))).toEqual(bytes);
    expect(encodePlan(createPlan(described))).toEqual(bytes);
    expect(decodePlan(bytes).document).toEqual(described);
  });

  it("names it by its CID", () => {
    expect(decodePlan(bytes).cid.toString()).toBe(page.value("CID"));
  });
});
