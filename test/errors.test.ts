import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { toRecordId, type RecordId } from "../src/codec/ids.ts";
import { decodeGenesis, encodeGenesis } from "../src/block/genesis.ts";
import { openChain } from "../src/chain/open-chain.ts";
import { encodeDirective } from "../src/consent/model/directive.ts";
import { defaultTerminology, extendTerminology } from "../src/consent/terminology/terminology.ts";
import * as errors from "../src/errors.ts";
import { openVault } from "../src/ledger/vault/vault.ts";
import { memoryStorage } from "../src/storage/memory.ts";
import { foundWorld, MRN, observation, treatmentOnly } from "./support/hospital.ts";

const { ConsentError, ChainError, InputError, LedgerError, StorageError } = errors;

/** What a call throws or rejects with. */
async function thrown(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("LedgerError", () => {
  const cause = new Error("underneath");
  const options = { cause };
  // Each with a code of its own, which its type takes.
  const made: readonly (readonly [string, string, errors.LedgerError])[] = [
    ["InputError", "ERR_INPUT_INVALID", new InputError("ERR_INPUT_INVALID", "why", options)],
    [
      "EncodingError",
      "ERR_ENCODING_SHAPE",
      new errors.EncodingError("ERR_ENCODING_SHAPE", "why", options),
    ],
    [
      "ContractError",
      "ERR_CONTRACT_UNAVAILABLE",
      new errors.ContractError("ERR_CONTRACT_UNAVAILABLE", "why", options),
    ],
    [
      "SignatureError",
      "ERR_SIGNATURE_KEY",
      new errors.SignatureError("ERR_SIGNATURE_KEY", "why", options),
    ],
    ["ChainError", "ERR_CHAIN_BUSY", new ChainError("ERR_CHAIN_BUSY", "why", options)],
    ["ProofError", "ERR_PROOF_RANGE", new errors.ProofError("ERR_PROOF_RANGE", "why", options)],
    [
      "EnvelopeError",
      "ERR_ENVELOPE_DECRYPT",
      new errors.EnvelopeError("ERR_ENVELOPE_DECRYPT", "why", options),
    ],
    [
      "ConsentError",
      "ERR_CONSENT_REQUEST",
      new ConsentError("ERR_CONSENT_REQUEST", "why", options),
    ],
    [
      "RecordError",
      "ERR_RECORD_ERASED",
      new errors.RecordError("ERR_RECORD_ERASED", "why", options),
    ],
    ["StorageError", "ERR_STORAGE_CLOSED", new StorageError("ERR_STORAGE_CLOSED", "why", options)],
    [
      "TransportError",
      "ERR_TRANSPORT_FAILED",
      new errors.TransportError("ERR_TRANSPORT_FAILED", "why", options),
    ],
    [
      "WorkerError",
      "ERR_WORKER_FAILED",
      new errors.WorkerError("ERR_WORKER_FAILED", "why", options),
    ],
  ];

  it("is what these families extend", () => {
    const families = Object.keys(errors).filter((name) => name !== "LedgerError");
    expect(families.sort()).toEqual(made.map(([name]) => name).sort());
  });

  it.each(made)("is what %s extends, with its code and its cause", (name, code, error) => {
    expect(error).toBeInstanceOf(LedgerError);
    expect(error).toMatchObject({ name, code, message: "why", cause });
  });
});

describe("names of errors", () => {
  it("survive a minifier that renames classes", async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `export * from "./errors.ts"; export * from "./storage/errors.ts";
          export { TransactionRefused } from "./chain/submission.ts";`,
        resolveDir: fileURLToPath(new URL("../src", import.meta.url)),
      },
      ...{ bundle: true, minify: true, write: false, format: "esm", target: "es2022" },
    });
    const code = Buffer.from(outputFiles[0]!.contents).toString("base64");
    const minified = (await import(`data:text/javascript;base64,${code}`)) as typeof errors;
    const classes = Object.entries(minified);
    expect(classes.length).toBeGreaterThanOrEqual(12);
    // they are renamed indeed
    expect(classes.some(([name, Class]) => Class.name !== name)).toBe(true);
    for (const [name, Class] of classes) {
      const error = new (Class as typeof LedgerError)("ERR_INPUT_INVALID", "why");
      expect(error.name).toBe(name);
      expect(String(error)).toMatch(new RegExp(`^${name}: `));
    }
  });
});

