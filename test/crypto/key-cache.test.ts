import { describe, expect, it } from "vitest";
import { keyCache } from "../../src/crypto/key-cache.ts";

describe("keyCache", () => {
  it("keeps the keys that are used and forgets the rest", () => {
    const cache = keyCache<number>(10);
    cache.set("kept", 0);
    for (let i = 0; i < 100; i++) {
      cache.set(`k${i}`, i);
      expect(cache.get("kept")).toBe(0);
    }
    expect(cache.get("k99")).toBe(99);
    expect(cache.get("k50")).toBeUndefined();
  });
});
