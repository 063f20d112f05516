import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encodeCheckpoint, openCheckpoint } from "../../src/chain/checkpoint-note.ts";
import {
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  parseVkey,
  type NoteKey,
} from "../../src/chain/note-key.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { createWitness, type LogWitness } from "../../src/chain/witness.ts";
import { StorageError } from "../../src/errors.ts";
import { witnessHandler, type WitnessHandlerOptions } from "../../src/network/witness-handler.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { ChainStore } from "../../src/storage/types.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { mth, proof as proofOf } from "../support/rfc9162.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

const ORIGIN = "log.example/1";
const URL_OF = "http://127.0.0.1/some/where/add-checkpoint";
const log = signerFor("log");
const logKey = noteKey(ORIGIN, NOTE_ED25519, log.publicKey);
const OWN = noteKey("example.com/witness", NOTE_COSIGNATURE, signerFor("w").publicKey);

const leaves = (fork = Infinity) =>
  Array.from({ length: 16 }, (_, i) => bytesFor(`${i >= fork ? "x" : "leaf"} ${i}`));
const HONEST = leaves();
const FORKED = leaves(5);

function witnessOf(
  chains: ChainStore = memoryStorage().chains,
  origin = ORIGIN,
  keys: readonly NoteKey[] = [logKey],
): LogWitness {
  const signer = signerFor("w");
  return createWitness({ chains, signer, name: OWN.name, origin, keys, now: () => START });
}

const noteOf = (size: number, of = HONEST, signer = log, origin = ORIGIN): Promise<Uint8Array> =>
  signNote(encodeCheckpoint({ origin, size, root: mth(of.slice(0, size)) }), [
    noteSigner(signer, origin),
  ]);

/** A request's body by hand, as the specification draws it. */
function bodyOf(old: number | string, proof: readonly Uint8Array[], note: Uint8Array): Uint8Array {
  const lines = proof.map((hash) => `${Buffer.from(hash).toString("base64")}\n`).join("");
  return concatBytes(utf8ToBytes(`old ${old}\n${lines}\n`), note);
}

const post = (body: BodyInit | null, headers: Record<string, string> = {}): Request =>
  new Request(URL_OF, { method: "POST", body, headers, duplex: "half" } as RequestInit);

function serve(witnesses: readonly LogWitness[], options: Partial<WitnessHandlerOptions> = {}) {
  const handler = witnessHandler({ witnesses, ...options });
  return async (request: Request | Uint8Array | string) => {
    const response = await handler(
      request instanceof Request ? request : post(request as BodyInit),
    );
    const { status, headers } = response;
    return { status, type: headers.get("content-type"), body: await response.text() };
  };
}

const TEXT = "text/plain; charset=utf-8";
const SIZE = { status: 409, type: "text/x.tlog.size" };

