import { toHex } from "../../src/bytes/hex.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { encodeGenesis } from "../../src/block/genesis.ts";
import type { Role } from "../../src/block/member.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { extendLabelRules } from "../../src/consent/labels/label-rules.ts";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  type Labeller,
} from "../../src/consent/labels/labeller.ts";
import type { Directive, Rule } from "../../src/consent/model/model.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { bytesFor, START } from "./ledger.ts";

/** A key store whose keys are fixed by a name. */
export async function keysFor(name: string): Promise<KeyStore> {
  const keys = memoryKeys();
  await keys.add({ use: "sign", secret: bytesFor(`${name} sign`) });
  await keys.add({ use: "checkpoint", secret: bytesFor("checkpoint") });
  await keys.add({ use: "agree", secret: bytesFor(`${name} agree`) });
  return keys;
}

export interface World {
  readonly genesis: Uint8Array;
  readonly storage: StorageAdapter;
  readonly clock: { now: number };
  readonly hospitalA: KeyStore;
  readonly hospitalB: KeyStore;
  readonly institute: KeyStore;
  readonly patient: Signer;
  readonly open: (options?: Partial<OpenLedgerOptions>) => Promise<Ledger>;
}

/** Knows that what tests measure of a patient, blood pressure and glucose, is not sensitive. */
export const LABELLER: Labeller = createLabeller(
  extendLabelRules(DEFAULT_LABEL_RULES, {
    name: "hospital-a",
    version: "1",
    notSensitive: [{ codes: { "http://loinc.org": ["8480-6", "2339-0"] } }],
  }),
);

async function genesisOf(
  hospitalA: KeyStore,
  hospitalB: KeyStore,
  institute: KeyStore,
): Promise<Uint8Array> {
  const nonce = bytesFor("world");
  const member = (keys: KeyStore, roles: readonly Role[]) =>
    describeMember({ sign: [keys.signer()], agree: [keys.agreement()] }, roles, nonce);
  return encodeGenesis({
    v: 1,
    origin: "history.example/test",
    nonce,
    members: [
      await member(hospitalA, ["custodian", "sequencer"]),
      await member(hospitalB, ["custodian", "sequencer"]),
      await member(institute, ["auditor"]),
    ],
    threshold: 2,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [hospitalA.signer("checkpoint").publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    kinds: [],
    contracts: [],
  });
}

let worldGenesis: Uint8Array | undefined;

/** Three organisations found a ledger; hospital A keeps the records. */
export async function foundWorld(storage: StorageAdapter = memoryStorage()): Promise<World> {
  const [hospitalA, hospitalB, institute] = await Promise.all(
    ["hospital a", "hospital b", "institute"].map(keysFor),
  );
  // The same bytes every time: keys and nonce are fixed by their names.
  worldGenesis ??= await genesisOf(hospitalA!, hospitalB!, institute!);
  const genesis = worldGenesis.slice();
  const clock = { now: START };
  return {
    genesis,
    storage,
    clock,
    hospitalA: hospitalA!,
    hospitalB: hospitalB!,
    institute: institute!,
    patient: memorySigner({ alg: "Ed25519", secret: bytesFor("patient") }),
    open: (options = {}) =>
      openLedger({
        ...{ storage, keys: hospitalA!, genesis },
        now: () => clock.now,
        ...options,
        policy: { labeller: LABELLER, ...options.policy },
      }),
  };
}

/** Describes a member who holds records and appends blocks, with its newest keys. */
export const custodianOf = (keys: KeyStore, nonce: Uint8Array): ReturnType<typeof describeMember> =>
  describeMember(
    { sign: [keys.signer()], agree: [keys.agreement()] },
    ["custodian", "sequencer"],
    nonce,
  );

/** A rule without rules of its own, as the root of a directive. */
export const rootRule = (effect: Rule["effect"], when: Rule["when"]): Rule => ({
  id: "root",
  effect,
  combine: "deny-overrides",
  when,
});

/** Permits treatment except what is labelled mental health or substance use; denies research. */
export function treatmentOnly(patient: Signer, change: Partial<Directive> = {}): Directive {
  const rule = (rule: Partial<Rule> & Pick<Rule, "id" | "effect">): Rule => ({
    combine: "deny-overrides",
    when: {},
    ...rule,
  });
  const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
  return {
    v: 1,
    lineage: "privacy",
    predecessors: [],
    mode: "replace",
    grantor: { actor: patient.actor, capacity: "self", evidence: [] },
    category: "patient-privacy",
    basis: { uri: "https://example.org/policy", version: "1" },
    validity: { from: START - 1000, zone: "UTC" },
    default: "deny",
    root: rule({
      id: "root",
      effect: "deny",
      rules: [
        rule({
          id: "treatment",
          effect: "permit",
          when: { purposes: ["TREAT"] },
          rules: [
            rule({
              id: "sensitive",
              effect: "deny",
              when: {
                data: {
                  labels: [
                    { system: actCode, code: "ETH" },
                    { system: actCode, code: "PSY" },
                  ],
                },
              },
            }),
          ],
        }),
      ],
    }),
    ...change,
  };
}

export const MRN = { system: "urn:oid:1.2.36.146.595.217.0.1", value: "MRN-0012345" };

/** A FHIR Observation of blood pressure, with decimals that must survive. */
export const observation = (id: string, value = "107.50"): string =>
  `{"resourceType":"Observation","id":"${id}","status":"final",` +
  `"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},` +
  `"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2025-11-03T10:15:00Z",` +
  `"valueQuantity":{"value":${value},"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`;

/** A FHIR Condition: alcohol dependence. */
export const alcoholDependence = (id: string): string =>
  `{"resourceType":"Condition","id":"${id}",` +
  `"code":{"coding":[{"system":"http://snomed.info/sct","code":"66590003"},` +
  `{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"F10.20"}]},` +
  `"subject":{"reference":"Patient/p1"},"onsetDateTime":"2019-04-01"}`;

/** Every key and value of a state store, in hexadecimal, one behind the other. */
export async function bytesOfState({ state }: StorageAdapter): Promise<string> {
  let all = "";
  const everything = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
  for await (const { key, value } of state!.scan(everything)) {
    all += `${toHex(key)} ${toHex(value)}\n`;
  }
  return all;
}
