import { describe, expect, it } from "vitest";
import { toHex } from "../../../src/bytes/hex.ts";
import { cidOf, RAW } from "../../../src/codec/cid.ts";
import { toEntryId } from "../../../src/codec/ids.ts";
import type { CatalogueItem } from "../../../src/ledger/entries/catalogue-item.ts";
import { foldLinks } from "../../../src/ledger/persons/fold-links.ts";
import { bytesFor } from "../../support/ledger.ts";
import { cases } from "../../support/share.ts";

const person = (n: number): Uint8Array => bytesFor(`person ${n}`).slice(0, 16);
const entryId = (n: number): Uint8Array => bytesFor(`entry ${n}`);
const envelope = cidOf(bytesFor("envelope"), RAW);

type Step = readonly ["merge", number, number] | readonly ["unmerge", number];

/** Entries for some steps; an `unmerge` names the step that it ends. */
function itemsFor(steps: readonly Step[]): CatalogueItem[] {
  return steps.map((step, at) => {
    const place = { height: at, transaction: 0, entry: 0 };
    const base = { id: entryId(at), kind: "link", envelope, recordedAt: at, place };
    if (step[0] === "merge") {
      const [, from, into] = step;
      const manifest = { v: 1, op: "merge", local: person(from), other: person(into) } as const;
      return { ...base, manifest };
    }
    const named = steps[step[1]]!;
    const [from, into] = named[0] === "merge" ? [named[1], named[2]] : [0, 1];
    const replaces = toEntryId(entryId(step[1]));
    const manifest = { v: 1, op: "unmerge", local: person(from), other: person(into) } as const;
    return { ...base, manifest: { ...manifest, replaces } };
  });
}

/** Numbers of the persons joined with one, smallest first. */
const joined = (steps: readonly Step[], n: number, people: number): number[] => {
  const found = new Set(foldLinks(itemsFor(steps)).personsWith(person(n)).map(toHex));
  return Array.from({ length: people }, (_, i) => i).filter((i) => found.has(toHex(person(i))));
};

/** The rule, word by word: a table of who is joined with whom, filled anew for every question. */
function literally(steps: readonly Step[], people: number): boolean[][] {
  const ended = new Set<number>();
  const began = new Set<number>();
  const table = (): boolean[][] => {
    const one = Array.from({ length: people }, (_, i) =>
      Array.from({ length: people }, (__, j) => i === j),
    );
    for (const at of began) {
      const step = steps[at]!;
      if (ended.has(at) || step[0] !== "merge") continue;
      one[step[1]]![step[2]] = true;
      one[step[2]]![step[1]] = true;
    }
    // Warshall: whoever is joined with somebody is joined with whomever those are joined with.
    for (let k = 0; k < people; k++) {
      for (let i = 0; i < people; i++) {
        for (let j = 0; j < people; j++) one[i]![j] ||= one[i]![k]! && one[k]![j]!;
      }
    }
    return one;
  };
  for (const [at, step] of steps.entries()) {
    if (step[0] === "unmerge") ended.add(step[1]);
    else if (!table()[step[1]]![step[2]]!) began.add(at);
  }
  return table();
}

/** Random numbers that a seed gives, below a bound. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("foldLinks", () => {
  it("joins nobody who was not merged", () => {
    expect(joined([], 0, 2)).toEqual([0]);
    expect(joined([["merge", 0, 1]], 2, 3)).toEqual([2]);
  });

  it("puts the person first", () => {
    const people = foldLinks(itemsFor([["merge", 0, 1]])).personsWith(person(1));
    expect(people).toEqual([person(1), person(0)]);
  });

  it.each<[string, Step[], number[]]>([
    ["two", [["merge", 0, 1]], [0, 1]],
    [
      "a chain",
      [
        ["merge", 0, 1],
        ["merge", 1, 2],
        ["merge", 3, 2],
      ],
      [0, 1, 2, 3],
    ],
    [
      "two who are parted",
      [
        ["merge", 0, 1],
        ["unmerge", 0],
      ],
      [0],
    ],
    [
      "two who are merged again",
      [
        ["merge", 0, 1],
        ["unmerge", 0],
        ["merge", 1, 0],
      ],
      [0, 1],
    ],
    [
      "both parts of a chain that is cut",
      [
        ["merge", 0, 1],
        ["merge", 1, 2],
        ["unmerge", 1],
      ],
      [0, 1],
    ],
    // of two merges filed at once the second never counts, so that one parting parts them
    [
      "two who are merged twice and parted",
      [
        ["merge", 0, 1],
        ["merge", 1, 0],
        ["unmerge", 0],
      ],
      [0],
    ],
    [
      "a circle",
      [
        ["merge", 0, 1],
        ["merge", 1, 2],
        ["merge", 2, 0],
        ["unmerge", 1],
      ],
      [0, 1],
    ],
    [
      "two who are parted by a merge without effect",
      [
        ["merge", 0, 1],
        ["merge", 1, 0],
        ["unmerge", 1],
      ],
      [0, 1],
    ],
    [
      "two who are parted twice",
      [
        ["merge", 0, 1],
        ["unmerge", 0],
        ["unmerge", 0],
      ],
      [0],
    ],
    [
      "two who are parted before they are merged",
      [
        ["unmerge", 1],
        ["merge", 0, 1],
      ],
      [0, 1],
    ],
  ])("joins %s", (_, steps, expected) => {
    expect(joined(steps, 0, 4)).toEqual(expected);
  });

  it("lists the merges in effect, those without, and everybody", () => {
    const links = foldLinks(
      itemsFor([
        ["merge", 0, 1],
        ["merge", 1, 0],
        ["merge", 1, 2],
        ["unmerge", 2],
      ]),
    );
    expect(links.merges.map(({ id }) => id)).toEqual([entryId(0)]);
    expect(links.idle.map(({ id }) => id)).toEqual([entryId(1)]);
    expect(links.everybody).toEqual([person(0), person(1), person(2)]);
  });

  it("does as the rule says, at every height, for random joins and partings", () => {
    const people = 7;
    for (let seed = 1; seed <= cases(20, 5); seed++) {
      const random = randomOf(seed);
      const steps: Step[] = [];
      while (steps.length < 50) {
        const merges = steps.flatMap(([what], at) => (what === "merge" ? [at] : []));
        const isMerge = merges.length === 0 || random(5) < 3;
        const from = random(people);
        const into = (from + 1 + random(people - 1)) % people;
        steps.push(isMerge ? ["merge", from, into] : ["unmerge", merges[random(merges.length)]!]);
      }
      for (let height = 0; height <= steps.length; height++) {
        const until = steps.slice(0, height);
        const table = literally(until, people);
        for (let n = 0; n < people; n++) {
          const expected = table[n]!.flatMap((is, other) => (is ? [other] : []));
          expect(joined(until, n, people)).toEqual(expected);
        }
      }
    }
  });
});
