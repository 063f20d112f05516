import { createHash, createPrivateKey, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toBase64 } from "../../src/bytes/base64.ts";
import {
  cosignatureSigner,
  encodeCheckpoint,
  openCheckpoint,
  parseCheckpoint,
} from "../../src/chain/checkpoint-note.ts";
import {
  encodeNote,
  encodeSignatureLine,
  encodeVkey,
  MAX_NOTE_BYTES,
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  noteSigner,
  parseNote,
  parseVkey,
  signNote,
  splitNote,
} from "../../src/chain/note.ts";
import type { NoteSignature } from "../../src/chain/note.ts";
import { memorySigner } from "../../src/identity/signer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const secretOf = (seed: number) => new Uint8Array(32).fill(seed);
const signerOf = (seed: number) => memorySigner({ alg: "Ed25519", secret: secretOf(seed) });

const origin = "ledger.example/1";
const log = signerOf(1);
const logKey = noteKey(origin, NOTE_ED25519, log.publicKey);
const witness = signerOf(2);
const witnessKey = noteKey("witness.example/w", NOTE_COSIGNATURE, witness.publicKey);
const time = 1_700_000_000;
const witnessSigner = cosignatureSigner(witness, "witness.example/w", () => time * 1000 + 999);
const root = new Uint8Array(32).fill(0xcd);
const body = encodeCheckpoint({ origin, size: 7, root });

/** Signs with `node:crypto` directly, to compare with. */
function plainSign(seed: number, message: Uint8Array): Uint8Array {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const der = Buffer.concat([prefix, secretOf(seed)]);
  return new Uint8Array(
    sign(null, message, createPrivateKey({ key: der, format: "der", type: "pkcs8" })),
  );
}

describe("noteKey", () => {
  it("refuses names with spaces, plus signs, control characters or nothing", () => {
    for (const name of ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\u0085b", "a\nb", "a\u0001"]) {
      expect(() => noteKey(name, NOTE_ED25519, log.publicKey)).toThrow(RangeError);
    }
    expect(() => noteKey("\ud800", NOTE_ED25519, log.publicKey)).toThrow(RangeError);
    expect(noteKey("klinik-zürich.example", NOTE_ED25519, log.publicKey).name).toContain("ü");
  });

  it("gives one key another id for another type or name", () => {
    const ids = new Set([
      logKey.keyId,
      noteKey(origin, NOTE_COSIGNATURE, log.publicKey).keyId,
      noteKey("other.example", NOTE_ED25519, log.publicKey).keyId,
    ]);
    expect(ids.size).toBe(3);
  });

  it("refuses other types and lengths", () => {
    expect(() => noteKey(origin, 0x06 as never, log.publicKey)).toThrow(RangeError);
    expect(() => noteKey(origin, NOTE_ED25519, log.publicKey.subarray(1))).toThrow(RangeError);
  });
});

describe("parseVkey", () => {
  it("reads what encodeVkey writes", () => {
    for (const key of [logKey, witnessKey]) expect(parseVkey(encodeVkey(key))).toEqual(key);
  });

  it("refuses upper-case ids, stray bits, missing parts and line ends", () => {
    const vkey = encodeVkey(logKey);
    const [name, id, key] = vkey.split(/\+(.{8})\+/u) as [string, string, string];
    for (const wrong of [
      `${name}+${id.toUpperCase().replace(/[0-9]/gu, "A")}+${key}`,
      `${name}+${id}`,
      `${name}+${id}+`,
      `+${id}+${key}`,
      `${vkey}\n`,
      ` ${vkey}`,
      `${vkey}=`,
      `${name}+0${id}+${key}`,
    ]) {
      expect(() => parseVkey(wrong)).toThrow(
        expect.objectContaining({ code: "ERR_SIGNATURE_NOTE" }),
      );
    }
  });

  it("tells an unsupported type from a wrong key id", () => {
    const typed = Uint8Array.of(0x06, 1, 2, 3);
    const id = keyIdOf("a", typed);
    expect(() => parseVkey(`a+${id}+${toBase64(typed)}`)).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_ALGORITHM" }),
    );
    expect(() => parseVkey(`a+00000000+${toBase64(typed)}`)).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_NOTE" }),
    );
    const short = Uint8Array.of(0x01, 1, 2, 3);
    expect(() => parseVkey(`a+${keyIdOf("a", short)}+${toBase64(short)}`)).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_NOTE" }),
    );
  });
});

