import { describe, expect, it } from "vitest";
import { verifyForkEvidence } from "../../src/chain/fork-evidence.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { TransportError } from "../../src/errors.ts";
import { followEntries, type FollowedEntry } from "../../src/network/follow-entries.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import type { PeerFault } from "../../src/network/peer-list.ts";
import type { LedgerSource } from "../../src/network/source.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { signerFor } from "../support/ledger.ts";
import { handClock, never, peerOf, startHome, type Home } from "../support/network.ts";

async function homeOf(blocks: number, lastSeq = -1): Promise<Home> {
  const home = await startHome({ lastSeq });
  await home.grow(blocks);
  await home.source.look();
  return home;
}

/** Shows its checkpoints and tiles, and gives no block. */
const withholding = (home: Home): LedgerPeer => ({
  ...peerOf(home.source),
  did: "did:key:withholding",
  // eslint-disable-next-line require-yield
  async *blocks() {
    throw new TransportError("ERR_TRANSPORT_NOT_FOUND", "no blocks");
  },
});

describe("followEntries and long polls of a source that is closed", () => {
  it("end, and do not wait for ever", async () => {
    const home = await homeOf(2);
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage: memoryStorage(), sleep: never },
      peers: [peerOf(home.source)],
    });
    await replica.sync();
    for (const source of [replica, home.source]) {
      const entries = followEntries(source)[Symbol.asyncIterator]();
      const given = [await entries.next(), await entries.next()];
      expect(given.map(({ value }) => (value as FollowedEntry).height)).toEqual([0, 1]);
      const next = entries.next();
      const polled = peerOf(source, { sleep: never }).checkpoint({ after: 2, wait: 25 });
      const both = Promise.allSettled([next, polled]);
      await new Promise((resolve) => setImmediate(resolve));
      await source.close();
      expect(await both).toMatchObject([
        { reason: { code: "ERR_CHAIN_CLOSED" } },
        { reason: { code: "ERR_TRANSPORT_FAILED" } },
      ]);
    }
  }, 60_000);
});

describe("the policy endpoint", () => {
  it("checks its signatures once a second, whoever asks how often, and gives steps that were kept since", async () => {
    const home = await homeOf(1);
    const clock = handClock();
    let made = 0;
    const source: LedgerSource = {
      ...{ chain: home.chain, newest: home.source.newest, grown: home.source.grown },
      async policy() {
        made++;
        return [];
      },
    };
    const peer = peerOf(source, clock.time);
    await Promise.all(Array.from({ length: 50 }, () => peer.policy()));
    expect(made).toBe(1);
    await clock.advance(999);
    await peer.policy();
    expect(made).toBe(1);
    await clock.advance(1);
    await peer.policy();
    expect(made).toBe(2);
  });
});

describe("a replica of which one peer forges and withholds", () => {
  it.each([
    ["larger", 9],
    ["as large", 5],
    ["larger by more than a tile", 300],
  ])(
    "convicts the key of a history that is %s, though its blocks are never given",
    async (_, size) => {
      const [ours, forged] = [await homeOf(5), await homeOf(size, 100)];
      const storage = memoryStorage();
      const open = () =>
        openReplica({
          ...{ genesis: ours.genesis, storage, sleep: never },
          peers: [withholding(forged), peerOf(ours.source)],
        });
      const replica = await open();
      await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      const key = noteKey("ledger.example/test", NOTE_ED25519, signerFor("checkpoint").publicKey);
      expect(verifyForkEvidence(replica.fork!, key).ok).toBe(true);
      await replica.close();
    },
    60_000,
  );

  it("convicts it also when the honest peer answers only later", async () => {
    const [ours, forged] = [await homeOf(5), await homeOf(9, 100)];
    const storage = memoryStorage();
    const options = { genesis: ours.genesis, storage, sleep: never };
    const first = await openReplica({ ...options, peers: [withholding(forged)] });
    await expect(first.sync()).rejects.toMatchObject({ code: "ERR_TRANSPORT_NOT_FOUND" });
    await first.close();
    const later = await openReplica({
      ...options,
      peers: [withholding(forged), peerOf(ours.source)],
    });
    await expect(later.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
  }, 60_000);

  it("waits ten seconds and no longer for one that trickles, if another has answered", async () => {
    const home = await homeOf(5);
    const clock = handClock();
    const faults: PeerFault[] = [];
    const trickling: LedgerPeer = {
      ...peerOf(home.source),
      did: "did:key:trickling",
      checkpoint: ({ signal } = {}) =>
        new Promise((_, reject) => {
          signal!.addEventListener("abort", () => reject(signal!.reason));
        }),
    };
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage: memoryStorage(), ...clock.time },
      peers: [trickling, peerOf(home.source)],
      onFault: (fault) => faults.push(fault),
    });
    const synced = replica.sync();
    await expect.poll(() => clock.sleeping).toBe(1);
    await clock.advance(9999);
    expect(faults).toEqual([]);
    await clock.advance(1);
    expect(await synced).toBe(5);
    expect(faults).toMatchObject([
      { did: "did:key:trickling", error: { code: "ERR_TRANSPORT_TIMEOUT" } },
    ]);
    expect(clock.sleeping).toBe(0);
  }, 60_000);

  it("convicts nobody when the two are of one history", async () => {
    const home = await homeOf(5);
    const old = home.source.newest!;
    await home.grow(4);
    await home.source.look();
    const faults: PeerFault[] = [];
    const behind: LedgerPeer = { ...peerOf(home.source), checkpoint: async () => old.note };
    const replica = await openReplica({
      ...{ genesis: home.genesis, storage: memoryStorage(), sleep: never },
      peers: [withholding(home), behind],
      onFault: (fault) => faults.push(fault),
    });
    expect(await replica.sync()).toBe(9);
    expect(replica.fork).toBeUndefined();
    expect(faults.map(({ did }) => did)).toEqual(["did:key:withholding"]);
  }, 60_000);
});
