import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type * as consent from "../../src/consent/index.ts";
import { tripleOf, type Triple } from "./random.ts";
import { differs } from "./agreement.ts";
import { SPECIFICATION, type Specified } from "./reference.ts";

// The comparison with the reference is worth something only if it notices what is wrong: each of
// these makes one mistake in the evaluator.
const MUTANTS: readonly [file: string, from: string, to: string][] = [
  [
    "tree.ts",
    "(denyOverrides ? one > result : one < result)",
    "(!denyOverrides ? one > result : one < result)",
  ],
  ["tree.ts", "return result >= INDETERMINATE ? INDETERMINATE : NOT_APPLICABLE;", "return result;"],
  ["tree.ts", "if (reaches) result = node.effect;", "result = node.effect;"],
  ["tree.ts", "named || parent?.namesBtg === true", "named"],
  ["tree.ts", "match === YES ? result : weaken(result)", "match === YES ? result : NOT_APPLICABLE"],
  ["match.ts", "own.start >= interval.start && own.end <= interval.end ? YES : UNKNOWN", "YES"],
  [
    "match-labels.ts",
    "if (context.resource.labels === null) return UNKNOWN;",
    "if (context.resource.labels === null) return NO;",
  ],
  ["match-labels.ts", "if (!view.stamped && !deny) return UNKNOWN;", ""],
  [
    "match-labels.ts",
    "if (!view.stamped || foreign || view.others.length > 0) return UNKNOWN;",
    "if (foreign || view.others.length > 0) return UNKNOWN;",
  ],
  ["match-labels.ts", "!view.stamped || foreign ||", "!view.stamped ||"],
  ["match-labels.ts", "foreign || view.others.length > 0)", "foreign)"],
  ["match.ts", "foreign || !CONSENT_ACTIONS.has(action) ? UNKNOWN : NO", "NO"],
  ["match.ts", "foreign || !RESOURCE_TYPES.has(type) ? UNKNOWN : NO", "NO"],
  ["match.ts", "if (!told) return UNKNOWN;", ""],
  ["match.ts", "return alike ? UNKNOWN : NO;", "return NO;"],
  ["alike.ts", "return isRest(a) && isRest(b) ? NO : UNKNOWN;", "return NO;"],
  [
    "match-labels.ts",
    "deny ? view.level >= bound : view.level <= bound",
    "deny ? view.level > bound : view.level < bound",
  ],
  ["match.ts", "if (code === BTG) continue;", ""],
  [
    "match.ts",
    "return foreign || terminology.purposesBelow(purpose) === undefined ? UNKNOWN : NO;",
    "return NO;",
  ],
  ["match.ts", "resource.codes.length === 0 || foreign ||", "foreign ||"],
  ["match.ts", "foreign || resource.uncoded === true", "foreign"],
  ["match.ts", "foreign || resource.uncoded === true", "resource.uncoded === true"],
  ["match.ts", "deny && otherCodes.length > 0", "otherCodes.length > 0"],
  ["match.ts", "deny && otherCodes.length > 0", "false"],
  ["match.ts", "deny || inside === resource.parts.length ? YES : UNKNOWN", "YES"],
  [
    "request-view.ts",
    "if (role.code === code && members.has(role.attestedBy)) return YES;",
    "if (role.code === code) return YES;",
  ],
  ["request-view.ts", "if (looseRole(role.code) === loose)", "if (role.code === code)"],
  ["request-view.ts", "return open ? UNKNOWN : NO;", "return NO;"],
  ["lineage.ts", "if (!knowing || unconfirmed) {", "if (unconfirmed) {"],
  ["lineage.ts", "if (!knowing || unconfirmed) {", "if (!knowing) {"],
  ["lineage.ts", "trust === DOUBTED || (trust === ELSEWHERE && own)", "trust === DOUBTED"],
  ["lineage.ts", "own ||= trust === OWN;", "own = trust === OWN;"],
  ["lineage.ts", "(trust === OWN || !other.unconfirmed)", "true"],
  ["lineage.ts", "if (!directive.unconfirmed && ", "if ("],
  [
    "lineage.ts",
    "        beside.push(compiled);\n        compiled.doubtful",
    "        compiled.doubtful",
  ],
  ["lineage.ts", "if (isIneffective(directive)) {", "if (directive.position < 0) {"],
  ["lineage.ts", "if (!confirms || isLasting(known)) {", "if (true) {"],
  ["layer.ts", "best === PERMIT && isOverruled(explicit, fallback)", "false"],
  ["layer.ts", "if (authority === YES) break;\n    uncertain = true;", "uncertain = true;"],
  ["lineage.ts", "const expired = asOf > directive.end;", "const expired = false;"],
  ["lineage.ts", "if (asOf < start) {", "if (asOf < 0) {"],
  ["layer.ts", 'else explicit.push({ directive, result: DENY, kind: "suspended" });', ""],
  ["layer.ts", 'if (held === "deny") return DENY;', 'if (held === "deny") return NOT_APPLICABLE;'],
  ["layer.ts", "if (suspended) continue;", ""],
  ["layer.ts", 'if (!doubtful && mode === "revoke") break;', 'if (mode === "revoke") break;'],
  [
    "layer.ts",
    "const doubtful = scope === UNKNOWN || directive.unreadable || directive.doubtful;",
    "const doubtful = scope === UNKNOWN || directive.doubtful;",
  ],
  [
    "layer.ts",
    "const doubtful = scope === UNKNOWN || overlay.unreadable;",
    "const doubtful = scope === UNKNOWN;",
  ],
  [
    "layer.ts",
    "glass = hearGlass(glass, scope === UNKNOWN ? doubtGlass(said) : said);",
    "glass = hearGlass(glass, said);",
  ],
  ["layer.ts", "else if (said === GLASS_NEVER) glass = hearGlass(glass, said);", ""],
  ["disputes.ts", "directive.unreadable && directive.tree === undefined && match === YES", "false"],
  ["lineage.ts", "(ended || directive.unreadable) &&", "ended &&"],
  ["lineage.ts", "!doubtful && !unreadable && scope", "!doubtful && scope"],
  ["lineage.ts", "directive.unreadable ? [] : settledBy", "settledBy"],
  ["lineage.ts", 'if (mode === "revoke") audible = false;', "audible = false;"],
  ["glass.ts", "return doubtful ? doubtGlass(said) : said;", "return said;"],
  ["glass.ts", "said === GLASS_ALLOWED ? GLASS_PERHAPS : said", "said"],
  ["glass.ts", 'own === "never" ? GLASS_NEVER : GLASS_ALLOWED', "GLASS_ALLOWED"],
  ["decide.ts", "expires >= asOf && (boundary", "(boundary"],
  ["boundaries.ts", "found.add(start - 1)", "found.add(start)"],
  ["boundaries.ts", "found.add(end)", "found.add(end + 1)"],
  ["boundaries.ts", "for (const child of node.children) visit(child, zoneName);", ""],
  ["layer.ts", "if (node.effect === outcome) {", "if (true) {"],
  ["tree.ts", "doubtful || node.match === UNKNOWN;", "doubtful;"],
  ["tree.ts", "doubtful || node.match === UNKNOWN;", "node.match === UNKNOWN;"],
  ["tree.ts", "if (doubted && node.effect === PERMIT) {", "if (doubted) {"],
  ["decide.ts", "appendTo(answer.obligations, doubted.obligations);", ""],
  ["request-view.ts", " || user === undefined;", ";"],
  ["scope.ts", "if (top && purposes.length > 0", "if (false"],
  ["scope.ts", "return () => UNKNOWN;", "return undefined;"],
  ["layer.ts", "if (withheld && result === PERMIT) result = NOT_APPLICABLE;", ""],
  ["lineage.ts", "start <= asOf && asOf <= end)", "start <= asOf)"],
  ["lineage.ts", ".filter(({ source }) => hasCapacity(source, snapshot, asOf))\n    .map", ".map"],
  ["layer.ts", "if (authority === NO) continue;", ""],
  ["layer.ts", "!denyOnly && context.purpose !== BTG", "!denyOnly"],
  [
    "scope.ts",
    "resource.controller === undefined ? UNKNOWN",
    "resource.controller === undefined ? YES",
  ],
  ["capacity.ts", "if (above.depth < 1) continue;", ""],
  ["capacity.ts", "if (!holdsAt(fact, instant)) continue;", ""],
  ["overlay.ts", "(recipientNamed !== true || recipient)", "true"],
  ["decide.ts", "demands.length > 0 ? [] : undefined", "undefined"],
  ["decide.ts", "if (strange.length > 0) {", "if (strange.length > 99) {"],
  ["decide.ts", "a === NOT_APPLICABLE || b === NOT_APPLICABLE ? NOT_APPLICABLE : PERMIT", "PERMIT"],
  ["plan-index.ts", 'fallback !== "none"', "false"],
];

