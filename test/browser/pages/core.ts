import { backend, randomBytes } from "#crypto";
import { parseRecordId } from "../../../src/codec/ids.ts";
import { encodeGenesis } from "../../../src/block/genesis.ts";
import { concatBytes } from "../../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../../src/bytes/hex.ts";
import { describeMember } from "../../../src/chain/founding.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { cidOf, DAG_CBOR, RAW } from "../../../src/codec/cid.ts";
import { toLowS } from "../../../src/crypto/low-s.ts";
import * as noble from "../../../src/crypto/noble.ts";
import { webcryptoVerify } from "../../../src/crypto/webcrypto.ts";
import {
  makeGrant,
  openEnvelope,
  openGrant,
  openRange,
  openReadable,
  openStream,
  sealEnvelope,
  sealStream,
  type SuiteName,
} from "../../../src/envelope/index.ts";
import { decodeSignedHeader, signHeader } from "../../../src/envelope/header.ts";
import { agreementFromEcdh, type KeyAgreement } from "../../../src/identity/agreement.ts";
import type { KeyStore } from "../../../src/identity/key-store.ts";
import type { SignedHeads } from "../../../src/identity/signed-heads.ts";
import type { ShardKeys } from "../../../src/identity/shard-keys.ts";
import { memorySigner, type Signer } from "../../../src/identity/signer.ts";
import { webcryptoSigner } from "../../../src/identity/webcrypto-signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { indexeddbStorage } from "../../../src/storage/indexeddb.ts";
import { LABELLER, MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { acceptedOf, type SignatureCase } from "../../node-versions/accepted.ts";

const { subtle } = crypto;

/** Which backend the bundle holds, and how many signatures it and WebCrypto accept. */
export async function signatures(cases: readonly SignatureCase[]): Promise<unknown> {
  const [own, web] = await Promise.all([
    acceptedOf(cases, noble.ed25519Verify),
    acceptedOf(cases, (s, m, k) => webcryptoVerify("Ed25519", s, m, k)),
  ]);
  return { backend, accepted: own.length, same: own.join() === web.join() };
}

/** How often what one side signs the other takes, of so many tries each. */
export async function crossSigned(tries: number): Promise<number> {
  let taken = 0;
  for (let i = 0; i < tries; i++) {
    const secret = noble.sha256(Uint8Array.of(i));
    const message = secret.slice(0, i % 32);
    const es = noble.p256Sign(message, secret);
    const ed = noble.ed25519Sign(message, secret);
    if (await webcryptoVerify("ES256", es, message, noble.p256PublicKey(secret))) taken++;
    if (await webcryptoVerify("Ed25519", ed, message, noble.ed25519PublicKey(secret))) taken++;
  }
  for (const alg of ["Ed25519", "ES256"] as const) {
    const { signer } = await newSigner(alg);
    for (let i = 0; i < tries; i++) {
      const message = noble.sha256(Uint8Array.of(i)).slice(0, i % 32);
      const signature = await signer.sign(message);
      const valid =
        alg === "ES256"
          ? noble.p256Verify(toLowS(signature), message, signer.publicKey)
          : noble.ed25519Verify(signature, message, signer.publicKey);
      if (valid) taken++;
    }
  }
  return taken;
}

async function newSigner(
  alg: "Ed25519" | "ES256",
): Promise<{ signer: Signer; keyPair: CryptoKeyPair }> {
  const algorithm = alg === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: alg };
  const keyPair = (await subtle.generateKey(algorithm, false, ["sign"])) as CryptoKeyPair;
  return { signer: await webcryptoSigner({ keyPair }), keyPair };
}

async function agreementOf(keyPair: CryptoKeyPair): Promise<KeyAgreement> {
  return agreementFromEcdh({
    alg: "X25519",
    publicKey: new Uint8Array(await subtle.exportKey("raw", keyPair.publicKey)),
    async ecdh(theirs) {
      const key = await subtle.importKey("raw", theirs.slice(), "X25519", true, []);
      const derive = { name: "X25519", public: key };
      return new Uint8Array(await subtle.deriveBits(derive, keyPair.privateKey, 256));
    },
  });
}

