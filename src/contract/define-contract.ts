import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "../codec/cid.ts";
import type { CallOf, CallSchema } from "./call-schema.ts";
import type { Contract, ContractContext } from "./contract.ts";
import { decodeManifest, encodeManifest, ruleOf, type RoleTerms } from "./manifest.ts";

/** An action of a contract in TypeScript. */
export interface ContractAction<S extends CallSchema> {
  /** Who may call it: roles of the contract, or `member`. */
  readonly roles: readonly string[];
  /** The fields of a call, which everybody who reads the ledger sees. */
  readonly schema: S;
  /**
   * Applies a call to the state. It must depend on nothing but its arguments: no clock, no random
   * values, no variable that outlives it.
   */
  reduce(call: CallOf<S>, context: ContractContext): void;
}

export interface ContractDefinition<Schemas extends Readonly<Record<string, CallSchema>>> {
  /** Lower-case words; the ledger's policy registers the contract by it. */
  readonly name: string;
  /** CID of the code, such as that of the package or bundle which members install. */
  readonly code: CID;
  readonly actions: { readonly [Name in keyof Schemas]: ContractAction<Schemas[Name]> };
  /** Who holds which role at first. Default: no role but `member`. */
  readonly roles?: Readonly<Record<string, RoleTerms>>;
  /** Values that the code may read as `context.config`. Default: `null`. */
  readonly config?: unknown;
}

/** The engine of contracts in TypeScript or JavaScript that run as part of the application. */
export const NATIVE_ENGINE = "native/1";

const DEFINE_CONTRACT_OPTIONS: OptionsOf<ContractDefinition<Record<string, CallSchema>>> = {
  ...{ name: true, code: true, actions: true, roles: true, config: true },
};

/**
 * Defines a version of a contract whose code is part of the application.
 *
 * @returns the contract; its `rule` is what a ledger's policy registers
 * @throws {EncodingError} when a name, role or schema is not well formed
 * @example
 * const counter = defineContract({
 *   name: "counter",
 *   code: cidOfThisPackage,
 *   actions: {
 *     add: {
 *       roles: ["member"],
 *       schema: { amount: { type: "uint", max: 100 } },
 *       reduce({ amount }, context) {
 *         const total = (context.get("total") as number | undefined) ?? 0;
 *         if (total + amount > 1000) context.fail("too-much");
 *         context.set("total", total + amount);
 *       },
 *     },
 *   },
 * });
 */
export function defineContract<const Schemas extends Readonly<Record<string, CallSchema>>>(
  definition: ContractDefinition<Schemas>,
): Contract {
  assertOptions(definition, DEFINE_CONTRACT_OPTIONS, "defineContract");
  const { name, code, roles = {}, config = null } = definition;
  const actions = Object.entries(definition.actions as Record<string, ContractAction<CallSchema>>);
  const reducers = new Map(actions.map(([action, terms]) => [action, terms.reduce.bind(terms)]));
  const bytes = encodeManifest({
    ...{ name, engine: NATIVE_ENGINE, code, roles, config },
    actions: Object.fromEntries(
      actions.map(([action, terms]) => [action, { roles: terms.roles, schema: terms.schema }]),
    ),
  });
  return {
    manifest: decodeManifest(bytes),
    rule: ruleOf(bytes),
    run: (action, call, context) => reducers.get(action)!(call as never, context),
  };
}
