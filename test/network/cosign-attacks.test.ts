import { afterEach, describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { startChecking, type CheckedChain } from "../../src/chain/check-ahead.ts";
import type { KeptFork } from "../../src/chain/known-forks.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { TransportError } from "../../src/errors.ts";
import { checkPending } from "../../src/network/check-pending.ts";
import { cosignPending } from "../../src/network/cosign-pending.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { BlockRange } from "../../src/transport/types.ts";
import { createForge } from "../support/forge.ts";
import { bytesFor, foundLedger, recordEntries, signerFor } from "../support/ledger.ts";
import { mth } from "../support/rfc9162.ts";

const ORIGIN = "history.example/hostile";
const NEVER = new AbortController().signal;

const open: AbortController[] = [];
afterEach(() => open.splice(0).forEach((one) => one.abort()));

/** A witness `w` that asks a home which answers as it likes, with the pauses that it makes. */
function askHostile(answer: (path: string) => Response | Promise<Response>) {
  const ending = new AbortController();
  open.push(ending);
  const asked: string[] = [];
  const pauses: number[] = [];
  const ended = cosignPending({
    home: httpPeer({
      ...{ url: "http://home.invalid", did: "did:key:z6Mkhome" },
      async fetch(url) {
        const path = new URL(url).pathname.slice(1);
        asked.push(path);
        if (asked.length > 60) ending.abort();
        return answer(path);
      },
    }),
    witness: createWitness({
      ...{ chains: memoryStorage().chains!, signer: signerFor("w"), name: "w", now: Date.now },
      ...{ origin: ORIGIN, keys: [noteKey(ORIGIN, NOTE_ED25519, signerFor("log").publicKey)] },
    }),
    signal: ending.signal,
    async sleep(ms) {
      pauses.push(ms);
      if (pauses.length === 10) ending.abort();
    },
  });
  return { asked, pauses, ended };
}

const head = async (): Promise<string> => {
  const text = encodeCheckpoint({ origin: ORIGIN, size: 1, root: bytesFor("root") });
  const note = await signNote(text, [noteSigner(signerFor("log"), ORIGIN)]);
  return `old 0\n\n${Buffer.from(note).toString()}`;
};

describe("a cosigner that asks a hostile home", () => {
  it.each([200, 404])(
    "pauses where the same checkpoint waits for ever, after %s",
    async (status) => {
      const first = await head();
      const again = first.replace("old 0", "old 1");
      let given = 0;
      const { asked, pauses, ended } = askHostile((path) => {
        if (path === "pending") return new Response(given++ === 0 ? first : again);
        return new Response(null, { status: path === "cosignature" ? status : 404 });
      });
      await ended;
      expect(pauses).toHaveLength(10);
      expect(asked.filter((path) => path === "cosignature").length).toBeLessThanOrEqual(11);
    },
  );

  it("asks less often while only the checkpoint is answered", async () => {
    const { pauses, ended } = askHostile((path) =>
      path === "checkpoint"
        ? new Response(null, { status: 404 })
        : new Response(null, { status: 500 }),
    );
    await ended;
    const expected = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => seconds * 1000);
    expect(pauses).toEqual(expected);
  });
});

/** Two histories that part after their second block. */
async function histories() {
  const founded = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
  const { genesis } = founded;
  const { a } = founded.signers;
  const make = async (end: number) => {
    const forge = await createForge(genesis, a!);
    for (let i = 0; i < 5; i++) {
      await forge.add(await forge.tx(a!, recordEntries(i < 2 ? 1 : end), { seq: i }));
    }
    return [...forge.blocks];
  };
  return { genesis, one: await make(1), other: await make(2) };
}

const rootOf = (blocks: readonly Uint8Array[]): Uint8Array =>
  mth(blocks.map((block) => decodeBlock(block).header));
const headOf = (blocks: readonly Uint8Array[]) => ({ size: blocks.length, root: rootOf(blocks) });

