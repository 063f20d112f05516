import { afterEach, describe, expect, it } from "vitest";
import { TransportError } from "../../../src/errors.ts";
import { memorySignedHeads } from "../../../src/identity/signed-heads.ts";
import type { Ledger, OpenLedgerOptions } from "../../../src/ledger/ledger.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { decodeForkEvidence } from "../../../src/chain/fork-evidence.ts";
import { openReplica } from "../../../src/network/open-replica.ts";
import type { PeerFault } from "../../../src/network/peer-list.ts";
import type { FoundFork } from "../../../src/network/replica.ts";
import { publishHeads } from "../../../src/network/publish-heads.ts";
import { sleep } from "../../../src/storage/sleep.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import type { LedgerPeer } from "../../../src/transport/types.ts";
import { codeOf, emptied, twoHospitals, type TwoHospitals } from "../../support/elsewhere.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";
import { snapshotOf, storageFrom, type Snapshot } from "../../support/loss-scene.ts";
import { peerOf } from "../../support/network.ts";

const closing: { close(): Promise<unknown> }[] = [];
const closed = <T extends { close(): Promise<unknown> }>(one: T): T => {
  closing.unshift(one);
  return one;
};
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close();
});

/** Bytes of a record that was written elsewhere after the backup. */
const OURS = observation("after-the-backup");

interface Scene {
  readonly two: TwoHospitals;
  /** The member elsewhere, which holds the whole ledger. */
  readonly away: Ledger;
  /** What the home's store held before the last records. */
  readonly backup: Snapshot;
  /** Blocks in the backup, and in the end. */
  readonly old: number;
  readonly size: number;
  /** What remembers outside the store which heads the home signed. */
  readonly signedHeads: NonNullable<OpenLedgerOptions["signedHeads"]>;
  readonly faults: PeerFault[];
  /** Opens the home, by default on a store that was restored from the backup. */
  reopen(options: Partial<OpenLedgerOptions>): Promise<Ledger>;
  /** A peer that asks the member elsewhere. */
  readonly copy: LedgerPeer;
}

/** A home that has lost its newest blocks with its store, and everything that remembers them. */
async function scene({ isRemembered = false } = {}): Promise<Scene> {
  const signedHeads = isRemembered ? memorySignedHeads() : ("store" as const);
  const two = await twoHospitals({ home: { signedHeads } });
  const away = closed(await two.open());
  const me = await away.ensureSubject(MRN);
  await away.record(me, observation("o1"));
  const theirs = await two.home.ensureSubject({ ...MRN, value: "theirs" });
  await two.source.look();
  const backup = await snapshotOf(two.homeStorage as FullStorage);
  const old = two.home.chain.size;
  await two.home.record(theirs, observation("theirs"));
  await away.record(me, OURS);
  const { size } = two.home.chain;
  await two.close();
  two.peer.isDown = true;
  expect(away.chain.size).toBe(size);
  expect(size).toBeGreaterThan(old + 1);
  const faults: PeerFault[] = [];
  return {
    ...{ two, away, backup, old, size, signedHeads, faults, copy: peerOf(away.copy!) },
    async reopen(options) {
      return closed(
        await openLedger({
          storage: await storageFrom(backup),
          ...{ keys: two.homeKeys, genesis: two.genesis, signedHeads },
          ...{ now: () => two.clock.now, policy: { labeller: LABELLER } },
          ...(options.peers && { onFault: (fault: PeerFault) => faults.push(fault) }),
          // What is asked again is, at once; a copy that answers may be slow.
          ...{ sleep: (ms, signal) => sleep(ms / 200, signal), settleWithin: 2_000_000 },
          ...options,
        }),
      );
    },
  };
}

const down = (peer: LedgerPeer): LedgerPeer => ({
  ...peer,
  async checkpoint() {
    throw new TransportError("ERR_TRANSPORT_FAILED", "down");
  },
});

