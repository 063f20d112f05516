import { sha256 } from "#crypto";
import { describe, expect, it } from "vitest";
import { fromBase64 } from "../../src/bytes/base64.ts";
import { fromHex } from "../../src/bytes/hex.ts";
import { openCheckpoint, parseCheckpoint } from "../../src/chain/checkpoint-note.ts";
import {
  encodeVkey,
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  noteSigner,
  parseNote,
  parseVkey,
  signNote,
  splitNote,
} from "../../src/chain/note.ts";
import type { NoteKey } from "../../src/chain/note.ts";
import { parseTlogProof } from "../../src/chain/tlog-proof.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { verifyConsistency } from "../../src/merkle/verify.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const read = (name: string) => JSON.parse(readVector("note", name));
const noteError = expect.objectContaining({ code: "ERR_SIGNATURE_NOTE" });

describeVectors("golang.org/x/mod signed notes", "note", () => {
  const vectors = read("signed-note.json") as {
    signerKey: string;
    goodVkeys: string[];
    badVkeys: string[];
    cases: {
      desc: string;
      noteBase64: string;
      verifierKeys: string[];
      expect: { ok: boolean; why?: string; verified: string[]; unverified: string[] };
    }[];
  };
  const reasons: Record<string, string> = {
    "no verifiable signatures": "no-known-signature",
    "ambiguous key": "ambiguous-key",
    "too many signatures": "too-many-signatures",
    "invalid signature for known key": "bad-signature",
    "malformed note": "malformed",
  };

  it("are 14 cases", () => expect(vectors.cases).toHaveLength(14));

  for (const { desc, noteBase64, verifierKeys, expect: wanted } of vectors.cases) {
    it(desc, () => {
      const result = parseNote(fromBase64(noteBase64), verifierKeys.map(parseVkey));
      if (result.ok) {
        expect(wanted.ok).toBe(true);
        expect(result.verified.map(({ name }) => name)).toEqual(wanted.verified);
        expect(result.unverified.map(({ name }) => name)).toEqual(wanted.unverified);
        expect(text(result.text)).toMatch(/^If you think.*\n.*is\.\n$/u);
      } else {
        expect(wanted.ok).toBe(false);
        expect(result.reason).toBe(reasons[wanted.why!]);
      }
    });
  }

  for (const vkey of vectors.goodVkeys) {
    it(`reads and writes the vkey of ${vkey.split("+")[0]}`, () => {
      expect(encodeVkey(parseVkey(vkey))).toBe(vkey);
    });

    it(`refuses every part and every byte changed of the vkey of ${vkey.split("+")[0]}`, () => {
      for (let from = 0; from < vkey.length; from++) {
        for (let to = from; to <= vkey.length; to++) {
          if (to - from === vkey.length) continue;
          expect(() => parseVkey(vkey.slice(from, to))).toThrow(noteError);
        }
      }
      for (let i = 0; i < vkey.length; i++) {
        const other = String.fromCharCode(vkey.charCodeAt(i) + 1);
        expect(() => parseVkey(vkey.slice(0, i) + other + vkey.slice(i + 1))).toThrow();
      }
    });
  }

  it("refuses the bad vkeys", () => {
    expect(vectors.badVkeys).toHaveLength(2);
    for (const vkey of vectors.badVkeys) expect(() => parseVkey(vkey)).toThrow();
  });

  it("signs the note that Go signs with the same key", async () => {
    const [, , name, , ...encoded] = vectors.signerKey.split("+");
    const secret = fromBase64(encoded.join("+")).subarray(1);
    const signer = memorySigner({ alg: "Ed25519", secret });
    const note = fromBase64(vectors.cases[0]!.noteBase64);
    const split = splitNote(note);
    if (!split.ok) throw new Error(split.reason);
    const signed = await signNote(split.note.text, [noteSigner(signer, name!)]);
    // The note of the case with its second signature line cut off.
    expect(text(signed)).toBe(text(note).replace(/[^\n]*\n$/u, ""));
    expect(encodeVkey(noteKey(name!, NOTE_ED25519, signer.publicKey))).toBe(vectors.goodVkeys[0]);
  });
});

