import { describe, expect, it } from "vitest";
import { decodeForkEvidence, encodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { cosignatureSigner } from "../../src/chain/checkpoint-note.ts";
import { judgeFork } from "../../src/chain/judge-fork.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { parseNote } from "../../src/chain/note.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { TransportError } from "../../src/errors.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import type { FoundFork, OpenReplicaOptions } from "../../src/network/replica.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { forgedEvidence, twins } from "../support/forks.ts";
import { signerFor } from "../support/ledger.ts";
import { never, peerOf, startHome, type Home } from "../support/network.ts";

const ORIGIN = "ledger.example/test";
const LOG = signerFor("checkpoint");
const FORKED = { code: "ERR_CHAIN_FORKED" };

async function copyOf(home: Home, more: Partial<OpenReplicaOptions> = {}) {
  const storage = more.storage ?? memoryStorage();
  const found: FoundFork[] = [];
  const replica = await openReplica({
    ...{ genesis: home.genesis, storage, peers: [peerOf(home.source)], sleep: never },
    onFork: (fork) => found.push(fork),
    ...more,
  });
  return { replica, storage, found };
}

const headersOf = async (home: Home, from: number, to: number): Promise<Uint8Array[]> => {
  const headers: Uint8Array[] = [];
  for (let height = from; height < to; height++) {
    headers.push((await home.chain.readBlock(height)).block.header);
  }
  return headers;
};

/** A copy of our history that was shown the other one. */
async function frozen(common: number, ours: number, theirs: number) {
  const two = await twins(common, ours, theirs);
  const storage = memoryStorage();
  const before = await copyOf(two.ours, { storage });
  await before.replica.sync();
  await before.replica.close();
  const peers = [peerOf(two.theirs.source), peerOf(two.ours.source)];
  const { replica, found } = await copyOf(two.ours, { storage, peers });
  await expect(replica.sync()).rejects.toMatchObject(FORKED);
  return { ...two, storage, peers, replica, found };
}

describe("a copy that is shown two histories", () => {
  it.each([
    ["longer", 5, 9],
    ["shorter", 9, 5],
    ["as long", 5, 5],
  ])(
    "keeps both checkpoints and the headers from where a %s one parts",
    async (_, size, other) => {
      const { ours, theirs, storage, replica, found } = await frozen(3, size, other);
      const kept = replica.fork!;
      const sizes = [kept.first, kept.second].map((note) => {
        const opened = parseNote(note, [noteKey(ORIGIN, NOTE_ED25519, LOG.publicKey)]);
        return opened.ok && Number(new TextDecoder().decode(opened.text).split("\n")[1]);
      });
      expect(sizes).toEqual([Math.min(size, other), Math.max(size, other)]);
      expect(kept.diverging).toEqual({
        from: 3,
        headers: await headersOf(theirs, 3, other),
        own: await headersOf(ours, 3, size),
      });
      expect(found).toHaveLength(1);
      expect(found[0]).toMatchObject({ frozen: true, cosigners: [] });
      // From bytes alone, with what the ledger's genesis record says.
      const bytes = encodeForkEvidence(found[0]!.evidence);
      const policy = trustFromGenesis(ours.genesis);
      expect(judgeFork(decodeForkEvidence(bytes), ORIGIN, policy).log).toBe(true);
      await replica.close();
      const again = await copyOf(ours, { storage });
      expect(again.replica.fork).toEqual(kept);
      await expect(again.replica.sync()).rejects.toMatchObject(FORKED);
      await expect(again.replica.follow()).rejects.toMatchObject(FORKED);
      expect(again.replica.chain.size).toBe(size);
    },
    60_000,
  );

  it("keeps 256 headers of each and no more", async () => {
    const { ours, theirs, replica } = await frozen(2, 270, 300);
    expect(replica.fork!.diverging).toEqual({
      from: 2,
      headers: await headersOf(theirs, 2, 258),
      own: await headersOf(ours, 2, 258),
    });
  }, 120_000);

  it("keeps the evidence if the other history's headers are withheld or wrong", async () => {
    const { ours, theirs } = await twins(3, 5, 9);
    const wrong = async ({ index, width }: { index: number; width: number }) =>
      Array.from({ length: width }, () => new Uint8Array([index]));
    for (const headers of [
      () => Promise.reject(new TransportError("ERR_TRANSPORT_NOT_FOUND", "no")),
      wrong,
    ] as const) {
      const liar = { ...peerOf(theirs.source), headers } as LedgerPeer;
      const storage = memoryStorage();
      const before = await copyOf(ours, { storage });
      await before.replica.sync();
      await before.replica.close();
      const { replica } = await copyOf(ours, { storage, peers: [liar] });
      await expect(replica.sync()).rejects.toThrow();
      expect(replica.fork).toBeDefined();
      expect(replica.fork!.diverging).toBeUndefined();
      await expect(replica.sync()).rejects.toMatchObject(FORKED);
    }
  }, 60_000);

  it("goes on once its operator names its own history, and is not stopped by the same fork again", async () => {
    const { ours, storage, peers, replica } = await frozen(3, 5, 9);
    await replica.close();
    const trust = trustFromGenesis(ours.genesis);
    // The two agree about what was before, so that this decides nothing.
    const early = { ...trust, size: 3, root: await ours.chain.rootAt(3) };
    for (const undecided of [trust, early]) {
      const still = await copyOf(ours, { storage, trust: undecided });
      await expect(still.replica.sync()).rejects.toMatchObject(FORKED);
      await still.replica.close();
    }
    const decided = { ...trust, size: 5, root: await ours.chain.rootAt(5) };
    const thawed = await copyOf(ours, { storage, peers, trust: decided });
    expect(thawed.replica.fork).toBeUndefined();
    await ours.grow(6);
    await ours.source.look();
    expect(await thawed.replica.sync()).toBe(11);
    expect(thawed.replica.chain.root).toEqual(ours.chain.root);
    await thawed.replica.close();
    // The decision is kept: the trust need not be given every time.
    const later = await copyOf(ours, { storage, peers });
    expect(await later.replica.sync()).toBe(11);
    expect(later.replica.fork).toBeUndefined();
  }, 60_000);

  it("is stopped again by what the key signs after the decision", async () => {
    const { ours, theirs, storage, peers, replica } = await frozen(3, 5, 9);
    await replica.close();
    await ours.grow(3);
    await ours.source.look();
    const trust = { ...trustFromGenesis(ours.genesis), size: 5, root: await ours.chain.rootAt(5) };
    const honest = await copyOf(ours, { storage, trust });
    expect(await honest.replica.sync()).toBe(8);
    await honest.replica.close();
    await theirs.grow(2);
    await theirs.source.look();
    const shown = await copyOf(ours, { storage, peers, trust });
    await expect(shown.replica.sync()).rejects.toMatchObject(FORKED);
    await shown.replica.close();
    // The same trust as before decides nothing.
    const again = await copyOf(ours, { storage, trust });
    await expect(again.replica.sync()).rejects.toMatchObject(FORKED);
  }, 60_000);

  it("takes the other history in an empty store only, if that is the one that is named", async () => {
    const { ours, theirs, storage, peers, replica } = await frozen(3, 5, 9);
    await replica.close();
    const trust = { ...trustFromGenesis(ours.genesis), size: 9, root: theirs.chain.root };
    const same = await copyOf(ours, { storage, peers, trust });
    await expect(same.replica.sync()).rejects.toMatchObject(FORKED);
    expect(same.replica.chain.root).toEqual(await ours.chain.rootAt(5));
    await same.replica.close();
    // Trust that its blocks contradict has decided nothing, nor has one that nobody could be asked about.
    const alone = await copyOf(ours, { storage, peers: [silent(ours)], trust });
    await expect(alone.replica.sync()).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    await alone.replica.close();
    const still = await copyOf(ours, { storage });
    expect(still.replica.fork).toBeDefined();
    await expect(still.replica.sync()).rejects.toMatchObject(FORKED);
    await still.replica.close();
    const empty = await copyOf(ours, { peers, trust });
    expect(await empty.replica.sync()).toBe(9);
    expect(empty.replica.chain.root).toEqual(theirs.chain.root);
  }, 60_000);
});

describe("a head that is trusted beyond a frozen copy's blocks", () => {
  it("thaws once they are proved to be under it, and not before", async () => {
    const { ours, storage, peers, replica } = await frozen(3, 5, 9);
    await replica.close();
    await ours.grow(3);
    await ours.source.look();
    const trust = { ...trustFromGenesis(ours.genesis), size: 8, root: await ours.chain.rootAt(8) };
    const waiting = await copyOf(ours, { storage, peers: [silent(ours)], trust });
    await expect(waiting.replica.sync()).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    expect(waiting.replica.fork).toBeDefined();
    await waiting.replica.close();
    const thawed = await copyOf(ours, { storage, peers, trust });
    expect(await thawed.replica.sync()).toBe(8);
    expect(thawed.replica.fork).toBeUndefined();
    await thawed.replica.close();
    const later = await copyOf(ours, { storage });
    expect(await later.replica.sync()).toBe(8);
    await later.replica.close();
  }, 60_000);

  it("does not outlast evidence against what comes after it", async () => {
    const { ours, storage, replica } = await frozen(3, 5, 9);
    await replica.close();
    const trust = { ...trustFromGenesis(ours.genesis), size: 8, root: new Uint8Array(32).fill(8) };
    const waiting = await copyOf(ours, { storage, peers: [silent(ours)], trust });
    const verdict = async (size: number) =>
      waiting.replica.takeFork(await forgedEvidence(ORIGIN, [LOG], size));
    expect((await verdict(6)).frozen).toBe(false);
    expect((await verdict(9)).frozen).toBe(true);
    await expect(waiting.replica.sync()).rejects.toMatchObject(FORKED);
    expect(waiting.replica.fork!.diverging).toBeUndefined();
  }, 60_000);
});

/** A peer that cannot be reached. */
const silent = (home: Home): LedgerPeer => ({
  ...peerOf(home.source),
  checkpoint: async () => {
    throw new TransportError("ERR_TRANSPORT_FAILED", "down");
  },
});

describe("evidence that somebody else has found", () => {
  it("stops a copy, if it convicts a key in force", async () => {
    const home = await startHome();
    const { replica, storage, found } = await copyOf(home);
    const evidence = await forgedEvidence(ORIGIN, [LOG]);
    expect(await replica.takeFork(evidence)).toEqual({ frozen: true, cosigners: [] });
    await replica.takeFork(evidence);
    expect(found).toHaveLength(1);
    await replica.close();
    const again = await copyOf(home, { storage });
    expect(encodeForkEvidence(again.replica.fork!)).toEqual(evidence);
  });

  it("stops nobody if it is rubbish", async () => {
    const home = await startHome();
    await home.grow(2);
    await home.source.look();
    const old = home.source.newest!.note;
    await home.grow(2);
    await home.source.look();
    const { replica, storage } = await copyOf(home);
    const good = decodeForkEvidence(await forgedEvidence(ORIGIN, [LOG]));
    const other = decodeForkEvidence(await forgedEvidence(ORIGIN, [LOG], 6));
    const root = new Uint8Array(32).fill(7);
    const rubbish = {
      "a stranger's": await forgedEvidence(ORIGIN, [signerFor("thief")]),
      "a member's sign key": await forgedEvidence(ORIGIN, [signerFor("a sign")]),
      "another ledger": await forgedEvidence("ledger.example/other", [LOG]),
      "one checkpoint twice": encodeForkEvidence({ first: good.first, second: good.first }),
      "two of one history": encodeForkEvidence({ first: old, second: home.source.newest!.note }),
      "no proof": encodeForkEvidence({ first: good.first, second: other.second }),
      "a wrong proof": encodeForkEvidence({
        first: good.first,
        second: other.second,
        continuation: { root, proof: [root] },
      }),
    };
    for (const [what, bytes] of Object.entries(rubbish)) {
      expect(await replica.takeFork(bytes), what).toEqual({ frozen: false, cosigners: [] });
    }
    const whole = encodeForkEvidence(good);
    for (const bytes of [new Uint8Array(), whole.subarray(1), Uint8Array.of(...whole, 0)]) {
      await expect(replica.takeFork(bytes)).rejects.toThrow();
    }
    expect(await replica.sync()).toBe(4);
    await replica.close();
    const again = await copyOf(home, { storage });
    expect(again.replica.fork).toBeUndefined();
    expect(await again.replica.sync()).toBe(4);
  }, 60_000);

  it("takes a cosigner out of every quorum for ever, and stops nothing", async () => {
    const name = "witness.example";
    const key = signerFor("witness");
    const witness = cosignatureSigner(key, name, () => 1_800_000_000_000);
    const keys = [{ name, publicKey: key.publicKey }];
    const home = await startHome({
      policy: {
        cosignaturePolicy: {
          validators: { required: 0, keys: [] },
          witnesses: { required: 1, keys },
        },
      },
    });
    await home.grow(2);
    await home.source.look();
    const text = home.source.newest!.note;
    const opened = parseNote(text, [noteKey(ORIGIN, NOTE_ED25519, LOG.publicKey)]);
    if (!opened.ok) throw new Error(opened.reason);
    const note = await signNote(opened.text, [noteSigner(LOG, ORIGIN), witness]);
    const peer: LedgerPeer = { ...peerOf(home.source), checkpoint: async () => note };
    const good = await copyOf(home, { peers: [peer] });
    expect(await good.replica.sync()).toBe(2);
    const { replica, storage, found } = await copyOf(home, { peers: [peer] });
    const evidence = await forgedEvidence(ORIGIN, [witness]);
    expect(await replica.takeFork(evidence)).toEqual({ frozen: false, cosigners: [name] });
    expect(found).toMatchObject([{ frozen: false, cosigners: [name] }]);
    await expect(replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
    await replica.close();
    const again = await copyOf(home, { storage, peers: [peer] });
    expect(again.replica.fork).toBeUndefined();
    await expect(again.replica.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
  }, 60_000);
});