describe("a home whose store was restored from a backup", () => {
  it("takes the blocks that a copy has, and writes above them", async () => {
    const { two, away, copy, size, old, reopen } = await scene();
    const home = await reopen({ peers: [copy] });
    expect(home.chain.size).toBe(size);
    expect(home.chain.root).toEqual(away.chain.root);
    // Its own records after the backup are on the ledger, and what was sealed for them is gone.
    expect((await home.lost()).map(({ kind }) => kind)).toEqual(["record"]);
    const storage = memoryStorage();
    const source = closed(publishHeads({ ledger: home, chains: storage.chains, every: 5 }));
    expect(source.newest).toBeUndefined();
    const patient = await home.ensureSubject({ ...MRN, value: "another" });
    await home.record(patient, observation("o9"));
    expect(home.chain.size).toBeGreaterThan(size);
    expect(old).toBeLessThan(size);
    // The member elsewhere goes on from its own copy, which the restored home extends.
    const heads = peerOf(source, { sequencer: home.sequencer, authorize: () => true });
    Object.assign(two.peer, { ...heads, isDown: false });
    const me = await away.ensureSubject(MRN);
    await away.record(me, observation("o10"));
    await emptied({ source }, away);
    expect(away.chain.size).toBeGreaterThan(size);
    expect(await away.verify()).toMatchObject({ ok: true });
    expect(two.faults.map(({ error }) => (error as { code?: string }).code)).not.toContain(
      "ERR_CHAIN_FORKED",
    );
  });

  it("does so although its memory of signed heads would refuse the store", async () => {
    const { copy, size, reopen } = await scene({ isRemembered: true });
    expect(await codeOf(reopen({}))).toBe("ERR_CHAIN_LOST");
    expect((await reopen({ peers: [copy] })).chain.size).toBe(size);
  });

  it("does not open, and writes nothing, while one of its copies does not answer", async () => {
    const { backup, copy, size, two, faults, reopen } = await scene();
    const behind = memoryStorage();
    const replica = closed(
      await openReplica({ genesis: two.genesis, storage: behind, peers: [copy] }),
    );
    await replica.sync();
    const storage = await storageFrom(backup);
    const other = peerOf(replica);
    for (const peers of [[down(copy)], [other, down(copy)], [down(copy), other]]) {
      expect(await codeOf(reopen({ storage, peers, settleWithin: 3000 }))).toBe(
        "ERR_TRANSPORT_FAILED",
      );
      expect((await snapshotOf(storage)).chains).toEqual(backup.chains);
    }
    // Asked again and again meanwhile.
    expect(faults.length).toBeGreaterThan(3);
    expect((await reopen({ storage, peers: [copy, other] })).chain.size).toBe(size);
  });

  it("opens once a copy answers that did not at first", async () => {
    const { copy, size, reopen } = await scene();
    let asked = 0;
    const late: LedgerPeer = {
      ...copy,
      checkpoint: (options) => (asked++ < 3 ? down(copy) : copy).checkpoint(options),
    };
    expect((await reopen({ peers: [late] })).chain.size).toBe(size);
    expect(asked).toBe(4);
  });

  it("takes a copy that hangs for one that does not answer", async () => {
    const { copy, reopen } = await scene();
    const hanging: LedgerPeer = {
      ...copy,
      checkpoint: ({ signal } = {}) =>
        new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason))),
    };
    const opening = reopen({ peers: [hanging], settleWithin: 2000 });
    expect(await codeOf(opening)).toBe("ERR_TRANSPORT_TIMEOUT");
  });
});

describe("a home with a copy that is wrong", () => {
  it("takes nothing altered, and goes on with another copy", async () => {
    const { backup, copy, size, faults, reopen } = await scene();
    const altered: LedgerPeer = {
      ...copy,
      async *blocks(bundle, options) {
        for await (const block of copy.blocks(bundle, options)) {
          const bytes = block.slice();
          bytes[bytes.length - 1]! ^= 1;
          yield bytes;
        }
      },
    };
    const storage = await storageFrom(backup);
    expect(await codeOf(reopen({ storage, peers: [altered], settleWithin: 2000 }))).toBe(
      "ERR_CHAIN_INVALID",
    );
    expect((await snapshotOf(storage)).chains).toEqual(backup.chains);
    expect((await reopen({ storage, peers: [altered, copy] })).chain.size).toBe(size);
    expect(faults.every(({ did }) => did === copy.did)).toBe(true);
  });

  it("does not take an address that has no ledger for a copy that is empty", async () => {
    const { two, copy, reopen } = await scene();
    const nothing = async (): Promise<never> => {
      throw new TransportError("ERR_TRANSPORT_NOT_FOUND", "404");
    };
    const within = { settleWithin: 1000 };
    const wrong: LedgerPeer = { ...copy, checkpoint: nothing, genesis: nothing };
    expect(await codeOf(reopen({ peers: [wrong], ...within }))).toBe("ERR_TRANSPORT_NOT_FOUND");
    const other: LedgerPeer = {
      ...copy,
      checkpoint: nothing,
      genesis: async () => (await twoHospitals({ genesis: { origin: "other.example/x" } })).genesis,
    };
    expect(await codeOf(reopen({ peers: [other], ...within }))).toBe("ERR_CHAIN_GENESIS");
    const empty = closed(
      await openReplica({ genesis: two.genesis, storage: memoryStorage(), peers: [copy] }),
    );
    const home = await reopen({ peers: [peerOf(empty)] });
    expect(home.chain.size).toBeLessThan(await empty.sync());
  });

  it("believes no checkpoint that its own key has not signed", async () => {
    const { copy, size, reopen } = await scene();
    const forged: LedgerPeer = {
      ...copy,
      async checkpoint(options) {
        const lines = new TextDecoder().decode(await copy.checkpoint(options)).split("\n");
        expect(Number(lines[1])).toBe(size);
        lines[1] = String(size + 1);
        return new TextEncoder().encode(lines.join("\n"));
      },
    };
    const opening = reopen({ peers: [forged], settleWithin: 1000 });
    expect(await codeOf(opening)).toBe("ERR_CHAIN_POLICY");
  });
});