describe("signNote", () => {
  it("writes text, blank line and signature lines as C2SP says, byte for byte", async () => {
    const note = await signNote(body, [noteSigner(log, origin), witnessSigner]);
    const idBytes = (id: number) => Buffer.from(id.toString(16).padStart(8, "0"), "hex");
    const timeBytes = Buffer.from(time.toString(16).padStart(16, "0"), "hex");
    const logLine = Buffer.concat([idBytes(logKey.keyId), plainSign(1, body)]);
    const message = bytes(`cosignature/v1\ntime ${time}\n${text(body)}`);
    const witnessLine = Buffer.concat([
      idBytes(witnessKey.keyId),
      timeBytes,
      plainSign(2, message),
    ]);
    expect(text(note)).toBe(
      `${origin}\n7\n${Buffer.from(root).toString("base64")}\n\n` +
        `— ${origin} ${logLine.toString("base64")}\n` +
        `— witness.example/w ${witnessLine.toString("base64")}\n`,
    );
  });

  it("keeps the signatures of others, byte for byte", async () => {
    const first = await signNote(body, [noteSigner(log, origin)]);
    const split = splitNote(first);
    if (!split.ok) throw new Error(split.reason);
    const second = await signNote(body, [witnessSigner], split.note.signatures);
    expect(text(second).startsWith(text(first))).toBe(true);
    expect(second).toEqual(await signNote(body, [noteSigner(log, origin), witnessSigner]));
  });

  it("refuses texts that cannot stand in a note", async () => {
    const signers = [noteSigner(log, origin)];
    for (const wrong of [bytes(""), bytes("no end"), bytes("tab\t\n"), Uint8Array.of(0xff, 0x0a)]) {
      await expect(signNote(wrong, signers)).rejects.toMatchObject({ code: "ERR_SIGNATURE_NOTE" });
    }
    await expect(signNote(body, [])).rejects.toMatchObject({ code: "ERR_SIGNATURE_NOTE" });
    const huge = bytes(`${"x".repeat(MAX_NOTE_BYTES)}\n`);
    await expect(signNote(huge, signers)).rejects.toMatchObject({ code: "ERR_SIGNATURE_NOTE" });
  });

  it("refuses keys that are not Ed25519 and signatures that are not good", async () => {
    const es256 = memorySigner({ alg: "ES256", secret: secretOf(3) });
    expect(() => noteSigner(es256, origin)).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_ALGORITHM" }),
    );
    expect(() => cosignatureSigner(es256, origin, () => time)).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_ALGORITHM" }),
    );
    const broken = { ...log, sign: async () => new Uint8Array(64) };
    await expect(signNote(body, [noteSigner(broken, origin)])).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
    });
  });

  it("cosigns nothing but checkpoints", async () => {
    await expect(signNote(bytes("hello\n"), [witnessSigner])).rejects.toMatchObject({
      code: "ERR_SIGNATURE_NOTE",
    });
    for (const now of [-1, 2 ** 53]) {
      const signer = cosignatureSigner(witness, "w", () => now);
      await expect(signNote(body, [signer])).rejects.toBeInstanceOf(RangeError);
    }
  });
});

describe("splitNote", () => {
  it("splits at the last blank line, and encodeNote puts it together again", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("", "text", "— no signature", "— a AAAAAAA=", "é"), {
          maxLength: 6,
        }),
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 80 }), { minLength: 1, maxLength: 20 }),
        (lines, signatures) => {
          const body = bytes(`${lines.join("\n")}\n`);
          const signed: NoteSignature[] = signatures.map((signature, i) => {
            return { name: `n${i % 3}`, keyId: (i * 0x1fffffff) >>> 0, signature };
          });
          const note = encodeNote(body, signed);
          expect(splitNote(note)).toEqual({ ok: true, note: { text: body, signatures: signed } });
        },
      ),
    );
  });

  it("refuses malformed signature lines", () => {
    for (const line of [
      "— name",
      "— name ",
      "— name AAAAAA==",
      "— name AAAAAAA",
      "— name AAAAAAB=",
      "— name  AAAAAAA=",
      "— name AAAAAAA= ",
      "—  AAAAAAA=",
      "- name AAAAAAA=",
      "—name AAAAAAA=",
      "— na+me AAAAAAA=",
      "— na\u2009me AAAAAAA=",
      "— name AAAA-AA=",
      "name AAAAAAA=",
    ]) {
      expect(splitNote(bytes(`text\n\n${line}\n`))).toEqual({ ok: false, reason: "malformed" });
    }
    expect(splitNote(bytes("text\n\n— name AAAAAAA=\n")).ok).toBe(true);
  });

  it("refuses bytes that are not a note, and never throws", () => {
    for (const wrong of ["", "\n", "\n\n", "text\n", "text\n\n", "— name AAAAAAA=\n", "a\r\n\n"]) {
      expect(splitNote(bytes(wrong))).toEqual({ ok: false, reason: "malformed" });
    }
    expect(splitNote(new Uint8Array(MAX_NOTE_BYTES + 1))).toEqual({
      ok: false,
      reason: "too-large",
    });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (any) => void splitNote(any)));
  });

  it("takes the text as a copy", () => {
    const note = bytes("text\n\n— name AAAAAAA=\n");
    const split = splitNote(note);
    note.fill(0);
    expect(split.ok && text(split.note.text)).toBe("text\n");
  });
});

