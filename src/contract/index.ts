export type { CallOf, CallSchema, FieldSchema, ItemOf, ItemSchema } from "./call-schema.ts";
export type { Contract, ContractContext } from "./contract.ts";
export {
  type ContractAction,
  type ContractDefinition,
  defineContract,
  NATIVE_ENGINE,
} from "./define-contract.ts";
export {
  type ActionTerms,
  type ContractManifest,
  decodeManifest,
  encodeManifest,
  ruleOf,
  type RoleTerms,
} from "./manifest.ts";
export { onceTag } from "./once.ts";
export { commitResult, type OpenedResult, opensResult } from "./result.ts";
export { contractKey, roleKey, spentKey } from "./run-call.ts";
