import { describe, expect, it } from "vitest";
import { decode, encode } from "@ipld/dag-cbor";
import { signTransaction } from "../../src/block/transaction.ts";
import { decodeBlock } from "../../src/block/block.ts";
import { decodeTrust, encodeTrust } from "../../src/chain/kept-trust.ts";
import { verifyForkEvidence } from "../../src/chain/fork-evidence.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { decodeMemberState, memberKey } from "../../src/chain/state.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { TransportError } from "../../src/errors.ts";
import { followEntries, type FollowedEntry } from "../../src/network/follow-entries.ts";
import { lightClient } from "../../src/network/light-client.ts";
import type { LightClientOptions } from "../../src/network/light.ts";
import type { PeerFault } from "../../src/network/peer-list.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { policyEntry } from "../support/forge.ts";
import { recordEntries, signerFor, START } from "../support/ledger.ts";
import { handClock, never, peerOf, startHome, type Home } from "../support/network.ts";
import { rotatingHome } from "../support/rotation.ts";
import { flipBit } from "../support/small-ledger.ts";
import { staticHost } from "../support/static-host.ts";

async function homeOf(blocks: number, lastSeq = -1): Promise<Home> {
  const home = await startHome({ lastSeq });
  await home.grow(blocks);
  await home.source.look();
  return home;
}

const grown = async (home: Home, blocks: number): Promise<void> => {
  await home.grow(blocks);
  await home.source.look();
};

function lightOf(home: Home, peers: readonly LedgerPeer[], more: Partial<LightClientOptions> = {}) {
  const faults: PeerFault[] = [];
  const light = lightClient({
    ...{ trust: trustFromGenesis(home.genesis), peers, sleep: never },
    onFault: (fault) => faults.push(fault),
    ...more,
  });
  return { light, faults };
}

const named = (peer: LedgerPeer, did: string): LedgerPeer => ({ ...peer, did });

/** Where the only entry of a bundle's first block begins. */
function entryIn(bundle: Uint8Array): number {
  const length = new DataView(bundle.buffer, bundle.byteOffset).getUint32(0);
  const { transactions } = decodeBlock(bundle.slice(4, 4 + length));
  return Buffer.from(bundle).indexOf(transactions[0]!.entries[0]!);
}

const LOG = noteKey("ledger.example/test", NOTE_ED25519, signerFor("checkpoint").publicKey);

