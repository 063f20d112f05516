import { readFileSync } from "node:fs";
import fc from "fast-check";
import { decodeBlock } from "../../src/block/block.ts";
import { decodeEntry, encodeEntry } from "../../src/block/entry.ts";
import { decodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { decodeHeader } from "../../src/block/header.ts";
import {
  decodeSignedTransaction,
  decodeTransaction,
  encodeSignedTransaction,
} from "../../src/block/transaction.ts";
import { equalBytes } from "../../src/bytes/compare.ts";
import { fromHex } from "../../src/bytes/hex.ts";
import { decodeBlockRecord } from "../../src/chain/block-record.ts";
import { readCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { decodeSignedHead } from "../../src/chain/signed-heads.ts";
import { verifyDescription } from "../../src/chain/description.ts";
import { verifyExport } from "../../src/chain/export.ts";
import { decodeForkEvidence, encodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { followPolicySteps } from "../../src/chain/follow-steps.ts";
import { genesisState } from "../../src/chain/genesis-state.ts";
import { decodeApproval, decodeProposal } from "../../src/chain/proposal.ts";
import { decodeReceipt } from "../../src/chain/receipt.ts";
import { decodeSignedChange } from "../../src/chain/signed-change.ts";
import {
  decodeKeyState,
  decodeMemberState,
  decodeNonces,
  decodePolicyState,
} from "../../src/chain/state.ts";
import { parseTlogProof } from "../../src/chain/tlog-proof.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyBlocks } from "../../src/chain/verify-ledger.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { readCar } from "../../src/codec/car.ts";
import { CID } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { decodeDirective, decodeOverlay } from "../../src/consent/model/directive.ts";
import { readCose } from "../../src/crypto/cose-hpke.ts";
import { decodeGrant } from "../../src/envelope/grant-record.ts";
import {
  decodeHeader as decodeEnvelopeHeader,
  decodeSignedHeader,
} from "../../src/envelope/header.ts";
import { LedgerError } from "../../src/errors.ts";
import { readBundle } from "../../src/fhir/bundle.ts";
import { readKeyFile, sealKeyFile } from "../../src/identity/key-file.ts";
import { decodeAccess } from "../../src/ledger/disclosure/access.ts";
import { decodeAnswer } from "../../src/ledger/disclosure/encoded-answer.ts";
import { decodeWitness } from "../../src/ledger/consents/witnessed-directive.ts";
import { decodeWitnesses, encodeWitnesses } from "../../src/ledger/consents/witnesses.ts";
import { decodeAttestedKey } from "../../src/ledger/consents/attested-key.ts";
import { decodeFiledForm } from "../../src/ledger/consents/read-consents.ts";
import { decodeErasure } from "../../src/ledger/erasure/erasure-entry.ts";
import { decodeManifest } from "../../src/ledger/entries/manifest.ts";
import {
  decodeRequest,
  decodeSealedRequest,
  decodeSignedRequest,
} from "../../src/ledger/disclosure/request.ts";
import { decodeMapProof } from "../../src/merkle/map-proof.ts";
import { bytesFor } from "./ledger.ts";
import type { LedgerFixture } from "./v1-fixtures.ts";

/** Something that reads bytes of others. */
export interface Target {
  readonly name: string;
  /** Good bytes, from which bad ones are made. */
  readonly samples: readonly Uint8Array[];
  /**
   * Reads; may throw a {@link LedgerError} and nothing else. What judges returns whether it
   * accepted, which it may for the samples only.
   */
  readonly read: (bytes: Uint8Array) => unknown;
  readonly judges?: boolean;
}

/** What members send one another, as `format/v1/governance.json` holds it in hexadecimal. */
export interface GovernanceFixture {
  readonly genesis: string;
  readonly nonce: string;
  readonly founder: string;
  readonly joiner: string;
  readonly recovery: string;
  readonly proposals: readonly string[];
  readonly approval: string;
  readonly signedChange: string;
  readonly steps: string;
  readonly checkpointKey: string;
}

const fixture = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../fixtures/format/v1/${name}.json`, import.meta.url), "utf8"),
  ) as unknown;

const BUNDLE =
  `{"resourceType":"Bundle","type":"collection","entry":[` +
  `{"fullUrl":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","resource":{"resourceType":"Patient",` +
  `"id":"p1","identifier":[{"system":"urn:oid:1.2.3","value":"MRN-1"}],"name":[{"family":"Ärö"}]}},` +
  `{"resource":{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient/p1"},` +
  `"valueQuantity":{"value":107.50,"unit":"mm[Hg]"}}},` +
  `{"resource":{"resourceType":"Bundle","type":"batch","entry":[]}}]}`;

/** All decoders and verifiers of bytes that come from outside, with samples of format v1. */
export function hostileTargets(): readonly Target[] {
  const ledger = fixture("ledger") as LedgerFixture;
  const envelope = fixture("envelope") as {
    header: string;
    grants: Record<string, string>;
  };
  const governance = fixture("governance") as GovernanceFixture;
  const directive = fixture("directive") as Record<string, unknown>;
  const genesis = fromHex(ledger.genesis);
  const trust = trustFromGenesis(genesis);
  const kinds = [
    { name: "lab-order", rule: decodeGenesis(genesis).kinds[0]!.rule, check: () => true },
  ];
  const checkpoint = fromHex(ledger.checkpoint);
  const entries = Object.values(ledger.entries).map(fromHex);
  const blocks = ledger.blocks.map(fromHex);
  const first = decodeBlock(blocks[0]!).transactions[0]!;
  const stateOf = (prefix: string) =>
    Object.entries(ledger.state)
      .filter(([key]) => key.startsWith(prefix))
      .map(([, hex]) => fromHex(hex));
  const signedHeader = fromHex(envelope.header);
  const grants = Object.values(envelope.grants).map(fromHex);
  const fileKey = {
    cost: { N: 1 << 14, r: 8, p: 1 },
    salt: bytesFor("key file salt"),
    master: bytesFor("master"),
  };
  const keyFile = sealKeyFile(
    [{ use: "sign", alg: "Ed25519", secret: bytesFor("secret"), actor: undefined, retired: false }],
    fileKey,
    bytesFor("key file nonce"),
  );
  const evidence = encodeForkEvidence({
    first: checkpoint,
    second: checkpoint,
    continuation: { root: bytesFor("root"), proof: [bytesFor("proof")] },
  });
  const samplesOfDirectives = hexesIn(directive).filter((bytes) => isRead(decodeDirective, bytes));
  return [
    { name: "decode", samples: [genesis, ...entries, blocks[0]!], read: (bytes) => decode(bytes) },
    {
      name: "decodeEntry",
      samples: entries,
      read: (bytes) => encodesBack(bytes, decodeEntry, encodeEntry),
    },
    { name: "decodeTransaction", samples: [first.tx], read: decodeTransaction },
    {
      name: "decodeSignedTransaction",
      samples: [encodeSignedTransaction(first)],
      read: decodeSignedTransaction,
    },
    { name: "decodeHeader", samples: [fromHex(ledger.header)], read: decodeHeader },
    { name: "decodeBlock", samples: blocks, read: decodeBlock },
    { name: "decodeBlockRecord", samples: ledger.records.map(fromHex), read: decodeBlockRecord },
    {
      name: "decodeGenesis",
      samples: [genesis],
      read: (bytes) => genesisState(decodeGenesis(bytes)),
    },
    {
      name: "verifyDescription",
      judges: true,
      samples: [fromHex(governance.founder)],
      read: (bytes) => {
        verifyDescription(bytes, fromHex(governance.nonce));
        return true;
      },
    },
    {
      name: "decodeProposal",
      samples: governance.proposals.map(fromHex),
      read: decodeProposal,
    },
    { name: "decodeApproval", samples: [fromHex(governance.approval)], read: decodeApproval },
    {
      name: "decodeSignedChange",
      samples: [fromHex(governance.signedChange)],
      read: decodeSignedChange,
    },
    {
      name: "followPolicySteps",
      samples: [fromHex(governance.steps)],
      read: (bytes) => {
        const followed = followPolicySteps(trustFromGenesis(fromHex(governance.genesis)), bytes);
        if (!followed.ok || followed.trust.policyHeight === undefined) return;
        // The one step may be followed in another encoding of its note; to another policy it never leads.
        const [key] = followed.trust.checkpointKeys;
        if (!equalBytes(key!, fromHex(governance.checkpointKey))) throw new Error("a forged step");
      },
    },
    { name: "decodeReceipt", samples: [fromHex(ledger.receipt)], read: decodeReceipt },
    {
      name: "verifyReceipt",
      samples: [fromHex(ledger.receipt)],
      read: (bytes) => {
        const result = verifyReceipt(bytes, trust);
        // What is optional may be left out; what is proved stays the same.
        if (result.ok && !equalBytes(result.entry, fromHex(ledger.entries["consent"]!))) {
          throw new Error("another entry is proved");
        }
        return result.ok;
      },
    },
    { name: "readCheckpoint", samples: [checkpoint], read: readCheckpoint },
    {
      name: "judgeCheckpoint",
      samples: [checkpoint],
      read: (bytes) => void judgeCheckpoint(bytes, trust),
    },
    {
      name: "parseTlogProof",
      samples: [
        new TextEncoder().encode(
          `c2sp.org/tlog-proof@v1\nindex 0\n\n${Buffer.from(checkpoint).toString()}`,
        ),
      ],
      read: parseTlogProof,
    },
    {
      name: "decodeSignedHead",
      samples: [
        encode({ v: 1, size: 7, root: bytesFor("root") }),
        encode({ v: 1, size: 7, root: bytesFor("root"), stopped: "rolled-back" }),
      ],
      read: decodeSignedHead,
    },
    {
      name: "decodeMapProof",
      samples: [
        encode({ siblings: [bytesFor("sibling"), bytesFor("another")] }),
        encode({ siblings: [], leaf: { path: bytesFor("path"), valueHash: bytesFor("value") } }),
      ],
      read: (bytes) => decodeMapProof(decode(bytes)),
    },
    { name: "decodeForkEvidence", samples: [evidence], read: decodeForkEvidence },
    { name: "decodeKeyState", samples: stateOf("sys/key/"), read: decodeKeyState },
    { name: "decodeMemberState", samples: stateOf("sys/member/"), read: decodeMemberState },
    { name: "decodePolicyState", samples: stateOf("sys/policy"), read: decodePolicyState },
    { name: "decodeNonces", samples: stateOf("sys/nonces"), read: decodeNonces },
    {
      name: "verifyBlocks",
      samples: [blocks[0]!],
      read: async (bytes) => (await verifyBlocks([bytes], { genesis, kinds })).ok,
      judges: true,
    },
    {
      name: "readCar",
      samples: [fromHex(ledger.export)],
      read: async (bytes) => {
        const car = await readCar([bytes]);
        for await (const block of car.blocks) void block;
      },
    },
    {
      name: "verifyExport",
      samples: [fromHex(ledger.export)],
      read: async (bytes) => (await verifyExport([bytes], { ledger: ledgerId(genesis), kinds })).ok,
    },
    { name: "decodeSignedHeader", samples: [signedHeader], read: decodeSignedHeader },
    {
      name: "decodeEnvelopeHeader",
      samples: [decodeSignedHeader(signedHeader).headerBytes],
      read: decodeEnvelopeHeader,
    },
    { name: "decodeGrant", samples: grants, read: decodeGrant },
    {
      name: "readCose",
      samples: grants.map((grant) => decodeGrant(grant).message),
      read: readCose,
    },
    { name: "decodeDirective", samples: samplesOfDirectives, read: decodeDirective },
    {
      name: "decodeOverlay",
      samples: hexesIn(directive).filter((bytes) => isRead(decodeOverlay, bytes)),
      read: decodeOverlay,
    },
    {
      name: "readBundle",
      samples: [new TextEncoder().encode(BUNDLE)],
      read: (bytes) => readBundle(bytes),
    },
    ...ledgerTargets(ledgerId(genesis), samplesOfDirectives[0]!),
    {
      name: "decodeAnswer",
      samples: answers(ledgerId(genesis), signedHeader, grants[0]!),
      read: async (bytes) => void (await decodeAnswer(bytes)),
    },
    {
      name: "readKeyFile",
      samples: [keyFile],
      read: (bytes) => void readKeyFile(bytes).keysWith(fileKey),
    },
  ];
}

/** What travels between requesters and custodians, and what a custodian seals for itself. */
function ledgerTargets(ledger: CID, directive: Uint8Array): readonly Target[] {
  const id = bytesFor("id").slice(0, 16);
  const [key, sig] = [bytesFor("key"), new Uint8Array(64)];
  const request = encode({
    v: 1,
    ledger,
    id,
    requester: "did:key:requester",
    custodian: "did:key:custodian",
    recipient: key,
    sealed: bytesFor("sealed"),
    user: "Practitioner/7",
    roles: [{ code: "physician", attestedBy: "did:key:requester" }],
    purposes: ["TREAT"],
    action: "access",
    query: {
      ids: ["Observation/1"],
      types: ["Observation"],
      codes: [{ system: "http://loinc.org", code: "8480-6" }],
      period: { from: 0, to: 1 },
      parts: ["manifest"],
    },
    time: 1,
    expires: 2,
  });
  const sealed = encode({
    patient: { system: "urn:oid:1.2.3", value: "4" },
    declaration: { reason: "unconscious", until: 5 },
  });
  const manifest = encode({
    v: 1,
    op: "amend",
    local: id,
    replaces: key,
    mediaType: "application/fhir+json",
    resource: { type: "Observation", codes: [], labels: [], profiles: [], authors: [] },
    labels: { codes: [], stamp: { labeller: "default", version: "1" } },
  });
  const attested = encode({
    v: 1,
    actor: "did:key:patient",
    alg: "Ed25519",
    publicKey: key,
    capacity: "guardian",
    from: 1,
    to: 2,
  });
  const access = encode({
    v: 1,
    request: id,
    requester: "did:key:requester",
    roles: [],
    purposes: ["TREAT"],
    action: "access",
    decidedAt: 1,
    height: 2,
    snapshot: ledger,
    items: [],
    grounds: [],
  });
  const erasure = encode({ v: 1, class: "clinical", targets: [key], reason: "asked" });
  const signed = encode({ request, key, alg: "Ed25519", sig });
  const bound = { ledger, about: bytesFor("about") };
  const signedDirective = encode({ directive, ...bound, key, alg: "ES256", sig });
  const witness = encode({
    ...{ v: 1, ...bound, by: "did:key:z6Mk", key, user: "clerk-7", form: "paper" },
    ...{ takenAt: 1, evidence: [bytesFor("evidence")] },
  });
  const witnessed = encode({ directive, witness, alg: "ES256", sig });
  return [
    { name: "decodeSignedRequest", samples: [signed], read: decodeSignedRequest },
    { name: "decodeRequest", samples: [request], read: decodeRequest },
    { name: "decodeSealedRequest", samples: [sealed], read: decodeSealedRequest },
    { name: "decodeFiledForm", samples: [signedDirective, witnessed], read: decodeFiledForm },
    { name: "decodeWitness", samples: [witness], read: decodeWitness },
    {
      name: "decodeWitnesses",
      samples: [encodeWitnesses(["did:key:z6Mk"])],
      read: decodeWitnesses,
    },
    { name: "decodeAttestedKey", samples: [attested], read: decodeAttestedKey },
    { name: "decodeManifest", samples: [manifest], read: decodeManifest },
    { name: "decodeAccess", samples: [access], read: decodeAccess },
    { name: "decodeErasure", samples: [erasure], read: decodeErasure },
  ];
}

/** What a custodian answers: some records, none, and a refusal. */
function answers(envelope: CID, header: Uint8Array, grant: Uint8Array): readonly Uint8Array[] {
  const decision = {
    ...{ outcome: "permit", obligations: [], refrains: [], breakGlass: null, reasons: [] },
    ...{ setAside: [], basedOn: [envelope], snapshot: envelope, asOf: 1, expiresAt: null },
    evaluator: "e",
  };
  const item = {
    ...{ record: bytesFor("record"), entry: bytesFor("entry"), place: [3, 0, 1] },
    ...{ envelope, header, grant, parts: ["manifest", "content"] },
  };
  const answer = { v: 1, ok: true, access: bytesFor("access"), decision, blobs: [] };
  return [
    encode({ ...answer, items: [item, { ...item, entry: bytesFor("another entry") }] }),
    encode({ ...answer, items: [] }),
    encode({ v: 1, ok: false, reason: "replayed" }),
  ];
}

/** Byte strings that stand as hex anywhere in a fixture. */
function hexesIn(value: unknown): Uint8Array[] {
  if (typeof value === "string")
    return /^(?:[0-9a-f]{2}){20,}$/.test(value) ? [fromHex(value)] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(hexesIn);
}

function isRead(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    read(bytes);
    return true;
  } catch {
    return false;
  }
}

function encodesBack<T>(
  bytes: Uint8Array,
  read: (bytes: Uint8Array) => T,
  write: (value: T) => Uint8Array,
): void {
  const value = read(bytes);
  if (!equalBytes(write(value), bytes)) throw new Error("two forms of one value");
}

/** Runs a target on hostile bytes; throws where it does what it must not. */
export async function attack(target: Target, bytes: Uint8Array): Promise<void> {
  const started = performance.now();
  let accepted: unknown;
  try {
    accepted = await target.read(bytes);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
  }
  const took = performance.now() - started;
  if (took > 3000) throw new Error(`${target.name} took ${Math.round(took)} ms`);
  if (target.judges === true && accepted === true) {
    if (!target.samples.some((sample) => equalBytes(sample, bytes))) {
      throw new Error(`${target.name} accepted changed bytes`);
    }
  }
}

/** Hostile bytes made from a target's samples: of bytes, and of the structure they encode. */
export function hostileBytes(target: Target): fc.Arbitrary<Uint8Array> {
  const op = fc.tuple(fc.nat(), fc.nat(), fc.nat());
  const ops = fc.array(op, { minLength: 1, maxLength: 4 });
  const sample = fc.constantFrom(...target.samples);
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(sample, ops).map(([of, all]) => all.reduce(changeBytes, of)) },
    { weight: 5, arbitrary: fc.tuple(sample, ops).map(([of, all]) => changeStructure(of, all)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  );
}

type Op = readonly [what: number, where: number, how: number];

/** Heads that claim more than follows, and other bytes that decoders stumble over. */
const HEADS: readonly string[] = [
  ...["5affffffff", "5bffffffffffffffff", "9affffffff", "9b001fffffffffffff", "baffffffff"],
  ...["bb7fffffffffffffff", "7affffffff", "5f", "9f", "bf", "ff", "f97e00", "fb7ff0000000000000"],
  ...[
    "d82a",
    "d82a5825000171122000",
    "c2",
    "1bffffffffffffffff",
    "3bffffffffffffffff",
    "f7",
    "f8ff",
  ],
  ...["818181818181818181818181818181818181", "a0", "80", "40", "60", "00"],
];

function changeBytes(bytes: Uint8Array, [what, where, how]: Op): Uint8Array {
  const at = bytes.length === 0 ? 0 : where % (bytes.length + 1);
  const join = (...parts: (Uint8Array | number[])[]) =>
    Uint8Array.from(parts.flatMap((part) => [...part]));
  const head = fromHex(HEADS[how % HEADS.length]!);
  switch (what % 8) {
    case 0: {
      const flipped = bytes.slice();
      if (flipped.length > 0) flipped[where % flipped.length]! ^= 1 << (how % 8);
      return flipped;
    }
    case 1:
      return bytes.slice(0, at);
    case 2:
      return join(bytes.subarray(0, at), head, bytes.subarray(at));
    case 3:
      return join(bytes.subarray(0, at), head, bytes.subarray(at + head.length));
    case 4:
      return join(bytes.subarray(0, at), bytes.subarray(at + 1 + (how % 40)));
    case 5: {
      const part = bytes.subarray(at, at + 1 + (how % 60));
      return join(bytes.subarray(0, at), part, bytes.subarray(at));
    }
    case 6: {
      const set = bytes.slice();
      if (set.length > 0) set[where % set.length] = how % 256;
      return set;
    }
    default:
      return join(bytes, head);
  }
}

const ODD_VALUES: readonly unknown[] = [
  ...[
    null,
    true,
    0,
    -1,
    1,
    2 ** 31,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    2n ** 64n - 1n,
    -(2n ** 64n),
  ],
  ...["", "x", "__proto__", "constructor", "did:key:z6Mk", "did:key:z".padEnd(60, "6"), "\u0000"],
  ...[
    new Uint8Array(0),
    new Uint8Array(31),
    new Uint8Array(32),
    new Uint8Array(33),
    new Uint8Array(64),
  ],
  ...[[], {}, [[]], [null], { v: 1 }, { "/": "x" }, "x".repeat(70_000), new Uint8Array(70_000)],
  Array.from({ length: 3000 }, () => 0),
  nested(40),
  CID.parse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"),
];

function nested(depth: number): unknown {
  return depth === 0 ? 0 : [nested(depth - 1)];
}

/** Changes what the bytes encode, byte strings that encode something themselves included. */
function changeStructure(bytes: Uint8Array, ops: readonly Op[]): Uint8Array {
  let value: unknown;
  try {
    value = decode(bytes);
  } catch {
    return ops.reduce(changeBytes, bytes);
  }
  for (const op of ops) value = changeValue(value, op, 0);
  try {
    return encode(value, { maxDepth: 256 });
  } catch {
    return bytes.slice(1);
  }
}

function changeValue(value: unknown, [what, where, how]: Op, depth: number): unknown {
  const odd = ODD_VALUES[how % ODD_VALUES.length];
  const deeper: Op = [what, Math.floor(where / 7), how];
  if (Array.isArray(value)) {
    if (value.length === 0) return [odd];
    const at = where % value.length;
    if (depth < 6 && what % 3 !== 0)
      return value.with(at, changeValue(value[at], deeper, depth + 1));
    switch (how % 4) {
      case 0:
        return value.toSpliced(at, 1);
      case 1:
        return value.toSpliced(at, 0, value[at]);
      case 2:
        return value.toReversed();
      default:
        return Array.from({ length: 300 }, () => value[at] as unknown);
    }
  }
  if (value instanceof Uint8Array) {
    if (value.length > 60 && depth < 6 && what % 4 !== 0) {
      try {
        return encode(changeValue(decode(value), deeper, depth + 1));
      } catch {
        return changeBytes(value, deeper);
      }
    }
    return what % 2 === 0 ? changeBytes(value, deeper) : odd;
  }
  if (typeof value === "object" && value !== null && CID.asCID(value) === null) {
    const map = value as Record<string, unknown>;
    const keys = Object.keys(map);
    const key = keys[where % Math.max(1, keys.length)] ?? "x";
    if (depth < 6 && what % 4 !== 0) {
      return { ...map, [key]: changeValue(map[key], deeper, depth + 1) };
    }
    const { [key]: _gone, ...rest } = map;
    return how % 2 === 0 ? rest : { ...map, [`${key}x`]: odd };
  }
  return odd;
}
