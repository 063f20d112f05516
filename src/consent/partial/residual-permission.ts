import type { Residual } from "../model/residual.ts";
import { attributesOf, lostPrecision, type WrittenAttributes } from "./residual-pcf.ts";
import { requireTerminology } from "./residual-search.ts";
import {
  alternativesOf,
  isPositive,
  isUnderstood,
  withoutImplied,
  type ResidualExport,
  type ResidualLiteral,
  type ResidualTerm,
} from "./residual-terms.ts";
import type { Coding, DataRef } from "../model/model.ts";
import { defaultTerminology, type Terminology } from "../terminology/terminology.ts";

/** The fields of a FHIR R5 Permission that a residual fills. */
export interface ResidualPermission {
  readonly resourceType: "Permission";
  readonly status: "active";
  readonly combining: "deny-overrides";
  readonly rule: readonly ResidualPermissionRule[];
}

/** A rule of a {@link ResidualPermission}; without data it applies to everything. */
export interface ResidualPermissionRule {
  readonly type: "permit" | "deny";
  readonly data?: readonly ResidualPermissionData[];
}

/** The subject of a rule: all of the fields that are present, and any item of each list. */
export interface ResidualPermissionData {
  readonly resource?: readonly {
    readonly meaning: string;
    readonly reference: { readonly reference: string };
  }[];
  readonly security?: readonly Coding[];
  readonly period?: readonly { readonly start?: string; readonly end?: string }[];
  readonly expression?: { readonly language: string; readonly expression: string };
}

/**
 * Writes a residual as a FHIR R5 Permission: permits with the refusals that override them. What a
 * Permission cannot express is written more strictly, with one exception: a Permission does not
 * distinguish what is unknown about a record from what is false.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names a terminology other than
 *   `terminology`
 * @example
 * const { value: permission, inexact } = toResidualPermission(decision.filter!);
 * for (const loss of inexact) console.warn(loss);
 */
export function toResidualPermission(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualExport<ResidualPermission> {
  const terms = alternativesOf(requireTerminology(residual, terminology));
  const inexact = new Set<string>();
  if (terms === undefined) {
    inexact.add("too many rules: everything is refused");
    return {
      value: {
        resourceType: "Permission",
        status: "active",
        combining: "deny-overrides",
        rule: [{ type: "deny" }],
      },
      inexact: [...inexact],
    };
  }
  const plain = terms.map((one) => withoutImplied(one, terminology));
  for (const one of plain.flat())
    for (const what of lostPrecision(one, terminology)) inexact.add(what);
  const write = (literals: ResidualTerm): readonly ResidualPermissionData[] | undefined => {
    const data = dataOf(literals, terminology);
    if (data?.expression !== undefined) inexact.add("types and codes, as an expression");
    return data && [data];
  };
  const rule: ResidualPermissionRule[] = [];
  const refuse = (among: readonly ResidualTerm[]): void => {
    const negatives = among.map((term) => term.filter((one) => !isPositive(one)));
    if (new Set(negatives.map((one) => JSON.stringify(one))).size > 1) {
      inexact.add("an exception from one alternative applies to all");
    }
    for (const one of negatives.flat()) {
      const data = write([one]);
      if (data === undefined)
        inexact.add("a condition that a Permission cannot express: everything is refused");
      rule.push({ type: "deny", ...(data && { data }) });
    }
  };
  const general = plain.filter((term) => !term.some(isPositive));
  if (general.length > 0) {
    rule.push({ type: "permit" });
    refuse(general);
  } else {
    for (const term of plain) {
      const data = write(term.filter(isPositive));
      if (data !== undefined) rule.push({ type: "permit", data });
      else inexact.add("an alternative that a Permission cannot express is left out");
    }
    refuse(plain);
  }
  // Refusals override, so permits besides exceptions from everything would be refused as well.
  if (general.length > 0 && general.length < plain.length) {
    inexact.add("an alternative besides exceptions from everything is left out");
  }
  return {
    value: {
      resourceType: "Permission",
      status: "active",
      combining: "deny-overrides",
      rule: rule.length === 0 ? [{ type: "deny" }] : distinct(rule),
    },
    inexact: [...inexact],
  };
}

/** The questions of literals as the data of one rule; `undefined` if a rule cannot ask them. */
function dataOf(
  literals: readonly ResidualLiteral[],
  terminology: Terminology,
): ResidualPermissionData | undefined {
  const found: WrittenAttributes[] = [];
  const expressions: string[] = [];
  for (const one of literals) {
    if (!isUnderstood(one.question, terminology)) return undefined;
    const { types, codes, refs } = one.question.data ?? {};
    const expression =
      types !== undefined
        ? types.every((type) => TYPE.test(type)) &&
          types.map((type) => `%resource.is(${type})`).join(" or ")
        : codes !== undefined && codes.map((code) => askFor(code, isPositive(one))).join(" or ");
    const own = refs === undefined ? attributesOf(one, terminology) : { data: refs.map(asFhir) };
    if (own !== undefined) found.push(own);
    else if (expression !== false) expressions.push(`(${expression})`);
    else return undefined;
  }
  const keys = found.flatMap((one) => Object.keys(one));
  if (new Set(keys).size < keys.length) return undefined;
  const { data, securityLabel, dataPeriod }: WrittenAttributes = found.reduce(
    (all, one) => Object.assign(all, one),
    {},
  );
  return {
    ...(data === undefined ? {} : { resource: data }),
    ...(securityLabel === undefined ? {} : { security: securityLabel }),
    ...(dataPeriod === undefined ? {} : { period: [dataPeriod] }),
    ...(expressions.length === 0
      ? {}
      : { expression: { language: "text/fhirpath", expression: expressions.join(" and ") } }),
  };
}

const asFhir = ({ meaning, reference }: DataRef) => ({ meaning, reference: { reference } });

const TYPE = /^[A-Z][A-Za-z]{0,63}$/;

/** A permit matches a code where the record says what it is; a refusal matches it anywhere. */
function askFor({ system, code }: Coding, permits: boolean): string {
  const where = permits ? "code.coding" : "descendants()";
  return `%resource.${where}.where(system=${quoted(system)} and code=${quoted(code)}).exists()`;
}

/** A FHIRPath string, of printable ASCII. */
const quoted = (text: string): string =>
  `'${text.replace(/[\\']/g, "\\$&").replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)}'`;

function distinct(rules: readonly ResidualPermissionRule[]): readonly ResidualPermissionRule[] {
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}
