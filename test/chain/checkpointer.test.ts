import { createHash } from "node:crypto";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import {
  encodeCheckpoint,
  parseCheckpoint,
  readCheckpoint,
} from "../../src/chain/checkpoint-note.ts";
import { createCosigning } from "../../src/chain/cosigning.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { toHex } from "../../src/bytes/hex.ts";
import type { ChainStore } from "../../src/storage/types.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { openSignedHeads } from "../../src/chain/signed-heads.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import {
  decodeForkEvidence,
  encodeForkEvidence,
  verifyForkEvidence,
} from "../../src/chain/fork-evidence.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { encodeNote, noteSigner, parseNote, signNote } from "../../src/chain/note.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { createWitness, type CosignResult } from "../../src/chain/witness.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { EMPTY_ROOT } from "../../src/merkle/hash.ts";
import { memoryOf, memorySignedHeads } from "../../src/identity/signed-heads.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor, signerFor, START, startLedger } from "../support/ledger.ts";

const ORIGIN = "ledger.example/test";
const signer = signerFor("checkpoint");

async function grown(blocks: number, proposer = "a") {
  const ledger = await startLedger({ proposer });
  for (let i = 0; i < blocks; i++) await ledger.sequencer.seal();
  return ledger;
}

/** The witness `w1` of a chain, with a store of its own. */
const witnessOf = (change: Partial<Parameters<typeof createWitness>[0]> = {}) =>
  createWitness({
    chains: memoryStorage().chains,
    signer: signerFor("w1"),
    name: "w1",
    origin: ORIGIN,
    keys: [noteKey(ORIGIN, NOTE_ED25519, signer.publicKey)],
    now: () => START,
    ...change,
  });