/** Seals a stream that the browser made and opens it as one again; what came out, and what did not. */
export async function streams(length: number, suite: SuiteName): Promise<unknown> {
  const content = randomBytes(length);
  const { signer } = await newSigner("Ed25519");
  const context = { ledger: cidOf(content, DAG_CBOR), author: signer.actor, kind: "record" };
  const blocks = new Map<string, Uint8Array>();
  const common = { context, signer, random: randomBytes, suite };
  const sealed = await sealStream({
    ...common,
    parts: [{ id: "study", source: new Blob([content.slice()]).stream() }],
    put: (cid, bytes) => void blocks.set(cid.toString(), bytes),
  });
  const whole = await sealEnvelope({ ...common, parts: [{ id: "study", bytes: content }] });
  const author = { alg: signer.alg, publicKey: signer.publicKey };
  const opening = {
    envelope: sealed.cid,
    header: sealed.header,
    keys: { cek: sealed.cek },
    context,
    author,
    part: "study",
    read: async (cid: { toString(): string }) => blocks.get(cid.toString()),
  };
  const opened = await new Response(openReadable(opening)).bytes();
  const end = await openRange({ ...opening, from: length - 10, to: length });

  const agreement = await agreementOf(await newAgreementPair());
  const basis = randomBytes(32);
  const grant = await makeGrant({
    envelope: whole.cid,
    basis,
    keys: { cek: whole.cek },
    recipient: { alg: "X25519", publicKey: agreement.publicKey },
    signer,
    random: randomBytes,
  });
  const grantor = { ...author, actor: signer.actor };
  const keys = await openGrant({ grant, agreement, envelope: whole.cid, basis, grantor });
  const byName = new Map(whole.blocks.map(({ cid, bytes }) => [cid.toString(), bytes]));
  const { parts } = await openEnvelope({
    context,
    author,
    envelope: whole.cid,
    header: whole.header,
    keys,
    read: async (cid) => byName.get(cid.toString()),
  });

  const [block] = blocks.values();
  block![block!.length >> 1]! ^= 1;
  const altered = await openReadable(opening)
    .pipeTo(new WritableStream())
    .then(
      () => "opened",
      (error: { code?: string }) => error.code,
    );
  return {
    same: toHex(opened) === toHex(content) && toHex(parts.get("study")!) === toHex(content),
    end: toHex(end) === toHex(content.slice(-10)),
    altered,
  };
}

const SEALED = 65_552;

/** What was sealed here, for another to open: all in hexadecimal. */
export interface SealedHere {
  readonly context: { readonly ledger: string; readonly author: string; readonly kind: string };
  readonly publicKey: string;
  readonly cid: string;
  readonly header: string;
  readonly cek: string;
  readonly blocks: readonly string[];
  readonly content: string;
}

async function sealStudy(length: number) {
  const content = randomBytes(length);
  const { signer } = await newSigner("Ed25519");
  const context = { ledger: cidOf(content, DAG_CBOR), author: signer.actor, kind: "record" };
  const blocks: Uint8Array[] = [];
  const sealed = await sealStream({
    context,
    signer,
    random: randomBytes,
    suite: "aes-gcm",
    parts: [{ id: "study", source: content }],
    put: (_, bytes) => void blocks.push(bytes),
  });
  return { content, signer, context, blocks, ...sealed };
}

/** Seals a stream with aes-gcm by WebCrypto. */
export async function sealHere(length: number): Promise<SealedHere> {
  const { context, signer, blocks, cid, header, cek, content } = await sealStudy(length);
  return {
    context: { ...context, ledger: toHex(context.ledger.bytes) },
    publicKey: toHex(signer.publicKey),
    cid: toHex(cid.bytes),
    header: toHex(header),
    cek: toHex(cek),
    blocks: blocks.map(toHex),
    content: toHex(content),
  };
}

/** What each attack on a stream of aes-gcm got to see, in segments, and the error that stopped it. */
export async function attackStreams(): Promise<Record<string, unknown>> {
  const study = await sealStudy(15 * 65_536 * 2 + 65_536 + 5);
  const { content, signer, context, cek } = study;
  const signed = decodeSignedHeader(study.header).header;
  const [a, b, c] = study.blocks as [Uint8Array, Uint8Array, Uint8Array];
  const segments = (block: Uint8Array): Uint8Array[] =>
    Array.from({ length: Math.ceil(block.length / SEALED) }, (_, i) =>
      block.slice(i * SEALED, (i + 1) * SEALED),
    );
  async function read(
    blocks: readonly Uint8Array[],
    size: number,
    { signal, pause }: { signal?: AbortController; pause?: number } = {},
  ): Promise<string> {
    const data = blocks.map((bytes) => cidOf(bytes, RAW));
    const parts = [{ ...signed.parts[0]!, size, data }];
    const header = await signHeader({ ...signed, parts }, signer);
    const byName = new Map(data.map((cid, i) => [cid.toString(), blocks[i]!]));
    let seen = 0;
    let pieces = 0;
    try {
      const opening = {
        envelope: cidOf(header, DAG_CBOR),
        header,
        keys: { cek },
        context,
        author: { alg: signer.alg, publicKey: signer.publicKey },
        part: "study",
        read: async (cid: { toString(): string }) => byName.get(cid.toString()),
        ...(signal === undefined ? {} : { signal: signal.signal }),
      };
      for await (const piece of openStream(opening)) {
        const expected = content.subarray(seen, seen + piece.length);
        if (piece.some((byte, i) => byte !== expected[i])) return "wrong bytes";
        seen += piece.length;
        pieces++;
        if (pause !== undefined) await new Promise((resolve) => setTimeout(resolve, pause));
        if (pieces === 4) signal?.abort(new Error("enough"));
      }
    } catch (error) {
      return `${pieces} ${(error as { code?: string }).code ?? (error as Error).message}`;
    }
    return `${pieces} whole`;
  }
  const { size } = signed.parts[0]!;
  const own = segments(b);
  const flipped = b.slice();
  flipped[7 * SEALED + 100]! ^= 1;
  const last = segments(c);
  const long = concatBytes(last[0]!, last[1]!, last[1]!);
  return {
    unaltered: await read([a, b, c], size),
    slowReader: await read([a, b, c], size, { pause: 2 }),
    exchanged: await read([a, concatBytes(...own.with(3, own[4]!).with(4, own[3]!)), c], size),
    repeated: await read([a, concatBytes(...own.with(3, own[2]!)), c], size),
    blocksExchanged: await read([b, a, c], size),
    flipped: await read([a, flipped, c], size),
    truncated: await read([a, b], 2 * 15 * 65_536),
    finalFlagDropped: await read([a, b, long.subarray(0, 2 * SEALED)], 32 * 65_536),
    aborted: await read([a, b, c], size, { signal: new AbortController() }),
  };
}