describe("witnessHandler", () => {
  it("answers with a cosignature that anybody can verify, and again with a fresh one", async () => {
    let ms = START;
    const chains = memoryStorage().chains;
    const ask = serve([
      createWitness({
        ...{ chains, signer: signerFor("w"), name: OWN.name, origin: ORIGIN, keys: [logKey] },
        now: () => ms,
      }),
    ]);
    const note = await noteOf(3);
    for (const [old, time] of [
      [0, START],
      [3, START + 61_000],
    ] as const) {
      ms = time;
      const answer = await ask(bodyOf(old, [], note));
      expect(answer).toMatchObject({ status: 200, type: TEXT });
      expect(answer.body).toMatch(/^— example\.com\/witness [A-Za-z0-9+/]+=*\n$/);
      const cosigned = concatBytes(note, utf8ToBytes(answer.body));
      const opened = openCheckpoint(cosigned, { origin: ORIGIN, keys: [logKey], cosigners: [OWN] });
      expect(opened.ok && opened.cosignatures.map((one) => one.time)).toEqual([time / 1000]);
    }
  });

  it("answers each fault with the status that the specification has for it", async () => {
    const ask = serve([witnessOf()]);
    const [three, five] = [await noteOf(3), await noteOf(5)];
    // Before anything was cosigned.
    expect(await ask(bodyOf(1, [], three))).toEqual({ ...SIZE, body: "0\n" });
    expect((await ask(bodyOf(0, [bytesFor("x")], three))).status).toBe(422);
    expect((await ask(bodyOf(0, [], three))).status).toBe(200);
    // The old size: too large, another one, one that does not fit the proof.
    const proof = proofOf(3, HONEST.slice(0, 5));
    expect((await ask(bodyOf(6, proof, five))).status).toBe(400);
    for (const old of [0, 1, 2, 4, 5]) {
      expect(await ask(bodyOf(old, proof, five))).toEqual({ ...SIZE, body: "3\n" });
    }
    const other = proofOf(2, HONEST.slice(0, 5));
    expect(await ask(bodyOf(3, other, five))).toMatchObject({ status: 422, type: TEXT });
    expect((await ask(bodyOf(3, [], five))).status).toBe(422);
    expect((await ask(bodyOf(3, [...proof, bytesFor("more")], five))).status).toBe(422);
    // Signatures: by a stranger, under the log's name or its own, and one with a bit changed.
    const stranger = await noteOf(5, HONEST, signerFor("stranger"));
    expect((await ask(bodyOf(3, proof, stranger))).status).toBe(403);
    const damaged = five.slice();
    damaged[damaged.length - 6]! ^= 1;
    expect((await ask(bodyOf(3, proof, damaged))).status).toBe(403);
    // Another log, whoever signed it.
    const elsewhere = await noteOf(5, HONEST, log, "log.example/2");
    expect((await ask(bodyOf(3, proof, elsewhere))).status).toBe(404);
    // What was cosigned stands through all of it.
    expect((await ask(bodyOf(3, proof, five))).status).toBe(200);
    expect((await ask(bodyOf(5, [], five))).status).toBe(200);
    expect((await ask(bodyOf(5, proof, five))).status).toBe(422);
    // The same size with another root; nothing says that its body is a size.
    expect(await ask(bodyOf(5, [], await noteOf(5, leaves(4))))).toMatchObject({
      ...{ status: 409, type: TEXT },
    });
    // An old checkpoint again, as it was sent and from where the witness is.
    expect(await ask(bodyOf(0, [], three))).toEqual({ ...SIZE, body: "5\n" });
    expect((await ask(bodyOf(5, [], three))).status).toBe(400);
  });

  it("watches many logs, each with a size of its own", async () => {
    const { chains } = memoryStorage();
    const origins = Array.from({ length: 20 }, (_, i) => `log.example/${i}`);
    const keys = origins.map((origin) => [noteKey(origin, NOTE_ED25519, log.publicKey)]);
    const ask = serve(origins.map((origin, i) => witnessOf(chains, origin, keys[i])));
    for (const [i, origin] of origins.entries()) {
      const note = await noteOf(1 + (i % 7), HONEST, log, origin);
      expect((await ask(bodyOf(0, [], note))).status).toBe(200);
    }
    for (const [i, origin] of origins.entries()) {
      const note = await noteOf(9, HONEST, log, origin);
      expect(await ask(bodyOf(0, [], note))).toEqual({ ...SIZE, body: `${1 + (i % 7)}\n` });
    }
    expect(() => serve([witnessOf(), witnessOf()])).toThrow(TypeError);
  });

  it("lets one of two forks win, of many shown at once", async () => {
    const { chains } = memoryStorage();
    // Two handlers over one store, as two processes are.
    const handlers = [serve([witnessOf(chains)]), serve([witnessOf(chains)])];
    await handlers[0]!(bodyOf(0, [], await noteOf(4)));
    const requests = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const [size, of] = [6 + (i % 3), i % 2 === 0 ? HONEST : FORKED];
        return { size, of, body: bodyOf(4, proofOf(4, of.slice(0, size)), await noteOf(size, of)) };
      }),
    );
    const answers = await Promise.all(requests.map(({ body }, i) => handlers[i % 2]!(body)));
    const won = answers.flatMap(({ status }, i) => (status === 200 ? [requests[i]!] : []));
    expect(won.length).toBeGreaterThan(0);
    expect(new Set(won.map(({ of }) => of)).size).toBe(1);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expect(answer).toEqual({ ...SIZE, body: `${won[0]!.size}\n` });
    }
  });

  it("is not fooled where two witnesses are shown two histories: neither signs the other's", async () => {
    const [one, two] = [serve([witnessOf()]), serve([witnessOf()])];
    const shown = async (ask: typeof one, old: number, size: number, of: typeof HONEST) =>
      (
        await ask(
          bodyOf(old, old === 0 ? [] : proofOf(old, of.slice(0, size)), await noteOf(size, of)),
        )
      ).status;
    expect(await shown(one, 0, 7, HONEST)).toBe(200);
    expect(await shown(two, 0, 7, FORKED)).toBe(200);
    expect(await shown(one, 7, 9, FORKED)).toBe(422);
    expect(await shown(two, 7, 9, HONEST)).toBe(422);
    expect(await shown(one, 7, 9, HONEST)).toBe(200);
  });

  it("takes the one form of a body, and no other", async () => {
    const ask = serve([witnessOf()]);
    const note = new TextDecoder().decode(await noteOf(3));
    const hash = Buffer.from(bytesFor("h")).toString("base64");
    const forms = {
      nothing: "",
      "no old line": `\n${note}`,
      "no blank line": `old 0\n${note}`,
      "no note": "old 0\n\n",
      "a note without an end": `old 0\n\n${note.slice(0, -1)}`,
      "a CRLF": `old 0\r\n\r\n${note}`,
      "two spaces": `old  0\n\n${note}`,
      "a space behind": `old 0 \n\n${note}`,
      "a sign": `old +0\n\n${note}`,
      "a minus": `old -1\n\n${note}`,
      "a leading zero": `old 00\n\n${note}`,
      hexadecimal: `old 0x1\n\n${note}`,
      "no number": `old \n\n${note}`,
      "2^53": `old 9007199254740992\n\n${note}`,
      "2^64": `old 18446744073709551616\n\n${note}`,
      "a million digits": `old ${"9".repeat(60_000)}\n\n${note}`,
      "another word": `size 0\n\n${note}`,
      "upper case": `OLD 0\n\n${note}`,
      "a hash that is short": `old 0\n${hash.slice(4)}\n\n${note}`,
      "a hash without padding": `old 0\n${hash.slice(0, -1)}\n\n${note}`,
      "a hash with a space": `old 0\n ${hash}\n\n${note}`,
      "64 hashes": `old 0\n${`${hash}\n`.repeat(64)}\n${note}`,
      "a body that is not UTF-8": concatBytes(utf8ToBytes("old 0\n"), Uint8Array.of(255, 10, 10)),
      "a log's text that is not UTF-8": concatBytes(
        utf8ToBytes(`old 0\n\n${note.slice(0, 20)}`),
        Uint8Array.of(0xff),
        utf8ToBytes(note.slice(20)),
      ),
      "a size with a leading zero": `old 0\n\n${note.replace("\n3\n", "\n03\n")}`,
    };
    for (const [what, body] of Object.entries(forms)) {
      expect((await ask(body)).status, what).toBe(400);
    }
    // 63 hashes are the most that a proof has: well formed, and wrong.
    expect((await ask(`old 0\n${`${hash}\n`.repeat(63)}\n${note}`)).status).toBe(422);
    // The largest size there is: well formed, and not this witness's.
    expect((await ask(`old 9007199254740991\n\n${note}`)).status).toBe(400);
    expect((await ask(`old 0\n\n${note}`)).status).toBe(200);
  });

  it("never fails, whatever bytes it is sent", async () => {
    const errors: unknown[] = [];
    const ask = serve([witnessOf()], { onError: (error) => errors.push(error) });
    const good = bodyOf(0, [bytesFor("x")], await noteOf(3));
    for (let i = 0; i < good.length; i++) {
      const flipped = good.slice();
      flipped[i]! ^= 1 << (i % 8);
      const { status } = await ask(flipped);
      expect([400, 403, 404, 409, 422]).toContain(status);
      expect([400, 403, 404].includes((await ask(good.slice(0, i))).status)).toBe(true);
    }
    expect(errors).toEqual([]);
  });

  it("serves one call, by one method", async () => {
    const handler = witnessHandler({ witnesses: [witnessOf()] });
    const get = await handler(new Request(URL_OF));
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    for (const url of ["http://h/", "http://h/checkpoint", "http://h/add-checkpoint/x"]) {
      expect((await handler(new Request(url, { method: "POST", body: "old 0\n" }))).status).toBe(
        404,
      );
    }
    expect((await handler(post(null))).status).toBe(400);
  });
});

