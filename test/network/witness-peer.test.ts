import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { decodeGenesis } from "../../src/block/genesis.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { createGenesis } from "../../src/ledger/create-genesis.ts";
import type { OpenLedgerOptions } from "../../src/ledger/options.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { witnessHandler } from "../../src/network/witness-handler.ts";
import { witnessPeer, type WitnessPeerOptions } from "../../src/network/witness-peer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";

const URL_OF = "https://witness.example/of/logs";
const KEY = noteKey("w.example", NOTE_COSIGNATURE, signerFor("w").publicKey);
const ORIGIN = "log.example/1";
const log = signerFor("log");
const text = encodeCheckpoint({ origin: ORIGIN, size: 3, root: bytesFor("root") });
const note = await signNote(text, [noteSigner(log, ORIGIN)]);

/** The line with which a key cosigns a text. */
async function lineOf(name: string, signer = signerFor("w"), of = text): Promise<string> {
  const cosigned = await signNote(of, [cosignatureSigner(signer, name, () => START)]);
  return new TextDecoder().decode(cosigned).split("\n").slice(-2).join("\n");
}

function peerOf(
  answer: (url: string, init: RequestInit) => Response | Promise<Response>,
  options: Partial<WitnessPeerOptions> = {},
) {
  return witnessPeer({
    url: URL_OF,
    key: KEY,
    fetch: async (...sent) => answer(...sent),
    ...options,
  });
}

const answers = (status: number, body: BodyInit | null = null, headers: HeadersInit = {}) =>
  peerOf(() => new Response(body, { status, headers }));