describe("createCheckpointer", () => {
  it("signs the durable head, and the same one again byte for byte", async () => {
    const { chain, storage, sequencer } = await grown(3);
    const checkpointer = createCheckpointer({ chain, chains: storage.chains!, signer });
    expect(await checkpointer.last()).toBeUndefined();
    const first = await checkpointer.sign();
    expect(readCheckpoint(first.note)).toEqual({ origin: ORIGIN, size: 3, root: chain.root });
    expect(await checkpointer.sign()).toEqual(first);
    await sequencer.seal();
    expect((await checkpointer.sign()).size).toBe(4);
    expect(await checkpointer.last()).toEqual({ size: 4, root: chain.root });
  });

  it("has nothing to sign on an empty ledger", async () => {
    const { chain, storage } = await grown(0);
    await expect(
      createCheckpointer({ chain, chains: storage.chains!, signer }).sign(),
    ).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
  });

  it("remembers before it signs", async () => {
    const { chain, storage } = await grown(1);
    const failing = {
      ...signer,
      sign: async (): Promise<Uint8Array> => {
        throw new Error("crash");
      },
    };
    const checkpointer = createCheckpointer({ chain, chains: storage.chains!, signer: failing });
    await expect(checkpointer.sign()).rejects.toThrow("crash");
    expect(await checkpointer.last()).toEqual({ size: 1, root: chain.root });
  });

  it("never signs two roots for one size, in two processes that append all the time", async () => {
    const data = memoryData();
    const processes = await Promise.all(
      ["a", "b", "a"].map((proposer) =>
        startLedger({ storage: memoryStorage({ data }), proposer }),
      ),
    );
    const roots = new Map<number, string>();
    await Promise.all(
      processes.map(async ({ chain, storage, sequencer }) => {
        const checkpointer = createCheckpointer({ chain, chains: storage.chains!, signer });
        for (let i = 0; i < 10; i++) {
          await sequencer.seal();
          const { size, root } = await checkpointer.sign();
          const hex = Buffer.from(root).toString("hex");
          expect(roots.get(size) ?? hex).toBe(hex);
          roots.set(size, hex);
        }
      }),
    );
    expect(roots.size).toBeGreaterThan(5);
  });

  it("remembers what it signs although another with its key remembered something first", async () => {
    const { chain, storage } = await grown(3);
    const chains = storage.chains!;
    const earlier = { size: 2, root: await chain.rootAt(2) };
    let raced = 0;
    const racing = {
      ...chains,
      append: async (...call: Parameters<typeof chains.append>) => {
        if (raced++ === 0) {
          const memory = memoryOf("store", chain.ledger);
          const where = { chains, ledger: chain.ledger, memory };
          const heads = openSignedHeads(where, signer.key, "checkpoint");
          expect(await heads.keep(await heads.read(), earlier)).toBe(true);
        }
        return chains.append(...call);
      },
    };
    const checkpointer = createCheckpointer({ chain, chains: racing, signer });
    expect((await checkpointer.sign()).size).toBe(3);
    expect(await checkpointer.last()).toEqual({ size: 3, root: chain.root });
    expect(raced).toBe(2);
  });

  it("is not taken for a restored backup because another signed a newer head meanwhile", async () => {
    const data = memoryData();
    const [one, two] = await Promise.all([
      startLedger({ storage: memoryStorage({ data }) }),
      startLedger({ storage: memoryStorage({ data }), proposer: "b" }),
    ]);
    await one.sequencer.seal();
    const chains = memoryStorage({ data }).chains;
    const other = createCheckpointer({ chain: two.chain, chains, signer });
    const overtake = async () => {
      await two.sequencer.seal();
      await other.sign();
    };
    // The other signs at each step of the first, once: before, between or behind its looks.
    for (let step = 0; step < 6; step++) {
      let steps = 0;
      const stepping = async () => {
        if (steps++ === step) await overtake();
      };
      const chain = {
        ...one.chain,
        durableHead: async () => {
          await stepping();
          const head = await one.chain.durableHead();
          await stepping();
          return head;
        },
        get size() {
          return one.chain.size;
        },
        get state() {
          return one.chain.state;
        },
      };
      const heads = {
        ...chains,
        head: async (name: string) => {
          await stepping();
          const head = await chains.head(name);
          await stepping();
          return head;
        },
      };
      const signed = await createCheckpointer({ chain, chains: heads, signer }).sign();
      // Two looks, one at the ledger and one at what was signed, are four steps.
      const isOvertaken = step < 4;
      expect(steps >= 4, "looks at the ledger and at what was signed").toBe(true);
      expect(steps > step, `is overtaken at step ${step}`).toBe(isOvertaken);
      expect(signed.root).toEqual(await two.chain.rootAt(signed.size));
    }
  });

  it("refuses a ledger that was restored from an older backup, or is another one", async () => {
    const memory = memoryStorage().chains;
    const { chain, storage, genesis } = await grown(4);
    await createCheckpointer({ chain, chains: memory, signer }).sign();
    const name = blocksChain(chain.ledger);
    const restored = memoryStorage();
    const records: Uint8Array[] = [];
    for await (const { record } of storage.chains!.read(name, { from: 0, limit: 2 })) {
      records.push(record);
    }
    await restored.chains.append(name, { size: 0, hash: null }, records);
    const short = await openChain({ storage: restored, genesis });
    await expect(
      createCheckpointer({ chain: short, chains: memory, signer }).sign(),
    ).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    for (const size of [4, 6]) {
      const other = await grown(size, "b");
      await expect(
        createCheckpointer({ chain: other.chain, chains: memory, signer }).sign(),
      ).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    }
    // What it refused left no trace: the true ledger goes on.
    const again = createCheckpointer({ chain, chains: memory, signer });
    expect((await again.sign()).size).toBe(4);
  });
});