describe("a home that went on from a backup without asking", () => {
  it("does not open once it asks, whether it has more blocks or fewer than the copy", async () => {
    const { backup, copy, size, reopen } = await scene();
    for (const more of [1, 9]) {
      const storage = await storageFrom(backup);
      const alone = await reopen({ storage });
      const patient = await alone.ensureSubject({ ...MRN, value: "another" });
      for (let i = 0; i < more; i++) await alone.record(patient, observation(`x${i}`));
      expect(alone.chain.size > size).toBe(more === 9);
      await alone.close();
      const before = await snapshotOf(storage);
      expect(await codeOf(reopen({ storage, peers: [copy] }))).toBe("ERR_CHAIN_INVALID");
      expect((await snapshotOf(storage)).chains).toEqual(before.chains);
    }
  });

  it("opens frozen when two copies have contradicting checkpoints", async () => {
    const { two, backup, copy, reopen } = await scene();
    const storage = await storageFrom(backup);
    const alone = await reopen({ storage });
    const patient = await alone.ensureSubject({ ...MRN, value: "another" });
    await alone.record(patient, observation("x"));
    const source = closed(publishHeads({ ledger: alone, chains: storage.chains, every: 5 }));
    await source.look();
    const replica = closed(
      await openReplica({
        ...{ genesis: two.genesis, storage: memoryStorage(), peers: [peerOf(source)] },
      }),
    );
    await replica.sync();
    const third = peerOf(replica);
    for (const peers of [
      [copy, third],
      [third, copy],
    ]) {
      const restored = await storageFrom(backup);
      const found: unknown[] = [];
      const onFork = (fork: FoundFork): unknown => found.push(fork.frozen);
      const home = await reopen({ storage: restored, peers, onFork });
      expect(found).toEqual([true]);
      expect(decodeForkEvidence((await home.fork())!).first).toBeDefined();
      expect(await codeOf(home.ensureSubject({ ...MRN, value: "new" }))).toBe("ERR_CHAIN_FORKED");
      await home.close();
      // It stays so, whoever answers.
      const again = await reopen({ storage: restored, peers: [down(copy)] });
      expect(await codeOf(again.checkpoint())).toBe("ERR_CHAIN_FORKED");
      expect((await snapshotOf(restored)).chains).toEqual(backup.chains);
    }
  });
});

describe("a home whose copies are behind it", () => {
  it("opens, and goes on", async () => {
    const { two, away, old, reopen } = await scene();
    await away.close();
    const { homeStorage } = two;
    const behind = closed(
      await openReplica({
        ...{ genesis: two.genesis, storage: memoryStorage(), peers: [peerOf(away.copy!)] },
      }),
    );
    expect(behind.chain.size).toBe(0);
    const home = await reopen({ storage: homeStorage, peers: [peerOf(behind)] });
    expect(home.chain.size).toBeGreaterThan(old);
    const patient = await home.ensureSubject(MRN);
    await home.record(patient, observation("o9"));
    expect(await home.verify()).toMatchObject({ ok: true });
  });

  it("needs no answer of a copy to be opened read-only", async () => {
    const { copy, reopen } = await scene();
    expect(await codeOf(reopen({ readOnly: true, peers: [copy] }))).toBe("ERR_INPUT_INVALID");
  });
});