async function newAgreementPair(): Promise<CryptoKeyPair> {
  return (await subtle.generateKey("X25519", false, ["deriveBits"])) as CryptoKeyPair;
}

/** Keys that no script can read, in a database of their own. */
const KEYS = "keys";

async function keysDatabase(): Promise<IDBObjectStore> {
  const request = indexedDB.open(KEYS, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(KEYS));
  await new Promise((resolve) => request.addEventListener("success", resolve));
  return request.result.transaction(KEYS, "readwrite").objectStore(KEYS);
}

async function keptPair(name: string): Promise<CryptoKeyPair> {
  const request = (await keysDatabase()).get(name);
  await new Promise((resolve) => request.addEventListener("success", resolve));
  return request.result as CryptoKeyPair;
}

/** What the keys signed, beside them: one value, compared and replaced in one transaction. */
const signedHeads: SignedHeads = {
  async read() {
    const request = (await keysDatabase()).get("heads");
    await new Promise((resolve) => request.addEventListener("success", resolve));
    return request.result as Uint8Array | undefined;
  },
  async keep(expected, next) {
    const store = await keysDatabase();
    const request = store.get("heads");
    let kept = false;
    request.addEventListener("success", () => {
      kept = String(request.result) === String(expected);
      if (kept) store.put(next, "heads");
    });
    await new Promise((resolve) => store.transaction.addEventListener("complete", resolve));
    return kept;
  },
};

/** A member's keys, all held by WebCrypto. */
async function memberKeys(): Promise<KeyStore> {
  const [sign, checkpoint] = await Promise.all(
    ["sign", "checkpoint"].map(async (use) => webcryptoSigner({ keyPair: await keptPair(use) })),
  );
  const agreement = await agreementOf(await keptPair("agree"));
  const refused = async (): Promise<never> => Promise.reject(new Error("keys are made elsewhere"));
  const closed = async (): Promise<void> => undefined;
  const own = (use: "sign" | "checkpoint" | "agree", key: Signer | KeyAgreement) => ({
    ...{ key: key.key, use, alg: key.alg, publicKey: key.publicKey, retired: false },
    actor: sign!.actor,
  });
  return {
    signedHeads,
    list: () => [own("sign", sign!), own("checkpoint", checkpoint!), own("agree", agreement)],
    signer: (which = "sign") => (which === "checkpoint" ? checkpoint! : sign!),
    agreement: () => agreement,
    generate: refused,
    add: refused,
    retire: refused,
    close: closed,
    [Symbol.asyncDispose]: closed,
  };
}

/** Shard keys in a file that no other origin sees, and that is replaced as a whole. */
export function fileSystemShardKeys(name: string): ShardKeys {
  return {
    async load() {
      const folder = await navigator.storage.getDirectory();
      const handle = await folder.getFileHandle(name, { create: true });
      const secret = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      return secret.length === 0 ? undefined : secret;
    },
    async replace(secret) {
      const folder = await navigator.storage.getDirectory();
      const handle = await folder.getFileHandle(name, { create: true });
      // a copy, which takes the file's place when it is closed
      const copy = await handle.createWritable();
      await copy.write(new Uint8Array(secret));
      await copy.close();
    },
  };
}

const shardKeys = fileSystemShardKeys("shards");

