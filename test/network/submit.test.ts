import { gzipSync } from "node:zlib";
import { decode, encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { decodeTransaction, signTransaction } from "../../src/block/transaction.ts";
import type { TransactionWithEntries } from "../../src/block/transaction.ts";
import { decodeBlock } from "../../src/block/block.ts";
import { sha256 } from "#crypto";
import { ledgerId } from "../../src/block/genesis.ts";
import { createSequencer, type Sequencer } from "../../src/chain/sequencer.ts";
import { StorageError } from "../../src/errors.ts";
import { ledgerHandler, type LedgerHandlerOptions } from "../../src/network/ledger-handler.ts";
import { foundLedger, recordEntries, signerFor } from "../support/ledger.ts";
import { handClock, peerOf, startHome, type Home } from "../support/network.ts";

const admitting = (home: Home, more: Partial<LedgerHandlerOptions> = {}) => ({
  ...{ reads: undefined as never, authorize: () => true, sequencer: home.sequencer },
  ...more,
});

/** Transactions of one lane, with so many entries each. */
async function transactions(
  home: Home,
  count: number,
  { signer = home.signers["b"]!, entries = 1, from = 0, ledger = home.chain.ledger } = {},
): Promise<TransactionWithEntries[]> {
  const made: TransactionWithEntries[] = [];
  for (let i = 0; i < count; i++) {
    made.push(
      await signTransaction(signer, {
        ...{ ledger, lane: 7, seq: from + i, time: home.clock.now },
        entries: recordEntries(entries),
      }),
    );
  }
  return made;
}

const flip = (bytes: Uint8Array): Uint8Array => {
  const other = bytes.slice();
  other[5]! ^= 1;
  return other;
};

/** One request in the form that the page has, written without the library's encoder. */
const framed = (...parts: Uint8Array[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(
    Buffer.concat(
      parts.flatMap((part) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(part.length);
        return [length, part];
      }),
    ),
  );
const encoded = ({ tx, alg, sig, entries }: TransactionWithEntries): Uint8Array =>
  encode({ v: 1, tx, alg, sig, entries });

function post(
  home: Home,
  body: BodyInit,
  { headers = {}, ...more }: Partial<LedgerHandlerOptions> & { headers?: HeadersInit } = {},
): Promise<Response> {
  const handler = ledgerHandler({ source: home.source, ...admitting(home, more) });
  const init = { method: "POST", body, headers, duplex: "half" };
  return handler(new Request("https://a.example/submit", init as RequestInit));
}

describe("submit", () => {
  it("records what a member elsewhere signed, and says where", async () => {
    const home = await startHome();
    await home.grow(2);
    const peer = peerOf(home.source, admitting(home));
    const sent = await transactions(home, 3, { entries: 4 });
    const outcomes = await peer.submit(sent);
    expect(outcomes).toHaveLength(3);
    for (const [i, outcome] of outcomes.entries()) {
      if (!outcome.ok) throw new Error(outcome.reason);
      const { block } = await home.chain.readBlock(outcome.height);
      expect(block.transactions[outcome.transaction]!.tx).toEqual(sent[i]!.tx);
      expect(block.transactions[outcome.transaction]!.entries).toEqual(sent[i]!.entries);
    }
    expect(await peer.submit([])).toEqual([]);
    expect(peer.asked).toEqual(["submit"]);
  });

  it("gives the same places when the same batch comes twice, also at once", async () => {
    const home = await startHome();
    const peer = peerOf(home.source, admitting(home));
    const sent = await transactions(home, 20);
    const [first, second] = await Promise.all([peer.submit(sent), peer.submit(sent)]);
    expect(first.every(({ ok }) => ok)).toBe(true);
    expect(second).toEqual(first);
    expect(await peer.submit(sent)).toEqual(first);
    let recorded = 0;
    for await (const block of home.chain.readBlocks({ from: 0 }))
      recorded += decodeBlock(block).transactions.length;
    expect(recorded).toBe(20);
  });

  it("refuses each transaction for itself, by the ledger's rules", async () => {
    const home = await startHome();
    const other = await foundLedger({ a: ["sequencer"] }, { threshold: 1 });
    const [good, forged, late] = await transactions(home, 3);
    const stranger = signerFor("nobody");
    const [foreign] = await transactions(home, 1, { ledger: ledgerId(other.genesis), from: 9 });
    const [unknown] = await transactions(home, 1, { signer: stranger });
    const [garbled] = await transactions(home, 1, { from: 10 });
    const outcomes = await peerOf(home.source, admitting(home)).submit([
      good!,
      { ...forged!, sig: flip(forged!.sig) },
      foreign!,
      unknown!,
      { ...garbled!, entries: [garbled!.entries[0]!.subarray(1)] },
      late!,
    ]);
    expect(outcomes.map((outcome) => (outcome.ok ? "ok" : outcome.reason))).toEqual([
      ...["ok", "bad-signature", "wrong-ledger", "unknown-key", "entries-root-mismatch", "ok"],
    ]);
  });

  it("divides many transactions into requests that proxies pass, in order", async () => {
    const home = await startHome();
    const sizes: number[] = [];
    const peer = peerOf(home.source, {
      ...admitting(home),
      callerOf: (request) => {
        sizes.push(Number(request.headers.get("x-length") ?? 0));
        return "b";
      },
    });
    const sent = await transactions(home, 1010);
    const large = await transactions(home, 1, { entries: 9000, from: 1010 });
    const last = await transactions(home, 3, { from: 1011 });
    const all = [...sent, ...large, ...last];
    const outcomes = await peer.submit(all);
    expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1014);
    expect(encoded(large[0]!).length).toBeGreaterThan(1024 * 1024);
    // 1,000 at most; the large one alone; what is left of each side of it.
    expect(peer.asked).toEqual(["submit", "submit", "submit", "submit"]);
  }, 20_000);

  it("is there only with a sequencer, and open to nobody by default", async () => {
    const home = await startHome();
    const { source, sequencer } = home;
    expect(() => ledgerHandler({ source, sequencer } as never)).toThrow(/authorize/);
    expect(() => ledgerHandler({ source, sequencer, reads: "public" })).toThrow(/submit/);
    const [sent] = await transactions(home, 1);
    await expect(peerOf(source).submit([sent!])).rejects.toMatchObject({
      code: "ERR_TRANSPORT_NOT_FOUND",
    });
    const readOnly = peerOf(source, { sequencer, authorize: () => false });
    await expect(readOnly.submit([sent!])).rejects.toMatchObject({ code: "ERR_TRANSPORT_REFUSED" });
    expect(await readOnly.genesis()).toEqual(home.genesis);
    await home.grow(1);
    await home.source.look();
    expect((await readOnly.checkpoint()).length).toBeGreaterThan(0);
    expect(home.chain.size).toBe(1);
  });
});

describe("a submit request", () => {
  it("is read in its one form only", async () => {
    const home = await startHome();
    const [sent] = await transactions(home, 1);
    const good = encoded(sent!);
    const fields = decode<Record<string, unknown>>(good);
    for (const [name, body] of Object.entries({
      "cut within a transaction": framed(good).slice(0, -1),
      "cut within a length": framed(good).slice(0, 3),
      "a length of nothing": framed(new Uint8Array()),
      "another version": framed(encode({ ...fields, v: 2 })),
      "a field more": framed(encode({ ...fields, more: 1 })),
      "a field less": framed(encode({ v: 1, tx: sent!.tx, alg: sent!.alg, sig: sent!.sig })),
      "bytes after it": framed(new Uint8Array([...good, 0])),
    })) {
      expect((await post(home, body)).status, name).toBe(400);
    }
    expect(home.chain.size).toBe(0);
    const answer = await post(home, framed(good));
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(home.chain.size).toBe(1);
  });

  it("is refused before it is read if it is compressed or too large", async () => {
    const home = await startHome();
    const bomb = gzipSync(new Uint8Array(16 * 1024 * 1024));
    for (const encoding of ["gzip", "GZIP", "br", "deflate, gzip"]) {
      const headers = { "content-encoding": encoding };
      expect((await post(home, new Uint8Array(bomb), { headers })).status).toBe(415);
    }
    expect((await post(home, "", { headers: { "content-length": "99999999" } })).status).toBe(413);
    let pulled = 0;
    const endless = (piece: Uint8Array) =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          pulled += piece.length;
          controller.enqueue(piece);
        },
      });
    // Lengths of a megabyte each, without end; and one length that no transaction has.
    const [sent] = await transactions(home, 1);
    const piece = framed(encoded(sent!));
    expect((await post(home, endless(piece))).status).toBe(413);
    expect(pulled).toBeLessThan(1.2 * 1024 * 1024);
    pulled = 0;
    expect((await post(home, endless(new Uint8Array(65_536).fill(0xff)))).status).toBe(413);
    expect(pulled).toBeLessThan(400_000);
    expect(home.chain.size).toBe(0);
  });

  it("holds 10,000 tiny transactions in no one request", async () => {
    const home = await startHome();
    const [sent] = await transactions(home, 1);
    const tiny = encode({
      v: 1,
      tx: new Uint8Array(),
      alg: "Ed25519",
      sig: sent!.sig,
      entries: [],
    });
    const many = framed(...Array.from({ length: 1001 }, () => tiny));
    expect((await post(home, many)).status).toBe(413);
    const most = await post(home, framed(...Array.from({ length: 1000 }, () => tiny)));
    const { outcomes } = decode<{ outcomes: { reason: string }[] }>(
      new Uint8Array(await most.arrayBuffer()),
    );
    expect(outcomes.map(({ reason }) => reason)).toEqual(Array(1000).fill("malformed"));
  });

  it("is given up when it comes one byte a second", async () => {
    const home = await startHome();
    const clock = handClock();
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          await clock.time.sleep(1000, new AbortController().signal);
          // Lengths of 65,536 bytes first.
          controller.enqueue(Uint8Array.of(pulled++ === 1 ? 1 : 0));
        },
      },
      { highWaterMark: 0 },
    );
    const answer = post(home, body, clock.time);
    for (let i = 0; i < 12; i++) await clock.advance(1000);
    expect((await answer).status).toBe(408);
    expect(pulled).toBeLessThan(12);
  });

  it("holds no more of one caller, and of all, than fits into memory", async () => {
    const home = await startHome();
    const clock = handClock();
    const handler = ledgerHandler({
      ...{ source: home.source, ...clock.time, requestsPerMinute: 1e6 },
      ...admitting(home, { callerOf: (request) => request.headers.get("x-caller")! }),
    });
    const stalled = (caller: string, length: number) => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const prefix = new Uint8Array(4);
          new DataView(prefix.buffer).setUint32(0, length);
          controller.enqueue(prefix);
        },
      });
      const init = { method: "POST", body, headers: { "x-caller": caller }, duplex: "half" };
      return handler(new Request("https://a.example/submit", init as RequestInit));
    };
    const mebibyte = 1024 * 1024;
    const one = [8, 8].map((size) => stalled("one", size * mebibyte));
    const third = await stalled("one", mebibyte);
    expect(third.status).toBe(503);
    expect(third.headers.get("retry-after")).toBe("1");
    const others = ["two", "three", "four"].flatMap((name) =>
      [8, 8].map((size) => stalled(name, size * mebibyte - 100)),
    );
    expect((await stalled("five", 8 * mebibyte)).status).toBe(503);
    await clock.advance(10_001);
    const ended = await Promise.all([...one, ...others]);
    expect(ended.map(({ status }) => status)).toEqual(Array(8).fill(408));
    const again = stalled("five", 8 * mebibyte);
    await clock.advance(0);
    await clock.advance(10_001);
    expect((await again).status).toBe(408);
  });
});

