import { encodeEntry, entryId } from "../block/entry.ts";
import { contractInForce } from "../block/policy.ts";
import { decode } from "../codec/dag-cbor.ts";
import { toEntryId } from "../codec/ids.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { expectCall } from "../contract/call-schema.ts";
import type { Contract } from "../contract/contract.ts";
import { contractKey, expectKey } from "../contract/run-call.ts";
import { ContractError, InputError } from "../errors.ts";
import type { LedgerContext } from "./context.ts";
import type { Filing } from "./entries/filing.ts";
import type { Ledger } from "./ledger.ts";

/** The calls about contracts. */
export type ContractCalls = Pick<Ledger, "callContract" | "contractValue">;

/** Makes the calls. */
export function contractCalls(
  { chain, signer, random }: Pick<LedgerContext, "chain" | "signer" | "random">,
  { contracts, filing }: { readonly contracts: readonly Contract[]; readonly filing: Filing },
): ContractCalls {
  /** The version that the next block's calls are calls of. */
  async function inForce(name: string): Promise<Contract> {
    await chain.refresh();
    await chain.state.load([POLICY_KEY]);
    const registered = contractInForce(chain.state.policy(), name, chain.size);
    if (registered === undefined) {
      throw new InputError("ERR_INPUT_INVALID", "no contract of this name is in force");
    }
    const found = contracts.find(({ rule }) => rule.equals(registered.rule));
    if (found !== undefined) return found;
    throw new ContractError(
      "ERR_CONTRACT_UNAVAILABLE",
      `this node lacks version ${registered.rule.toString()} of the contract: pass it as one of \`contracts\``,
    );
  }

  return {
    async callContract(name, action, call) {
      const { manifest, rule } = await inForce(name);
      const terms = Object.hasOwn(manifest.actions, action) ? manifest.actions[action] : undefined;
      // A call that the contract cannot take is told here, by its field. What is left is checked when it runs.
      if (terms !== undefined) expectCall(terms.schema, call, "call");
      const entry = encodeEntry({
        ...{ v: 1, kind: "contract", salt: random(16), contract: name, rule, action, call },
      });
      const { height } = await filing.fileClear([entry]);
      return { id: toEntryId(entryId(chain.ledger, signer.actor, entry)), height };
    },
    async contractValue(name, key) {
      const at = contractKey(name, expectKey(key));
      await chain.refresh();
      await chain.state.load([at]);
      const value = chain.state.get(at);
      return value === undefined ? undefined : decode(value);
    },
  };
}
