import type { CID } from "multiformats/cid";
import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import { ChainError } from "../errors.ts";
import { keyId, parseActor } from "../identity/actor.ts";
import { equalBytes } from "../bytes/compare.ts";
import { MAX_GENESIS_BYTES, MAX_MEMBERS } from "./limits.ts";
import { expectMember, memberFields, type MemberDescription } from "./member.ts";
import {
  expectKeyName,
  expectPolicy,
  policyFields,
  POLICY_FIELDS,
  type LedgerPolicy,
} from "./policy.ts";
import { toHex } from "../bytes/hex.ts";

/** The record that founds a ledger; its CID is the ledger's id. */
export interface Genesis extends LedgerPolicy {
  readonly v: 1;
  /** Name on the ledger's checkpoints, like `history.example.org/2026`. */
  readonly origin: string;
  /** 32 random bytes that distinguish two ledgers of the same founders. */
  readonly nonce: Uint8Array;
  readonly members: readonly MemberDescription[];
}

/**
 * Writes a genesis record.
 *
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when its values contradict one another
 * @example
 * const bytes = encodeGenesis(decodeGenesis(genesis)); // equal to genesis
 */
export function encodeGenesis(genesis: Genesis): Uint8Array {
  const members = genesis.members.map(memberFields);
  const bytes = encode({ ...policyFields(genesis), members });
  decodeGenesis(bytes);
  return bytes;
}

/**
 * Decodes a genesis record and checks that it can found a ledger.
 *
 * @throws {EncodingError} when the bytes are not a genesis record
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when its values contradict one another
 * @example
 * const { origin, members } = decodeGenesis(genesis);
 * members.map(({ actor, roles }) => `${actor}: ${[...roles].join(", ")}`);
 */
export function decodeGenesis(bytes: Uint8Array): Genesis {
  const fields = expectMap(
    decode(bytes, { maxBytes: MAX_GENESIS_BYTES, maxDepth: 8, maxItems: 200_000 }),
    "genesis",
    ["v", "origin", "nonce", "members", ...POLICY_FIELDS],
  );
  expectVersion(fields["v"], "genesis");
  const genesis: Genesis = {
    v: 1,
    origin: expectKeyName(fields["origin"], "genesis.origin"),
    nonce: expectBytes(fields["nonce"], "genesis.nonce", 32),
    members: expectArray(fields["members"], "genesis.members", MAX_MEMBERS).map((member) =>
      expectMember(member, "genesis.members"),
    ),
    ...expectPolicy(fields, "genesis"),
  };
  checkGenesis(genesis);
  return genesis;
}

/**
 * The id of the ledger that a genesis record founds.
 *
 * @example
 * ledgerId(genesis).toString(); // to compare with the other members
 */
export function ledgerId(genesis: Uint8Array): CID {
  return cidOf(genesis, DAG_CBOR);
}

/** Whether the first of a member's signing keys is the key that its did:key encodes. */
export function namesItsKey(member: MemberDescription): boolean {
  const named = parseActor(member.actor);
  const first = member.keys.find((key) => key.use === "sign");
  return (
    first !== undefined && first.alg === named.alg && equalBytes(first.publicKey, named.publicKey)
  );
}

function checkGenesis(genesis: Genesis): void {
  const refuse = (why: string): never => {
    throw new ChainError("ERR_CHAIN_GENESIS", `the genesis record ${why}`);
  };
  const actors = new Set<string>();
  const keys = new Set<string>();
  for (const member of genesis.members) {
    if (actors.has(member.actor)) refuse("names a member twice");
    actors.add(member.actor);
    if (!namesItsKey(member))
      refuse("lists a member whose first signing key is not the one that its did:key encodes");
    for (const key of member.keys) {
      const id = toHex(keyId(key.alg, key.publicKey));
      if (keys.has(id)) refuse("lists a key twice");
      keys.add(id);
      if ((key.proof === undefined) !== (key.use === "agree")) {
        refuse("lists a key without its proof of possession");
      }
      const isListed = genesis.checkpointKeys.some((pub) => equalBytes(pub, key.publicKey));
      const signsCheckpoints = key.use === "checkpoint" && member.roles.includes("sequencer");
      if (isListed && !signsCheckpoints) {
        refuse("lists a checkpoint key that is also another key, or not a sequencer's");
      }
    }
  }
  if (genesis.threshold > genesis.members.length)
    refuse("requires more approvals than it has members");
  if (!genesis.members.some((member) => member.roles.includes("sequencer"))) {
    refuse("has no member that may order blocks");
  }
  if (genesis.checkpointKeys.length === 0) refuse("has no checkpoint key");
}
