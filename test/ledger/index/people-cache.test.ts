import { describe, expect, it } from "vitest";
import { bytesKey } from "../../../src/bytes/bytes-key.ts";
import { peopleCache, type Person } from "../../../src/ledger/index/memory.ts";

const person = (number: number, entries: number): Person => ({
  local: new Uint8Array(16).fill(number),
  held: Array.from({ length: entries }, () => ({}) as never),
  byId: new Map(),
  erased: 0,
});
const keyOf = (number: number): string => bytesKey(new Uint8Array(16).fill(number));

describe("peopleCache", () => {
  it("keeps no more entries than allowed, whatever the number of persons", () => {
    const cache = peopleCache(100);
    for (let i = 0; i < 50; i++) cache.put(person(i, 30));
    const kept = Array.from({ length: 50 }, (_, i) => i).filter((i) => cache.get(keyOf(i)));
    expect(kept).toEqual([47, 48, 49]);
  });

  it("drops the person who was not used for longest", () => {
    const cache = peopleCache(100);
    for (const i of [1, 2, 3]) cache.put(person(i, 30));
    cache.get(keyOf(1));
    cache.put(person(4, 30));
    expect([1, 2, 3, 4].map((i) => cache.get(keyOf(i)) !== undefined)).toEqual([
      ...[true, false, true, true],
    ]);
  });

  it("keeps one person who has more entries than allowed, beside as many of others", () => {
    const cache = peopleCache(100);
    const kept = () => [1, 2, 3, 4, 5, 6].filter((i) => cache.get(keyOf(i)) !== undefined);
    cache.put(person(1, 10));
    cache.put(person(2, 1000));
    cache.put(person(3, 60));
    expect(kept()).toEqual([1, 2, 3]);
    cache.put(person(4, 60));
    expect(kept()).toEqual([2, 4]);
    // The newest of two such persons.
    cache.put(person(5, 101));
    expect(kept()).toEqual([4, 5]);
    cache.put(person(6, 41));
    expect(kept()).toEqual([5, 6]);
  });

  it("counts the entries that are added to a person in memory", () => {
    const cache = peopleCache(100);
    const growing = person(1, 0);
    cache.put(growing);
    cache.put(person(2, 50));
    for (let i = 0; i < 51; i++) {
      growing.held.push({} as never);
      cache.grew(keyOf(1));
    }
    expect(cache.get(keyOf(2))).toBeUndefined();
    expect(cache.get(keyOf(1))).toBe(growing);
    cache.grew(keyOf(9));
    expect(cache.get(keyOf(9))).toBeUndefined();
  });

  it("keeps at most 256 persons", () => {
    const cache = peopleCache();
    for (let i = 0; i < 300; i++) {
      const local = new Uint8Array(16).fill(i & 255);
      local[0] = i >> 8;
      cache.put({ local, held: [], byId: new Map(), erased: 0 });
    }
    const first = new Uint8Array(16);
    expect(cache.get(bytesKey(first))).toBeUndefined();
  });
});
