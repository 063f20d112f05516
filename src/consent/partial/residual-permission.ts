import type { Residual } from "../model/residual.ts";
import { attributesOf, vagueness, type WrittenAttributes } from "./residual-pcf.ts";
import { checked } from "./residual-search.ts";
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

/** A FHIR R5 Permission as far as a residual fills it. */
export interface ResidualPermission {
  readonly resourceType: "Permission";
  readonly status: "active";
  readonly combining: "deny-overrides";
  readonly rule: readonly ResidualPermissionRule[];
}

/** A rule of a {@link ResidualPermission}; without data it is about all. */
export interface ResidualPermissionRule {
  readonly type: "permit" | "deny";
  readonly data?: readonly ResidualPermissionData[];
}

/** What a rule is about: each of these that is there, and of each list any. */
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
 * Writes a residual as a FHIR R5 Permission: permits with the refusals that override them.
 * Whatever cannot be said is said more strictly, but for what
 * is not known of a record, which a Permission does not tell from what is not so.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names another terminology
 */
export function toResidualPermission(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualExport<ResidualPermission> {
  const terms = alternativesOf(checked(residual, terminology));
  const inexact = new Set<string>();
  if (terms === undefined) {
    inexact.add("the rules are too many: all is refused");
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
  for (const one of plain.flat()) for (const what of vagueness(one, terminology)) inexact.add(what);
  const write = (literals: ResidualTerm): readonly ResidualPermissionData[] | undefined => {
    const data = dataOf(literals, terminology);
    if (data?.expression !== undefined) inexact.add("types and codes, as an expression");
    return data && [data];
  };
  const rule: ResidualPermissionRule[] = [];
  const refuse = (among: readonly ResidualTerm[]): void => {
    const negatives = among.map((term) => term.filter((one) => !isPositive(one)));
    if (new Set(negatives.map((one) => JSON.stringify(one))).size > 1) {
      inexact.add("an exception from one alternative is made from all");
    }
    for (const one of negatives.flat()) {
      const data = write([one]);
      if (data === undefined)
        inexact.add("what a Permission cannot ask of a record: all is refused");
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
      else inexact.add("an alternative that a Permission cannot say: it is left out");
    }
    refuse(plain);
  }
  // Refusals override, so that what is permitted beside exceptions from all would be refused too.
  if (general.length > 0 && general.length < plain.length) {
    inexact.add("an alternative beside exceptions from all: it is left out");
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

/** The questions of literals as what one rule is about; `undefined` where it cannot ask them. */
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

/** A permit counts a code where the record says what it is; a refusal wherever it stands. */
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