describe("codes", () => {
  it("ERR_INPUT_UNSUPPORTED: a blob under a name that no store takes", async () => {
    const cid = CID.parse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n");
    const { blobs } = memoryStorage();
    const error = await thrown(() => blobs.put([{ cid, bytes: new Uint8Array(1) }]));
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
  });

  it("ERR_CHAIN_GENESIS: a member with a key it does not prove to hold, or none that orders", async () => {
    const { genesis: bytes } = await foundWorld();
    const genesis = decodeGenesis(bytes);
    const nobody = { ...genesis, members: genesis.members.slice(2), threshold: 1 };
    const error = await thrown(() => encodeGenesis(nobody));
    expect(error).toBeInstanceOf(ChainError);
    expect(error).toMatchObject({ code: "ERR_CHAIN_GENESIS" });

    const unproved = encodeGenesis({
      ...genesis,
      members: genesis.members.map((member) => ({
        ...member,
        keys: member.keys.map((key) =>
          key.proof === undefined ? key : { ...key, proof: new Uint8Array(64).fill(1) },
        ),
      })),
    });
    expect(
      await thrown(() => openChain({ storage: memoryStorage(), genesis: unproved })),
    ).toMatchObject({ code: "ERR_CHAIN_GENESIS" });
  });

  it("ERR_CONSENT_INVALID: a directive that contradicts itself, or that would be void", async () => {
    const { patient, hospitalB, open } = await foundWorld();
    const directive = treatmentOnly(patient);
    const root = directive.root!;
    const twice = { ...directive, root: { ...root, rules: [root] } };
    const error = await thrown(() => encodeDirective(twice));
    expect(error).toBeInstanceOf(ConsentError);
    expect(error).toMatchObject({ code: "ERR_CONSENT_INVALID" });

    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    await hl.consent(me, directive, { signer: patient });
    const stranger = hospitalB.signer();
    const other = treatmentOnly(stranger, { lineage: "another" });
    const before = hl.chain.size;
    expect(await thrown(() => hl.consent(me, other, { signer: stranger }))).toMatchObject({
      code: "ERR_CONSENT_INVALID",
      message: expect.stringContaining("not attested"),
    });
    expect(hl.chain.size).toBe(before);
    await hl.close();
  });

  it("ERR_CONSENT_TERMINOLOGY: an addition that redefines a code", async () => {
    const addition = { name: "x", version: "1", purposes: { TREAT: ["other"] as const } };
    const error = await thrown(() => extendTerminology(defaultTerminology().data, addition));
    expect(error).toMatchObject({ code: "ERR_CONSENT_TERMINOLOGY" });
  });

  it("ERR_CONSENT_REQUEST: a request by a requester who is not a member", async () => {
    const { patient, hospitalB, open } = await foundWorld();
    const hl = await open();
    const stranger = { signer: patient, agreement: hospitalB.agreement() };
    expect(
      await thrown(() => hl.request(stranger, { patient: MRN, purposes: ["TREAT"] })),
    ).toMatchObject({
      code: "ERR_CONSENT_REQUEST",
      message: expect.stringContaining("unknown-requester"),
    });
    await hl.close();
  });

  it("ERR_RECORD_NOT_FOUND: a record that this custodian does not have", async () => {
    const { open } = await foundWorld();
    const hl = await open();
    const error = await thrown(() => hl.read(toRecordId(randomBytes(32))));
    expect(error).toBeInstanceOf(errors.RecordError);
    expect(error).toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    await hl.close();
  });

  it("ERR_STORAGE_PENDING: a person whose erasure could not be carried out", async () => {
    const inner = memoryStorage();
    let allowed = true;
    const remove = inner.blobs.delete;
    inner.blobs.delete = async (cids) => {
      if (!allowed) throw new StorageError("ERR_STORAGE_FAILED", "not for this role");
      await remove(cids);
    };
    const { open } = await foundWorld(inner);
    const hl = await open();
    const person = await hl.ensureSubject(MRN);
    await hl.record(person, { resourceType: "Basic", code: { text: "x" } });
    allowed = false;
    expect(await thrown(() => hl.erase(person, { all: true, reason: "x" }))).toMatchObject({
      code: "ERR_STORAGE_PENDING",
    });
    expect(await thrown(() => hl.records(person))).toMatchObject({ code: "ERR_STORAGE_PENDING" });
    await hl.close();
  });

  it("ERR_STORAGE_CONFLICT and ERR_STORAGE_LIMIT: an append elsewhere, and one too large", async () => {
    const { chains } = memoryStorage({ maxBatch: 2 });
    const record = Uint8Array.of(1);
    const nowhere = { size: 1, hash: new Uint8Array(32) };
    expect(await thrown(() => chains.append("a", nowhere, [record]))).toMatchObject({
      code: "ERR_STORAGE_CONFLICT",
    });
    const empty = { size: 0, hash: null };
    expect(await thrown(() => chains.append("a", empty, [record, record, record]))).toMatchObject({
      code: "ERR_STORAGE_LIMIT",
    });
  });

  it("ERR_STORAGE_CORRUPT: a sealed value that was changed in the store", async () => {
    const { hospitalA, genesis, open } = await foundWorld();
    const hl = await open();
    const { id: ledger, member: actor } = hl;
    await hl.close();
    const storage = memoryStorage();
    const vault = await openVault({
      hasFiled: async () => false,
      storage,
      keys: hospitalA,
      ledger,
      actor,
      random: randomBytes,
    });
    const name = vault.name("test");
    const { key, value } = vault.put(name, genesis);
    const changed = value!.slice();
    changed[20]! ^= 1;
    await storage.state.batch([{ key, value: changed }]);
    expect(await thrown(() => vault.get(name))).toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("never carry what a caller gave as data", async () => {
    const { open, hospitalB } = await foundWorld();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const secret = "Zebulon Quarterstaff";
    const bad = observation("x").replace('"status":"final"', `"note":"${secret}",`);
    const messages = [
      await thrown(() => hl.record(me, bad)),
      await thrown(() => hl.ensureSubject({ system: "", value: secret })),
      await thrown(() => hl.read(secret as RecordId)),
      await thrown(() =>
        hl.request(
          { signer: hospitalB.signer(), agreement: hospitalB.agreement() },
          { patient: { system: "", value: secret }, purposes: ["TREAT"] },
        ),
      ),
    ];
    for (const error of messages) expect(String(error)).not.toContain(secret);
    await hl.close();
  });
});