describe("an answer to submit", () => {
  /** A sequencer whose transactions are settled by hand. */
  function held(): { sequencer: Sequencer; settle: ((error?: unknown) => void)[] } {
    const settle: ((error?: unknown) => void)[] = [];
    const sequencer = {
      submit: () => ({
        durable: new Promise((resolve, reject) => {
          settle.push((error) => (error ? reject(error) : resolve({ height: 1, transaction: 0 })));
        }),
      }),
      ready: async () => undefined,
    };
    return { sequencer: sequencer as never, settle };
  }

  it("comes only when all is durable, and after 25 seconds says that it may be asked again", async () => {
    const home = await startHome();
    const clock = handClock();
    const { sequencer, settle } = held();
    const peer = peerOf(home.source, { ...admitting(home), sequencer, ...clock.time });
    const sent = await transactions(home, 2);
    const answered = peer.submit(sent).then(
      (outcomes) => ({ outcomes }),
      (error: unknown) => ({ error }),
    );
    await clock.advance(0);
    expect(settle).toHaveLength(2);
    settle[0]!();
    await clock.advance(24_999);
    expect(await Promise.race([answered, "waiting"])).toBe("waiting");
    await clock.advance(1);
    expect(await answered).toMatchObject({
      error: { code: "ERR_TRANSPORT_BUSY", retryAfter: 1000 },
    });
  });

  it("is none when the store cannot say what it did", async () => {
    const home = await startHome();
    for (const [code, wanted] of [
      ["ERR_STORAGE_AMBIGUOUS", "ERR_TRANSPORT_BUSY"],
      ["ERR_STORAGE_FAILED", "ERR_TRANSPORT_FAILED"],
    ] as const) {
      const { sequencer, settle } = held();
      const errors: unknown[] = [];
      const onError = (error: unknown): void => void errors.push(error);
      const peer = peerOf(home.source, { ...admitting(home), sequencer, onError });
      const answered = peer.submit(await transactions(home, 2));
      await expect.poll(() => settle.length).toBe(2);
      settle[0]!();
      settle[1]!(new StorageError(code, "lost"));
      await expect(answered).rejects.toMatchObject({ code: wanted });
      expect(errors).toHaveLength(wanted === "ERR_TRANSPORT_FAILED" ? 1 : 0);
    }
  });

  it("waits for room in the queue, and keeps the order", async () => {
    const home = await startHome();
    const { chain, storage, clock, signers } = home;
    const sequencer = createSequencer({
      ...{ chain, storage, signer: signers["a"]!, now: () => clock.now, maxQueueBytes: 2000 },
    });
    const peer = peerOf(home.source, { ...admitting(home), sequencer });
    const sent = await transactions(home, 60);
    const outcomes = await peer.submit(sent);
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    const seqs: number[] = [];
    for await (const block of chain.readBlocks({ from: 0 }))
      for (const { tx } of decodeBlock(block).transactions) seqs.push(decodeTransaction(tx).seq);
    expect(seqs).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });

  it("is taken only whole, canonical and about exactly these transactions", async () => {
    const home = await startHome();
    const sent = await transactions(home, 2);
    const right = sent.map(({ tx }, i) => ({ tx: sha256(tx), height: 3, transaction: i }));
    const good = encode({ v: 1, outcomes: right });
    const refused = { tx: right[0]!.tx, reason: "rule-refused", entry: 0 };
    const answerOf = (bytes: Uint8Array) =>
      peerOf(home.source, {}, { fetch: async () => new Response(new Uint8Array(bytes)) }).submit(
        sent,
      );
    expect(await answerOf(good)).toEqual([
      { ok: true, height: 3, transaction: 0 },
      { ok: true, height: 3, transaction: 1 },
    ]);
    expect(await answerOf(encode({ v: 1, outcomes: [refused, right[1]] }))).toEqual([
      { ok: false, reason: "rule-refused", entry: 0 },
      { ok: true, height: 3, transaction: 1 },
    ]);
    const wrong: Uint8Array[] = [new Uint8Array(), new Uint8Array([...good, 0])];
    for (let length = 1; length < good.length; length += 7) wrong.push(good.slice(0, length));
    for (const outcomes of [
      [],
      right.slice(1),
      [...right, right[1]],
      right.toReversed(),
      [right[0], { ...right[1], tx: flip(right[1]!.tx) }],
      [right[0], { ...right[1], height: -1 }],
      [right[0], { ...right[1], reason: "ok" }],
      [right[0], { tx: right[1]!.tx }],
      [right[0], { tx: right[1]!.tx, reason: "A person's name" }],
      [right[0], { ...refused, tx: right[1]!.tx, entry: -1 }],
    ]) {
      wrong.push(encode({ v: 1, outcomes }));
    }
    wrong.push(encode({ v: 2, outcomes: right }), encode({ v: 1, outcomes: right, more: 1 }));
    for (const bytes of wrong) {
      await expect(answerOf(bytes)).rejects.toMatchObject({ code: "ERR_TRANSPORT_MALFORMED" });
    }
  });
});
