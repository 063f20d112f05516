import * as reference from "@ipld/dag-cbor";
import { createDecipheriv, createHash, createHmac, createPrivateKey, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { toEntryId, toRecordId } from "../../src/codec/ids.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID } from "../../src/codec/cid.ts";
import { decodeDirective, directiveCid } from "../../src/consent/model/directive.ts";
import { describeResource } from "../../src/fhir/describe-resource.ts";
import { keyId } from "../../src/identity/actor.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import {
  decodeAccess,
  encodeAccess,
  type AccessContent,
} from "../../src/ledger/disclosure/access.ts";
import { decodeAttestation, signAttestation } from "../../src/ledger/disclosure/attestation.ts";
import { decodeAttestedKey, encodeAttestedKey } from "../../src/ledger/consents/attested-key.ts";
import { decodeFiledForm } from "../../src/ledger/consents/read-consents.ts";
import { decodeErasure, encodeErasure } from "../../src/ledger/erasure/erasure-entry.ts";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
} from "../../src/ledger/entries/manifest.ts";
import {
  createRequest,
  decodeRequest,
  decodeSealedRequest,
  decodeSignedRequest,
  requestAad,
} from "../../src/ledger/disclosure/request.ts";
import {
  commitToPerson,
  signDirective,
  standingOfSigned,
} from "../../src/ledger/consents/signed-directive.ts";
import { openVault } from "../../src/ledger/vault/vault.ts";
import {
  decodeWitness,
  standingOfWitnessed,
  witnessDirective,
} from "../../src/ledger/consents/witnessed-directive.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { encodeAlias } from "../../src/ledger/persons/aliases.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("disclosure.md");
const input = (label: string): Uint8Array => fromHex(page.value(label));
/** What the other implementation of the encoding reads and writes. */
const read = (bytes: Uint8Array): unknown => reference.decode(bytes);
const write = (value: unknown): Uint8Array => new Uint8Array(reference.encode(value));

const NEW_YEAR_2026 = 1_767_225_600_000;
const ledger = CID.parse(page.value("ledger"));
const requester = memorySigner({ alg: "Ed25519", secret: input("requester's secret") });
const custodian = memorySigner({ alg: "Ed25519", secret: input("custodian's secret") });
const patient = memorySigner({
  alg: "Ed25519",
  secret: input("patient's secret"),
  actor: "Patient/1",
});
const receiving = memoryAgreement({ alg: "X25519", secret: input("requester's X25519") });
const asked = memoryAgreement({ alg: "X25519", secret: input("custodian's X25519") });
const id = input("request id");
const local = input("local id");
const entry = new Uint8Array(32).fill(0xaa);
const identifier = { system: page.value("patient's identifier"), value: page.value("its value") };
const directive = specPage("directive.md").hex("directive");

const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

/** Signs by node:crypto alone. */
function signature(secret: Uint8Array, what: string, bytes: Uint8Array): string {
  const der = concatBytes(fromHex("302e020100300506032b657004220420"), secret);
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return sign(null, concatBytes(utf8ToBytes(`healthledger/${what}/1\0`), bytes), key).toString(
    "hex",
  );
}

