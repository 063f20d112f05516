import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { ActorRef, Directive, Rule } from "../consent/model/model.ts";
import type { DateValue } from "../consent/model/time.ts";
import { BTG } from "../consent/terminology/terminology.ts";

/** The policies that IHE PCF defines for patients without a consent. */
export type PcfImplicitPolicy = "basic-normal" | "all-normal" | "break-glass-only" | "deny";

/** Options of {@link pcfImplicitPolicy}. */
export interface PcfPolicyOptions {
  /** The organisation that chose the policy. */
  readonly organisation: string;
  /** When it takes effect there. */
  readonly from: DateValue;
  /** Zone of `from`. Default `UTC`. */
  readonly zone?: string;
  /** Limits it to records of this controller. Default: every record. */
  readonly controller?: string;
  /** `break-glass-only`: who may break the glass, such as a group or a role. Default: anyone. */
  readonly breakGlassBy?: readonly ActorRef[];
}

/** IHE PCF's canonical URL of its implicit policies, without the policy's name. */
const CANONICAL = "https://profiles.ihe.net/ITI/PCF/Policy-";

const PCF_IMPLICIT_POLICY_OPTIONS: OptionsOf<PcfPolicyOptions> = {
  ...{ organisation: true, from: true, zone: true, controller: true, breakGlassBy: true },
};

/**
 * One of the four implicit policies of IHE PCF as a directive, for `organisation` of a snapshot or
 * `defaults` of a ledger.
 *
 * - `basic-normal`: treatment only.
 * - `all-normal`: everything that upstream access control allows, except breaking the glass.
 * - `break-glass-only`: nothing except breaking the glass.
 * - `deny`: nothing.
 *
 * @see IHE PCF 1.1.0 §53.2.1 Implicit Option
 * @example
 * const policy = pcfImplicitPolicy("basic-normal", {
 *   organisation: "Organization/hospital",
 *   from: "2026-01-01",
 * });
 */
export function pcfImplicitPolicy(policy: PcfImplicitPolicy, options: PcfPolicyOptions): Directive {
  assertOptions(options, PCF_IMPLICIT_POLICY_OPTIONS, "pcfImplicitPolicy");
  const { organisation, from, zone = "UTC", controller, breakGlassBy } = options;
  const uri = `${CANONICAL}${policy}`;
  return {
    v: 1,
    lineage: `${CANONICAL}implicit`,
    predecessors: [],
    mode: "replace",
    grantor: { actor: organisation, capacity: "self", evidence: [] },
    ...(controller !== undefined && { controller }),
    basis: { uri, version: "1.1.0" },
    validity: { from, zone },
    default: "deny",
    root: ruleOf(policy, breakGlassBy),
  };
}

function ruleOf(policy: PcfImplicitPolicy, breakGlassBy: readonly ActorRef[] | undefined): Rule {
  const rule = (effect: Rule["effect"], when: Rule["when"]): Rule => ({
    id: policy,
    effect,
    combine: "deny-overrides",
    when,
  });
  switch (policy) {
    case "basic-normal":
      return rule("permit", { purposes: ["TREAT"] });
    case "all-normal":
      return rule("permit", {});
    case "deny":
      return rule("deny", {});
    case "break-glass-only": {
      const when = { purposes: [BTG], ...(breakGlassBy && { actors: breakGlassBy }) };
      return {
        ...rule("deny", {}),
        rules: [{ ...rule("permit", when), id: `${policy}/declared` }],
      };
    }
  }
  throw new RangeError("policy must be basic-normal, all-normal, break-glass-only or deny");
}
