import { describe, expect, it } from "vitest";
import { part2Overlay } from "../../src/consent/overlays/part-2.ts";
import type { OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { foundWorld, type World } from "../support/hospital.ts";

/** Opens with options as they come from a configuration file, whose names nothing has checked. */
const open = ({ storage, genesis, hospitalA }: World, options: object) =>
  openLedger({ storage, genesis, keys: hospitalA, ...options } as OpenLedgerOptions);

describe("an option that openLedger does not know", () => {
  const overlays = [part2Overlay()];
  const roles = ["emergency-physician"];
  const keep = { keepFor: 1000, rule: "a law" };
  class HousePolicy {
    get overlays() {
      return overlays;
    }
  }
  it.each([
    // Misspelt, by a letter or two.
    [{ polcy: { overlays } }, "polcy", "policy"],
    [{ policy: { overlay: overlays } }, "policy.overlay", "policy.overlays"],
    [{ policy: { Overlays: overlays } }, "policy.Overlays", "policy.overlays"],
    [{ policy: { overlays: [], defualts: [] } }, "policy.defualts", "policy.defaults"],
    [{ policy: { retention: { clincal: keep } } }, "clincal", "policy.retention.clinical"],
    [
      { policy: { retention: { audit: { keepfor: 1, rule: "a law" } } } },
      "policy.retention.audit.keepfor",
      "policy.retention.audit.keepFor",
    ],
    [{ breakGlass: { role: roles } }, "breakGlass.role", "breakGlass.roles"],
    [{ breakglass: { roles } }, "breakglass", "breakGlass"],
    [{ breakGlass: { maxduration: 1 } }, "breakGlass.maxduration", "breakGlass.maxDuration"],
    [{ repair: { idnex: true } }, "repair.idnex", "repair.index"],
    [{ readonly: true }, "readonly", "readOnly"],
    // In the wrong group, or in none.
    [{ overlays }, "overlays", "policy.overlays"],
    [{ repair: { labeller: undefined } }, "repair.labeller", "policy.labeller"],
    [{ policy: { lane: 1 } }, "policy.lane", "lane"],
    // Names that every object answers to.
    [{ constructor: 1 }, "constructor", ""],
    [{ policy: { toString: 1 } }, "policy.toString", ""],
    [JSON.parse('{"__proto__": {"readOnly": true}}') as object, "__proto__", ""],
    [JSON.parse('{"policy": {"__proto__": {}}}') as object, "policy.__proto__", ""],
    // Names of earlier versions.
    [{ understood: [] }, "understood", ""],
    [{ policy: { understood: [] } }, "policy.understood", ""],
  ])("is refused: %j", async (options, name, nearest) => {
    const world = await foundWorld();
    const opening = open(world, options);
    await expect(opening).rejects.toThrow(TypeError);
    await expect(opening).rejects.toThrow(`${name}"; the closest is "${nearest}`);
  });

  it.each([
    [{ policy: null }, "policy"],
    [{ repair: true }, "repair"],
    [{ breakGlass: "emergency-physician" }, "breakGlass"],
    [{ policy: [] }, "policy"],
    // What they hold is not among their fields, and would count as left out.
    [{ policy: new Map([["overlays", overlays]]) }, "policy"],
    [{ policy: Object.create({ overlays }) as object }, "policy"],
    [{ policy: new HousePolicy() }, "policy"],
    [{ breakGlass: JSON.parse('[{"roles": []}]') as object }, "breakGlass"],
    [{ policy: { retention: { clinical: 5 } } }, "policy.retention.clinical"],
  ])("is refused where a group is something else: %j", async (options, name) => {
    const world = await foundWorld();
    await expect(open(world, options)).rejects.toThrow(`${name} must be a plain object`);
  });

  it.each([
    [{ policy: { overlays: null } }, "policy.overlays must be a list"],
    [{ policy: { overlays: new Set(overlays) } }, "policy.overlays must be a list"],
    [{ policy: { supportedObligations: "REDACT" } }, "policy.supportedObligations must be a list"],
    [{ policy: { maxRequestLifetime: NaN } }, "policy.maxRequestLifetime must be milliseconds"],
    [{ policy: { maxRequestLifetime: "600000" } }, "policy.maxRequestLifetime must be millisec"],
    [
      { policy: { retention: { clinical: { ...keep, keepFor: NaN } } } },
      "policy.retention.clinical.keepFor must be milliseconds",
    ],
    [
      { policy: { retention: { clinical: { ...keep, keepFor: -1 } } } },
      "policy.retention.clinical.keepFor must be milliseconds",
    ],
    [{ breakGlass: { roles: "emergency-physician" } }, "breakGlass.roles must be a list"],
    [{ breakGlass: { roles: [["physician"]] } }, "breakGlass.roles must be a list of strings"],
    [{ breakGlass: { maxDuration: NaN } }, "breakGlass.maxDuration must be milliseconds"],
    [{ repair: { acceptLostBlocks: "false" } }, "repair.acceptLostBlocks must be true or false"],
    [{ readOnly: "true" }, "readOnly must be true or false"],
    [{ beside: 1 }, "beside must be true or false"],
  ])("is refused where its form would open more than it says: %j", async (options, why) => {
    const world = await foundWorld();
    const opening = open(world, options);
    await expect(opening).rejects.toThrow(TypeError);
    await expect(opening).rejects.toThrow(why);
  });

  it.each([
    [["USA"], "US"],
    [["DE", "us"], "US"],
    [["DE_BY"], "DE"],
  ])("is refused where it names a jurisdiction that ISO 3166 lacks: %j", async (codes, nearest) => {
    const opening = open(await foundWorld(), { policy: { jurisdictions: codes } });
    await expect(opening).rejects.toMatchObject({
      code: "ERR_CONSENT_TERMINOLOGY",
      message: expect.stringContaining(`the closest is "${nearest}"`) as unknown,
    });
  });

  it("is refused before anything is written", async () => {
    const world = await foundWorld();
    await expect(open(world, { overlays })).rejects.toThrow(TypeError);
    const blocks = [];
    for await (const one of world.storage.state!.scan({
      gte: Uint8Array.of(0),
      lt: new Uint8Array(64).fill(0xff),
    })) {
      blocks.push(one);
    }
    expect(blocks).toEqual([]);
  });
});

describe("an option that is undefined", () => {
  it("counts as left out, in a group too", async () => {
    const world = await foundWorld();
    const hl = await open(world, {
      policy: { overlays: undefined },
      breakGlass: undefined,
      repair: {},
    });
    expect(hl.member).toBe(world.hospitalA.signer().actor);
    await hl.close();
  });
});
