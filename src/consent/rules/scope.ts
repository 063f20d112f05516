import type { AttributeTest } from "./match.ts";
import type { MatchContext } from "./match-context.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import { compareNames } from "./alike.ts";
import { isJurisdiction } from "../terminology/known-codes.ts";
import type { ConsentResource } from "../model/resource.ts";
import type { Terminology } from "../terminology/terminology.ts";
import { anyMatch, NO, UNKNOWN, YES, type Match } from "./truth.ts";

/**
 * The bounds of a directive or its grantor: a record must be within at least one of the lists, and
 * within all bounds of that list.
 */
export type Scope = readonly (readonly AttributeTest[])[];

/** Whether a record, requested for a purpose, is within a scope. */
export function matchScope(scope: Scope | undefined, context: MatchContext): Match {
  if (scope === undefined) return YES;
  let best: Match = NO;
  for (const bounds of scope) {
    let match: Match = YES;
    for (const test of bounds) {
      const one = test.run(context);
      if (one < match) match = one;
      if (match === NO) break;
    }
    if (match > best) best = match;
  }
  return best;
}

/** The fields that bound a directive or an overlay. */
export interface ScopeFields {
  readonly controller?: string;
  readonly category?: string;
  readonly jurisdictions?: readonly string[];
}

/** Compiles the scope of a directive; `undefined` if it has no bounds. */
export function compileScope(fields: ScopeFields, terminology: Terminology): Scope | undefined {
  const { controller, category, jurisdictions } = fields;
  const tests: AttributeTest[] = [];
  const add = (
    attribute: string,
    run: (context: MatchContext) => Match,
    asked?: Pick<RecordQuestion, "controller" | "jurisdictions">,
  ): void => {
    const question =
      asked === undefined ? undefined : { effect: "permit" as const, zone: "UTC", ...asked };
    tests.push({ attribute, bit: 0, question, run });
  };
  if (controller !== undefined) {
    add(
      "controller",
      ({ resource }) =>
        resource.controller === undefined ? UNKNOWN : compareNames(controller, resource.controller),
      { controller },
    );
  }
  if (jurisdictions !== undefined) {
    add("jurisdictions", ({ resource }) => matchJurisdictions(jurisdictions, resource), {
      jurisdictions,
    });
  }
  const categoryTest = category === undefined ? undefined : compileCategory(category, terminology);
  if (categoryTest !== undefined) add("category", categoryTest);
  return tests.length === 0 ? undefined : [tests];
}

function matchJurisdictions(wanted: readonly string[], resource: ConsentResource): Match {
  if (resource.jurisdictions === undefined || resource.jurisdictions.length === 0) return UNKNOWN;
  return anyMatch(resource.jurisdictions, (own) =>
    anyMatch(wanted, (code) => {
      if (own === code || own.startsWith(`${code}-`)) return YES;
      return code.startsWith(`${own}-`) || !isJurisdiction(own) || !isJurisdiction(code)
        ? UNKNOWN
        : NO;
    }),
  );
}

/** A consent to research decides about research; a consent to surgery decides about no access. */
function compileCategory(
  category: string,
  terminology: Terminology,
): ((context: MatchContext) => Match) | undefined {
  const known = terminology.data.categories;
  if (!Object.hasOwn(known, category)) return () => UNKNOWN;
  const purposes = known[category];
  if (purposes === null || purposes === undefined) return undefined;
  const verdicts = new Map<string, Match>();
  for (const code of purposes) {
    for (const item of terminology.purposesBelow(code) ?? [code]) verdicts.set(item, YES);
  }
  // Only a request for any purpose at all may include these: a request for treatment does not ask
  // for a trial, though HL7 puts clinical trials below treatment.
  const hierarchy = terminology.data.purposes;
  for (const [code, [, ...parents]] of Object.entries(hierarchy)) {
    const top = parents.every((parent) => !Object.hasOwn(hierarchy, parent));
    if (top && purposes.length > 0 && !verdicts.has(code)) verdicts.set(code, UNKNOWN);
  }
  return ({ purpose }) => {
    const verdict = verdicts.get(purpose);
    if (verdict !== undefined) return verdict;
    return purposes.length > 0 && terminology.purposesBelow(purpose) === undefined ? UNKNOWN : NO;
  };
}