describeVectors("transparency-dev checkpoints", "note", () => {
  const vectors = read("checkpoint.json") as {
    bodies: { desc: string; body: string; wantErr: boolean }[];
    real: { kind: string; vkey: string; checkpoint: string }[];
    cosignatureVkeys: { desc: string; vkey: string; wantErr: boolean }[];
  };

  for (const { desc, body, wantErr } of vectors.bodies) {
    it(desc, () => {
      const result = parseCheckpoint(bytes(body));
      // C2SP asks for extension lines that are not empty, where the source accepts them.
      if (wantErr || desc === "valid with trailing newlines") {
        expect(result.ok).toBe(false);
        return;
      }
      // The source takes roots of any length, where C2SP means the SHA-256 of RFC 6962. The size
      // and the lines of these bodies are right: with a root of 32 bytes they are accepted.
      expect(result).toEqual({ ok: false, reason: "bad-root" });
      const root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
      const lines = body.split("\n");
      expect(parseCheckpoint(bytes(body.replace(lines[2]!, root)))).toMatchObject({
        ok: true,
        checkpoint: { origin: lines[0], size: Number(lines[1]) },
      });
    });
  }

  const [sumdb, staticCt] = vectors.real;

  it("accepts a checkpoint of the Go checksum database", () => {
    const opened = openCheckpoint(bytes(sumdb!.checkpoint), {
      origin: "go.sum database tree",
      keys: [parseVkey(sumdb!.vkey)],
    });
    expect(opened).toMatchObject({
      ok: true,
      checkpoint: { origin: "go.sum database tree", size: 6476701 },
      cosignatures: [],
      unverified: [],
    });
  });

  it("takes a checkpoint with an RFC 6962 signature apart, and cannot vouch for it", () => {
    // A key id of type 0x05 is made of the log id, not of the key, so the vkey does not fit.
    expect(() => parseVkey(staticCt!.vkey)).toThrow();
    const note = bytes(staticCt!.checkpoint);
    expect(splitNote(note)).toMatchObject({
      ok: true,
      note: { signatures: [{ name: "rome.ct.filippo.io/2024h1", keyId: 0x78f4abae }] },
    });
    expect(parseNote(note, [parseVkey(sumdb!.vkey)])).toEqual({
      ok: false,
      reason: "no-known-signature",
    });
    expect(
      parseCheckpoint(note.subarray(0, staticCt!.checkpoint.indexOf("\n\n") + 1)),
    ).toMatchObject({ ok: true, checkpoint: { size: 115474666 } });
  });

  for (const { desc, vkey, wantErr } of vectors.cosignatureVkeys) {
    it(`vkey: ${desc}`, () => {
      if (desc.includes("MLDSA44")) {
        // Carries a key id that is not that of its key; refused before its type is looked at.
        expect(() => parseVkey(vkey)).toThrow(noteError);
      } else if (wantErr) {
        expect(() => parseVkey(vkey)).toThrow();
      } else {
        const key = parseVkey(vkey);
        expect(encodeVkey(key)).toBe(vkey);
        expect(key.type).toBe(desc.includes("native") ? NOTE_COSIGNATURE : NOTE_ED25519);
        const cosigner = noteKey(key.name, NOTE_COSIGNATURE, key.publicKey);
        expect(parseVkey(encodeVkey(cosigner))).toEqual(cosigner);
      }
    });
  }
});

describeVectors("C2SP examples", "note", () => {
  const { examples } = read("c2sp-spec-examples.json") as { examples: Record<string, string[]> };

  it("verifies the example of signed-note with its key", () => {
    const key = parseVkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    const result = parseNote(bytes(examples["signed-note"]![1]!), [key]);
    expect(result).toMatchObject({ ok: true, verified: [{ name: "example.com/foo" }] });
  });

  it("splits the poem at the last blank line", () => {
    const result = splitNote(bytes(examples["signed-note"]![0]!));
    if (!result.ok) throw new Error(result.reason);
    expect(text(result.note.text)).toBe(
      "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n",
    );
    expect(result.note.signatures.map(({ name }) => name)).toEqual(["quasimodo.example/salvatore"]);
  });

  it("reads the checkpoints of tlog-checkpoint and tlog-cosignature", () => {
    for (const name of ["tlog-checkpoint", "tlog-cosignature"]) {
      const result = splitNote(bytes(examples[name]![0]!));
      if (!result.ok) throw new Error(result.reason);
      expect(parseCheckpoint(result.note.text)).toMatchObject({
        ok: true,
        checkpoint: { origin: "example.com/behind-the-sofa", size: 20852163 },
      });
      if (name === "tlog-cosignature") {
        const cosignature = result.note.signatures[1]!;
        expect(cosignature.keyId).toBe(0x8d66cf3f);
        expect(cosignature.signature).toHaveLength(72);
        expect(new DataView(cosignature.signature.buffer).getBigUint64(0)).toBe(1679315147n);
      }
    }
  });

  it("refuses the notes whose signatures are abridged", () => {
    const [, subtreeNote] = examples["tlog-witness"]![0]!.split(/\n\n(.*)/su);
    expect(splitNote(bytes(subtreeNote!))).toEqual({ ok: false, reason: "malformed" });
    const proof = parseTlogProof(bytes(examples["tlog-proof"]![0]!));
    expect(proof).toMatchObject({ ok: true, proof: { index: 73894 } });
    if (!proof.ok) return;
    expect(proof.proof.proof).toHaveLength(5);
    expect(text(proof.proof.extra!)).toMatch(/^age-v1\.2\.1-darwin-arm64\.tar\.gz/u);
    expect(splitNote(proof.proof.checkpoint)).toEqual({ ok: false, reason: "malformed" });
    for (const policy of examples["tlog-policy"]!) {
      expect(splitNote(bytes(policy)).ok).toBe(false);
    }
  });
});