describe("witnessPeer", () => {
  it("sends the request that the specification draws, and nothing of its own", async () => {
    const proof = [bytesFor("one"), bytesFor("two")];
    let sent: [string, RequestInit] | undefined;
    const peer = peerOf(async (...given) => {
      sent = given;
      return new Response(await lineOf("w.example"));
    });
    expect(await peer.cosign(note, 2, proof)).toEqual({
      ok: true,
      line: await lineOf("w.example"),
    });
    const [url, { method, body, redirect, headers }] = sent!;
    expect([url, method, redirect]).toEqual([`${URL_OF}/add-checkpoint`, "POST", "manual"]);
    expect(Object.keys(headers as object)).toEqual(["content-type"]);
    const [one, two] = proof.map((hash) => Buffer.from(hash).toString("base64"));
    const expected = `old 2\n${one}\n${two}\n\n${new TextDecoder().decode(note)}`;
    expect(new TextDecoder().decode(body as Uint8Array)).toBe(expected);
  });

  it("takes the line of its key out of those of others", async () => {
    const own = await lineOf("w.example");
    const others = await Promise.all([
      lineOf("v.example", signerFor("v")),
      lineOf("w.example", signerFor("impostor")),
    ]);
    for (const body of [own, own + others.join(""), others.join("") + own, `${own}${own}`]) {
      expect(await answers(200, body).cosign(note, 0, [])).toEqual({ ok: true, line: own });
    }
  });

  it("believes no line that does not verify", async () => {
    const own = await lineOf("w.example");
    const other = encodeCheckpoint({ origin: ORIGIN, size: 4, root: bytesFor("root") });
    const [, , base64] = own.trimEnd().split(" ") as [string, string, string];
    const bytes = Buffer.from(base64, "base64");
    bytes[10]! ^= 1;
    const lines = {
      nothing: "",
      "no line": "ok\n",
      "another key": await lineOf("w.example", signerFor("impostor")),
      "another name": await lineOf("v.example"),
      "another checkpoint": await lineOf("w.example", signerFor("w"), other),
      "another time": `— w.example ${bytes.toString("base64")}\n`,
      "the log's own line": new TextDecoder().decode(note).split("\n").slice(-2).join("\n"),
      "after a hundred lines": `${await lineOf("v.example")}`.repeat(100) + own,
      "no UTF-8": Uint8Array.of(0xff, 0xfe, 10),
    };
    for (const [what, line] of Object.entries(lines)) {
      await expect(answers(200, line as BodyInit).cosign(note, 0, []), what).rejects.toMatchObject({
        code: "ERR_TRANSPORT_MALFORMED",
      });
    }
  });

  it("tells the refusals of the specification apart", async () => {
    const type = { "content-type": "text/x.tlog.size" };
    const stale = (size: number) => ({ ok: false, reason: "stale", size });
    expect(await answers(409, "7\n", type).cosign(note, 0, [])).toEqual(stale(7));
    expect(await answers(409, "0\n", type).cosign(note, 3, [])).toEqual(stale(0));
    const withCharset = { "content-type": "text/x.tlog.size; charset=utf-8" };
    expect(await answers(409, "9007199254740991\n", withCharset).cosign(note, 0, [])).toEqual(
      stale(Number.MAX_SAFE_INTEGER),
    );
    for (const [status, reason] of [
      [400, "bad-checkpoint"],
      [403, "refused"],
      [404, "unknown-log"],
      [409, "other-root"],
      [422, "inconsistent"],
    ] as const) {
      expect(await answers(status, "7\n").cosign(note, 0, [])).toEqual({ ok: false, reason });
    }
    for (const size of [
      "",
      "7",
      "07\n",
      "+7\n",
      "0x7\n",
      " 7\n",
      "7\n\n",
      "7\r\n",
      "-1\n",
      "seven\n",
    ]) {
      await expect(answers(409, size, type).cosign(note, 0, []), size).rejects.toMatchObject({
        code: "ERR_TRANSPORT_MALFORMED",
      });
    }
    for (const size of ["9007199254740992\n", "18446744073709551616\n", `${"9".repeat(99)}\n`]) {
      await expect(answers(409, size, type).cosign(note, 0, []), size).rejects.toThrow(/answer/);
    }
    for (const status of [201, 202, 206, 401, 405, 408, 413, 429, 500, 503]) {
      await expect(
        answers(status, await lineOf("w.example")).cosign(note, 0, []),
        String(status),
      ).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    }
  });

  it("treats redirects as errors, whatever its fetch did with them", async () => {
    const line = await lineOf("w.example");
    const from = (url: string, init?: ResponseInit, more = {}) =>
      Object.defineProperties(new Response(line, init), {
        url: { value: url },
        ...more,
      });
    const redirects = [
      ...[301, 302, 303, 307, 308].map(
        (status) => new Response(null, { status, headers: { location: "http://10.0.0.1/" } }),
      ),
      from("http://10.0.0.1/of/logs/add-checkpoint"),
      from(`${URL_OF}/add-checkpoint?x`),
      from("", {}, { redirected: { value: true } }),
      from("", {}, { type: { value: "opaqueredirect" }, status: { value: 0 } }),
    ];
    for (const response of redirects) {
      await expect(peerOf(() => response).cosign(note, 0, [])).rejects.toMatchObject({
        code: "ERR_TRANSPORT_REDIRECT",
      });
    }
    const same = peerOf(() => from(`${URL_OF}/add-checkpoint`));
    expect((await same.cosign(note, 0, [])).ok).toBe(true);
  });

  it("reads no more than 64 KiB of an answer, and 17 bytes of a size", async () => {
    for (const [status, type, most] of [
      [200, "text/plain", 65_536],
      [409, "text/x.tlog.size", 17],
    ] as const) {
      let sent = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          sent += 4096;
          controller.enqueue(new Uint8Array(4096).fill(0x31));
        },
      });
      const peer = answers(status, body, { "content-type": type });
      await expect(peer.cosign(note, 0, [])).rejects.toMatchObject({
        code: "ERR_TRANSPORT_TOO_LARGE",
      });
      expect(sent).toBeLessThan(most + 3 * 4096);
    }
  });

  it("ends by its deadline, be the witness silent before or within its answer", async () => {
    const hung = () => new Promise<never>(() => {});
    const slow = () => new Response(new ReadableStream({ pull: hung }));
    for (const answer of [hung, slow]) {
      await expect(peerOf(answer, { deadline: 20 }).cosign(note, 0, [])).rejects.toMatchObject({
        code: "ERR_TRANSPORT_TIMEOUT",
      });
    }
    let signal: AbortSignal | null | undefined;
    const asked = peerOf((_, init) => ((signal = init.signal), hung()), { deadline: 20 });
    await asked.cosign(note, 0, []).catch(() => undefined);
    expect(signal?.aborted).toBe(true);
    const down = peerOf(() => Promise.reject(new TypeError("fetch failed")));
    await expect(down.cosign(note, 0, [])).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
  });

  it("refuses what it cannot send, without sending it", async () => {
    const peer = peerOf(() => Promise.reject(new Error("sent")));
    const bad = { ok: false, reason: "bad-checkpoint" };
    expect(await peer.cosign(utf8ToBytes("no note"), 0, [])).toEqual(bad);
    const long = concatBytes(new Uint8Array(70_000).fill(0x41), utf8ToBytes("\n"), note);
    expect(await peer.cosign(long, 0, [])).toEqual(bad);
    await expect(peer.cosign(note, -1, [])).rejects.toThrow(RangeError);
    const many = Array.from({ length: 64 }, (_, i) => bytesFor(`${i}`));
    await expect(peer.cosign(note, 2, many)).rejects.toThrow(RangeError);
    for (const url of [
      "",
      "witness.example",
      "ftp://w/",
      "https://w/?a=1",
      "https://w/#x",
      "https://u:p@w/",
    ]) {
      expect(() => witnessPeer({ url, key: KEY }), url).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
    const wrong = noteKey("w.example", NOTE_ED25519, signerFor("w").publicKey);
    expect(() => witnessPeer({ url: URL_OF, key: wrong })).toThrow(RangeError);
  });
});

