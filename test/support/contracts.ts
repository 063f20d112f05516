import { encodeEntry, type ContractEntry } from "../../src/block/entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import type { Fields } from "../../src/codec/shape.ts";
import type { Contract } from "../../src/contract/contract.ts";
import { defineContract } from "../../src/contract/define-contract.ts";
import { salt } from "./forge.ts";
import { bytesFor, type TestLedger } from "./ledger.ts";

export const codeOf = (name: string) => cidOf(bytesFor(name), RAW);

/** Adds up to 1,000. */
export const counter: Contract = defineContract({
  name: "counter",
  code: codeOf("counter"),
  actions: {
    add: {
      roles: ["member"],
      schema: { amount: { type: "uint", max: 600 } },
      reduce({ amount }, context) {
        const total = (context.get("total") as number | undefined) ?? 0;
        if (total + amount > 1000) context.fail("too-much");
        context.set("total", total + amount);
      },
    },
    once: {
      roles: ["member"],
      schema: { tag: { type: "bytes", length: 32 } },
      reduce: ({ tag }, context) => context.spend(tag),
    },
  },
});

/** The entry of a call. */
export function callEntry(
  contract: Contract,
  action: string,
  call: Fields,
  more: Partial<ContractEntry> = {},
): Uint8Array {
  const { rule, manifest } = contract;
  return encodeEntry({
    ...{ v: 1, kind: "contract", salt: salt(), contract: manifest.name, rule, action, call },
    ...more,
  } as ContractEntry);
}

/** Submits calls as one transaction; resolves once it is durable. */
export async function submitCalls(
  { chain, sequencer, signers, clock }: TestLedger,
  entries: readonly Uint8Array[],
  by = "a",
): Promise<void> {
  const fields = { ledger: chain.ledger, lane: 0, seq: next++, time: clock.now, entries };
  await sequencer.submit(await signTransaction(signers[by]!, fields)).durable;
}

let next = 1;
