import { readFileSync } from "node:fs";
import { createHash, createPublicKey, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  cosignatureSigner,
  encodeCheckpoint,
  openCheckpoint,
} from "../../src/chain/checkpoint-note.ts";
import {
  decodeForkEvidence,
  encodeForkEvidence,
  verifyForkEvidence,
} from "../../src/chain/fork-evidence.ts";
import { noteSigner, parseVkey, signNote } from "../../src/chain/note.ts";
import { NOTE_ED25519, noteKey } from "../../src/chain/note-key.ts";
import { encodeTlogProof, verifyTlogProof } from "../../src/chain/tlog-proof.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { mth, path } from "../support/rfc9162.ts";
import { specBlocks, specHex } from "../support/spec-blocks.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const value = specHex("checkpoint.md");
const [vkeys, note, proof] = specBlocks("checkpoint.md", "text");
const entries = [..."abcde"].map(bytes);
const origin = "ledger.example/hospital-a";
const log = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(1) });
const witness = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(2) });
const [logKey, witnessKey] = vkeys!.trimEnd().split("\n").map(parseVkey);

describe("docs/spec/checkpoint.md", () => {
  it("has the checkpoint text", () => {
    const root = mth(entries);
    expect(value("checkpoint text")).toEqual(
      bytes(`${origin}\n5\n${Buffer.from(root).toString("base64")}\n`),
    );
    expect(encodeCheckpoint({ origin, size: 5, root })).toEqual(value("checkpoint text"));
  });

  it("has signatures that node:crypto verifies, taken apart by hand", () => {
    const split = note!.lastIndexOf("\n\n");
    const text = note!.slice(0, split + 1);
    const lines = note!
      .slice(split + 2)
      .trimEnd()
      .split("\n");
    for (const [i, line] of vkeys!.trimEnd().split("\n").entries()) {
      const [name, id, key] = /^([^+]+)\+(\w+)\+(.+)$/u.exec(line)!.slice(1);
      const typed = Buffer.from(key!, "base64");
      const digest = createHash("sha256").update(`${name}\n`).update(typed).digest("hex");
      expect(digest.slice(0, 8)).toBe(id);
      const [dash, by, encoded] = lines[i]!.split(" ");
      expect([dash, by]).toEqual(["—", name]);
      const signature = Buffer.from(encoded!, "base64");
      expect(signature.toString("hex", 0, 4)).toBe(id);
      const prefix = Buffer.from("302a300506032b6570032100", "hex");
      const publicKey = createPublicKey({
        key: Buffer.concat([prefix, typed.subarray(1)]),
        format: "der",
        type: "spki",
      });
      const message =
        typed[0] === 1 ? text : `cosignature/v1\ntime ${signature.readBigUInt64BE(4)}\n${text}`;
      expect(verify(null, bytes(message), publicKey, signature.subarray(-64))).toBe(true);
    }
  });

  it("has the note that the library writes and opens", async () => {
    const signers = [
      noteSigner(log, origin),
      cosignatureSigner(witness, "witness.example/w1", () => 1735689600_000),
    ];
    expect(await signNote(value("checkpoint text"), signers)).toEqual(bytes(note!));
    const trust = { origin, keys: [logKey!], cosigners: [witnessKey!] };
    expect(openCheckpoint(bytes(note!), trust)).toMatchObject({
      ok: true,
      checkpoint: { origin, size: 5, root: mth(entries) },
      signatures: [{ name: origin }],
      cosignatures: [{ name: "witness.example/w1", time: 1735689600 }],
    });
  });

  it("gives the reason of the first row that fails, whatever else is wrong", async () => {
    const page = readFileSync(new URL("../../docs/spec/checkpoint.md", import.meta.url), "utf8");
    const table = page.slice(page.indexOf("| check "));
    const reasons = Array.from(
      table.slice(0, table.indexOf("\n\n")).matchAll(/\| `([a-z-]+)` +\|/g),
      ([, reason]) => reason,
    );
    // Signs, and is no key of the log's.
    const beside = [noteSigner(witness, "beside.example")];
    const cosigner = noteKey("beside.example", NOTE_ED25519, witness.publicKey);
    const nobody = [noteSigner(witness, "nobody.example")];
    const bad = note!.trimEnd().split("\n")[4]!.replace(/.{8}$/, "AAAAAAA=");
    const text = (...lines: readonly string[]) => bytes(`${lines.join("\n")}\n`);
    const root = note!.split("\n")[2]!;
    const many = Array<string>(101).fill("no signature line");
    const twice = [logKey!, { ...logKey! }];
    const wrong: readonly (readonly [Uint8Array, typeof twice?])[] = [
      [new Uint8Array(1_000_001).fill(1)],
      [text("x\u0001", "", ...many)],
      [text("x", "", ...many)],
      [text("x", "", bad, "no signature line"), twice],
      [text("x", "", bad), twice],
      [text("x", "", bad)],
      [await signNote(text("x"), nobody)],
      [await signNote(text("x", "05"), beside)],
      [await signNote(text("x", "05", "y"), beside)],
      [await signNote(text("x", "5", "y"), beside)],
      [await signNote(text("x", "5", root), beside)],
      [await signNote(text(origin, "5", root), beside)],
    ];
    expect(reasons).toHaveLength(wrong.length);
    const found = wrong.map(([given, keys = [logKey!]]) => {
      const opened = openCheckpoint(given, { origin, keys, cosigners: [cosigner] });
      return opened.ok ? "ok" : opened.reason;
    });
    expect(found).toEqual(reasons);
  });

  it("has the inclusion proof", () => {
    const made = { index: 2, proof: path(2, entries), checkpoint: bytes(note!) };
    expect(encodeTlogProof(made)).toEqual(bytes(proof!));
    const trust = { origin, keys: [logKey!] };
    expect(verifyTlogProof(bytes(proof!), leafHash(entries[2]!), trust)).toMatchObject({
      ok: true,
      index: 2,
    });
  });

  it("has the fork evidence", async () => {
    const sign = (size: number, root: Uint8Array) =>
      signNote(encodeCheckpoint({ origin, size, root }), [noteSigner(log, origin)]);
    const [a, b, c] = entries;
    const evidence = {
      first: await sign(1, mth([a!])),
      second: await sign(2, mth([b!, c!])),
      continuation: { root: mth([b!]), proof: [mth([c!])] },
    };
    expect(encodeForkEvidence(evidence)).toEqual(value("fork evidence"));
    const decoded = decodeForkEvidence(value("fork evidence"));
    expect(verifyForkEvidence(decoded, logKey!)).toMatchObject({
      ok: true,
      kind: "other-continuation",
    });
  });
});
