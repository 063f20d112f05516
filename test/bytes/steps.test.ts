import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { atOnce, createWalk } from "../../src/bytes/steps.ts";

type Tree = number | readonly Tree[];

/** Leaves of a tree as a plain recursion meets them. */
const leavesOf = (tree: Tree): readonly number[] =>
  typeof tree === "number" ? [tree] : tree.flatMap(leavesOf);

/** A tree with so many children at each level, its leaves numbered in order. */
function treeOf(widths: readonly number[]): Tree {
  let next = 0;
  const grow = (depth: number): Tree =>
    depth === widths.length
      ? next++
      : Array.from({ length: widths[depth]! + (next % 3) }, () => grow(depth + 1));
  return grow(0);
}

describe("createWalk", () => {
  it("visits what a plain recursion visits, in the same order", () => {
    const widths = fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(widths, fc.integer({ min: 1, max: 3000 }), (some, first) => {
        const tree = treeOf([first % 300, ...some]);
        const walk = createWalk();
        const seen: number[] = [];
        const ends: number[] = [];
        const visit = (one: Tree): void => {
          if (typeof one === "number") return void seen.push(one);
          walk.each(one, visit);
          walk.after(() => ends.push(seen.length));
        };
        visit(tree);
        atOnce(walk.finish());
        expect(seen).toEqual(leavesOf(tree));
        // What comes after a list comes after all of it.
        expect(ends.at(-1)).toBe(seen.length);
      }),
      { numRuns: 60 },
    );
  });

  it("visits no more than 2,048 values between two pauses", () => {
    const walk = createWalk();
    let seen = 0;
    let most = 0;
    const steps = walk.finish();
    walk.each(Array.from({ length: 100 }), () => {
      walk.each(Array.from({ length: 100 }), () => void seen++);
    });
    for (let done: boolean | undefined = false; done !== true;) {
      most = Math.max(most, seen);
      seen = 0;
      ({ done } = steps.next());
    }
    expect(most).toBeGreaterThan(1500);
    expect(most).toBeLessThanOrEqual(2048);
  });
});
