import { describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { openPolicySteps } from "../../src/chain/policy-steps.ts";
import { POLICY_KEY } from "../../src/chain/state.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { StorageError } from "../../src/errors.ts";
import { catchUpWithPeers } from "../../src/network/catch-up.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { START } from "../support/ledger.ts";
import { never, peerOf } from "../support/network.ts";
import { rotatingHome } from "../support/rotation.ts";

/** A storage whose appends fail from the n-th on, as if the process had ended there. */
function endingAt(inner: FullStorage, n: number): FullStorage {
  let appends = 0;
  const through = async <T>(write: () => Promise<T>): Promise<T> => {
    if (appends++ >= n) throw new StorageError("ERR_STORAGE_CLOSED", "the process ended");
    return write();
  };
  return {
    ...inner,
    chains: { ...inner.chains, append: (...given) => through(() => inner.chains.append(...given)) },
    commit: (...given) => through(() => inner.commit(...given)),
  };
}

describe("catchUpWithPeers", () => {
  it("keeps the steps to a rotated key, wherever it was interrupted", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    for (const key of ["k2", "k3"]) {
      await home.rotate(key);
      await home.grow();
      await home.source.look();
    }
    const { genesis } = home;
    const replica = await openReplica({
      ...{ genesis, storage: memoryStorage(), peers: [peerOf(home.source)], sleep: never },
    });
    await replica.sync();
    const peer = peerOf(replica);
    const base = trustFromGenesis(genesis);
    const catchUp = async (storage: FullStorage) => {
      const chain = await openChain({ storage, genesis });
      await catchUpWithPeers(chain, {
        ...{ base, storage, peers: [peer], within: 60_000, now: () => START, sleep: never },
        ...{ onFault: () => undefined, onFork: () => undefined },
      });
      return chain;
    };
    let interrupted = 0;
    for (let n = 0; ; n++) {
      const data = memoryData();
      const ended = await catchUp(endingAt(memoryStorage({ data }), n)).catch(
        (error: unknown) => error,
      );
      if (ended instanceof Error) {
        expect(ended).toMatchObject({ code: "ERR_STORAGE_CLOSED" });
        interrupted++;
      }
      const storage = memoryStorage({ data });
      const chain = await catchUp(storage);
      expect(chain.root).toEqual(home.hl.chain.root);
      // A reader who knows the genesis record only is led to the newest policy.
      await chain.state.load([POLICY_KEY]);
      const reached = await openPolicySteps(chain, storage.chains).reach(base);
      expect(reached.at(-1)!.trust.checkpointKeys).toEqual(chain.state.policy().checkpointKeys);
      if (!(ended instanceof Error)) break;
    }
    expect(interrupted).toBeGreaterThan(1);
    await replica.close();
    await home.source.close();
    await home.hl.close();
  });
});