describe("lightClient", () => {
  it("follows, proves values and their absence, and reads entries and headers, from a handler", async () => {
    const home = await homeOf(3);
    const { light, faults } = lightOf(home, [peerOf(home.source)]);
    expect(light.head).toBeUndefined();
    const head = await light.sync();
    expect(head).toMatchObject({ size: 3, root: home.source.newest!.root, validators: [] });
    // Nobody cosigns here: what is known of its age is the time of the last block.
    expect(head).toMatchObject({ blockTime: START, asOf: START });
    expect(head).not.toHaveProperty("cosignedAt");
    await grown(home, 300);
    expect((await light.sync()).size).toBe(303);
    expect(light.trust).toMatchObject({ size: 303, root: home.source.newest!.root });

    const { actor } = home.signers["b"]!;
    const member = await light.state(memberKey(actor));
    expect(decodeMemberState(member.value!).roles).toEqual(["custodian", "sequencer"]);
    expect(await light.state("sys/member/did:key:nobody")).toMatchObject({
      ...{ value: null, height: 302 },
    });

    const headers = [];
    for await (const header of light.headers({ from: 254, limit: 4 })) headers.push(header);
    expect(headers.map(({ height }) => height)).toEqual([254, 255, 256, 257]);
    const blocks: Uint8Array[] = [];
    for await (const block of light.chain.readBlocks({ from: 250, limit: 10 })) blocks.push(block);
    const own: Uint8Array[] = [];
    for await (const block of home.chain.readBlocks({ from: 250, limit: 10 })) own.push(block);
    expect(blocks).toEqual(own);
    expect(faults).toEqual([]);
  }, 60_000);

  it("does the same from static files, also of a ledger published without blocks", async () => {
    const home = await homeOf(300);
    const host = staticHost();
    const { actor } = home.signers["c"]!;
    const state = [memberKey(actor), "sys/member/did:key:nobody"];
    await publishLedger(home.source, host.target, { blocks: false, state });
    const { light } = lightOf(home, [host.peer]);
    expect((await light.sync()).size).toBe(300);
    expect(decodeMemberState((await light.state(memberKey(actor))).value!).roles).toEqual([
      "auditor",
    ]);
    expect((await light.state("sys/member/did:key:nobody")).value).toBeNull();
    const heights: number[] = [];
    for await (const { height } of light.headers()) heights.push(height);
    expect(heights).toEqual(Array.from({ length: 300 }, (_, i) => i));
    await expect(async () => {
      for await (const _ of light.chain.readBlocks({ from: 0 })) throw new Error("not published");
    }).rejects.toMatchObject({ code: "ERR_TRANSPORT_NOT_FOUND" });

    // The partial tile that the checkpoint before needed is gone meanwhile.
    const before = encodeTrust(light.trust);
    for (const blocks of [300, 300]) {
      await grown(home, blocks);
      await publishLedger(home.source, host.target, { state });
    }
    const later = lightOf(home, [host.peer], { trust: decodeTrust(before) }).light;
    const seen: FollowedEntry[] = [];
    await later.sync();
    const stopping = new AbortController();
    for await (const one of followEntries(later, { from: 895, signal: stopping.signal })) {
      seen.push(one);
      if (one.height === 899) stopping.abort();
    }
    expect(seen.map(({ height }) => height)).toEqual([895, 896, 897, 898, 899]);
  }, 120_000);

  it("verifies a receipt under the newest checkpoint, whichever it was made for", async () => {
    const home = await homeOf(5);
    const { chain } = home;
    const { note } = home.source.newest!;
    const place = { height: 2, transaction: 0, entry: 0 };
    const receipt = await makeReceipt(chain, place, { checkpoint: note, later: true });
    const { light } = lightOf(home, [peerOf(home.source)]);
    await grown(home, 300);
    const fresh = await makeReceipt(chain, place, {
      ...{ checkpoint: home.source.newest!.note, later: true },
    });
    for (const bytes of [receipt, fresh]) {
      expect(await light.verifyReceipt(bytes)).toMatchObject({
        ...{ ok: true, height: 2, author: home.signers["a"]!.actor },
        checkpoint: { size: 305, root: home.source.newest!.root },
      });
    }
    // One of another history, or altered anywhere that matters, is a reason.
    const other = await homeOf(6, 100);
    const foreign = await makeReceipt(other.chain, place, {
      checkpoint: other.source.newest!.note,
    });
    expect(await light.verifyReceipt(foreign)).toEqual({
      ok: false,
      reason: "header-not-included",
    });
    const fields = decode<Record<string, unknown>>(receipt);
    const entry = flipBit(fields["entry"] as Uint8Array, 500);
    expect(await light.verifyReceipt(encode({ ...fields, entry }))).toMatchObject({ ok: false });
    const sig = flipBit(fields["sig"] as Uint8Array, 5);
    expect(await light.verifyReceipt(encode({ ...fields, sig }))).toMatchObject({ ok: false });
    expect(await light.verifyReceipt(new Uint8Array(9))).toEqual({
      ok: false,
      reason: "malformed",
    });
    // A receipt from beyond what any peer has.
    const behind = staticHost();
    const young = await homeOf(1);
    await publishLedger(young.source, behind.target);
    await grown(young, 5);
    const ahead = await makeReceipt(
      young.chain,
      { height: 4, transaction: 0, entry: 0 },
      {
        checkpoint: young.source.newest!.note,
      },
    );
    const old = lightOf(young, [behind.peer]).light;
    expect(await old.verifyReceipt(ahead)).toEqual({ ok: false, reason: "not-connected" });
  }, 60_000);

  it("finds a receipt wanting when any byte of it is altered", async () => {
    const home = await homeOf(3);
    const receipt = await makeReceipt(
      ...[home.chain, { height: 1, transaction: 0, entry: 0 } as const],
      { checkpoint: home.source.newest!.note },
    );
    const { light } = lightOf(home, [peerOf(home.source)], { onFault: () => undefined });
    await light.sync();
    const whole = await light.verifyReceipt(receipt);
    if (!whole.ok) throw new Error(whole.reason);
    for (let at = 0; at < receipt.length; at += 7) {
      const result = await light.verifyReceipt(flipBit(receipt, 8 * at + (at % 8)));
      // Its own checkpoint and the way there are not looked at; whatever it says then is the same.
      if (result.ok) expect({ ...result, cosignedAt: 0 }).toEqual({ ...whole, cosignedAt: 0 });
    }
  }, 60_000);

  it("believes no altered file, and says whose it was", async () => {
    const home = await homeOf(300);
    const host = staticHost();
    await publishLedger(home.source, host.target);
    const readAll = async (peers: readonly LedgerPeer[]): Promise<number> => {
      const { light } = lightOf(home, peers);
      await light.sync();
      let blocks = 0;
      for await (const header of light.headers()) expect(header.height).toBe(blocks++);
      blocks = 0;
      for await (const _ of light.chain.readBlocks({ from: 0 })) blocks++;
      return blocks;
    };
    expect(await readAll([host.peer])).toBe(300);
    const wanted = new Set(host.asked.map(({ path }) => path));
    expect(wanted.size).toBeGreaterThanOrEqual(8);
    for (const path of wanted) {
      const whole = host.files.get(path)!;
      // The proposer's signature of a block is no part of what a checkpoint covers.
      const middle = path.startsWith("tile/blocks") ? entryIn(whole) : Math.floor(whole.length / 2);
      for (const bit of [3, 8 * middle, 8 * whole.length - 1]) {
        host.files.set(path, flipBit(whole, bit));
        await expect(readAll([host.peer]), `${path}, bit ${bit}`).rejects.toMatchObject({
          code: /^ERR_(CHAIN_INVALID|CHAIN_POLICY|PROOF_INVALID|TRANSPORT_MALFORMED)$/,
        });
      }
      host.files.set(path, whole.subarray(0, -1));
      await expect(readAll([host.peer]), `${path}, cut`).rejects.toMatchObject({ code: /^ERR_/ });
      host.files.delete(path);
      await expect(readAll([host.peer]), `${path}, gone`).rejects.toMatchObject({ code: /^ERR_/ });
      // Another peer is asked instead.
      expect(await readAll([host.peer, named(peerOf(home.source), "did:good")])).toBe(300);
      host.files.set(path, whole);
    }
  }, 120_000);

  it.each([
    ["of one size", 5, 5],
    ["of which the second is larger", 5, 9],
    ["of which the second is smaller", 9, 5],
  ])(
    "holds evidence of two histories %s, also after it was begun anew",
    async (_, first, second) => {
      const [ours, theirs] = [await homeOf(first), await homeOf(second, 100)];
      const { light } = lightOf(ours, [peerOf(ours.source)]);
      await light.sync();
      const trust = decodeTrust(encodeTrust(light.trust));
      const peers = [peerOf(theirs.source), named(peerOf(ours.source), "did:ours")];
      const again = lightOf(ours, peers, { trust }).light;
      await expect(again.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      expect(verifyForkEvidence(again.fork!, LOG)).toMatchObject({
        ok: true,
        kind: first === second ? "same-size" : "other-continuation",
      });
      expect(again.trust).toEqual(trust);
      await expect(again.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      await expect(again.state("sys/policy")).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      // One that begins with both sees it too.
      const fresh = lightOf(ours, peers).light;
      await expect(fresh.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_FORKED" });
      expect(verifyForkEvidence(fresh.fork!, LOG).ok).toBe(true);
      expect(fresh.head).toBeUndefined();
    },
    60_000,
  );

  it("convicts nobody for silence, wrong tiles or an older checkpoint", async () => {
    const home = await homeOf(40);
    const old = staticHost("did:old");
    await publishLedger(home.source, old.target);
    await grown(home, 30);
    const silent: LedgerPeer = {
      ...named(peerOf(home.source), "did:silent"),
      state: () => Promise.reject(new TransportError("ERR_TRANSPORT_TIMEOUT", "silence")),
    };
    const lying: LedgerPeer = {
      ...named(peerOf(home.source), "did:lying"),
      tile: async ({ width }) => new Uint8Array(32 * width),
    };
    const peers = [lying, silent, old.peer, named(peerOf(home.source), "did:good")];
    const { light, faults } = lightOf(home, peers);
    expect((await light.sync()).size).toBe(70);
    expect(light.fork).toBeUndefined();
    expect(faults.map(({ did }) => did).sort()).toEqual(["did:lying", "did:silent"]);
  }, 60_000);

  it("never goes back to less than it has seen", async () => {
    const home = await homeOf(10);
    const host = staticHost();
    await publishLedger(home.source, host.target, { state: ["sys/nothing"] });
    await grown(home, 5);
    const { light } = lightOf(home, [peerOf(home.source)]);
    await light.sync();
    // An eclipsed client, shown only what was true once.
    const eclipsed = lightOf(home, [host.peer], { trust: light.trust });
    await expect(eclipsed.light.sync()).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    const again = lightOf(home, [host.peer], { trust: light.trust }).light;
    await expect(again.state("sys/nothing")).rejects.toMatchObject({
      ...{ code: "ERR_TRANSPORT_FAILED", message: /less than was seen/ },
    });
    // To be behind, or not to have something, is no fault: the host is asked for the next thing at once.
    await expect(again.state("sys/not-published")).rejects.toMatchObject({
      code: "ERR_TRANSPORT_NOT_FOUND",
    });
    await publishLedger(home.source, host.target, { state: ["sys/nothing"] });
    expect((await again.state("sys/nothing")).value).toBeNull();
    expect((await eclipsed.light.sync()).size).toBe(15);
    expect(eclipsed.faults).toEqual([]);
    expect(again.trust.size).toBe(15);
  }, 60_000);

  it("follows keys that were rotated twice while it was offline", async () => {
    const home = await rotatingHome();
    await home.grow();
    await home.source.look();
    const host = staticHost();
    await publishLedger(home.source, host.target);
    const trust = trustFromGenesis(home.genesis);
    const light = lightClient({ trust, peers: [host.peer] });
    await light.sync();
    for (const key of ["k2", "k3"]) {
      await home.rotate(key);
      await home.grow();
      await home.source.look();
      await home.grow();
      await home.source.look();
    }
    await publishLedger(home.source, host.target);
    const kept = decodeTrust(encodeTrust(light.trust));
    const again = lightClient({ trust: kept, peers: [host.peer] });
    expect((await again.sync()).size).toBe(home.source.newest!.size);
    expect(again.trust.checkpointKeys).toEqual([signerFor("k3").publicKey]);
    // Without the steps nobody can tell whether the new keys are right.
    const steps = host.files.get("policy")!;
    const { ledger } = decode<{ ledger: unknown }>(steps);
    host.files.set("policy", encode({ v: 1, ledger, steps: [] }));
    const lost = lightClient({ trust: kept, peers: [host.peer] });
    await expect(lost.sync()).rejects.toMatchObject({
      ...{ code: "ERR_CHAIN_POLICY", message: /no-checkpoint-signature/ },
    });
    expect(lost.trust).toEqual(kept);
    await home.hl.close();
  }, 60_000);

  it("takes on a policy that the one before would not have made it ask for", async () => {
    const home = await startHome();
    await grown(home, 2);
    const { chain, signers, sequencer } = home;
    const host = staticHost();
    await publishLedger(home.source, host.target);
    const { light } = lightOf(home, [host.peer]);
    await light.sync();
    expect(light.trust.policyHeight).toBe(1);
    const changes = {
      cosignaturePolicy: {
        validators: { required: 0, keys: [] },
        witnesses: {
          required: 0,
          keys: [{ name: "witness.example", publicKey: signerFor("witness").publicKey }],
        },
      },
    };
    const entry = await policyEntry(chain.ledger, changes, [signers["a"]!, signers["b"]!]);
    const unsigned = { ledger: chain.ledger, lane: 9, seq: 0, time: START, entries: [entry] };
    await sequencer.submit(await signTransaction(signers["a"]!, unsigned)).durable;
    await grown(home, 1);
    await publishLedger(home.source, host.target);
    await light.sync();
    // The old policy accepts this checkpoint too, but the new one is what counts from now on.
    expect(light.trust.cosignaturePolicy).toEqual(changes.cosignaturePolicy);
    expect(light.trust.policyHeight).toBe(3);
  }, 60_000);

  it("follows a large ledger in at most ten requests and 96 KiB", async () => {
    const home = await homeOf(2);
    const host = staticHost();
    await publishLedger(home.source, host.target);
    const { light } = lightOf(home, [host.peer]);
    await light.sync();
    await grown(home, 1000);
    await publishLedger(home.source, host.target);
    host.asked.length = 0;
    expect((await light.sync()).size).toBe(1002);
    expect(host.asked.length).toBeLessThanOrEqual(10);
    expect(host.asked.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(96 * 1024);
  }, 120_000);

  it("follows until it is closed, and gives entries as they come", async () => {
    const home = await homeOf(1);
    const clock = handClock();
    const { light } = lightOf(home, [peerOf(home.source)], clock.time);
    const following = light.follow();
    const heights: number[] = [];
    const reading = (async () => {
      for await (const { height } of followEntries(light)) heights.push(height);
    })();
    await expect.poll(() => heights).toEqual([0]);
    await grown(home, 2);
    await expect
      .poll(async () => {
        await clock.advance(1000);
        return heights;
      })
      .toEqual([0, 1, 2]);
    await light.close();
    await following;
    await expect(reading).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
    await expect(light.sync()).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
  }, 60_000);

  it("gives up on peers that trickle once another one has answered", async () => {
    const home = await homeOf(3);
    const clock = handClock();
    const slow: LedgerPeer = {
      ...named(peerOf(home.source), "did:slow"),
      state: (_, { signal } = {}) =>
        new Promise((_resolve, reject) => {
          signal!.addEventListener("abort", () => reject(signal!.reason));
        }),
    };
    const { light, faults } = lightOf(home, [slow, peerOf(home.source)], clock.time);
    const syncing = light.sync();
    await expect
      .poll(async () => {
        await clock.advance(5000);
        return light.head?.size;
      })
      .toBe(3);
    await syncing;
    expect(faults).toMatchObject([{ did: "did:slow", error: { code: "ERR_TRANSPORT_TIMEOUT" } }]);
  }, 60_000);

  it("refuses an unknown option, no peers, and a height that is none", async () => {
    const home = await homeOf(1);
    const trust = trustFromGenesis(home.genesis);
    const peers = [peerOf(home.source)];
    const invalid = expect.objectContaining({ code: "ERR_INPUT_INVALID" });
    expect(() => lightClient({ trust, peers: [] })).toThrow(invalid);
    expect(() => lightClient({ trust, peers, genesis: home.genesis } as never)).toThrow(invalid);
    const light = lightClient({ trust, peers });
    await expect(light.sync({ sginal: 1 } as never)).rejects.toMatchObject(invalid);
    expect(() => light.headers({ from: -1 })).toThrow(RangeError);
    expect(() => light.chain.readBlocks({ from: 0.5 })).toThrow(TypeError);
    // A ledger without blocks has no checkpoint to follow yet.
    const empty = await startHome();
    await expect(lightOf(empty, [peerOf(empty.source)]).light.sync()).rejects.toMatchObject({
      code: "ERR_TRANSPORT_NOT_FOUND",
    });
  });

  it("reads a block only if all its transactions are those of its header", async () => {
    const home = await homeOf(2);
    await home.grow(1, 3);
    await home.source.look();
    const good = peerOf(home.source);
    const bad: LedgerPeer = {
      ...named(good, "did:bad"),
      async *blocks(bundle, options) {
        for await (const bytes of good.blocks(bundle, options)) {
          const { header } = decodeBlock(bytes);
          const entries = recordEntries(3);
          yield header.length === 0
            ? bytes
            : encode({ ...decode<object>(bytes), transactions: entries });
        }
      },
    };
    const { light } = lightOf(home, [bad]);
    await expect(async () => {
      for await (const _ of light.chain.readBlocks({ from: 0 })) throw new Error("believed");
    }).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
  });
});