const SEEDS = 20_000;
const triples: (Triple & { readonly expected: Specified })[] = [];
function tripleAt(seed: number): Triple & { readonly expected: Specified } {
  for (let next = triples.length; next <= seed; next++) {
    const triple = tripleOf(next);
    const { snapshot, request, resource, asOf, supportedObligations } = triple;
    const expected = SPECIFICATION.decide(snapshot, request, resource, asOf, supportedObligations);
    triples.push({ ...triple, expected });
  }
  return triples[seed]!;
}

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "healthledger-mutants-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = new URL("../../src/consent/", import.meta.url);

async function buildWith(
  name: string,
  mutate: (file: string, text: string) => string,
): Promise<typeof consent> {
  const outfile = join(folder, `${name}.mjs`);
  await build({
    entryPoints: [new URL("index.ts", root).pathname],
    bundle: true,
    outfile,
    format: "esm",
    platform: "node",
    target: "es2022",
    logLevel: "error",
    conditions: ["healthledger-source"],
    plugins: [
      {
        name: "mutate",
        setup(plugin) {
          plugin.onLoad({ filter: /consent[\\/](?:[a-z]+[\\/])?[a-z-]+\.ts$/ }, ({ path }) => ({
            contents: mutate(path.split(/[\\/]/).at(-1)!, readFileSync(path, "utf8")),
            loader: "ts",
          }));
        },
      },
    ],
  });
  return (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as typeof consent;
}

/** The first seed on which an evaluator and the reference differ. */
function firstDifference({ compileDirectives }: typeof consent): number | undefined {
  for (let seed = 0; seed < SEEDS; seed++) {
    const { snapshot, request, resource, asOf, supportedObligations, expected } = tripleAt(seed);
    const decision = compileDirectives(snapshot).evaluate(request, resource, asOf, {
      supportedObligations,
    });
    if (differs(decision, expected)) return seed;
  }
  return undefined;
}

describe("a mistake in the evaluator", () => {
  it.each(MUTANTS.map((mutant, index) => [mutant[0], mutant[1], mutant, index] as const))(
    "is noticed: %s, %s",
    async (_, __, [file, from, to], index) => {
      let times = 0;
      const mutant = await buildWith(`m${index}`, (name, text) => {
        if (name !== file) return text;
        times = text.split(from).length - 1;
        return text.replace(from, () => to);
      });
      expect(times, "the mistake can be made in one place").toBe(1);
      expect(firstDifference(mutant), "seed").toBeDefined();
    },
  );
});
