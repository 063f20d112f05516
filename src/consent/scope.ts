import { NO, UNKNOWN, YES, type Match, type MatchContext } from "./match.ts";
import type { ConsentResource } from "./resource.ts";
import type { Terminology } from "./terminology.ts";

/** Whether a record, asked for with a purpose, is within what a directive speaks of. */
export type Scope = (context: MatchContext) => Match;

/** The fields of directives and overlays that bound what they speak of. */
export interface ScopeFields {
  readonly controller?: string;
  readonly category?: string;
  readonly jurisdictions?: readonly string[];
}

/** Makes the scope of a directive ready; `undefined` when it has no bounds. */
export function compileScope(fields: ScopeFields, terminology: Terminology): Scope | undefined {
  const { controller, category, jurisdictions } = fields;
  const tests: Scope[] = [];
  if (controller !== undefined) {
    tests.push(({ resource }) =>
      resource.controller === undefined ? UNKNOWN : resource.controller === controller ? YES : NO,
    );
  }
  if (jurisdictions !== undefined) {
    tests.push(({ resource }) => matchJurisdictions(jurisdictions, resource));
  }
  const categoryTest = category === undefined ? undefined : compileCategory(category, terminology);
  if (categoryTest !== undefined) tests.push(categoryTest);
  if (tests.length === 0) return undefined;
  return (context) => {
    let match: Match = YES;
    for (const test of tests) {
      const one = test(context);
      if (one === NO) return NO;
      if (one < match) match = one;
    }
    return match;
  };
}

function matchJurisdictions(wanted: readonly string[], resource: ConsentResource): Match {
  if (resource.jurisdictions === undefined || resource.jurisdictions.length === 0) return UNKNOWN;
  let best: Match = NO;
  for (const own of resource.jurisdictions) {
    for (const code of wanted) {
      if (own === code || own.startsWith(`${code}-`)) return YES;
      if (code.startsWith(`${own}-`)) best = UNKNOWN;
    }
  }
  return best;
}

/** A consent to research decides about research; a consent to surgery decides about no reading. */
function compileCategory(category: string, terminology: Terminology): Scope | undefined {
  const known = terminology.data.categories;
  if (!Object.hasOwn(known, category)) return () => UNKNOWN;
  const purposes = known[category];
  if (purposes === null || purposes === undefined) return undefined;
  const verdicts = new Map<string, Match>();
  for (const code of purposes) {
    for (const item of terminology.purposesBelow(code) ?? [code]) verdicts.set(item, YES);
  }
  // Only who asks for any purpose at all may have meant these: who asks for treatment has not asked
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