describe("docs/spec/disclosure.md", () => {
  it("has the content of an alias", () => {
    const value = fromHex("000102030405060708090a0b0c0d0e0f");
    const bytes = reference.encode({ v: 1, with: "did:key:z6M", value });
    expect(toHex(page.hex("alias"))).toBe(toHex(bytes));
    const alias = { system: "urn:healthledger:alias", value: toHex(value) };
    expect(toHex(encodeAlias(alias, "did:key:z6M"))).toBe(toHex(bytes));
  });

  it("names the parties by the keys it says", () => {
    expect([requester.actor, custodian.actor]).toEqual([
      page.value("requester"),
      page.value("custodian"),
    ]);
  });

  it("shows the request that these inputs give, and its signature", async () => {
    const random = [id, input("ephemeral secret")];
    const made = await createRequest({
      patient: identifier,
      purposes: ["TREAT"],
      roles: [{ code: "physician", attestedBy: requester.actor }],
      query: { types: ["Observation"] },
      ledger,
      custodian: custodian.actor,
      custodianKey: asked,
      signer: requester,
      agreement: receiving,
      now: NEW_YEAR_2026,
      random: () => random.shift()!,
    });
    expect(toHex(made)).toBe(toHex(page.hex("signed-request")));
    const signed = decodeSignedRequest(made);
    expect(toHex(signed.request)).toBe(toHex(page.hex("request")));
    expect(toHex(signed.sig)).toBe(
      signature(input("requester's secret"), "request", signed.request),
    );
    expect(signed.key).toEqual(keyId("Ed25519", requester.publicKey));
  });

  it("shows a request whose fields are those of the table", () => {
    const fields = read(page.hex("request")) as Record<string, unknown>;
    const { sealed, ...rest } = fields;
    expect(rest).toEqual({
      v: 1,
      ledger,
      id,
      requester: requester.actor,
      custodian: custodian.actor,
      recipient: keyId("X25519", receiving.publicKey),
      roles: [{ code: "physician", attestedBy: requester.actor }],
      purposes: ["TREAT"],
      action: "access",
      query: { types: ["Observation"] },
      time: NEW_YEAR_2026,
      expires: NEW_YEAR_2026 + 300_000,
    });
    expect(write(fields)).toEqual(page.hex("request"));
    expect(decodeRequest(page.hex("request"))).toEqual({ ...rest, sealed });
  });

  it("shows what is sealed to the custodian, bound to this request", async () => {
    const { sealed } = decodeRequest(page.hex("request"));
    const aad = page.hex("external-aad");
    expect(aad).toEqual(write(["healthledger/request/1", ledger, id, custodian.actor]));
    expect(requestAad(ledger, id, custodian.actor)).toEqual(aad);
    const plaintext = await asked.unwrap(sealed, aad);
    expect(plaintext).toEqual(page.hex("sealed-request"));
    expect(plaintext).toEqual(write({ patient: identifier }));
    expect(decodeSealedRequest(plaintext)).toEqual({ patient: identifier });
    const elsewhere = write(["healthledger/request/1", ledger, id, requester.actor]);
    await expect(asked.unwrap(sealed, elsewhere)).rejects.toMatchObject({
      code: "ERR_ENVELOPE_DECRYPT",
    });
  });

  it("shows a manifest", () => {
    const manifest: Manifest = {
      v: 1,
      op: "amend",
      local,
      replaces: toEntryId(entry),
      mediaType: "application/fhir+json",
      resource: describeResource({
        resourceType: "Observation",
        id: "bp-1",
        status: "final",
        code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
        subject: { reference: "Patient/p1" },
        effectiveDateTime: "2025-11-03T10:15:00Z",
      }),
      labels: {
        codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
        stamp: { labeller: "healthledger", version: "1" },
      },
    };
    expect(toHex(encodeManifest(manifest))).toBe(toHex(page.hex("manifest")));
    expect(write({ ...manifest, replaces: entry })).toEqual(page.hex("manifest"));
    expect(decodeManifest(page.hex("manifest"))).toEqual(manifest);
  });

  it("shows who is entitled to what", () => {
    const entitled = [requester.actor];
    const erased = [{ entitled, ids: [entry] }];
    const manifest: Manifest = { v: 1, op: "erase", local, entitled, erased };
    expect(encodeManifest(manifest)).toEqual(page.hex("entitlements"));
    expect(write(manifest)).toEqual(page.hex("entitlements"));
    expect(decodeManifest(page.hex("entitlements"))).toEqual(manifest);
  });

  it("shows a signed directive and the attested key that makes it count", async () => {
    const bytes = page.hex("signed-directive");
    const salt = input("person's salt");
    const made = await signDirective(decodeDirective(directive), patient, {
      ...{ ledger, person: identifier, salt },
    });
    expect(toHex(made)).toBe(toHex(bytes));
    const map = read(bytes) as Record<string, Uint8Array>;
    // The commitment and the signature, by another encoder and by node:crypto.
    const about = sha256(concatBytes(salt, write([identifier.system, identifier.value])));
    const cid = directiveCid(decodeDirective(directive));
    const over = write([cid, ledger, about]);
    expect(map).toEqual({
      ...{ directive, ledger, about, alg: "Ed25519" },
      key: keyId("Ed25519", patient.publicKey),
      sig: fromHex(signature(input("patient's secret"), "directive", over)),
    });
    const form = decodeFiledForm(bytes);
    if (form.kind !== "signed") throw new Error("not signed");

    const key = decodeAttestedKey(page.hex("attested-key"));
    expect({ v: 1, ...key }).toEqual(read(page.hex("attested-key")));
    expect(encodeAttestedKey(key)).toEqual(page.hex("attested-key"));
    expect(key).toEqual({
      actor: "Patient/1",
      alg: "Ed25519",
      publicKey: patient.publicKey,
      capacity: "self",
      from: NEW_YEAR_2026,
    });
    const whom = { ledger, salt, identifiers: [identifier], keys: [key] };
    const standing = (at: number) => standingOfSigned(form, whom, at);
    expect(standing(NEW_YEAR_2026)).toBe("valid");
    expect(standing(NEW_YEAR_2026 - 1)).toHaveProperty("void");
  });

  it("shows the attested key by which a person receives", () => {
    const bytes = page.hex("attested-agree-key");
    // The public key of RFC 7748 §6.1's Alice.
    const publicKey = fromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    const said = { actor: "Patient/1", use: "agree", alg: "X25519", publicKey, capacity: "self" };
    expect(read(bytes)).toEqual({ v: 1, ...said });
    expect(decodeAttestedKey(bytes)).toEqual(said);
    expect(toHex(encodeAttestedKey(decodeAttestedKey(bytes)))).toBe(toHex(bytes));
  });

  it("shows a witnessed directive, signed as node:crypto signs it", async () => {
    const bytes = page.hex("witnessed-directive");
    const salt = input("person's salt");
    const about = sha256(concatBytes(salt, write([identifier.system, identifier.value])));
    expect(commitToPerson(salt, identifier)).toEqual(about);
    const form = utf8ToBytes(page.value("the form"));
    const witness = write({
      ...{ v: 1, ledger, by: custodian.actor, key: keyId("Ed25519", custodian.publicKey), about },
      ...{ user: "clerk-7", form: "paper", takenAt: NEW_YEAR_2026 },
      evidence: [sha256(concatBytes(input("form's salt"), form))],
    });
    expect(toHex(witness)).toBe(toHex(page.hex("witness")));
    const cid = directiveCid(decodeDirective(directive));
    const sig = signature(
      input("custodian's secret"),
      "witnessed-directive",
      write([cid, witness]),
    );
    expect(read(bytes)).toEqual({ directive, witness, alg: "Ed25519", sig: fromHex(sig) });
    expect(write(read(bytes))).toEqual(bytes);
    const told = decodeWitness(witness);
    const { by: _, v: __, key: ___, ...rest } = told;
    const made = await witnessDirective(decodeDirective(directive), custodian, rest);
    expect(toHex(made)).toBe(toHex(bytes));
    const filed = decodeFiledForm(bytes);
    if (filed.kind !== "witnessed") throw new Error("not witnessed");
    const whom = { ledger, salt, identifiers: [identifier] };
    const key = { alg: custodian.alg, publicKey: custodian.publicKey };
    expect(standingOfWitnessed(filed, whom, key)).toBe("valid");
    expect(standingOfWitnessed(filed, whom, undefined)).toHaveProperty("void");
    expect(
      standingOfWitnessed(filed, { ...whom, identifiers: [{ ...identifier, value: "2" }] }, key),
    ).toEqual({ void: "it was witnessed about another person" });
  });

  it("shows an attestation by the custodian of its own care team", async () => {
    const bytes = page.hex("attestation");
    const said = decodeAttestation(bytes);
    expect(said).toEqual(read(bytes));
    expect(write(said)).toEqual(bytes);
    expect(said).toMatchObject({
      by: custodian.actor,
      requester: requester.actor,
      user: "Practitioner/7",
      memberOf: "CareTeam/17",
      from: NEW_YEAR_2026,
    });
    const { v: _, by: __, ...rest } = said;
    const signed = page.hex("signed-attestation");
    expect(toHex(await signAttestation(rest, custodian))).toBe(toHex(signed));
    expect(read(signed)).toEqual({
      attestation: bytes,
      key: keyId("Ed25519", custodian.publicKey),
      alg: "Ed25519",
      sig: fromHex(signature(input("custodian's secret"), "attestation", bytes)),
    });
  });

  it("shows the content of an access entry", () => {
    const content: AccessContent = {
      v: 1,
      request: id,
      requester: requester.actor,
      roles: ["physician"],
      purposes: ["TREAT"],
      action: "access",
      decidedAt: NEW_YEAR_2026 + 1500,
      height: 6,
      snapshot: ledger,
      items: [
        { record: toRecordId(entry), entry, type: "Observation", outcome: "permit", ground: 0 },
      ],
      grounds: [
        {
          reasons: [
            {
              kind: "rule",
              layer: "patient",
              purpose: "TREAT",
              directive: directiveCid(decodeDirective(directive)),
              path: ["care"],
              effect: "permit",
              matchedOn: ["purpose"],
              unknown: [],
              codes: [],
            },
          ],
          obligations: [],
          refrains: [],
        },
      ],
    };
    expect(toHex(encodeAccess(content))).toBe(toHex(page.hex("access")));
    expect(write(content)).toEqual(page.hex("access"));
    expect(decodeAccess(page.hex("access"))).toEqual(content);
  });

  it("shows the content of an erase entry", () => {
    const reason = "asked for by the patient";
    const bytes = page.hex("erasure");
    expect(encodeErasure({ class: "clinical", targets: [entry], reason })).toEqual(bytes);
    expect(read(bytes)).toEqual({ v: 1, class: "clinical", targets: [entry], reason });
    const erasure = { class: "clinical", targets: [entry], reason };
    expect(decodeErasure(bytes)).toEqual({ ...erasure, forget: false, more: false });
    for (const flags of [{ forget: true }, { more: true }]) {
      const flagged = { ...erasure, forget: false, more: false, ...flags };
      expect(decodeErasure(write({ v: 1, ...erasure, ...flags }))).toEqual(flagged);
      expect(encodeErasure(flagged as never)).toEqual(write({ v: 1, ...erasure, ...flags }));
    }
  });

  it("shows a vault's root, a name and a value, by node:crypto and by the vault", async () => {
    // HKDF-Expand for one block: HMAC(root, info ‖ 01).
    const expand = (info: string) =>
      createHmac("sha256", input("root key")).update(`${info}\x01`).digest("hex");
    expect(expand("healthledger/vault/1 names")).toBe(page.value("name key"));
    expect(expand("healthledger/vault/1 values")).toBe(page.value("value key"));
    const names = page.hex("vault-name-input");
    expect(read(names)).toEqual(["identifier", identifier.system, identifier.value]);
    const name = createHmac("sha256", input("name key")).update(names).digest();
    expect(name.toString("hex")).toBe(page.value("name"));

    const value = page.hex("vault-value");
    expect(value.subarray(0, 12)).toEqual(input("nonce"));
    const tag = value.length - 16;
    const decipher = createDecipheriv("chacha20-poly1305", input("value key"), input("nonce"), {
      authTagLength: 16,
    });
    decipher.setAAD(name, { plaintextLength: tag - 12 });
    decipher.setAuthTag(value.subarray(tag));
    const opened = Buffer.concat([decipher.update(value.subarray(12, tag)), decipher.final()]);
    expect(opened.toString("hex")).toBe(page.value("local id"));

    const prefix = concatBytes(
      utf8ToBytes("vault/"),
      createHash("sha256").update(ledger.bytes).update(custodian.actor).digest().subarray(0, 16),
    );
    expect(concatBytes(prefix, Uint8Array.of(1), name)).toEqual(page.hex("vault-key"));
    expect(concatBytes(prefix, Uint8Array.of(0))).toEqual(page.hex("vault-root-key"));
    const root = read(page.hex("vault-root")) as Record<
      "key" | "message" | "signer" | "sig",
      Uint8Array
    >;
    expect(root.key).toEqual(keyId("X25519", asked.publicKey));
    const aad = write(["healthledger/vault/1", ledger, custodian.actor]);
    expect(await asked.unwrap(root.message, aad)).toEqual(input("root key"));
    expect(root.signer).toEqual(custodian.key);
    expect(toHex(root.sig)).toBe(
      signature(input("custodian's secret"), "vault", write([aad, root.key, root.message])),
    );

    const storage = memoryStorage();
    await storage.state.batch([
      { key: page.hex("vault-root-key"), value: page.hex("vault-root") },
      { key: page.hex("vault-key"), value },
    ]);
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret: input("custodian's secret") });
    await keys.add({ use: "agree", secret: input("custodian's X25519") });
    const random = [input("nonce")];
    const vault = await openVault({
      hasFiled: async () => false,
      storage,
      keys,
      ledger,
      actor: custodian.actor,
      random: () => random.shift()!,
    });
    const named = vault.name("identifier", identifier.system, identifier.value);
    expect(await vault.get(named)).toEqual(local);
    expect(vault.put(named, local)).toEqual({ key: page.hex("vault-key"), value });
  });
});