/** Makes keys and founds a ledger of two members, of which the second is only named. */
export async function found(): Promise<void> {
  const [{ keyPair: sign }, { keyPair: checkpoint }, agree] = await Promise.all([
    newSigner("Ed25519"),
    newSigner("Ed25519"),
    newAgreementPair(),
  ]);
  for (const [name, pair] of Object.entries({ sign, checkpoint, agree })) {
    const request = (await keysDatabase()).put(pair, name);
    await new Promise((resolve) => request.addEventListener("success", resolve));
  }
  const nonce = randomBytes(32);
  const keys = await memberKeys();
  const other = await newSigner("Ed25519");
  const member = (signer: Signer, agreement: KeyAgreement) =>
    describeMember({ sign: [signer], agree: [agreement] }, ["custodian", "sequencer"], nonce);
  const genesis = encodeGenesis({
    v: 1,
    origin: "history.example/browser",
    nonce,
    members: await Promise.all([
      member(keys.signer(), keys.agreement()),
      member(other.signer, await agreementOf(await newAgreementPair())),
    ]),
    threshold: 2,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [keys.signer("checkpoint").publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    kinds: [],
    contracts: [],
  });
  localStorage.setItem("genesis", toHex(genesis));
}

async function withLedger<T>(
  work: (hl: Ledger, genesis: Uint8Array, keys: KeyStore) => Promise<T>,
  suite: SuiteName = "chacha",
): Promise<T> {
  const genesis = fromHex(localStorage.getItem("genesis")!);
  await using storage = await indexeddbStorage({ name: "ledger" });
  const keys = await memberKeys();
  const hl = await openLedger({
    ...{ storage, keys, genesis, shardKeys, suite },
    policy: { labeller: LABELLER },
  });
  try {
    return await work(hl, genesis, keys);
  } finally {
    await hl.close();
  }
}

const patient = memorySigner({ alg: "Ed25519", secret: noble.sha256(Uint8Array.of(1)) });

/** A whole round: record, consent, ask, audit, prove. */
export async function firstSession(): Promise<unknown> {
  return withLedger(async (hl, genesis, keys) => {
    const me = await hl.ensureSubject(MRN);
    const { id, entry } = await hl.record(me, observation("bp-1"));
    localStorage.setItem("record", id);
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    const requester = { signer: keys.signer(), agreement: keys.agreement() };
    const answer = await hl.request(requester, { patient: MRN, purposes: ["TREAT"] });
    const released: string[] = [];
    for await (const { text } of answer.items()) released.push(new TextDecoder().decode(text));
    const refused = await hl.request(requester, { patient: MRN, purposes: ["HRESCH"] });
    let releasedToResearch = 0;
    for await (const item of refused.items()) releasedToResearch += item.text ? 1 : 0;
    const audited: string[] = [];
    for await (const access of hl.audit(me)) {
      audited.push(access.unreadable ?? access.purposes.join());
    }
    const receipt = verifyReceipt(await hl.receipt(entry), trustFromGenesis(genesis));
    return {
      released,
      releasedToResearch,
      audited,
      receipt: receipt.ok && receipt.id === entry && receipt.author === hl.member,
    };
  });
}

/** Records under aes-gcm what is longer than a block, and reads it back. */
export async function nativeSession(): Promise<boolean> {
  return withLedger(async (hl) => {
    const me = await hl.ensureSubject(MRN);
    const bytes = randomBytes(1_500_000);
    const { id } = await hl.record(me, observation("bp-2"), {
      attachments: [{ mediaType: "image/png", source: new Blob([bytes.slice()]).stream() }],
    });
    const [attachment] = await hl.attachments(id);
    const read: Uint8Array[] = [];
    for await (const piece of attachment!.stream()) read.push(piece);
    const text = new TextDecoder().decode(await hl.read(id));
    return text === observation("bp-2") && toHex(concatBytes(...read)) === toHex(bytes);
  }, "aes-gcm");
}

/** After the page was loaded anew: everything is there; then the record is erased. */
export async function secondSession(): Promise<unknown> {
  return withLedger(async (hl) => {
    const id = parseRecordId(localStorage.getItem("record")!);
    const text = new TextDecoder().decode(await hl.read(id));
    const me = await hl.ensureSubject(MRN);
    const { ok: whole } = await hl.verify();
    const { damaged, checked } = await hl.verifyBlobs();
    const { outOfReach, blobs } = await hl.erase(me, { records: [id], reason: "withdrawn" });
    const left = await hl.read(id).then(
      () => "still there",
      (error: { code?: string }) => error.code,
    );
    return {
      same: text === observation("bp-1"),
      verified: whole && damaged.length === 0 && checked > 0,
      erased: blobs > 0,
      left,
      warned: outOfReach.includes("cannot be compacted"),
    };
  });
}

/** The shard keys as they stand, in hexadecimal. */
export async function shardSecret(): Promise<string> {
  return toHex(concatBytes((await shardKeys.load())!));
}
