import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { attack, hostileBytes, hostileTargets } from "../support/hostile.ts";

/** The short form of `npm run test:fuzz`. */
describe("hostile bytes", () => {
  const targets = hostileTargets();

  it.each(targets.map((target) => [target.name, target] as const))(
    "%s accepts its samples",
    async (_, target) => {
      expect(target.samples.length).toBeGreaterThan(0);
      for (const sample of target.samples) {
        expect((await target.read(sample)) ?? true).not.toBe(false);
      }
    },
  );

  it.each(targets.map((target) => [target.name, target] as const))(
    "%s throws nothing but typed errors",
    async (_, target) => {
      await fc.assert(
        fc.asyncProperty(hostileBytes(target), (bytes) => attack(target, bytes)),
        { numRuns: 80, seed: 20_260_101 },
      );
    },
  );
});
