import { encodeBlockRecord } from "../../src/chain/block-record.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { readCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { ledgerHandler, type LedgerHandlerOptions } from "../../src/network/ledger-handler.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { specHex } from "../support/spec-blocks.ts";
import { never } from "../support/network.ts";

/** A handler of the ledger of `docs/spec/ledger.md`, under the checkpoint of `docs/spec/export.md`. */
export async function specSource() {
  const page = specHex("ledger.md");
  const genesis = page("genesis");
  const note = specHex("export.md")("checkpoint");
  const storage = memoryStorage();
  const empty = await openChain({ storage, genesis });
  const record = encodeBlockRecord({ block: page("block"), peaks: [leafHash(page("header"))] });
  await storage.chains.append(blocksChain(empty.ledger), { size: 0, hash: null }, [record]);
  await empty.refresh();
  const { size, root } = readCheckpoint(note)!;
  const source = {
    chain: empty,
    newest: { note, size, root },
    grown: never,
    policy: async () => [],
  };
  const serve = (options: Omit<LedgerHandlerOptions, "source">) =>
    ledgerHandler({ source, ...options });
  const handler = serve({ reads: "public" });
  const ask = (path: string) => handler(new Request(`http://ledger.example/${path}`));
  return { genesis, note, page, ask, serve };
}
