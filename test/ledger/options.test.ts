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
  ])("is refused: %j", async (options, name, nearest) => {
    const world = await foundWorld();
    const opening = open(world, options);
    await expect(opening).rejects.toThrow(TypeError);
    await expect(opening).rejects.toThrow(`${name}"; the nearest that it has is "${nearest}`);
  });

  it.each([
    [{ policy: null }, "policy"],
    [{ repair: true }, "repair"],
    [{ breakGlass: "emergency-physician" }, "breakGlass"],
    [{ policy: { retention: { clinical: 5 } } }, "policy.retention.clinical"],
  ])("is refused where a group is something else: %j", async (options, name) => {
    const world = await foundWorld();
    await expect(open(world, options)).rejects.toThrow(`${name} must be an object`);
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
