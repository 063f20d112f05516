import { equalBytes } from "../../src/bytes/compare.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { LedgerError } from "../../src/errors.ts";
import { peerList } from "../../src/network/peer-list.ts";
import { takeBlocks } from "../../src/network/take-blocks.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { DEADLINE, note, type Asked } from "./party.ts";

/** A validator's check: every block up to a head, by every rule, in memory, before it is cosigned. */
export async function checksAhead(genesis: Uint8Array, home: Asked) {
  const chain = await openChain({ storage: memoryStorage(), genesis });
  const peer = httpPeer({ url: home.url, did: home.name, deadline: DEADLINE });
  return async (size: number, root: Uint8Array): Promise<boolean> => {
    try {
      if (size > chain.size) {
        const list = peerList([peer], Date.now, ({ error }) => note(error));
        await takeBlocks(chain, { size, root }, list, { signal: AbortSignal.timeout(20_000) });
      }
      return equalBytes(await chain.rootAt(size), root);
    } catch (error) {
      if (!(error instanceof LedgerError || error instanceof DOMException)) throw error;
      note(error);
      return false;
    }
  };
}