describe("witnessHandler's limits", () => {
  /** A body that yields chunks as it is read, and says how many were. */
  function streamed(chunk: Uint8Array, count = Infinity) {
    let read = 0;
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (read === count) return controller.close();
        read += 1;
        controller.enqueue(chunk);
        return undefined;
      },
      cancel() {
        cancelled = true;
      },
    });
    return { body, read: () => read, cancelled: () => cancelled };
  }

  it("reads nothing of a body that is said to be long, and no more than 64 KiB of another", async () => {
    const ask = serve([witnessOf()]);
    const endless = streamed(new Uint8Array(4096).fill(0x41));
    expect((await ask(post(endless.body, { "content-length": "65537" }))).status).toBe(413);
    expect(endless.read()).toBeLessThanOrEqual(1);
    const lying = streamed(new Uint8Array(4096).fill(0x41));
    expect((await ask(post(lying.body))).status).toBe(413);
    expect(lying.read()).toBeLessThan(20);
    expect(lying.cancelled()).toBe(true);
    // A body of exactly that many bytes is read, and judged.
    const whole = streamed(new Uint8Array(4096).fill(0x41), 16);
    expect((await ask(post(whole.body))).status).toBe(400);
  });

  it("takes no compressed body, so that nothing grows by unpacking", async () => {
    const ask = serve([witnessOf()]);
    for (const encoding of ["gzip", "br", "deflate", "gzip, gzip"]) {
      const bomb = streamed(new Uint8Array(4096));
      expect((await ask(post(bomb.body, { "content-encoding": encoding }))).status).toBe(415);
      expect(bomb.read()).toBeLessThanOrEqual(1);
    }
    const body = bodyOf(0, [], await noteOf(3));
    expect((await ask(post(body as BodyInit, { "content-encoding": "identity" }))).status).toBe(
      200,
    );
  });

  it("gives up a body that does not arrive in time, be it silent or one byte a second", async () => {
    for (const every of [Infinity, 1]) {
      let now = 0;
      const waiting: { at: number; end: () => void }[] = [];
      const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
        new Promise((resolve) => {
          waiting.push({ at: now + ms, end: resolve });
          signal.addEventListener("abort", () => resolve());
        });
      let sent = 0;
      let cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await new Promise<void>((resolve) =>
            waiting.push({ at: now + every * 1000, end: resolve }),
          );
          sent += 1;
          controller.enqueue(Uint8Array.of(0x6f));
        },
        cancel() {
          cancelled = true;
        },
      });
      const ask = serve([witnessOf()], { sleep, now: () => now, deadline: 5000 });
      let answer: { status: number } | undefined;
      const asked = ask(post(body)).then((given) => (answer = given));
      for (let tick = 0; tick < 100 && answer === undefined; tick++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        now += 500;
        for (const one of waiting.splice(0)) {
          if (one.at <= now) one.end();
          else waiting.push(one);
        }
      }
      await asked;
      expect(answer?.status).toBe(408);
      expect(now).toBeLessThanOrEqual(7000);
      expect(sent).toBeLessThan(8);
      expect(cancelled).toBe(true);
    }
  });

  it("says 400 to a body that breaks off", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("reset")),
    });
    expect((await serve([witnessOf()])(post(body))).status).toBe(400);
  });
});

