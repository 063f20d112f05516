import type { CID } from "../../codec/cid.ts";
import { cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { InputError } from "../../errors.ts";
import { checkPlan } from "./check-plan.ts";
import type { Benefit, CodePair, PlanDocument } from "./model.ts";

/** A plan that was read and found well formed. */
export interface BenefitPlan {
  readonly document: PlanDocument;
  /** Names the plan's bytes. */
  readonly cid: CID;
  readonly benefitByCode: ReadonlyMap<string, Benefit>;
  readonly pairsBySecond: ReadonlyMap<string, readonly CodePair[]>;
  /** 0 is the highest rank. */
  readonly rankByCode: ReadonlyMap<string, number>;
}

/**
 * Checks a plan, and makes it ready for adjudication.
 *
 * @param document - copied
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` naming the field that is wrong
 * @throws {InputError} `ERR_INPUT_INVALID` where fields contradict each other
 * @example
 * const plan = createPlan({
 *   v: 1,
 *   currency: "USD",
 *   yearStarts: "01-01",
 *   networks: { in: { contracted: true, coinsurance: 2000, unlisted: 10_000 } },
 *   benefits: [],
 *   otherServices: "covered",
 *   coordination: "standard",
 * });
 */
export const createPlan = (document: PlanDocument): BenefitPlan => decodePlan(encode(document));

/**
 * The bytes by which a plan is stored, and of which its CID is made.
 *
 * @example
 * const bytes = encodePlan(plan);
 */
export const encodePlan = (plan: BenefitPlan): Uint8Array => encode(plan.document);

/**
 * Reads a stored plan.
 *
 * @throws {EncodingError} if the bytes are not the canonical form of a plan
 * @throws {InputError} `ERR_INPUT_INVALID` where fields contradict each other
 * @example
 * const plan = decodePlan(bytes);
 */
export function decodePlan(bytes: Uint8Array): BenefitPlan {
  const document = freeze(checkPlan(decode(bytes)));
  return {
    document,
    cid: cidOf(bytes, DAG_CBOR),
    benefitByCode: benefitsByCode(document.benefits),
    pairsBySecond: pairsBySecond(document.pairs ?? []),
    rankByCode: new Map(document.ranks?.order.map((code, rank) => [code, rank])),
  };
}

function benefitsByCode(benefits: readonly Benefit[]): ReadonlyMap<string, Benefit> {
  const byCode = new Map<string, Benefit>();
  for (const benefit of benefits) {
    for (const code of benefit.codes) {
      // One of the two would be ignored, and nobody could say which.
      if (byCode.has(code)) throw invalid("plan.benefits lists a code twice");
      byCode.set(code, benefit);
    }
  }
  return byCode;
}

function pairsBySecond(pairs: readonly CodePair[]): ReadonlyMap<string, readonly CodePair[]> {
  const bySecond = new Map<string, CodePair[]>();
  for (const pair of pairs) {
    const known = bySecond.get(pair.second);
    if (known === undefined) bySecond.set(pair.second, [pair]);
    else known.push(pair);
  }
  return bySecond;
}

const invalid = (message: string): InputError => new InputError("ERR_INPUT_INVALID", message);

/** Freezes decoded values, which contain no circles. */
function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) freeze(inner);
    Object.freeze(value);
  }
  return value;
}
