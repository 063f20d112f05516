import { describe, expect, it } from "vitest";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { encodePolicySteps, followPolicySteps } from "../../src/chain/follow-steps.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { forgedEvidence } from "../support/forks.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";
import { never, peerOf } from "../support/network.ts";
import { ORIGIN, rotatingHome } from "../support/rotation.ts";

describe("a replica of a ledger whose checkpoint keys are rotated", () => {
  it("is not stopped by a key that has left the policy, and neither is its home", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.rotate("k2");
    await home.grow();
    await home.source.look();
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage: memoryStorage(), sleep: never },
      peers: [peerOf(home.source)],
    });
    await replica.sync();
    // Whoever has stolen the old key may sign for times when it was in force, and for later ones.
    for (const size of [1, 2, 9]) {
      const stolen = await forgedEvidence(ORIGIN, [signerFor("k1")], size);
      expect(await replica.takeFork(stolen)).toEqual({ frozen: false, cosigners: [] });
      expect(await home.hl.takeFork(stolen)).toEqual({ frozen: false, cosigners: [] });
    }
    await home.grow();
    await home.source.look();
    expect(await replica.sync()).toBe(home.source.newest!.size);
    const evidence = await forgedEvidence(ORIGIN, [signerFor("k2")]);
    expect(await replica.takeFork(evidence)).toEqual({ frozen: true, cosigners: [] });
    expect(await home.hl.takeFork(evidence)).toEqual({ frozen: true, cosigners: [] });
    await expect(home.grow()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
    await home.hl.close();
  }, 60_000);

  it("follows after it was offline for two rotations, and others can follow it", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    const storage = memoryStorage();
    const open = (peers: readonly LedgerPeer[], own = storage) =>
      openReplica({ genesis: home.genesis, storage: own, peers, sleep: never });
    const before = await open([peerOf(home.source)]);
    await before.sync();
    await before.close();
    for (const key of ["k2", "k3"]) {
      await home.rotate(key);
      await home.grow();
      await home.source.look();
      await home.grow();
      await home.source.look();
    }
    const replica = await open([peerOf(home.source)]);
    const size = await replica.sync();
    expect(size).toBe(home.source.newest!.size);
    expect(replica.chain.root).toEqual(home.source.newest!.root);
    expect(replica.trust.checkpointKeys).toEqual([signerFor("k3").publicKey]);
    // One that begins at genesis, of the replica and not of the home.
    const other = await open([peerOf(replica)], memoryStorage());
    expect(await other.sync()).toBe(size);
    expect(await other.policy()).toHaveLength((await home.source.policy()).length);
    await replica.close();
    const again = await open([peerOf(home.source)]);
    expect(again.newest?.size).toBe(size);
    await home.hl.close();
  }, 60_000);

  it("takes the steps that it did not need itself, so that those who ask it can follow", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    const storage = memoryStorage();
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage, sleep: never },
      peers: [peerOf(home.source)],
    });
    await replica.sync();
    for (const key of ["k2", "k3"]) {
      await home.rotate(key);
      await home.source.look();
      // The change is in the newest block here, so that what the new key signs alone is accepted.
      expect(await replica.sync()).toBe(home.source.newest!.size);
      await home.grow();
      await home.source.look();
      await home.grow();
      await home.source.look();
      expect(await replica.sync()).toBe(home.source.newest!.size);
    }
    const bytes = await peerOf(replica).policy();
    const followed = followPolicySteps(trustFromGenesis(home.genesis), bytes);
    expect(followed).toMatchObject({
      ok: true,
      trust: { checkpointKeys: [signerFor("k3").publicKey] },
    });
    expect(bytes).toEqual(await home.hl.governance.policySteps());
    await home.hl.close();
  }, 60_000);

  it("keeps few checkpoints while no steps lead to the policy in force", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    await home.rotate("k2");
    await home.grow();
    await home.source.look();
    const storage = memoryStorage();
    const silent: LedgerPeer = {
      ...peerOf(home.source),
      policy: async () => encodePolicySteps(home.hl.chain.ledger, []),
    };
    const trust = {
      ...trustFromGenesis(home.genesis),
      checkpointKeys: [signerFor("k2").publicKey],
      policyHeight: home.source.newest!.size - 1,
    };
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage, peers: [silent], trust, sleep: never },
    });
    for (let i = 0; i < 10; i++) {
      await home.grow();
      await home.source.look();
      await replica.sync();
    }
    const kept = await storage.chains.head(`${home.hl.chain.ledger.toString()}/policy`);
    expect(kept.size).toBeLessThan(3);
    await home.hl.close();
  }, 60_000);

  it("accepts nothing that only a key signed which is not in force any more", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    await home.rotate("k2");
    await home.grow();
    await home.source.look();
    const storage = memoryStorage();
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage, sleep: never },
      peers: [peerOf(home.source)],
    });
    await replica.sync();
    await replica.close();
    const size = home.source.newest!.size + 4;
    const text = encodeCheckpoint({ origin: ORIGIN, size, root: bytesFor("stolen") });
    const note = await signNote(text, [noteSigner(signerFor("k1"), ORIGIN)]);
    const thief: LedgerPeer = { ...peerOf(home.source), checkpoint: async () => note };
    const shown = await openReplica({
      genesis: home.genesis,
      storage,
      peers: [thief],
      sleep: never,
    });
    await expect(shown.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
    expect(shown.fork).toBeUndefined();
    await home.hl.close();
  }, 60_000);
});