describe("witnessHandler's failures", () => {
  it("signs nothing when the store fails or does not know, and tells the operator alone", async () => {
    const secret = "/var/lib/witness: no space left";
    for (const code of ["ERR_STORAGE_FAILED", "ERR_STORAGE_AMBIGUOUS"] as const) {
      const inner = memoryStorage().chains;
      let fails = true;
      const chains: ChainStore = {
        ...inner,
        append: async (...given) => {
          if (code === "ERR_STORAGE_AMBIGUOUS") await inner.append(...given);
          if (fails) throw new StorageError(code, secret);
          return inner.append(...given);
        },
      };
      const told: unknown[] = [];
      const ask = serve([witnessOf(chains)], { onError: (error, of) => told.push([error, of]) });
      const note = await noteOf(4);
      const answer = await ask(bodyOf(0, [], note));
      expect(answer).toEqual({ status: 500, type: TEXT, body: "the witness failed\n" });
      expect(told).toEqual([[expect.objectContaining({ code }), ORIGIN]]);
      fails = false;
      // Whether it was kept is settled by the next request.
      const kept = code === "ERR_STORAGE_AMBIGUOUS";
      const fork = bodyOf(0, [], await noteOf(4, leaves(2)));
      expect((await ask(fork)).status).toBe(kept ? 409 : 200);
      expect((await ask(bodyOf(kept ? 4 : 0, [], note))).status).toBe(kept ? 200 : 409);
    }
  });

  it("says that it has stopped, once it met its own cosignature of what it forgot", async () => {
    const note = await noteOf(6);
    const before = await serve([witnessOf()])(bodyOf(0, [], note));
    const told: unknown[] = [];
    const restored = witnessOf();
    const ask = serve([restored], { onError: (error) => told.push(error) });
    const own = concatBytes(note, utf8ToBytes(before.body));
    const stopped = { status: 503, type: TEXT, body: "this witness has stopped\n" };
    expect(await ask(bodyOf(0, [], own))).toEqual(stopped);
    expect(await ask(bodyOf(0, [], await noteOf(6, FORKED)))).toEqual(stopped);
    expect(told).toEqual([
      expect.objectContaining({ code: "ERR_CHAIN_MEMORY" }),
      expect.objectContaining({ code: "ERR_CHAIN_MEMORY" }),
    ]);
    await restored.resume();
    expect((await ask(bodyOf(6, [], own))).status).toBe(200);
    expect((await ask(bodyOf(6, [], await noteOf(6, FORKED)))).status).toBe(409);
  });
});