/** Gives blocks of one history, then breaks off; of another from the second call on. */
function home(...given: (readonly Uint8Array[])[]) {
  const ranges: BlockRange[] = [];
  return {
    ranges,
    async *pendingBlocks(range: BlockRange) {
      ranges.push(range);
      const blocks = given.length > 1 ? given.shift()! : given[0]!;
      const found = blocks.slice(range.from, range.from + range.count);
      yield* found;
      if (found.length < range.count) throw new TransportError("ERR_TRANSPORT_MALFORMED", "cut");
    },
  };
}

async function copyOf(genesis: Uint8Array) {
  const chain = await openChain({ storage: memoryStorage(), genesis });
  return { chain, trust: trustFromGenesis(genesis), fork: undefined };
}

describe("a validator that asks a hostile home", () => {
  it("checks anew what it had checked of blocks that the home does not sign", async () => {
    const { genesis, one, other } = await histories();
    // Broken off: what came is kept. A home that was put back goes on with another history.
    const source = home(one.slice(0, 4), other);
    const check = checkPending(source, await copyOf(genesis));
    await expect(check(headOf(one), NEVER)).rejects.toMatchObject({
      code: "ERR_TRANSPORT_MALFORMED",
    });
    expect(await check(headOf(other), NEVER)).toBeUndefined();
    expect(source.ranges.map(({ from }) => from)).toEqual([0, 4, 0]);
    // The same, where it has the size and not the root.
    expect(await check(headOf(one), NEVER)).toMatchObject({ reason: "other-blocks" });
    expect(await check(headOf(other), NEVER)).toBeUndefined();
  });

  it("signs nothing once its copy knows of a fork, also while it checks", async () => {
    const { genesis, one } = await histories();
    const copy = { ...(await copyOf(genesis)), fork: undefined as KeptFork | undefined };
    const source = home(one);
    const check = checkPending(
      {
        async *pendingBlocks(range) {
          yield* source.pendingBlocks(range);
          copy.fork = {} as KeptFork;
        },
      },
      copy,
    );
    expect(await check(headOf(one), NEVER)).toEqual({ reason: "forked" });
  });

  it("signs nothing smaller than an accepted checkpoint before its copy can tell", async () => {
    const { genesis, one, other } = await histories();
    const copy = await copyOf(genesis);
    const accepted = headOf(one);
    const check = checkPending(home(other), { ...copy, trust: { ...copy.trust, ...accepted } });
    // Valid blocks of another history, which only the accepted blocks could show.
    expect(await check(headOf(other.slice(0, 4)), NEVER)).toBe("early");
    expect(await copy.chain.ingest(one, { accepted })).toMatchObject({ ok: true });
    expect(await check(headOf(other.slice(0, 4)), NEVER)).toMatchObject({ reason: "other-blocks" });
    expect(await check(headOf(one.slice(0, 4)), NEVER)).toBeUndefined();
  });

  it("refuses what is too far ahead, and goes on once its copy has grown", async () => {
    const { genesis, one } = await histories();
    const copy = await copyOf(genesis);
    const small = { bytes: Infinity, blocks: 3 };
    const { chain } = copy;
    const checkAhead = () => startChecking(chain as unknown as CheckedChain, small);
    const limited = { ...copy, chain: Object.create(chain, { checkAhead: { value: checkAhead } }) };
    const source = home(one);
    const check = checkPending(source, limited);
    for (let i = 0; i < 2; i++) {
      expect(await check(headOf(one), NEVER)).toEqual({ reason: "too-far-ahead" });
    }
    const accepted = headOf(one.slice(0, 2));
    expect(await chain.ingest(one.slice(0, 2), { accepted })).toMatchObject({ ok: true });
    expect(await check(headOf(one), NEVER)).toBeUndefined();
    expect(source.ranges.at(-1)).toEqual({ from: 3, count: 2 });
  });
});
