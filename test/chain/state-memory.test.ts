import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { openState } from "../../src/chain/ledger-state.ts";
import { EMPTY_MAP } from "../../src/merkle/map-node.ts";

describe("the state of a running process", () => {
  it("forgets what was not asked for lately, and reads it again when it is", async () => {
    const store = new Map<string, Uint8Array>();
    let fetched = 0;
    const state = openState(
      EMPTY_MAP,
      async (hashes) => {
        fetched += hashes.length;
        return hashes.map((hash) => store.get(toHex(hash)));
      },
      2500,
    );
    const reference = openState(EMPTY_MAP);
    const keyOf = (i: number) => `sys/seq/${i}`;
    const KEYS = 6_000;
    for (let from = 0; from < KEYS; from += 200) {
      const names = Array.from({ length: 200 }, (_, i) => keyOf(from + i));
      const changes = new Map(names.map((name) => [name, utf8ToBytes(`value of ${name}`)]));
      for (const one of [state, reference]) await one.load(names);
      for (const { hash, bytes } of state.apply(changes)) store.set(toHex(hash), bytes.slice());
      reference.apply(changes);
    }
    expect(toHex(state.root)).toBe(toHex(reference.root));
    // The newest are in memory, value and all.
    expect(state.get(keyOf(KEYS - 1))).toEqual(utf8ToBytes(`value of ${keyOf(KEYS - 1)}`));
    // The oldest are not: what is forgotten is fetched, a path of a dozen nodes for each.
    expect(state.get(keyOf(0))).toBeUndefined();
    fetched = 0;
    const old = Array.from({ length: 100 }, (_, i) => keyOf(i * 7));
    await state.load(old);
    expect(fetched).toBeGreaterThan(100);
    for (const name of old) expect(state.get(name)).toEqual(utf8ToBytes(`value of ${name}`));
    // And can be changed, added to and removed as if it had never been away.
    const changes = new Map(
      old.map((name, i) => [name, i % 3 === 0 ? null : utf8ToBytes(`new ${i}`)] as const),
    );
    await reference.load(old);
    state.apply(changes);
    reference.apply(changes);
    expect(toHex(state.root)).toBe(toHex(reference.root));
  });
});
