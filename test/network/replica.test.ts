import { decode, encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { encodeBlock, decodeBlock } from "../../src/block/block.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { verifyForkEvidence } from "../../src/chain/fork-evidence.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { StorageError, TransportError } from "../../src/errors.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { followEntries, type FollowedEntry } from "../../src/network/follow-entries.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import type { PeerFault } from "../../src/network/peer-list.ts";
import type { OpenReplicaOptions } from "../../src/network/replica.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { signerFor } from "../support/ledger.ts";
import { snapshotOf, storageFrom } from "../support/loss-scene.ts";
import { handClock, never, peerOf, startHome, type Home } from "../support/network.ts";
import { flipBit } from "../support/small-ledger.ts";

async function homeOf(blocks: number, lastSeq = -1): Promise<Home> {
  const home = await startHome({ lastSeq });
  await home.grow(blocks);
  await home.source.look();
  return home;
}

/** A replica of a home, with what it noted of its peers. */
async function replicaOf(
  home: Home,
  peers: readonly LedgerPeer[],
  more: Partial<OpenReplicaOptions> = {},
) {
  const storage = more.storage ?? memoryStorage();
  const faults: PeerFault[] = [];
  const replica = await openReplica({
    ...{ genesis: home.genesis, storage, peers, sleep: never },
    onFault: (fault) => faults.push(fault),
    ...more,
  });
  return { replica, storage, faults };
}

const sizeIn = async (storage: StorageAdapter, home: Home): Promise<number> =>
  (await storage.chains!.head(blocksChain(home.chain.ledger))).size;

const named = (peer: LedgerPeer, did: string): LedgerPeer => ({ ...peer, did });

describe("openReplica", () => {
  it("keeps little of a bundle whose turn has not come, however large its blocks are", async () => {
    const home = await homeOf(256);
    // 14 blocks of more than a MiB each, by the sizes of their entries alone
    await home.grow(14, 10_000);
    await home.source.look();
    let [taken, largest, isLeft] = [0, 0, false];
    let goOn!: () => void;
    const stalled = new Promise<void>((resolve) => (goOn = resolve));
    const real = peerOf(home.source);
    const stalling: LedgerPeer = {
      ...real,
      async *blocks(bundle, options) {
        if (bundle.index === 0) await stalled;
        yield* real.blocks(bundle, options);
      },
    };
    const eager: LedgerPeer = {
      ...real,
      async *blocks(bundle, options) {
        try {
          for await (const block of real.blocks(bundle, options)) {
            if (bundle.index === 1) taken += block.length;
            largest = Math.max(largest, block.length);
            yield block;
          }
        } finally {
          isLeft = true;
          goOn();
        }
      },
    };
    const { replica, faults } = await replicaOf(home, [stalling, eager]);
    const synced = replica.sync();
    await stalled;
    expect(isLeft).toBe(true);
    expect(14 * largest).toBeGreaterThan(12 * 2 ** 20);
    expect(taken).toBeLessThanOrEqual(8 * 2 ** 20 + largest);
    expect(await synced).toBe(270);
    expect(faults).toEqual([]);
  });

  it("takes what the newest checkpoint covers from several peers, and serves it itself", async () => {
    const home = await homeOf(600);
    const { root } = home.source.newest!;
    await home.grow(3);
    const peers = [1, 2, 3].map(() => peerOf(home.source));
    const { replica, storage, faults } = await replicaOf(home, peers);
    expect(await replica.sync()).toBe(600);
    expect(faults).toEqual([]);
    expect(replica.chain.root).toEqual(root);
    expect(replica.newest).toMatchObject({ size: 600, root });
    for (const { asked } of peers) {
      expect(asked.filter((path) => path.startsWith("tile/blocks/")).length).toBeGreaterThan(0);
    }
    const { genesis } = home;
    expect(await verifyLedger(storage.chains!, { genesis })).toMatchObject({
      ok: true,
      size: 600,
      root,
    });
    // As docs/spec/network.md has it, by another decoder.
    const kept = async (name: string) =>
      decode(
        (await storage.state!.get(
          new TextEncoder().encode(`network/${home.chain.ledger.toString()}/${name}`),
        ))!,
      );
    const { note } = home.source.newest!;
    expect(await kept("held")).toEqual({ v: 1, note });
    expect(await kept("accepted")).toEqual({
      v: 1,
      note,
      steps: encode({ v: 1, ledger: home.chain.ledger, steps: [] }),
    });
    const second = await replicaOf(home, [peerOf(replica)]);
    expect(await second.replica.sync()).toBe(600);
    expect(second.replica.chain.root).toEqual(root);
    // Only what is new is fetched.
    await home.source.look();
    const before = peers[0]!.asked.length;
    expect(await replica.sync()).toBe(603);
    const more = peers
      .flatMap(({ asked }) => asked.slice(before))
      .filter((path) => /blocks/.test(path));
    expect(new Set(more)).toEqual(new Set(["tile/blocks/002.p/91"]));
    await replica.close();
  }, 60_000);

  it("goes on after a crash between any two batches, without asking for what it has", async () => {
    const home = await homeOf(520);
    const storage = memoryStorage();
    let writes = 0;
    const failing: StorageAdapter = {
      ...storage,
      commit(batch) {
        if (++writes === 2) throw new StorageError("ERR_STORAGE_FAILED", "the disk is full");
        return storage.commit(batch);
      },
    };
    const first = await replicaOf(home, [peerOf(home.source)], { storage: failing });
    await expect(first.replica.sync()).rejects.toThrow();
    const size = await sizeIn(storage, home);
    expect(size).toBe(256);
    const peer = peerOf(home.source);
    const second = await replicaOf(home, [peer], { storage });
    expect(second.replica.newest).toBeUndefined();
    expect(await second.replica.sync()).toBe(520);
    expect(peer.asked).not.toContain("tile/blocks/000");
    const third = await replicaOf(home, [peerOf(home.source)], { storage, trustStore: true });
    expect(third.replica.newest).toMatchObject({ size: 520 });
  }, 60_000);

  it("makes whoever gives a wrong block pay, and takes the block from somebody else", async () => {
    const home = await homeOf(300);
    const good = named(peerOf(home.source), "did:good");
    const wrongs: Record<string, (bytes: Uint8Array, height: number) => Uint8Array> = {
      flipped: (bytes, height) => (height === 20 ? flipBit(bytes, bytes.length * 4) : bytes),
      "without its transactions": (bytes, height) => {
        const block = decodeBlock(bytes);
        return height === 20 ? encodeBlock({ ...block, transactions: [] }) : bytes;
      },
      "with another signature": (bytes, height) => {
        const block = decodeBlock(bytes);
        return height === 20 ? encodeBlock({ ...block, sig: flipBit(block.sig, 9) }) : bytes;
      },
      "of another height": (bytes) => bytes,
      "no block": (bytes, height) => (height === 20 ? new Uint8Array(7) : bytes),
    };
    for (const [what, change] of Object.entries(wrongs)) {
      const bad: LedgerPeer = {
        ...named(peerOf(home.source), "did:bad"),
        async *blocks(bundle, options) {
          const all: Uint8Array[] = [];
          for await (const bytes of good.blocks(bundle, options)) all.push(bytes);
          if (what === "of another height") [all[20], all[21]] = [all[21]!, all[20]!];
          for (const [i, bytes] of all.entries()) yield change(bytes, bundle.index * 256 + i);
        },
      };
      const { replica, storage, faults } = await replicaOf(home, [bad, good]);
      expect(await replica.sync(), what).toBe(300);
      expect(
        faults.map(({ did }) => did),
        what,
      ).toEqual(["did:bad"]);
      expect(replica.chain.root).toEqual(home.source.newest!.root);
      expect(await verifyLedger(storage.chains!, { genesis: home.genesis })).toMatchObject({
        ok: true,
      });
      const alone = await replicaOf(home, [bad]);
      await expect(alone.replica.sync(), what).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
      expect(await sizeIn(alone.storage, home), what).toBeLessThanOrEqual(20);
    }
  }, 120_000);

  it("lets nobody pay for a valid block of another history that somebody else slipped in", async () => {
    const stored = memoryStorage();
    const home = await startHome({ storage: stored });
    await home.grow(100);
    await home.source.look();
    const storage = memoryStorage();
    // The next batch has blocks of two bundles, and so of two peers.
    const begun = await replicaOf(home, [peerOf(home.source)], { storage });
    await begun.replica.sync();
    await begun.replica.close();
    await home.grow(155);
    const copied = await storageFrom(await snapshotOf(stored));
    const fork = await startHome({ storage: copied, lastSeq: 1000 });
    await fork.grow(1);
    await home.grow(45);
    await home.source.look();
    const { bytes: other } = await fork.chain.readBlock(255);
    const good = named(peerOf(home.source), "did:good");
    const bad: LedgerPeer = {
      ...named(peerOf(home.source), "did:bad"),
      async *blocks(bundle, options) {
        let height = bundle.index * 256;
        for await (const bytes of good.blocks(bundle, options)) {
          yield height++ === 255 ? other : bytes;
        }
      },
    };
    const { replica, faults } = await replicaOf(home, [bad, good], { storage });
    expect(await replica.sync()).toBe(300);
    expect(faults.map(({ did }) => did)).toEqual(["did:bad"]);
    expect(replica.chain.root).toEqual(home.source.newest!.root);
  }, 60_000);

  it("believes no tile that does not lead to the checkpoint's root", async () => {
    const home = await homeOf(300);
    const good = named(peerOf(home.source), "did:good");
    const bad: LedgerPeer = {
      ...named(good, "did:bad"),
      async tile(tile, options) {
        const bytes = await good.tile(tile, options);
        return tile.level === 0 && tile.width === 256 ? flipBit(bytes, 77) : bytes;
      },
    };
    const { replica, faults } = await replicaOf(home, [bad, good]);
    expect(await replica.sync()).toBe(300);
    expect(faults.map(({ did }) => did)).toContain("did:bad");
    expect(faults.map(({ did }) => did)).not.toContain("did:good");
  }, 60_000);

  it("accepts no checkpoint that the policy does not accept", async () => {
    const home = await homeOf(5);
    const stranger = await startHome({
      policy: {
        checkpointKeys: [signerFor("checkpoint").publicKey],
        nonce: signerFor("x").publicKey,
      },
    });
    await stranger.grow(9);
    await stranger.source.look();
    const note = new TextDecoder().decode(home.source.newest!.note);
    const forgeries: Record<string, Uint8Array> = {
      "a larger size": new TextEncoder().encode(note.replace("\n5\n", "\n6\n")),
      "no signature": new TextEncoder().encode(note.split("\n\n")[0] + "\n\n"),
      nothing: new Uint8Array(),
    };
    for (const [what, forged] of Object.entries(forgeries)) {
      const bad: LedgerPeer = { ...peerOf(home.source), checkpoint: async () => forged };
      const { replica, storage, faults } = await replicaOf(home, [bad]);
      await expect(replica.sync(), what).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
      expect(faults, what).toHaveLength(1);
      expect(await sizeIn(storage, home)).toBe(0);
    }
    // Another ledger of the same origin and key: its checkpoints are signed, its blocks are not this ledger's.
    const { replica, storage } = await replicaOf(home, [peerOf(stranger.source)]);
    await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    expect(await sizeIn(storage, home)).toBe(0);
  }, 60_000);

  it.each([
    ["of one size", 5, 5],
    ["of which the second is larger", 5, 9],
    ["of which the second is smaller", 9, 5],
  ])(
    "keeps the evidence of two histories %s, and takes nothing more",
    async (_, first, second) => {
      const [ours, theirs] = [await homeOf(first), await homeOf(second, 100)];
      const storage = memoryStorage();
      const { replica } = await replicaOf(ours, [peerOf(ours.source)], { storage });
      await replica.sync();
      await replica.close();
      const again = await replicaOf(ours, [peerOf(theirs.source), peerOf(ours.source)], {
        storage,
      });
      await expect(again.replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      const evidence = again.replica.fork!;
      const key = noteKey("ledger.example/test", NOTE_ED25519, signerFor("checkpoint").publicKey);
      expect(verifyForkEvidence(evidence, key)).toMatchObject({
        ok: true,
        kind: first === second ? "same-size" : "other-continuation",
      });
      expect(await sizeIn(storage, ours)).toBe(first);
      expect(again.replica.chain.root).toEqual(ours.chain.root);
      await ours.grow(1);
      await ours.source.look();
      const later = await replicaOf(ours, [peerOf(ours.source)], { storage });
      expect(later.replica.fork).toEqual(evidence);
      await expect(later.replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      expect(await sizeIn(storage, ours)).toBe(first);
    },
    60_000,
  );

  it("remembers what it accepted, also if it was killed before it had the blocks", async () => {
    const [ours, theirs] = [await homeOf(5), await homeOf(7, 100)];
    const storage = memoryStorage();
    const silent: LedgerPeer = {
      ...peerOf(ours.source),
      // eslint-disable-next-line require-yield
      async *blocks() {
        throw new Error("the process was killed");
      },
    };
    const { replica } = await replicaOf(ours, [silent], { storage });
    await expect(replica.sync()).rejects.toThrow("killed");
    expect(await sizeIn(storage, ours)).toBe(0);
    const again = await replicaOf(ours, [peerOf(theirs.source)], { storage });
    await expect(again.replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
    expect(await sizeIn(storage, ours)).toBe(0);
  }, 60_000);

  it("convicts nobody for silence, lies about tiles or an older checkpoint", async () => {
    const home = await homeOf(40);
    const old = home.source.newest!;
    await home.grow(30);
    await home.source.look();
    const behind: LedgerPeer = { ...peerOf(home.source), checkpoint: async () => old.note };
    const silent: LedgerPeer = {
      ...named(peerOf(home.source), "did:silent"),
      checkpoint: () => Promise.reject(new TransportError("ERR_TRANSPORT_TIMEOUT", "silence")),
    };
    const lying: LedgerPeer = {
      ...named(peerOf(home.source), "did:lying"),
      tile: async ({ width }) => new Uint8Array(32 * width),
    };
    const { replica, faults } = await replicaOf(home, [behind, lying, silent, peerOf(home.source)]);
    expect(await replica.sync()).toBe(70);
    expect(replica.fork).toBeUndefined();
    expect(faults.map(({ did }) => did)).toContain("did:silent");
    for (const { did } of faults) expect(["did:silent", "did:lying"]).toContain(did);
  }, 60_000);

  it("holds on to a root that it is told beforehand", async () => {
    const [ours, theirs] = [await homeOf(5), await homeOf(9, 100)];
    const trust = { ...trustFromGenesis(ours.genesis), size: 5, root: ours.chain.root };
    const { replica, storage, faults } = await replicaOf(ours, [peerOf(theirs.source)], { trust });
    await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    expect(faults).toHaveLength(1);
    expect(await sizeIn(storage, ours)).toBe(0);
    const right = await replicaOf(ours, [peerOf(ours.source)], {
      trust: { ...trust, size: 3, root: await ours.chain.rootAt(3) },
    });
    expect(await right.replica.sync()).toBe(5);
  }, 60_000);

  it("follows until it is closed", async () => {
    const home = await homeOf(1);
    const clock = handClock();
    const { replica } = await replicaOf(home, [peerOf(home.source)], clock.time);
    const following = replica.follow();
    await expect.poll(() => replica.chain.size).toBe(1);
    await home.grow(2);
    await home.source.look();
    for (let i = 0; i < 3; i++) await clock.advance(1000);
    await expect
      .poll(async () => {
        await clock.advance(1000);
        return replica.chain.size;
      })
      .toBe(3);
    await replica.close();
    await following;
    await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
  }, 60_000);

  it("refuses to be opened without peers, with trust in another ledger or with a misspelt option", async () => {
    const home = await homeOf(1);
    const { genesis } = home;
    const storage = memoryStorage();
    const invalid = { code: "ERR_INPUT_INVALID" };
    await expect(openReplica({ genesis, storage, peers: [] })).rejects.toMatchObject(invalid);
    const peers = [peerOf(home.source)];
    const trust = {
      ...trustFromGenesis(genesis),
      ledger: (await startHome({ policy: { maxDrift: 1 } })).chain.ledger,
    };
    await expect(openReplica({ genesis, storage, peers, trust })).rejects.toMatchObject(invalid);
    await expect(openReplica({ genesis, storage, peers, trsut: 1 } as never)).rejects.toMatchObject(
      invalid,
    );
  });
});

describe("followEntries", () => {
  it("gives out entries in order, those to come too, and none without a checkpoint", async () => {
    const home = await homeOf(3);
    const stopping = new AbortController();
    const seen: FollowedEntry[] = [];
    const done = (async () => {
      for await (const one of followEntries(home.source, { from: 1, signal: stopping.signal }))
        seen.push(one);
    })();
    await expect.poll(() => seen.length).toBe(2);
    await home.grow(2, 3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toHaveLength(2);
    await home.source.look();
    await expect.poll(() => seen.length).toBe(8);
    expect(seen.map(({ height, transaction, index }) => [height, transaction, index])).toEqual([
      ...[
        [1, 0, 0],
        [2, 0, 0],
        [3, 0, 0],
        [3, 0, 1],
        [3, 0, 2],
        [4, 0, 0],
        [4, 0, 1],
        [4, 0, 2],
      ],
    ]);
    expect(new Set(seen.map(({ id }) => Buffer.from(id).toString("hex"))).size).toBe(8);
    expect(seen.every(({ author }) => author === home.signers["a"]!.actor)).toBe(true);
    stopping.abort();
    await done;
    const heights: number[] = [];
    for await (const { height } of followEntries(home.source, { from: 2, until: 4 })) {
      heights.push(height);
    }
    expect(heights).toEqual([2, 3, 3, 3]);
    for await (const _ of followEntries(home.source, { from: 4, until: 4 })) throw new Error("4");
    expect(() => followEntries(home.source, { until: -1 })).toThrow(RangeError);
    const none = followEntries(home.source, { kinds: ["erase"], signal: AbortSignal.timeout(50) });
    for await (const _ of none) throw new Error("nothing was erased");
  }, 30_000);
});
