import { createRequire } from "node:module";
import { expect, it } from "vitest";
import { compileDirectives, type ConsentSnapshot, type Decision } from "../../src/consent/index.ts";
import { depthOf, diceOf } from "../consent/random.ts";
import { describeWith } from "../support/describe-with.ts";
import { effort } from "../support/effort.ts";
import { momentFrom, recordFrom, requestFrom, snapshotFrom } from "./questions.ts";
import { toCedar, toQuestion, type CedarQuestion } from "./translate.ts";

/** The part of cedar-wasm that is called. */
interface Cedar {
  preparsePolicySet(
    name: string,
    policies: { readonly staticPolicies: string },
  ): { readonly type: string };
  statefulIsAuthorized(call: CedarQuestion & { readonly preparsedPolicySetId: string }): {
    readonly type: string;
    readonly response: {
      readonly decision: "allow" | "deny";
      readonly diagnostics: { readonly errors: readonly unknown[] };
    };
  };
}

function load(): Cedar | undefined {
  try {
    return createRequire(import.meta.url)("@cedar-policy/cedar-wasm/nodejs") as Cedar;
  } catch {
    return undefined;
  }
}

const cedar = load();
const SNAPSHOTS = effort("HEALTHLEDGER_CEDAR", { full: 4_000, short: 600 });
const QUESTIONS = 6;

function allows(given: Cedar, asked: CedarQuestion): boolean {
  const answer = given.statefulIsAuthorized({ ...asked, preparsedPolicySetId: "snapshot" });
  expect(answer.type, JSON.stringify(answer)).toBe("success");
  // A policy that fails would be left out in silence.
  expect(answer.response.diagnostics.errors).toEqual([]);
  return answer.response.decision === "allow";
}

function parse(given: Cedar, snapshot: ConsentSnapshot): void {
  const parsed = given.preparsePolicySet("snapshot", { staticPolicies: toCedar(snapshot) });
  expect(parsed.type, JSON.stringify(parsed)).toBe("success");
}

const missing = cedar === undefined ? "no cedar-wasm: npm ci --prefix test/cedar" : undefined;

describeWith("evaluate and Cedar", missing, () => {
  it(`permit the same, of ${SNAPSHOTS * QUESTIONS} questions`, () => {
    const outcomes = new Map<Decision["outcome"], number>();
    let deepest = 0;
    for (let seed = 0; seed < SNAPSHOTS; seed++) {
      const dice = diceOf(seed);
      const snapshot = snapshotFrom(dice);
      parse(cedar!, snapshot);
      const consent = compileDirectives(snapshot);
      deepest = Math.max(deepest, depthOf(snapshot));
      for (let i = 0; i < QUESTIONS; i++) {
        const request = requestFrom(dice);
        const record = recordFrom(dice);
        const asOf = momentFrom(dice);
        const { outcome } = consent.evaluate(request, record, asOf);
        const allowed = request.purposes.every((purpose) =>
          allows(cedar!, toQuestion(snapshot, request, record, asOf, purpose)),
        );
        const found = { seed, i, permits: outcome === "permit" };
        if (found.permits !== allowed) expect(found).toEqual({ seed, i, permits: allowed });
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
    const share = (outcome: Decision["outcome"]): number =>
      (outcomes.get(outcome) ?? 0) / (SNAPSHOTS * QUESTIONS);
    expect(Object.fromEntries(outcomes)).not.toHaveProperty("indeterminate");
    for (const outcome of ["permit", "deny", "not-applicable"] as const) {
      expect(share(outcome), outcome).toBeGreaterThan(0.1);
    }
    expect(deepest).toBe(3);
  });

  it("would not, if one statement of many were left out", () => {
    let compared = 0;
    let noticed = 0;
    for (let seed = 0; seed < 200; seed++) {
      const dice = diceOf(seed);
      const snapshot = snapshotFrom(dice);
      if (snapshot.directives.length === 0) continue;
      parse(cedar!, { ...snapshot, directives: snapshot.directives.slice(1) });
      const consent = compileDirectives(snapshot);
      for (let i = 0; i < QUESTIONS; i++) {
        const request = requestFrom(dice);
        const record = recordFrom(dice);
        const asOf = momentFrom(dice);
        const permits = consent.evaluate(request, record, asOf).outcome === "permit";
        const allowed = request.purposes.every((purpose) =>
          allows(cedar!, toQuestion(snapshot, request, record, asOf, purpose)),
        );
        compared++;
        if (permits !== allowed) noticed++;
      }
    }
    expect(noticed).toBeGreaterThan(compared / 20);
  });
});