describe("createCheckpointer on a store that lost what it acknowledged", () => {
  it("signs no head that is not read back as it was appended", async () => {
    const { storage, genesis } = await grown(3);
    const inner = storage.chains!;
    let lie: ((record: Uint8Array) => Uint8Array | undefined) | undefined;
    const chains: ChainStore = {
      ...inner,
      async *read(name, options) {
        for await (const item of inner.read(name, options)) {
          const record = lie === undefined ? item.record : lie(item.record);
          if (record !== undefined) yield { ...item, record };
        }
      },
    };
    const chain = await openChain({ storage: { ...storage, chains }, genesis });
    const checkpointer = createCheckpointer({ chain, chains: inner, signer });
    for (const other of [() => undefined, (record: Uint8Array) => record.map((byte) => byte ^ 1)]) {
      lie = other;
      await expect(checkpointer.sign()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
      expect(await checkpointer.last()).toBeUndefined();
    }
    lie = undefined;
    expect((await checkpointer.sign()).size).toBe(3);
  });
});

describe("createCheckpointer with a memory", () => {
  it("is held by both, store and memory, whichever says more", async () => {
    const { chain, storage } = await grown(3);
    const chains = storage.chains!;
    const name = `${chain.ledger.toString()}/checkpoints/${toHex(signer.key)}`;
    const memory = memoryOf(memorySignedHeads(), chain.ledger);
    const fork = { key: signer.key, use: "checkpoint", size: 2, root: bytesFor("fork") } as const;
    await memory.keepHead(undefined, fork);
    const checkpointer = createCheckpointer({ chain, chains, signer, memory });
    await expect(checkpointer.sign()).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    // The store's host says that what is there now was signed already.
    const said = encode({ v: 1, size: 3, root: chain.root });
    await chains.append(name, { size: 0, hash: null }, [said]);
    await expect(checkpointer.sign()).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    expect((await checkpointer.known()).map(({ size }) => size)).toEqual([3, 2]);
  });
});

describe("createCheckpointer with witnesses", () => {
  it("leaves out lines that would spoil the note, and witnesses that fail", async () => {
    const cosigner = (name: string) => ({ name, publicKey: signerFor(name).publicKey });
    const ledger = await startLedger({
      policy: {
        cosignaturePolicy: {
          validators: { required: 0, keys: [] },
          witnesses: { required: 1, keys: [cosigner("w1"), cosigner("w2")], minority: true },
        },
      },
    });
    const { chain, storage, sequencer, genesis } = ledger;
    await sequencer.seal();
    const honest = (name: string) => witnessOf({ signer: signerFor(name), name });
    const says = (line: string) => ({ cosign: async () => ({ ok: true as const, line }) });
    const { line } = (await honest("w2").cosign(
      (await createCheckpointer({ chain, chains: storage.chains!, signer }).sign()).note,
      0,
      [],
    )) as { line: string };
    const checkpointer = createCheckpointer({
      chain,
      chains: storage.chains!,
      signer,
      witnesses: [
        says("no line at all"),
        says("\n\n"),
        says(line.replace(/.{8}=\n$/, "AAAAAAA=\n").replace(/.{8}==\n$/, "AAAAAA==\n")),
        {
          cosign: async () => {
            throw new Error("away");
          },
        },
        honest("w1"),
      ],
    });
    const { note, witnessed } = await checkpointer.sign();
    expect(witnessed).toBe(true);
    expect(judgeCheckpoint(note, trustFromGenesis(genesis))).toMatchObject({
      ok: true,
      witnesses: ["w1"],
    });
  });
});

function bytesOfTime(seconds: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(4, seconds);
  return bytes;
}

describe("cosigners that answer late or wrong", () => {
  async function start() {
    const ledger = await grown(1);
    const { chain, storage } = ledger;
    const honest = witnessOf();
    const known = [
      noteKey(ORIGIN, NOTE_ED25519, signer.publicKey),
      noteKey("w1", NOTE_COSIGNATURE, signerFor("w1").publicKey),
    ];
    const { note } = await createCheckpointer({ chain, chains: storage.chains!, signer }).sign();
    return { ...ledger, honest, known, note };
  }

  it("takes a clock in milliseconds, and signs whole seconds", async () => {
    const { chain, storage } = await start();
    const witness = witnessOf({ now: () => 1_700_000_000_999 });
    const { note } = await createCheckpointer({ chain, chains: storage.chains!, signer }).sign();
    const answer = await witness.cosign(note, 0, []);
    if (!answer.ok) throw new Error(answer.reason);
    const [, line] = /^— w1 (.+)\n$/.exec(answer.line)!;
    // After four bytes of key id: 1,700,000,000 as C2SP's cosignature/v1 writes it.
    expect(Buffer.from(line!, "base64").subarray(4, 12).toString("hex")).toBe("000000006553f100");
  });

  it("cannot take from the note what others signed, nor its text, nor make its signing fail", async () => {
    const { chain, honest, known, note } = await start();
    const parsed = parseNote(note, known);
    if (!parsed.ok) throw new Error(parsed.reason);
    // A text of the cosigner's own behind the note, well signed: the last blank line is its.
    const text = concatBytes(note, utf8ToBytes("more\n"));
    const message = concatBytes(utf8ToBytes("cosignature/v1\ntime 1\n"), text);
    const signature = concatBytes(bytesOfTime(1), await signerFor("w1").sign(message));
    const own = encodeNote(text, [{ name: "w1", keyId: known[1]!.keyId, signature }]);
    expect(parseNote(own, known).ok).toBe(true);
    const other = new TextDecoder().decode(own.slice(note.length));
    const stranger = `— stranger ${Buffer.from(bytesFor("any")).toString("base64")}\n`;
    const lines: unknown[] = [
      other,
      stranger,
      stranger.repeat(99),
      "x".repeat(2_000_000),
      undefined,
      7,
      { toString: () => "x" },
      new Uint8Array(3),
    ];
    for (const line of lines) {
      const bad = { cosign: async () => ({ ok: true as const, line: line as string }) };
      const cosigned = await createCosigning(chain, [bad, honest]).cosign(
        note,
        1,
        known,
        () => false,
      );
      expect(cosigned.slice(0, note.length), String(line).slice(0, 20)).toEqual(note);
      const opened = parseNote(cosigned, known);
      expect(opened.ok && opened.text).toEqual(parsed.text);
      expect(opened.ok && opened.verified.map(({ name }) => name)).toEqual([ORIGIN, "w1"]);
      expect(opened.ok && opened.unverified).toEqual([]);
    }
  });

  it("are not believed when they name an invalid size, and are asked again as before", async () => {
    const { chain, honest, known, note, sequencer } = await start();
    await sequencer.seal();
    for (const size of [NaN, -1, 0.5, Infinity, "1", undefined, null]) {
      const asked: number[] = [];
      let once = true;
      const cosigner = {
        cosign: async (...args: Parameters<typeof honest.cosign>) => {
          asked.push(args[1]);
          if (!once) return honest.cosign(note, 0, []);
          once = false;
          return { ok: false as const, reason: "stale" as const, size: size as number };
        },
      };
      const cosigning = createCosigning(chain, [cosigner]);
      expect(await cosigning.cosign(note, 1, known, () => false), String(size)).toEqual(note);
      await cosigning.cosign(note, 1, known, () => false);
      expect(asked.slice(0, 2), String(size)).toEqual([0, 0]);
    }
  });

  it("are waited for as long as was said, and not asked again before they have answered", async () => {
    const { chain, honest, known, note } = await start();
    let asked = 0;
    let answer = (): void => {};
    const late = {
      cosign: async (...args: Parameters<typeof honest.cosign>) => {
        asked++;
        await new Promise<void>((resolve) => (answer = resolve));
        return honest.cosign(...args);
      },
    };
    let ended = 0;
    const cosigning = createCosigning(chain, [late], {
      required: async (signal) => signal.addEventListener("abort", () => ended++),
    });
    const first = await cosigning.cosign(note, 1, known, () => false);
    expect(first).toEqual(note);
    expect(await cosigning.cosign(note, 1, known, () => false)).toEqual(note);
    expect(asked).toBe(1);
    answer();
    await expect.poll(() => ended).toBeGreaterThan(0);
    // What it answered late is on no note; the next one has it.
    expect(first).toEqual(note);
    const third = createCosigning(chain, [honest]).cosign(note, 1, known, () => false);
    expect(parseNote(await third, known)).toMatchObject({ verified: [{}, { name: "w1" }] });
    const again = cosigning.cosign(note, 1, known, () => false);
    answer();
    await again;
    expect(asked).toBe(2);
  });
});

describe("fork evidence", () => {
  it("convicts a key whose two stores diverged, at one size or at two", async () => {
    const one = await grown(4);
    const two = await grown(4, "b");
    const sign = (ledger: typeof one) =>
      createCheckpointer({ chain: ledger.chain, chains: ledger.storage.chains!, signer }).sign();
    const first = (await sign(one)).note;
    const same = (await sign(two)).note;
    await two.sequencer.seal();
    await two.sequencer.seal();
    const later = (await sign(two)).note;
    const key = noteKey(ORIGIN, NOTE_ED25519, signer.publicKey);
    const judge = (evidence: Parameters<typeof verifyForkEvidence>[0]) =>
      verifyForkEvidence(decodeForkEvidence(encodeForkEvidence(evidence)), key);
    expect(judge({ first, second: same })).toMatchObject({ ok: true, kind: "same-size" });
    const continuation = {
      root: await two.chain.rootAt(4),
      proof: await two.chain.proveConsistency(4, 6),
    };
    expect(judge({ first, second: later, continuation })).toMatchObject({
      ok: true,
      kind: "other-continuation",
    });
    // One honest history is no evidence.
    expect(judge({ first: same, second: later, continuation })).toEqual({
      ok: false,
      reason: "same-root",
    });
    expect(judge({ first, second: first })).toEqual({ ok: false, reason: "same-root" });
  });
});

describe("required and optional cosigners", () => {
  it("are waited for as long as each may take, and optional ones no longer once none is missing", async () => {
    const { chain, storage } = await grown(1);
    const { note } = await createCheckpointer({ chain, chains: storage.chains!, signer }).sign();
    const names = ["w1", "w2", "w3"];
    const keys = names.map((name) => noteKey(name, NOTE_COSIGNATURE, signerFor(name).publicKey));
    const known = [noteKey(ORIGIN, NOTE_ED25519, signer.publicKey), ...keys];
    /** When each of w1 to w3 answers, and the times: in ms of a clock of its own. */
    async function run(answers: readonly number[], required: number, optional: number) {
      let now = 0;
      const waiting: { at: number; end: () => void }[] = [];
      const until = (at: number, signal?: AbortSignal): Promise<void> =>
        new Promise((resolve) => {
          waiting.push({ at, end: resolve });
          signal?.addEventListener("abort", () => resolve());
        });
      const cosigners = names.map((name, i) => {
        const honest = witnessOf({ signer: signerFor(name), name });
        return {
          cosign: async (...asked: Parameters<typeof honest.cosign>) => {
            await until(answers[i]!);
            return honest.cosign(...asked);
          },
        };
      });
      const signers = (of: Uint8Array): string[] => {
        const opened = parseNote(of, known);
        return opened.ok ? opened.verified.map(({ name }) => name).slice(1) : [];
      };
      const cosigning = createCosigning(chain, cosigners, {
        required: (signal) => until(required, signal),
        optional: (signal) => until(optional, signal),
      });
      let result: { at: number; by: readonly string[] } | undefined;
      // w1 and w2 are required, w3 is optional.
      const isEnough = (of: Uint8Array) => ["w1", "w2"].every((name) => signers(of).includes(name));
      void cosigning.cosign(note, 1, known, isEnough).then((of) => {
        result = { at: now, by: signers(of).sort() };
      });
      for (now = 0; now <= 1000 && result === undefined; now += 10) {
        for (const one of waiting.splice(0)) {
          if (one.at <= now) one.end();
          else waiting.push(one);
        }
        for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
        if (result !== undefined) break;
      }
      return result;
    }
    const all = ["w1", "w2", "w3"];
    // All in time: no longer than the slowest.
    expect(await run([10, 20, 50], 500, 100)).toEqual({ at: 50, by: all });
    // The optional one is late: until its time, though more is left for required ones.
    expect(await run([10, 20, 200], 500, 100)).toEqual({ at: 100, by: ["w1", "w2"] });
    // A required one is late: it is waited for, and what came with it counts.
    expect(await run([10, 300, 200], 500, 100)).toEqual({ at: 300, by: all });
    expect(await run([10, 300, 900], 500, 100)).toEqual({ at: 300, by: ["w1", "w2"] });
    // A required one never comes: no longer than was said.
    expect(await run([10, 900, 200], 500, 100)).toEqual({ at: 500, by: ["w1", "w3"] });
  });
});

describe("createWitness", () => {
  async function start() {
    const ledger = await grown(2);
    const { chain, storage } = ledger;
    const checkpointer = createCheckpointer({ chain, chains: storage.chains!, signer });
    const chains = memoryStorage().chains;
    const witness = (over = chains, accepts?: () => Promise<boolean>) =>
      witnessOf({ chains: over, ...(accepts === undefined ? {} : { accepts }) });
    return { ...ledger, checkpointer, chains, witness };
  }

  const refusal = (result: CosignResult) =>
    result.ok ? "ok" : result.reason === "stale" ? `stale ${result.size}` : result.reason;

  it("cosigns what extends what it cosigned, so that policies accept it", async () => {
    const { chain, genesis, checkpointer, sequencer, witness } = await start();
    const w = witness();
    const { note } = await checkpointer.sign();
    const first = await w.cosign(note, 0, []);
    expect(first.ok).toBe(true);
    // Again, as after a crash before the answer.
    expect(await w.cosign(note, 2, [])).toEqual(first);
    await sequencer.seal();
    const next = await checkpointer.sign();
    const proof = await chain.proveConsistency(2, 3);
    const second = await w.cosign(next.note, 2, proof);
    if (!second.ok) throw new Error(second.reason);
    const trust = {
      ...trustFromGenesis(genesis),
      cosignaturePolicy: {
        validators: { required: 0, keys: [] },
        witnesses: { required: 1, keys: [{ name: "w1", publicKey: signerFor("w1").publicKey }] },
      },
    };
    const cosigned = concatBytes(next.note, utf8ToBytes(second.line));
    expect(judgeCheckpoint(next.note, trust)).toMatchObject({ ok: false });
    expect(judgeCheckpoint(cosigned, trust)).toMatchObject({ ok: true, witnesses: ["w1"] });
  });

  it("refuses what is stale, inconsistent, unsigned, or a rollback", async () => {
    const { chain, checkpointer, sequencer, witness } = await start();
    const w = witness();
    const old = await checkpointer.sign();
    expect(refusal(await w.cosign(old.note, 1, []))).toBe("stale 0");
    expect(refusal(await w.cosign(old.note, 0, [bytesFor("x")]))).toBe("inconsistent");
    await w.cosign(old.note, 0, []);
    for (let i = 0; i < 2; i++) await sequencer.seal();
    const newer = await checkpointer.sign();
    const proof = await chain.proveConsistency(2, 4);
    expect(refusal(await w.cosign(newer.note, 0, []))).toBe("stale 2");
    expect(refusal(await w.cosign(newer.note, 2, []))).toBe("inconsistent");
    expect(refusal(await w.cosign(newer.note, 2, proof.slice(1)))).toBe("inconsistent");
    expect(refusal(await w.cosign(newer.note, 2, proof))).toBe("ok");
    expect(refusal(await w.cosign(old.note, 4, []))).toBe("bad-checkpoint");
    expect(refusal(await w.cosign(old.note, 2, []))).toBe("stale 4");
    expect(refusal(await w.cosign(newer.note, 4, proof))).toBe("inconsistent");
    expect(refusal(await w.cosign(newer.note.slice(0, -1), 4, []))).toBe("bad-checkpoint");
    expect(refusal(await w.cosign(newer.note.slice(0, -3), 4, []))).toBe("bad-checkpoint");
    const twisted = concatBytes(newer.note.slice(0, -1), utf8ToBytes("=\n"));
    expect(refusal(await w.cosign(twisted, 4, []))).toBe("refused");
    const text = encodeCheckpoint({ origin: ORIGIN, size: 4, root: bytesFor("fork") });
    const by = (name: string) => signNote(text, [noteSigner(signerFor(name), ORIGIN)]);
    expect(refusal(await w.cosign(await by("checkpoint"), 4, []))).toBe("other-root");
    expect(refusal(await w.cosign(await by("stranger"), 4, []))).toBe("refused");
    const elsewhere = await signNote(
      encodeCheckpoint({ origin: `${ORIGIN}/x`, size: 4, root: newer.root }),
      [noteSigner(signer, ORIGIN)],
    );
    expect(refusal(await w.cosign(elsewhere, 4, []))).toBe("unknown-log");
  });

  it("cosigns one root only of the empty ledger", async () => {
    const { witness } = await start();
    const w = witness();
    const empty = async (root: Uint8Array) =>
      signNote(encodeCheckpoint({ origin: ORIGIN, size: 0, root }), [noteSigner(signer, ORIGIN)]);
    expect(refusal(await w.cosign(await empty(bytesFor("x")), 0, []))).toBe("inconsistent");
    expect(refusal(await w.cosign(await empty(EMPTY_ROOT), 0, []))).toBe("ok");
    expect(refusal(await w.cosign(await empty(bytesFor("x")), 0, []))).toBe("inconsistent");
    expect(refusal(await w.cosign(await empty(EMPTY_ROOT), 0, []))).toBe("ok");
  });

  it("cosigns one of two forks shown at once", async () => {
    const { witness, checkpointer } = await start();
    const w = witness();
    const { note, size } = await checkpointer.sign();
    const fork = await signNote(
      encodeCheckpoint({ origin: ORIGIN, size, root: bytesFor("fork") }),
      [noteSigner(signer, ORIGIN)],
    );
    const results = await Promise.all([w.cosign(note, 0, []), w.cosign(fork, 0, [])]);
    expect(results.filter(({ ok }) => ok)).toHaveLength(1);
  });

  it("believes its memory, and no store that says otherwise", async () => {
    const { checkpointer, sequencer } = await start();
    const signedHeads = memorySignedHeads();
    const over = (chains: ChainStore, options: { adoptSignedHeads?: boolean } = {}) =>
      witnessOf({ chains, signedHeads, ...options });
    const { note, size } = await checkpointer.sign();
    expect(refusal(await over(memoryStorage().chains).cosign(note, 0, []))).toBe("ok");
    const signed = (of: number, root: Uint8Array) =>
      signNote(encodeCheckpoint({ origin: ORIGIN, size: of, root }), [noteSigner(signer, ORIGIN)]);
    // The CID of the origin's bytes, spelt out as the CIDv1 of raw bytes under SHA-256.
    const digest = createHash("sha256").update(ORIGIN).digest();
    const log = CID.decode(Uint8Array.of(1, 0x55, 0x12, 32, ...digest));
    const name = `${log.toString()}/cosigned/${toHex(signerFor("w1").key)}`;
    // The log forks, and the witness's store says that it is what was cosigned.
    for (const of of [size, size + 3]) {
      const { chains } = memoryStorage();
      const root = bytesFor("fork");
      await chains.append(name, { size: 0, hash: null }, [encode({ v: 1, size: of, root })]);
      const lying = over(chains);
      const fork = await signed(of, root);
      await expect(lying.cosign(fork, of, [])).rejects.toMatchObject({ code: "ERR_CHAIN_MEMORY" });
      await expect(lying.cosign(note, size, [])).rejects.toMatchObject({
        code: "ERR_CHAIN_MEMORY",
      });
    }
    // An older or an empty store is what a backup is: the memory binds.
    for (const older of [undefined, encode({ v: 1, size: 1, root: bytesFor("fork") })]) {
      const { chains } = memoryStorage();
      if (older !== undefined) await chains.append(name, { size: 0, hash: null }, [older]);
      // Adopting takes nothing from it.
      const w = over(chains, { adoptSignedHeads: true });
      expect(refusal(await w.cosign(await signed(size, bytesFor("fork")), size, []))).toBe(
        "other-root",
      );
      expect(refusal(await w.cosign(note, size, []))).toBe("ok");
    }
    // A memory that was put back is made good from the store, when that is said.
    const { chains } = memoryStorage();
    await sequencer.seal();
    const newer = await checkpointer.sign();
    const record = encode({ v: 1, size: newer.size, root: newer.root });
    await chains.append(name, { size: 0, hash: null }, [record]);
    const adopting = over(chains, { adoptSignedHeads: true });
    expect(refusal(await adopting.cosign(newer.note, newer.size, []))).toBe("ok");
    expect(refusal(await over(chains).cosign(note, size, []))).toBe(`stale ${newer.size}`);
  });

  it("as a validator cosigns only what it judged itself", async () => {
    const { witness, checkpointer } = await start();
    const { note } = await checkpointer.sign();
    const refusing = witness(memoryStorage().chains, async () => false);
    expect(refusal(await refusing.cosign(note, 0, []))).toBe("refused");
    const judging = witness(memoryStorage().chains, async () => true);
    const result = await judging.cosign(note, 0, []);
    expect(refusal(result)).toBe("ok");
    const parsed = parseNote(note, [noteKey(ORIGIN, NOTE_ED25519, signer.publicKey)]);
    expect(parsed.ok && parseCheckpoint(parsed.text)).toMatchObject({ ok: true });
  });
});
