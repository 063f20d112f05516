import { beforeEach, describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { createWitness, type CosignResult } from "../../src/chain/witness.ts";
import { memorySignedHeads } from "../../src/identity/signed-heads.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { ChainStore } from "../../src/storage/types.ts";
import { mth, proof } from "../support/rfc9162.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";

const ORIGIN = "log.example/1";
const log = signerFor("log");
const key = noteKey(ORIGIN, NOTE_ED25519, log.publicKey);

/** A log of hashes, written here: `x` at a position from which on the history is another one. */
function history(fork = Infinity) {
  const leaves = Array.from({ length: 16 }, (_, i) => bytesFor(`${i >= fork ? "x" : "leaf"} ${i}`));
  return {
    root: (size: number) => mth(leaves.slice(0, size)),
    proof: (from: number, to: number) => proof(from, leaves.slice(0, to)),
  };
}
const honest = history();
const forked = history(5);

const noteOf = (size: number, of = honest, signer = log, origin = ORIGIN): Promise<Uint8Array> =>
  signNote(encodeCheckpoint({ origin, size, root: of.root(size) }), [noteSigner(signer, origin)]);

const witnessOf = (
  chains: ChainStore,
  change: Partial<Parameters<typeof createWitness>[0]> = {},
): ReturnType<typeof createWitness> =>
  createWitness({
    ...{ chains, signer: signerFor("w"), name: "w.example", origin: ORIGIN, keys: [key] },
    now: () => START,
    ...change,
  });

const says = (result: CosignResult): string =>
  result.ok ? "ok" : result.reason === "stale" ? `stale ${result.size}` : result.reason;

/** A copy of a memory store as it is now, which is what a backup is. */
async function copyOf(chains: ChainStore): Promise<ChainStore> {
  const copy = memoryStorage().chains;
  for await (const name of chains.list()) {
    const records: Uint8Array[] = [];
    for await (const { record } of chains.read(name, { from: 0 })) records.push(record);
    await copy.append(name, { size: 0, hash: null }, records);
  }
  return copy;
}

const STOPPED = { code: "ERR_CHAIN_MEMORY", message: expect.stringContaining("resume") };
const FORKED = { code: "ERR_CHAIN_MEMORY", message: expect.stringContaining("retired") };

describe("createWitness", () => {
  it("takes keys that sign logs, and at least one", () => {
    const { chains } = memoryStorage();
    expect(() => witnessOf(chains, { keys: [] })).toThrow(RangeError);
    const cosigner = noteKey("x", NOTE_COSIGNATURE, log.publicKey);
    expect(() => witnessOf(chains, { keys: [key, cosigner] })).toThrow(RangeError);
  });

  it("cosigns logs whose keys have another name than the log, as the Go checksum database has", async () => {
    const named = noteKey("key.example", NOTE_ED25519, log.publicKey);
    const w = witnessOf(memoryStorage().chains, { keys: [named] });
    const text = encodeCheckpoint({ origin: ORIGIN, size: 3, root: honest.root(3) });
    const note = await signNote(text, [noteSigner(log, "key.example")]);
    expect(says(await w.cosign(note, 0, []))).toBe("ok");
    expect(says(await w.cosign(await noteOf(3), 3, []))).toBe("refused");
  });

  it("keeps one memory for an origin, however many ledgers use it", async () => {
    const { chains } = memoryStorage();
    expect(says(await witnessOf(chains).cosign(await noteOf(6), 0, []))).toBe("ok");
    const other = witnessOf(chains, {
      keys: [noteKey(ORIGIN, NOTE_ED25519, signerFor("other").publicKey)],
    });
    const note = await noteOf(6, forked, signerFor("other"));
    expect(says(await other.cosign(note, 0, []))).toBe("stale 6");
    expect(says(await other.cosign(note, 6, []))).toBe("other-root");
  });

  it("names the size that is in force when it loses to another process", async () => {
    const { chains } = memoryStorage();
    const [one, two] = [witnessOf(chains), witnessOf(chains)];
    await one.cosign(await noteOf(4), 0, []);
    const asked = [
      one.cosign(await noteOf(7), 4, honest.proof(4, 7)),
      two.cosign(await noteOf(7, forked), 4, forked.proof(4, 7)),
      two.cosign(await noteOf(9, forked), 4, forked.proof(4, 9)),
    ];
    const results = (await Promise.all(asked)).map(says);
    expect(results.filter((one) => one === "ok")).toHaveLength(1);
    const won = [7, 7, 9][results.indexOf("ok")];
    for (const lost of results.filter((one) => one !== "ok")) expect(lost).toBe(`stale ${won}`);
  });
});

describe.each([
  ["the store alone", () => undefined],
  ["a memory that was restored too", () => memorySignedHeads()],
])("a witness restored from a backup, with %s", (_, memory) => {
  /** A witness restored to size 4, and its cosignatures on 8 and 9 of before. */
  async function restored() {
    const { chains } = memoryStorage();
    const signedHeads = memory();
    const heads = (from = signedHeads) => (from === undefined ? {} : { signedHeads: from });
    const w = witnessOf(chains, heads());
    await w.cosign(await noteOf(4), 0, []);
    const backup = await copyOf(chains);
    let backupHeads = signedHeads;
    if (signedHeads !== undefined) {
      backupHeads = memorySignedHeads();
      await backupHeads.keep(undefined, (await signedHeads.read())!);
    }
    const cosigned = async (size: number, of = honest) => {
      const note = await noteOf(size, of);
      const answer = await w.cosign(note, last, of.proof(last, size));
      if (!answer.ok) throw new Error(answer.reason);
      last = size;
      return concatBytes(note, utf8ToBytes(answer.line));
    };
    let last = 4;
    const seen8 = await cosigned(8);
    const seen9 = await cosigned(9);
    const open = () => witnessOf(backup, heads(backupHeads));
    return { open, seen8, seen9, backup };
  }
  let world: Awaited<ReturnType<typeof restored>>;
  beforeEach(async () => {
    world = await restored();
  });
  const fork = async () => [await noteOf(8, forked), 4, forked.proof(4, 8)] as const;

  it("would contradict itself, if nobody shows it what it cosigned", async () => {
    expect(says(await world.open().cosign(...(await fork())))).toBe("ok");
  });

  it("stops once it meets its own cosignature, whatever the request asks", async () => {
    for (const [old, proof] of [
      [0, []],
      [4, honest.proof(4, 8)],
      [99, []],
    ] as const) {
      const w = (world = await restored()).open();
      await expect(w.cosign(world.seen8, old, proof)).rejects.toMatchObject(STOPPED);
      await expect(w.cosign(...(await fork()))).rejects.toMatchObject(STOPPED);
      await expect(w.cosign(await noteOf(4), 4, [])).rejects.toMatchObject(STOPPED);
    }
  });

  it("stays stopped over a restart, and in other processes", async () => {
    const other = world.open();
    await expect(world.open().cosign(world.seen8, 0, [])).rejects.toMatchObject(STOPPED);
    await expect(other.cosign(...(await fork()))).rejects.toMatchObject(STOPPED);
    await expect(world.open().cosign(...(await fork()))).rejects.toMatchObject(STOPPED);
  });

  it("needs only its own signature to know, not the log's", async () => {
    const line = new TextDecoder().decode(world.seen8).split("\n").at(-2)!;
    const text = encodeCheckpoint({ origin: ORIGIN, size: 8, root: honest.root(8) });
    const alone = concatBytes(text, utf8ToBytes(`\n${line}\n`));
    await expect(world.open().cosign(alone, 0, [])).rejects.toMatchObject(STOPPED);
  });

  it("is not stopped by what others can make", async () => {
    const text = encodeCheckpoint({ origin: ORIGIN, size: 8, root: honest.root(8) });
    const own = new TextDecoder().decode(world.seen8).split("\n").at(-2)!;
    const [, name, base64] = own.split(" ") as [string, string, string];
    const bytes = Buffer.from(base64, "base64");
    bytes[bytes.length - 1]! ^= 1;
    const damaged = `— ${name} ${bytes.toString("base64")}`;
    const renamed = own.replace("w.example", "v.example");
    const elsewhere = encodeCheckpoint({ origin: ORIGIN, size: 9, root: honest.root(9) });
    const w = world.open();
    const note = await noteOf(8);
    for (const line of [damaged, renamed, `${damaged}\n${damaged}`]) {
      const forged = concatBytes(note, utf8ToBytes(`${line}\n`));
      expect(says(await w.cosign(forged, 0, []))).toBe("stale 4");
      expect(says(await w.cosign(concatBytes(text, utf8ToBytes(`\n${line}\n`)), 4, []))).toBe(
        "refused",
      );
    }
    // Its signature on another text, and on what it remembers.
    const other = concatBytes(elsewhere, utf8ToBytes(`\n${own}\n`));
    expect(says(await w.cosign(other, 4, []))).toBe("refused");
    expect(says(await w.cosign(note, 4, honest.proof(4, 8)))).toBe("ok");
    expect(says(await w.cosign(world.seen8, 8, []))).toBe("ok");
  });

  it("goes on from the largest head it is shown, when told", async () => {
    const w = world.open();
    await expect(w.cosign(world.seen8, 0, [])).rejects.toMatchObject(STOPPED);
    // More that it meets while it is stopped counts too.
    await expect(w.cosign(world.seen9, 0, [])).rejects.toMatchObject(STOPPED);
    await w.resume();
    expect(says(await w.cosign(...(await fork())))).toBe("stale 9");
    expect(says(await w.cosign(await noteOf(12), 9, honest.proof(9, 12)))).toBe("ok");
    expect(says(await world.open().cosign(await noteOf(12), 12, []))).toBe("ok");
  });

  it("can be told before it meets anything", async () => {
    const w = world.open();
    await w.resume([await noteOf(12), world.seen8, world.seen9, world.seen8]);
    expect(says(await w.cosign(world.seen9, 9, []))).toBe("ok");
    // What it remembers since is more than the notes say.
    await w.cosign(await noteOf(12), 9, honest.proof(9, 12));
    await w.resume([world.seen8]);
    expect(says(await w.cosign(await noteOf(13), 12, honest.proof(12, 13)))).toBe("ok");
  });

  it("goes on no more once it has cosigned two histories", async () => {
    const w = world.open();
    expect(says(await w.cosign(...(await fork())))).toBe("ok");
    await expect(w.resume([world.seen8])).rejects.toMatchObject(FORKED);
    await expect(w.cosign(world.seen8, 8, [])).rejects.toMatchObject(FORKED);
    await expect(w.cosign(world.seen9, 8, [])).rejects.toMatchObject(FORKED);
    await expect(w.resume()).rejects.toMatchObject(FORKED);
    await expect(w.resume([world.seen9])).rejects.toMatchObject(FORKED);
    const next = [await noteOf(10, forked), 8, forked.proof(8, 10)] as const;
    await expect(world.open().cosign(...next)).rejects.toMatchObject(FORKED);
  });

  it("does nothing where there is nothing to resume from", async () => {
    const w = witnessOf(memoryStorage().chains);
    await w.resume();
    await w.resume([await noteOf(9), bytesFor("no note")]);
    expect(says(await w.cosign(await noteOf(3), 0, []))).toBe("ok");
  });
});

it("a memory that survived needs no stop: it binds", async () => {
  const { chains } = memoryStorage();
  const signedHeads = memorySignedHeads();
  const w = witnessOf(chains, { signedHeads });
  const backup = await copyOf(chains);
  await w.cosign(await noteOf(6), 0, []);
  const restored = witnessOf(backup, { signedHeads });
  expect(says(await restored.cosign(await noteOf(6, forked), 0, []))).toBe("stale 6");
  const note = await noteOf(6);
  const answer = await restored.cosign(note, 6, []);
  if (!answer.ok) throw new Error(answer.reason);
  const own = concatBytes(note, utf8ToBytes(answer.line));
  expect(says(await restored.cosign(own, 6, []))).toBe("ok");
});