describe("parseNote", () => {
  it("accepts 100 signatures, by one known key and 99 unknown", async () => {
    const signature = { name: origin, keyId: logKey.keyId, signature: plainSign(1, body) };
    const strangers = Array.from({ length: 100 }, (_, i): NoteSignature => {
      return { name: `stranger-${i}`, keyId: i, signature: new Uint8Array(64).fill(i) };
    });
    const most = parseNote(encodeNote(body, [...strangers.slice(1), signature]), [logKey]);
    expect(most.ok && most.unverified.length).toBe(99);
    const lines = [...strangers, signature].map(encodeSignatureLine).join("");
    expect(parseNote(bytes(`${text(body)}\n${lines}`), [logKey])).toEqual({
      ok: false,
      reason: "too-many-signatures",
    });
  });

  it("ignores signatures that share only the name or only the id with a known key", () => {
    const good = { name: origin, keyId: logKey.keyId, signature: plainSign(1, body) };
    const bad = new Uint8Array(64);
    for (const other of [
      { name: origin, keyId: logKey.keyId + 1, signature: bad },
      { name: `${origin}x`, keyId: logKey.keyId, signature: bad },
      { name: origin.slice(0, -1), keyId: logKey.keyId, signature: bad },
    ]) {
      const result = parseNote(encodeNote(body, [other, good]), [logKey]);
      expect(result).toMatchObject({ ok: true, unverified: [other] });
    }
  });

  it("rejects the note for one bad signature by a known key, also beside a good one", () => {
    const good = { name: origin, keyId: logKey.keyId, signature: plainSign(1, body) };
    for (const signature of [new Uint8Array(64), new Uint8Array(1), plainSign(2, body)]) {
      const bad = { ...good, signature };
      for (const lines of [[bad], [bad, good], [good, bad]]) {
        expect(parseNote(encodeNote(body, lines), [logKey])).toEqual({
          ok: false,
          reason: "bad-signature",
        });
      }
    }
  });

  it("rejects any bit flipped in the text", async () => {
    const note = await signNote(body, [noteSigner(log, origin)]);
    for (let bit = 0; bit < body.length * 8; bit++) {
      const flipped = note.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(parseNote(flipped, [logKey]).ok).toBe(false);
    }
  });

  it("counts a key once that cosigned twice, and checks both", async () => {
    const later = cosignatureSigner(witness, "witness.example/w", () => (time + 60) * 1000);
    const note = await signNote(body, [witnessSigner, later]);
    const result = parseNote(note, [witnessKey]);
    expect(result.ok && result.verified).toMatchObject([{ time }]);
    const split = splitNote(note);
    if (!split.ok) throw new Error(split.reason);
    const [first, second] = split.note.signatures;
    const forged = { ...second!, signature: second!.signature.slice() };
    forged.signature[7]! ^= 1;
    expect(parseNote(encodeNote(body, [first!, forged]), [witnessKey])).toEqual({
      ok: false,
      reason: "bad-signature",
    });
  });

  it("does not take a signature of one type for one of the other", () => {
    const asCosigner = noteKey(origin, NOTE_COSIGNATURE, log.publicKey);
    const line = { name: origin, keyId: asCosigner.keyId, signature: plainSign(1, body) };
    expect(parseNote(encodeNote(body, [line]), [asCosigner])).toEqual({
      ok: false,
      reason: "bad-signature",
    });
  });

  it("refuses times beyond what a number holds exactly", () => {
    const signature = new Uint8Array(72).fill(0x7f);
    const line = { name: witnessKey.name, keyId: witnessKey.keyId, signature };
    expect(parseNote(encodeNote(body, [line]), [witnessKey])).toEqual({
      ok: false,
      reason: "bad-signature",
    });
  });
});

