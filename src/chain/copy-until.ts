import { assertUint } from "../bytes/guards.ts";
import { ledgerId } from "../block/genesis.ts";
import { sha256 } from "#crypto";
import { ChainError, InputError } from "../errors.ts";
import type { ChainStore, Head, StateStore } from "../storage/types.ts";
import { blocksChain } from "./chain.ts";
import { openDerived } from "./derived.ts";
import type { KindRule } from "./kind-rule.ts";
import { readStoredRecords } from "./stored-block.ts";
import { verifyRecords } from "./verify-ledger.ts";

/**
 * The head that a chain of blocks had before a record was appended that is no block. A chain store cannot be
 * truncated, so that only a copy gets rid of such a record, and of all that follow it.
 *
 * @param until - the record's height
 * @throws {InputError} `ERR_INPUT_INVALID` unless it is the first invalid record
 * @throws {ChainError} `ERR_CHAIN_LOST` when a block at this height or above was checked before: it is damaged,
 *   and not foreign
 */
export async function headBefore(
  { chains, state }: { readonly chains: ChainStore; readonly state: StateStore },
  until: number,
  given: {
    readonly genesis: Uint8Array;
    readonly kinds?: readonly KindRule[];
    readonly signal?: AbortSignal;
  },
): Promise<Head> {
  assertUint(until, "until");
  const { genesis, kinds = [], signal } = given;
  const ledger = ledgerId(genesis);
  const name = blocksChain(ledger);
  const { size } = await chains.head(name);
  if (until >= size) throw invalid(`the source holds ${size} blocks: none is at height ${until}`);
  const records = chains.read(name, { from: 0, limit: until + 1 });
  const checked = await verifyRecords(records, until + 1, {
    ...{ genesis, kinds },
    ...(signal === undefined ? {} : { signal }),
  });
  if (checked.ok) throw invalid(`block ${until} is valid, and would be left behind`);
  if (checked.height !== until) {
    throw invalid(`the first invalid block is at height ${checked.height}, and not ${until}`);
  }
  const derived = openDerived(state, ledger);
  if (((await derived.mark())?.size ?? 0) > until || (await derived.reachTo(until))) {
    throw new ChainError(
      "ERR_CHAIN_LOST",
      `block ${until} was valid when it was checked before: it is damaged, and a backup may have it`,
    );
  }
  if (until === 0) return { size: 0, hash: null };
  const [last] = await readStoredRecords(chains, name, until - 1, 1);
  return { size: until, hash: sha256(last!) };
}

function invalid(message: string): InputError {
  return new InputError("ERR_INPUT_INVALID", message);
}
