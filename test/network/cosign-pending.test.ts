import { afterEach, describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { blocksChain, type Chain } from "../../src/chain/chain.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { polledCosigners } from "../../src/chain/polled-cosigners.ts";
import { encodePolicySteps, followPolicySteps } from "../../src/chain/follow-steps.ts";
import { openSignedHeads } from "../../src/chain/signed-heads.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import type { TransportError } from "../../src/errors.ts";
import { memoryOf } from "../../src/identity/signed-heads.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { sleep } from "../../src/storage/sleep.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { codeOf } from "../support/elsewhere.ts";
import { createForge } from "../support/forge.ts";
import { LABELLER } from "../support/hospital.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";
import {
  cosignerKey,
  polledHome,
  run,
  until,
  type PolledHome,
  type Running,
} from "../support/polled.ts";
import { mth } from "../support/rfc9162.ts";

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function start(): Promise<PolledHome> {
  const home = await polledHome();
  open.push(() => home.close());
  return home;
}

async function witness(home: PolledHome, storage = memoryStorage()): Promise<Running> {
  const running = run({
    ...{ home: home.peer(signerFor("w")), witness: home.witness("w", storage) },
  });
  open.push(() => running.stop());
  return running;
}

/** A validator with a copy of its own, which follows the home. */
async function validator(
  home: PolledHome,
  storage: StorageAdapter,
  { url = home.url, name = "v" }: { readonly url?: string; readonly name?: string } = {},
) {
  const { genesis } = home;
  const copy = await openReplica({
    ...{ genesis, storage, peers: [home.peer(signerFor(name))] },
    sleep: (ms, signal) => sleep(ms / 20, signal),
  });
  const following = copy.follow();
  const running = run({
    ...{ home: home.peer(signerFor(name), url), witness: home.witness(name, storage), copy },
  });
  let isOpen = true;
  async function close(): Promise<void> {
    if (!isOpen) return;
    isOpen = false;
    await running.stop();
    await copy.close();
    await following;
  }
  open.push(close);
  return { copy, running, close };
}

/** Size of the head that a cosigner's store remembers. */
async function cosigned(
  { chains }: StorageAdapter,
  home: Pick<PolledHome, "logKeys">,
  name: string,
): Promise<number> {
  const ledger = cidOf(utf8ToBytes(home.logKeys[0]!.name), RAW);
  const memory = memoryOf("store", ledger);
  const { key } = signerFor(name);
  const heads = openSignedHeads({ chains: chains!, ledger, memory }, key, "cosignature");
  return (await heads.read()).newest?.size ?? 0;
}

const blocksIn = async ({ chains }: StorageAdapter, { hl }: PolledHome): Promise<number> =>
  (await chains!.head(blocksChain(hl.id))).size;

describe("cosigners that only poll", () => {
  it("make a checkpoint accepted once both have signed, and not before", async () => {
    const home = await start();
    await home.grow();
    const store = memoryStorage();
    const first = await validator(home, store);
    // The validator alone is not enough, and takes nothing that is not accepted.
    await until(async () => (await cosigned(store, home, "v")) === 1);
    await expect(home.hl.checkpoint()).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
    expect(home.source.newest).toBeUndefined();
    expect(await blocksIn(store, home)).toBe(0);

    const second = await witness(home);
    await until(() => home.source.newest !== undefined);
    const { note, size } = home.source.newest!;
    expect(judgeCheckpoint(note, trustFromGenesis(home.genesis))).toMatchObject({
      ...{ ok: true, validators: ["v"], witnesses: ["w"] },
    });
    await until(() => first.copy.chain.size === size);

    for (let i = 0; i < 3; i++) await home.grow();
    await until(() => home.source.newest!.size === home.hl.chain.size);
    expect(home.source.newest!.size).toBeGreaterThan(size);
    expect(first.running.refused).toEqual([]);
    expect(second.refused).toEqual([]);
    await until(() => first.copy.chain.size === home.hl.chain.size);
  });

  it("go on after the validator was started again", async () => {
    const home = await start();
    await home.grow();
    const store = memoryStorage();
    await witness(home);
    const first = await validator(home, store);
    await until(() => home.source.newest !== undefined);
    await first.close();
    for (let i = 0; i < 3; i++) await home.grow();
    const before = home.source.newest!.size;
    const again = await validator(home, store);
    await until(() => home.source.newest!.size === home.hl.chain.size);
    expect(home.source.newest!.size).toBeGreaterThan(before);
    expect(again.running.refused).toEqual([]);
  });

  it("keep the head durably before they sign it", async () => {
    const home = await start();
    await home.grow();
    const store = memoryStorage();
    const remembered: number[] = [];
    const signer = signerFor("w");
    const watched = {
      ...signer,
      async sign(bytes: Uint8Array) {
        remembered.push(await cosigned(store, home, "w"));
        return signer.sign(bytes);
      },
    };
    const running = run({ home: home.peer(signer), witness: home.witness("w", store, watched) });
    open.push(() => running.stop());
    await until(() => remembered.length > 0);
    expect(remembered[0]).toBe(home.hl.chain.size);
  });

  it("stop when their memory was rolled back, before they sign", async () => {
    const home = await start();
    await home.grow();
    await validator(home, memoryStorage());
    const first = await witness(home);
    await until(() => home.source.newest !== undefined);
    await first.stop();
    // An empty store is the oldest backup.
    const store = memoryStorage();
    const rolledBack = await witness(home, store);
    await expect(rolledBack.ended).rejects.toMatchObject({ code: "ERR_CHAIN_MEMORY" });
    // It stays stopped for every other process on that store.
    const again = await witness(home, store);
    await expect(again.ended).rejects.toMatchObject({ code: "ERR_CHAIN_MEMORY" });
    open.splice(open.length - 2, 2);
    await home.grow();
    await expect(home.hl.checkpoint()).rejects.toThrow("1 of 1 witnesses");
  });

  it.each([
    ["a block that breaks a rule", { state: bytesFor("no state") }, "invalid-block", "wrong-state"],
    ["blocks that are not those that it signed", undefined, "other-blocks", undefined],
  ])("refuse %s", async (_, fields, reason, rule) => {
    const home = await start();
    await home.grow();
    const { hl, source, keys } = home;
    const { ledger, genesisBytes, size } = hl.chain;
    const good: Uint8Array[] = [];
    for await (const block of hl.chain.readBlocks({ from: 0, limit: size })) good.push(block);
    const forge = await createForge(genesisBytes, keys.signer("sign"));
    for (const block of good) await forge.push(block);
    const bad = await forge.block([], fields);
    // The home signs what its own rules refuse, or gives another block than the one that it signed.
    const given = fields === undefined ? await forge.block([], { time: Date.now() + 5 }) : bad;
    const leaves = [...good, bad].map((block) => decodeBlock(block).header);
    const head = { origin: hl.chain.genesis.origin, size: size + 1, root: mth(leaves) };
    const log = noteSigner(keys.signer("checkpoint"), head.origin);
    const note = await signNote(encodeCheckpoint(head), [log]);
    const polled = polledCosigners();
    const lines: string[] = [];
    const shown = [cosignerKey("v"), cosignerKey("w")];
    const validators = [cosignerKey("v").publicKey];
    const offer = { note, size: size + 1, keys: shown, validators, lacks: () => true };
    polled.offer({ ...offer, add: (line) => lines.push(line) }, new AbortController().signal);
    const chain = Object.create(hl.chain, {
      readBlocks: {
        async *value({ from, limit }: { from: number; limit: number }) {
          yield* [...good, given].slice(from, from + limit);
        },
      },
    }) as Chain;
    expect(chain.ledger).toBe(ledger);
    const lies = { chain, newest: undefined, grown: source.grown, policy: source.policy };
    const url = await home.serve({ source: lies, polled });

    const store = memoryStorage();
    const { running } = await validator(home, store, { url });
    await until(() => running.refused.length > 0);
    expect(running.refused[0]).toMatchObject({ size: size + 1, reason });
    expect(running.refused[0]?.block?.reason).toBe(rule);
    // A witness sees no blocks, and the policy needs both.
    const other = run({
      ...{ home: home.peer(signerFor("w"), url), witness: home.witness("w", memoryStorage()) },
    });
    await until(() => lines.length > 0);
    await other.stop();
    expect(lines.every((line) => line.startsWith("\u2014 w "))).toBe(true);
    expect(await cosigned(store, home, "v")).toBe(0);
    expect(await blocksIn(store, home)).toBe(0);
    expect(running.faults).toEqual([]);
  });

  it("sign the change by which the policy stops listing them, and nothing after it", async () => {
    const home = await start();
    await home.grow();
    await witness(home);
    const old = await validator(home, memoryStorage());
    await until(() => home.source.newest !== undefined);
    const { cosignaturePolicy } = home.hl.chain.genesis;
    const { witnesses } = cosignaturePolicy;
    const x = { name: "x", publicKey: signerFor("x").publicKey };
    const validators = { required: 1, keys: [x] };
    const { governance } = home.hl;
    const proposal = await governance.propose({
      policy: { cosignaturePolicy: { validators, witnesses } },
    });
    // Both the old validator and the new one are needed for the change; only the old one is there.
    await governance.enact(proposal, [await governance.approve(proposal)]);
    const changed = home.hl.chain.size;
    expect(await codeOf(home.hl.checkpoint())).toBe("ERR_CHAIN_POLICY");
    const next = await validator(home, memoryStorage(), { name: "x" });
    await until(() => home.source.newest!.size >= changed);
    const trust = trustFromGenesis(home.genesis);
    const steps = encodePolicySteps(home.hl.chain.ledger, await home.source.policy());
    expect(followPolicySteps(trust, steps)).toMatchObject({
      ...{ ok: true, trust: { cosignaturePolicy: { validators } } },
    });
    await home.grow();
    await until(() => home.source.newest!.size === home.hl.chain.size);
    const refused = { code: "ERR_TRANSPORT_REFUSED" };
    await expect(home.peer(signerFor("v")).pending()).rejects.toMatchObject(refused);
    expect([old.running.refused, next.running.refused]).toEqual([[], []]);
  });

  it("ask again after faults, and tell each", async () => {
    const home = await start();
    await home.grow();
    const failures = [
      () => Promise.reject(new TypeError("no network")),
      async () => new Response(null, { status: 503, headers: { "retry-after": "1" } }),
      async () => new Response("old 0\n\nno note\n"),
    ];
    const peer = httpPeer({
      ...{ url: home.url, did: home.did },
      session: { ledger: home.hl.id, signer: signerFor("w") },
      async fetch(url, init) {
        if (!url.includes("/pending")) return fetch(url, init);
        return (failures.shift() ?? (() => fetch(url, init)))();
      },
    });
    await validator(home, memoryStorage());
    const running = run({ home: peer, witness: home.witness("w", memoryStorage()) });
    open.push(() => running.stop());
    await until(() => home.source.newest !== undefined);
    expect(running.faults.map(({ error }) => (error as TransportError).code)).toEqual([
      ...["ERR_TRANSPORT_FAILED", "ERR_TRANSPORT_BUSY", "ERR_TRANSPORT_MALFORMED"],
    ]);
    expect(running.refused).toEqual([]);
  });

  it("refuse what is smaller than a head that they cosigned", async () => {
    const home = await start();
    await home.grow();
    const store = memoryStorage();
    const { origin } = home.hl.chain.genesis;
    const head = { origin, size: 99, root: bytesFor("larger") };
    const log = noteSigner(home.keys.signer("checkpoint"), origin);
    const before = home.witness("w", store);
    const larger = await before.cosign(await signNote(encodeCheckpoint(head), [log]), 0, []);
    expect(larger.ok).toBe(true);
    const running = await witness(home, store);
    await until(() => running.refused.length > 0);
    const { size } = home.hl.chain;
    expect(running.refused).toEqual([{ size, reason: "smaller" }]);
    expect(running.faults).toEqual([]);
  });

  it("may be members that write through the home, with the copies that they have", async () => {
    const home = await start();
    await home.grow();
    await witness(home);
    const storage = memoryStorage();
    const hl = await openLedger({
      ...{ storage, keys: home.awayKeys, genesis: home.genesis, policy: { labeller: LABELLER } },
      home: home.peer(home.awayKeys.signer("sign")),
      // Time goes twenty times as fast for what waits, but the machine does not.
      ...{ sleep: (ms, signal) => sleep(ms / 20, signal), settleWithin: 400_000 },
    });
    open.push(() => hl.close());
    const running = run({
      ...{ home: home.peer(signerFor("v")), witness: home.witness("v", storage), copy: hl.copy! },
    });
    open.push(() => running.stop());
    // Resolves once its block is here, under a checkpoint that it has cosigned itself.
    const subject = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "MRN-away" });
    expect(subject).toBeDefined();
    expect(home.source.newest!.size).toBeGreaterThan(0);
    expect(await blocksIn(storage, home)).toBeGreaterThan(0);
    expect([running.refused, running.faults]).toEqual([[], []]);
  });
});