describeVectors("litewitness exchanges over witnessHandler", "note", () => {
  interface Recorded {
    readonly exchange: readonly { body: string; status: number; asserts: readonly string[] }[];
  }
  const recorded = (name: string) => JSON.parse(readVector("note", name)) as Recorded;

  async function replay(origin: string, key: NoteKey, name: string): Promise<number> {
    const { chains } = memoryStorage();
    const ask = serve([witnessOf(chains, origin, [key])]);
    const { exchange } = recorded(name);
    for (const { body, status, asserts } of exchange) {
      const answer = await ask(body);
      // litewitness answered 403 to an unknown log when this was recorded; C2SP asks for 404.
      const unknown = asserts[0]?.includes("unknown log") === true;
      expect(answer.status).toBe(unknown ? 404 : status);
      for (const assert of asserts) {
        const [, equal, contained] = /^body (?:== (".*")|contains "(.*)")$/.exec(assert)!;
        if (equal !== undefined) expect(answer.body).toBe(JSON.parse(equal));
        // What it says of a fault is its own business.
        else if (status === 200) expect(answer.body).toContain(contained);
      }
      if (answer.status === 409) expect(answer.type).toBe("text/x.tlog.size");
    }
    return exchange.length;
  }

  it("answers a sigsum log as litewitness does", async () => {
    const name = "tlog-witness-add-checkpoint-litewitness.json";
    const origin = recorded(name).exchange[0]!.body.split("\n")[2]!;
    const pub = fromHex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f");
    expect(await replay(origin, noteKey(origin, NOTE_ED25519, pub), name)).toBe(9);
  });

  it("cosigns the Go checksum database", async () => {
    const key = parseVkey("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8");
    const name = "tlog-witness-add-checkpoint-sumdb.json";
    expect(await replay("go.sum database tree", key, name)).toBe(1);
  });
});
