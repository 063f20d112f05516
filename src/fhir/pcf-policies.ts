import type { ActorRef, Directive, Rule } from "../consent/model/model.ts";
import type { DateValue } from "../consent/model/time.ts";
import { BTG } from "../consent/terminology/terminology.ts";

/** The policies that IHE PCF defines for where no consent of the patient is found. */
export type PcfImplicitPolicy = "basic-normal" | "all-normal" | "break-glass-only" | "deny";

/** Who has chosen an implicit policy, and for what. */
export interface PcfPolicyOptions {
  /** The organisation that has chosen it. */
  readonly organisation: string;
  /** Since when it holds there. */
  readonly from: DateValue;
  /** Zone of `from`. Default `UTC`. */
  readonly zone?: string;
  /** Only its own records: their controller. Default every record. */
  readonly controller?: string;
  /** `break-glass-only`: who may declare it, such as a group or a role. Default whoever does. */
  readonly breakGlassBy?: readonly ActorRef[];
}

/** Where IHE PCF names its implicit policies; the policy's name follows. */
const CANONICAL = "https://profiles.ihe.net/ITI/PCF/Policy-";

/**
 * One of the four implicit policies of IHE PCF as a directive, for `organisation` of a snapshot or
 * `defaults` of a ledger.
 *
 * - `basic-normal`: treatment, nothing else.
 * - `all-normal`: whatever the access control before it lets through, but not breaking the glass.
 * - `break-glass-only`: nothing, but for breaking the glass.
 * - `deny`: nothing.
 *
 * @see IHE PCF 1.1.0 §53.2.1 Implicit Option
 */
export function pcfImplicitPolicy(policy: PcfImplicitPolicy, options: PcfPolicyOptions): Directive {
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
  throw new RangeError("no such policy");
}
