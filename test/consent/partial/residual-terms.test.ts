import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  defaultTerminology,
  matches,
  toPcfResidual,
  toResidualPermission,
  toSearchParameters,
  type Residual,
  type ResidualNode,
  type ResidualTerm,
} from "../../../src/consent/index.ts";
import { alternativesOf } from "../../../src/consent/partial/residual-terms.ts";
import { askedOf, diceOf, NOW, recordOf, snapshotFrom } from "../random.ts";
import { resourceOf } from "../support.ts";
import { cases } from "../../support/share.ts";

const question = (code: string) => ({
  effect: "deny" as const,
  zone: "UTC",
  data: { codes: [{ system: "s", code }] },
});

/** A residual written by hand: `any` and `all` of steps before, `ask` of codes. */
function built(make: (add: (node: ResidualNode) => number) => number): Residual {
  const nodes: ResidualNode[] = [];
  const root = make((node) => nodes.push(node) - 1);
  return { v: 1, terminology: defaultTerminology().cid, nodes, root };
}
const pairs = (count: number): Residual =>
  built((add) => {
    const of = Array.from({ length: count }, (_, i) =>
      add({
        op: "any",
        of: ["x", "y"].map((name) => add({ op: "certain", question: question(`${name}${i}`) })),
      }),
    );
    return add({ op: "all", of });
  });

function holds(terms: readonly ResidualTerm[], filter: Residual, record = resourceOf()): boolean {
  const ask = (op: "certain" | "possible", about: ResidualTerm[0]["question"]): boolean =>
    matches({ ...filter, nodes: [{ op, question: about }], root: 0 }, record);
  return terms.some((term) =>
    term.every(({ question: about, answer }) => {
      if (answer === "yes") return ask("certain", about);
      if (answer === "maybe") return ask("possible", about);
      return !ask(answer === "no" ? "possible" : "certain", about);
    }),
  );
}

describe("alternativesOf", () => {
  it("says the same as the residual", () => {
    let compared = 0;
    let held = 0;
    const seeds = cases(800, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const request = askedOf(dice);
      const { filter } = compileDirectives(snapshotFrom(dice)).evaluateRequest(request, NOW);
      const terms = filter === undefined ? undefined : alternativesOf(filter);
      if (filter === undefined || terms === undefined) continue;
      for (let i = 0; i < 6; i++) {
        const record = recordOf(dice);
        const permits = matches(filter, record);
        expect(holds(terms, filter, record), `${seed}`).toBe(permits);
        compared++;
        if (permits) held++;
      }
    }
    expect(held).toBeGreaterThan(compared / 10);
    expect(compared - held).toBeGreaterThan(compared / 10);
    expect(compared).toBeGreaterThan((seeds * 5) / 8);
  });

  it("writes out 256 alternatives, and no more", () => {
    expect(alternativesOf(pairs(8))).toHaveLength(256);
    const many = pairs(9);
    expect(alternativesOf(many)).toBeUndefined();
    // What cannot be written out is searched for without bounds, and enforced as a refusal.
    const search = toSearchParameters(many);
    expect(search.value).toEqual([{ types: [], parameters: [], inexact: search.inexact }]);
    expect(search.inexact.join()).toContain("too many");
    expect(toPcfResidual(many).value).toEqual([{ type: "forbid" }]);
    expect(toPcfResidual(many).inexact.join()).toContain("too many");
    expect(toResidualPermission(many).value.rule).toEqual([{ type: "deny" }]);
    expect(toResidualPermission(many).inexact.join()).toContain("too many");
  });

  it("drops what contradicts itself, and what another alternative covers", () => {
    const residual = built((add) => {
      const [a, b] = ["a", "b"].map((name) => add({ op: "certain", question: question(name) }));
      const notA = add({ op: "not", of: a! });
      const both = add({ op: "all", of: [a!, b!] });
      const never = add({ op: "all", of: [a!, notA] });
      return add({ op: "any", of: [a!, both, never] });
    });
    expect(alternativesOf(residual)).toEqual([[{ question: question("a"), answer: "yes" }]]);
  });

  // 256 alternatives that every further step multiplies by three and absorbs again.
  it("gives up on rules made to multiply and cancel", () => {
    const residual = built((add) => {
      const ask = (name: string): number => add({ op: "certain", question: question(name) });
      const bases = Array.from({ length: 8 }, (_, i) => [ask(`x${i}`), ask(`y${i}`)]);
      const of = bases.map((pair) => add({ op: "any", of: pair }));
      for (let i = 0; i < 5_000; i++) of.push(add({ op: "any", of: [...bases[0]!, ask(`z${i}`)] }));
      return add({ op: "all", of });
    });
    expect(alternativesOf(residual)).toBeUndefined();
  });

  it("follows steps a hundred thousand deep", () => {
    const residual = built((add) => {
      let at = add({ op: "certain", question: question("a") });
      for (let i = 0; i < 50_000; i++) at = add({ op: "not", of: add({ op: "all", of: [at] }) });
      return at;
    });
    expect(alternativesOf(residual)).toEqual([[{ question: question("a"), answer: "yes" }]]);
  });
});