describe("parseCheckpoint", () => {
  it("reads what encodeCheckpoint writes", () => {
    for (const checkpoint of [
      { origin, size: 0, root },
      { origin: "Log with spaces", size: Number.MAX_SAFE_INTEGER, root },
      { origin, size: 12, root, extensions: ["one", "two words"] },
    ]) {
      expect(parseCheckpoint(encodeCheckpoint(checkpoint))).toEqual({ ok: true, checkpoint });
    }
  });

  it("accepts one form of size only", () => {
    const rootLine = toBase64(root);
    for (const size of [
      ..."|0x10|+1|-1|01|00| 5|5 |5.0|1e3|٣|1_000|NaN|Infinity".split("|"),
      "9007199254740992",
      "18446744073709551616",
      "1".repeat(1000),
    ]) {
      const result = parseCheckpoint(bytes(`${origin}\n${size}\n${rootLine}\n`));
      expect(result).toEqual({ ok: false, reason: "bad-size" });
    }
  });

  it("accepts one form of root only", () => {
    const line = toBase64(root);
    for (const wrong of [
      "",
      line.slice(0, -1),
      `${line.slice(0, -2)}1=`,
      `${line}=`,
      ` ${line}`,
      toBase64(new Uint8Array(31)),
      toBase64(new Uint8Array(33)),
      line.replaceAll("/", "_").replace("zc", "z-"),
    ]) {
      const result = parseCheckpoint(bytes(`${origin}\n5\n${wrong}\n`));
      expect(result).toEqual({ ok: false, reason: "bad-root" });
    }
  });

  it("refuses empty lines, missing lines, control characters and bytes that are not UTF-8", () => {
    const line = toBase64(root);
    for (const wrong of [
      "",
      "\n",
      `${origin}\n5\n`,
      `${origin}\n5\n${line}`,
      `\n5\n${line}\n`,
      `${origin}\n5\n${line}\n\n`,
      `${origin}\n5\n${line}\n\nx\n`,
      `${origin}\r\n5\n${line}\n`,
      `${origin}\n5\n${line}\nx\u0000\n`,
    ]) {
      expect(parseCheckpoint(bytes(wrong))).toEqual({ ok: false, reason: "malformed" });
    }
    expect(parseCheckpoint(Uint8Array.of(0xc0, 0x0a))).toEqual({ ok: false, reason: "malformed" });
  });
});

describe("encodeCheckpoint", () => {
  it("refuses what parseCheckpoint would not read", () => {
    for (const wrong of [
      { origin: "", size: 1, root },
      { origin: "a\nb", size: 1, root },
      { origin, size: -1, root },
      { origin, size: 2 ** 53, root },
      { origin, size: 1, root: root.subarray(1) },
      { origin, size: 1, root, extensions: [""] },
      { origin, size: 1, root, extensions: ["a\nb"] },
      { origin: "\ud800", size: 1, root },
    ]) {
      expect(() => encodeCheckpoint(wrong)).toThrow(RangeError);
    }
    expect(() => encodeCheckpoint({ origin, size: "1" as never, root })).toThrow(TypeError);
  });
});

describe("openCheckpoint", () => {
  const trust = { origin, keys: [logKey], cosigners: [witnessKey] };

  it("tells the log's signatures from cosignatures and strangers", async () => {
    const stranger = noteSigner(signerOf(9), "stranger.example");
    const signers = [stranger, witnessSigner, noteSigner(log, origin)];
    const opened = openCheckpoint(await signNote(body, signers), trust);
    expect(opened).toMatchObject({
      ok: true,
      checkpoint: { origin, size: 7, root },
      signatures: [{ name: origin }],
      cosignatures: [{ name: "witness.example/w", time }],
      unverified: [{ name: "stranger.example" }],
    });
  });

  it("does not accept a witness in place of the log", async () => {
    const note = await signNote(body, [witnessSigner]);
    expect(openCheckpoint(note, trust)).toEqual({ ok: false, reason: "no-log-signature" });
  });

  it("does not accept another log's checkpoint by the same key, or another text", async () => {
    const signers = [noteSigner(log, origin)];
    const other = await signNote(encodeCheckpoint({ origin: "other", size: 7, root }), signers);
    expect(openCheckpoint(other, trust)).toEqual({ ok: false, reason: "other-origin" });
    const prefix = await signNote(
      encodeCheckpoint({ origin: `${origin}0`, size: 7, root }),
      signers,
    );
    expect(openCheckpoint(prefix, trust)).toEqual({ ok: false, reason: "other-origin" });
    const hello = await signNote(bytes("hello\n"), signers);
    expect(openCheckpoint(hello, trust)).toEqual({ ok: false, reason: "malformed" });
  });
});

function keyIdOf(name: string, typed: Uint8Array): string {
  const input = Buffer.concat([bytes(`${name}\n`), typed]);
  return createHash("sha256").update(input).digest("hex").slice(0, 8);
}
