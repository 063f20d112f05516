import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { Capacity, Directive } from "./model/model.ts";
import type { DateValue } from "./model/time.ts";

const CAPACITY_ROLE = "healthledger|";

/**
 * The role of a person who asks for themselves, or for somebody for whom they may speak. Nobody can claim or
 * attest it: a request has it only by keys that the custodian attested of the person whom it is about.
 *
 * @example
 * const rule = { roles: [capacityRole("guardian")], purposes: ["FAMRQT"] };
 */
export const capacityRole = (capacity: Capacity): string => `${CAPACITY_ROLE}${capacity}`;

/** Whether a role is one that only attested keys give. */
export const isCapacityRole = (code: string): boolean => code.startsWith(CAPACITY_ROLE);

/** Options of {@link ownAccess}. */
export interface OwnAccessOptions {
  /** Name of the organisation whose policy it is. */
  readonly organisation: string;
  /** When it comes into force: an instant in ms since 1970, or a date. */
  readonly from: DateValue;
  /** Time zone of its dates. Default `UTC`. */
  readonly zone?: string;
  /** In which capacities persons get the records. Default: `self` alone. */
  readonly capacities?: readonly Capacity[];
}

const OPTIONS: OptionsOf<OwnAccessOptions> = {
  ...{ organisation: true, from: true, zone: true, capacities: true },
};

/**
 * A person's access to their own records as a directive, for `organisation` of a snapshot or `defaults` of a
 * ledger. It says nothing about anybody else. As every default it gives way to the law's overlays, and to what
 * the patient's directives say, also where they deny everything that they do not name.
 *
 * @example
 * const policy = { defaults: [ownAccess({ organisation: "Organization/1", from: "2026-01-01" })] };
 */
export function ownAccess(options: OwnAccessOptions): Directive {
  assertOptions(options, OPTIONS, "ownAccess");
  const { organisation, from, zone = "UTC", capacities = ["self"] } = options;
  return {
    v: 1,
    lineage: "healthledger/own-access",
    predecessors: [],
    mode: "replace",
    grantor: { actor: organisation, capacity: "self", evidence: [] },
    basis: { uri: "urn:healthledger:own-access", version: "1" },
    validity: { from, zone },
    default: "none",
    root: {
      id: "own-access",
      effect: "permit",
      combine: "deny-overrides",
      when: { roles: capacities.map(capacityRole) },
    },
  };
}