describeVectors("C2SP issue 99", "note", () => {
  const { ed25519PublicKeyHex, body, goodSigLine, wrongKeyIdSigLine } = read("c2sp-issue-99.json");
  const origin = body.split("\n")[0];
  const key = noteKey(origin, NOTE_ED25519, fromHex(ed25519PublicKeyHex));

  it("accepts the signature with the right key id", () => {
    expect(openCheckpoint(bytes(`${body}\n${goodSigLine}`), { origin, keys: [key] })).toMatchObject(
      {
        ok: true,
        checkpoint: { origin, size: 10 },
      },
    );
  });

  it("ignores the signature with a wrong key id, as one by an unknown key", () => {
    expect(parseNote(bytes(`${body}\n${wrongKeyIdSigLine}`), [key])).toEqual({
      ok: false,
      reason: "no-known-signature",
    });
  });
});

describeVectors("transparency-dev tlog-proofs", "note", () => {
  const { mustReject } = read("tlog-proof.json") as {
    mustReject: { desc: string; proof: string }[];
  };
  const reasons: Record<string, string> = {
    "missing header": "bad-header",
    "invalid extra": "bad-extra",
    "missing index": "bad-index",
    "index not a number": "bad-index",
    "negative index": "bad-index",
    "hash not base64": "bad-hash",
    "hash 64 bytes": "bad-hash",
  };

  it("are refused for seven reasons", () => expect(mustReject).toHaveLength(7));

  for (const { desc, proof } of mustReject) {
    it(desc, () => {
      expect(parseTlogProof(bytes(proof))).toEqual({ ok: false, reason: reasons[desc] });
    });
  }

  it("would be accepted without their fault", () => {
    const good = "c2sp.org/tlog-proof@v1\nextra aGk=\nindex 0\n\ncheckpoint\n";
    expect(parseTlogProof(bytes(good)).ok).toBe(true);
  });
});

/** What a witness answers to `add-checkpoint`, by the primitives under test and C2SP tlog-witness. */
function testWitness(logs: readonly { origin: string; keys: readonly NoteKey[] }[]) {
  const seen = new Map<string, { size: number; root: Uint8Array }>();
  return (request: string): { status: number; body?: string } => {
    const [, oldSize, hashes, note] = /^old (0|[1-9]\d*)\n((?:[^\n]+\n)*)\n(.*)$/su.exec(request)!;
    const log = logs.find(({ origin }) => note!.startsWith(`${origin}\n`));
    if (log === undefined) return { status: 404 };
    const opened = openCheckpoint(bytes(note!), log);
    if (!opened.ok) return { status: 403 };
    const { size, root } = opened.checkpoint;
    const old = Number(oldSize);
    if (old > size) return { status: 400 };
    const last = seen.get(log.origin) ?? { size: 0, root: new Uint8Array(32) };
    if (old !== last.size) return { status: 409, body: `${last.size}\n` };
    const proof = hashes!.split("\n").slice(0, -1).map(fromBase64);
    if (old === 0) {
      if (proof.length > 0) return { status: 422 };
    } else {
      const claim = { oldSize: old, oldRoot: last.root, newSize: size, newRoot: root, proof };
      if (!verifyConsistency(claim).ok) return { status: old === size ? 409 : 422 };
    }
    seen.set(log.origin, { size, root });
    return { status: 200 };
  };
}

describeVectors("litewitness exchanges", "note", () => {
  type Exchange = { body: string; status: number; asserts: string[] }[];

  it("answers each request to a sigsum log as litewitness does", () => {
    const { exchange } = read("tlog-witness-add-checkpoint-litewitness.json") as {
      exchange: Exchange;
    };
    const publicKey = fromHex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f");
    const origin = exchange[0]!.body.split("\n")[2]!;
    expect(origin.split("/").at(-1)).toBe(Buffer.from(sha256(publicKey)).toString("hex"));
    const witness = testWitness([{ origin, keys: [noteKey(origin, NOTE_ED25519, publicKey)] }]);
    expect(exchange).toHaveLength(9);
    for (const { body, status, asserts } of exchange) {
      const answer = witness(body);
      // litewitness answered 403 to an unknown log when this was recorded; C2SP asks for 404.
      const unknown = asserts[0]?.includes("unknown log") === true;
      expect(answer.status).toBe(unknown ? 404 : status);
      if (status === 409) expect(asserts).toEqual([`body == ${JSON.stringify(answer.body)}`]);
    }
  });

  it("accepts the first checkpoint of the Go checksum database", () => {
    const { exchange } = read("tlog-witness-add-checkpoint-sumdb.json") as { exchange: Exchange };
    const key = parseVkey("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8");
    const witness = testWitness([{ origin: "go.sum database tree", keys: [key] }]);
    expect(exchange.map(({ body }) => witness(body).status)).toEqual([200]);
  });
});

describe("C2SP signed-note", () => {
  it("has the key id of the sum.golang.org key", () => {
    const vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    expect(parseVkey(vkey).keyId).toBe(0x033de0ae);
  });
});
