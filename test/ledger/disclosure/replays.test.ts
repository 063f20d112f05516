import { describe, expect, it } from "vitest";
import type { LedgerContext } from "../../../src/ledger/context.ts";
import { openReplays } from "../../../src/ledger/disclosure/replays.ts";
import type { Catalogue } from "../../../src/ledger/entries/catalogue.ts";
import { bytesFor } from "../../support/ledger.ts";
import { ward } from "../../support/ward.ts";

/** Replays of a ledger with one access, over a catalogue that finds what the caller says. */
async function replaysOf(find: () => unknown) {
  const w = await ward();
  await w.permit();
  await w.ask();
  const { chain } = w.hl;
  const taken = { height: chain.size - 1 };
  const catalogue = {
    catchUp: () => Promise.resolve(),
    height: () => taken.height,
    find: () => Promise.resolve(taken.height < chain.size ? { status: "missing" } : find()),
  } as unknown as Catalogue;
  const context = { chain, signer: w.hospitalA.signer(), now: () => w.clock.now };
  const replays = openReplays(context as unknown as LedgerContext, {
    catalogue,
    maxRequestLifetime: 600_000,
  });
  return { w, taken, replays, size: chain.size };
}

const name = bytesFor("request");

describe("a request that an access answers", () => {
  it("is recognised though its block came while earlier ones were read", async () => {
    const { w, taken, replays, size } = await replaysOf(() => ({
      status: "present",
      item: { manifest: { request: name } },
    }));
    expect(await replays.answered(name, w.clock.now)).toBeUndefined();
    taken.height = size;
    expect(await replays.answered(name, w.clock.now)).toMatchObject({ height: size - 1 });
  });

  it.each(["missing", "lost", "erased"])("may be any of its time if it is %s", async (status) => {
    const { w, taken, replays, size } = await replaysOf(() => ({ status }));
    taken.height = size;
    expect(await replays.answered(name, w.clock.now)).toBe("unknown");
    expect(await replays.answered(name, w.clock.now + 180_000)).toBeUndefined();
  });
});