describe("a ledger whose witnesses are elsewhere", () => {
  /** A ledger that requires two of three witnesses over HTTP. */
  async function world() {
    const origin = "history.example/witnessed";
    const keys = memoryKeys();
    for (const use of ["sign", "agree", "checkpoint"] as const) await keys.generate({ use });
    const names = ["w1", "w2", "w3"];
    const of = names.map((name) => ({ name, publicKey: signerFor(name).publicKey }));
    const genesis = await createGenesis({
      origin,
      members: [{ keys }],
      cosignatures: { witnesses: { of } },
    });
    const log = decodeGenesis(genesis).checkpointKeys;
    const requests: string[] = [];
    const down = new Set<string>();
    const witnesses = names.map((name) =>
      createWitness({
        ...{ chains: memoryStorage().chains, signer: signerFor(name), name, origin },
        keys: log.map((key) => noteKey(origin, NOTE_ED25519, key)),
        now: () => START,
      }),
    );
    const cosigners = names.map((name, i) => {
      const handler = witnessHandler({ witnesses: [witnesses[i]!] });
      return witnessPeer({
        url: `https://${name}.example/`,
        key: noteKey(name, NOTE_COSIGNATURE, of[i]!.publicKey),
        fetch: async (url, init) => {
          if (down.has(name)) throw new TypeError("fetch failed");
          const response = await handler(new Request(url, init));
          requests.push(`${name} ${response.status}`);
          // As a server that compresses would, and a fetch that unpacks.
          if (response.status !== 200) return response;
          const packed = gzipSync(new Uint8Array(await response.arrayBuffer()));
          const body = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
          return new Response(body, response);
        },
      });
    });
    const storage = memoryStorage();
    const open = (options: Partial<OpenLedgerOptions> = {}) =>
      openLedger({ storage, keys, genesis, cosigners, ...options });
    return { open, genesis, requests, down };
  }

  it("has its checkpoints cosigned, going on from the size that a witness says", async () => {
    const { open, genesis, requests, down } = await world();
    const trust = trustFromGenesis(genesis);
    let hl = await open();
    const patient = await hl.ensureSubject(MRN);
    await hl.record(patient, observation(`o1`));
    const judged = async () => {
      const result = judgeCheckpoint(await hl.checkpoint(), trust);
      return result.ok ? result.witnesses : result.reason;
    };
    expect(await judged()).toEqual(["w1", "w2", "w3"]);
    expect(requests.splice(0).sort()).toEqual(["w1 200", "w2 200", "w3 200"]);
    // One is away: two of three are enough.
    down.add("w3");
    await hl.record(patient, observation(`o2`));
    expect(await judged()).toEqual(["w1", "w2"]);
    requests.splice(0);
    // Another process does not know how far each one is, and w3 is behind.
    await hl.close();
    down.clear();
    hl = await open();
    await hl.record(patient, observation(`o3`));
    expect(await judged()).toEqual(["w1", "w2", "w3"]);
    expect(requests.splice(0).sort()).toEqual(
      ["w1", "w2", "w3"].flatMap((name) => [`${name} 200`, `${name} 409`]),
    );
    // Two are away: no checkpoint counts, and recording goes on.
    down.add("w1").add("w2");
    await hl.record(patient, observation(`o4`));
    await expect(hl.checkpoint()).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
    down.clear();
    expect(await judged()).toEqual(["w1", "w2", "w3"]);
    await hl.close();
  });

  it("gets a majority for one of two histories only, in whatever order they are shown", async () => {
    for (let round = 0; round < 6; round++) {
      const { open, genesis, down } = await world();
      // Two stores of one home, neither of which knows what the other's keys signed.
      const homes = await Promise.all(
        [memoryStorage(), memoryStorage()].map((storage) =>
          open({ storage, signedHeads: "store" }),
        ),
      );
      for (const [i, hl] of homes.entries()) {
        await hl.record(await hl.ensureSubject(MRN), observation(`o${i}`));
      }
      // Each witness may be away for one of them.
      const away = ["w1", "w2", "w3"][round % 3]!;
      if (round > 2) down.add(away);
      const first = homes[0]!.checkpoint().then(
        () => true,
        () => false,
      );
      if (round > 2) {
        await first;
        down.clear();
      }
      const second = homes[1]!.checkpoint().then(
        () => true,
        () => false,
      );
      const accepted = [await first, await second].filter(Boolean).length;
      expect(accepted).toBe(1);
      expect(trustFromGenesis(genesis).cosignaturePolicy.witnesses.required).toBe(2);
      for (const hl of homes) await hl.close();
    }
  });
});
