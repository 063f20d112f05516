import { randomBytes } from "#crypto";
import { assertBytes, isPlainObject } from "../bytes/guards.ts";
import { encodeGenesis, type Genesis } from "../block/genesis.ts";
import { MAX_APPROVALS } from "../block/limits.ts";
import type { MemberDescription, Role } from "../block/member.ts";
import type { LedgerPolicy, Quorum } from "../block/policy.ts";
import { verifyDescription } from "../chain/description.ts";
import { describeMember, type MemberKeys } from "../chain/founding.ts";
import { genesisState } from "../chain/genesis-state.ts";
import { ChainError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";

/** A member whose keys this process holds. */
export interface FoundingMember {
  /**
   * A key store, whose keys in use are all announced; or signers and public keys, for instance of an HSM.
   */
  readonly keys: KeyStore | MemberKeys;
  /** Default: `custodian` and `sequencer`, which keep records and may write to the ledger. */
  readonly roles?: readonly Role[];
}

/** Parties whose keys cosign checkpoints, and how many of them must. */
export interface Cosigners {
  readonly of: readonly {
    /** Name on the cosignature, like `witness.example.org/1`. */
    readonly name: string;
    /** Ed25519, 32 bytes. */
    readonly publicKey: Uint8Array;
  }[];
  /**
   * Default: more than half, so that two histories cannot both have enough unless a cosigner signs
   * both. 0: their cosignatures are reported, but none is needed.
   */
  readonly required?: number;
  /**
   * Must be `true`, and is recorded on the ledger, if at most half of them are required: two
   * histories can then both have enough, without any cosigner at fault.
   */
  readonly minority?: true;
}

/** Options of {@link createGenesis}. */
export interface CreateGenesisOptions {
  /** Name on the ledger's checkpoints, like `history.example.org/2026`. */
  readonly origin: string;
  /**
   * The founders: members whose keys this process holds, and the bytes in which other organisations
   * described themselves, by `signDescription`, for this {@link nonce}.
   */
  readonly members: readonly (FoundingMember | Uint8Array)[];
  /** Distinct members that must approve a change of members or rules. Default: more than half. */
  readonly threshold?: number;
  /**
   * The parties that must cosign a checkpoint before it counts. Validators check every rule; witnesses
   * attest that one history extends the other. Default `"none"`: a single organisation that orders blocks
   * could then show two histories to two readers, and is convicted only once they compare.
   */
  readonly cosignatures?:
    "none" | { readonly validators?: Cosigners; readonly witnesses?: Cosigners };
  /** Ed25519 keys that sign checkpoints. Default: every checkpoint key of members that order blocks. */
  readonly checkpointKeys?: readonly Uint8Array[];
  /** How far a clock may be ahead, in ms. Default one minute. */
  readonly maxDrift?: number;
  /** How long a signed transaction may wait for its block, in ms. Default ten minutes. */
  readonly maxTxAge?: number;
  /** Kinds of entries beyond the built-in ones. Default: none. */
  readonly kinds?: LedgerPolicy["kinds"];
  /** Contracts of the ledger. Default: none. */
  readonly contracts?: LedgerPolicy["contracts"];
  /**
   * 32 random bytes that keep two ledgers of the same founders apart. Default: fresh ones; needed
   * if another organisation describes itself beforehand.
   */
  readonly nonce?: Uint8Array;
}

const OPTIONS: Readonly<Record<keyof CreateGenesisOptions, true>> = {
  origin: true,
  members: true,
  threshold: true,
  cosignatures: true,
  checkpointKeys: true,
  maxDrift: true,
  maxTxAge: true,
  kinds: true,
  contracts: true,
  nonce: true,
};

const MEMBER: Readonly<Record<keyof FoundingMember, true>> = { keys: true, roles: true };
const GROUPS = { validators: true, witnesses: true } as const;
const COSIGNERS: Readonly<Record<keyof Cosigners, true>> = {
  of: true,
  required: true,
  minority: true,
};

/** Roles of a member for which none are given. */
const DEFAULT_ROLES: readonly Role[] = ["custodian", "sequencer"];

/**
 * Makes the record that founds a ledger, with proof that each member holds the keys it announces.
 * The record's CID names the ledger: every member must open the ledger with exactly these bytes.
 *
 * @returns the genesis record, for `openLedger`
 * @throws {TypeError} for an unknown option, also within another one, and for `cosignatures` that
 *   name neither validators nor witnesses
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when the record would contradict itself, or a custodian has
 *   no agreement key
 * @throws {DescriptionRefused} when a description is not believed, for instance because it was made for
 *   another nonce
 * @throws {EncodingError} when a field is not of its form
 * @example
 * const genesis = await createGenesis({
 *   origin: "history.example/first",
 *   members: [{ keys: hospital }, { keys: clinic }],
 * });
 */
export async function createGenesis(options: CreateGenesisOptions): Promise<Uint8Array> {
  assertKnown(options, OPTIONS, "createGenesis");
  const nonce = options.nonce === undefined ? randomBytes(32) : options.nonce.slice();
  assertBytes(nonce, "nonce", 32);
  const members: MemberDescription[] = [];
  for (const member of options.members) {
    members.push(
      member instanceof Uint8Array
        ? verifyDescription(member, nonce).member
        : await describeFounder(member, nonce),
    );
  }
  // Checked first: the later error, about keys that occur twice, would be less clear.
  if (new Set(members.map(({ actor }) => actor)).size < members.length) {
    throw new ChainError("ERR_CHAIN_GENESIS", "a member is listed twice");
  }
  for (const { roles, keys } of members) {
    if (roles.includes("custodian") && !keys.some(({ use }) => use === "agree")) {
      throw new ChainError("ERR_CHAIN_GENESIS", "a custodian needs an agreement key");
    }
  }
  const { validators, witnesses } = cosignersOf(options.cosignatures ?? "none");
  const genesis: Genesis = {
    v: 1,
    origin: options.origin,
    nonce,
    members,
    // No change may carry more approvals than that.
    threshold: options.threshold ?? Math.min(moreThanHalf(members.length), MAX_APPROVALS),
    checkpointKeys: options.checkpointKeys ?? checkpointKeysOf(members),
    cosignaturePolicy: { validators: quorumOf(validators), witnesses: quorumOf(witnesses) },
    maxDrift: options.maxDrift ?? 60_000,
    maxTxAge: options.maxTxAge ?? 600_000,
    kinds: options.kinds ?? [],
    contracts: options.contracts ?? [],
  };
  const bytes = encodeGenesis(genesis);
  // Checks the proofs of possession, as everyone who opens the ledger does.
  genesisState(genesis);
  return bytes;
}

const moreThanHalf = (count: number): number => Math.floor(count / 2) + 1;

function checkpointKeysOf(members: readonly MemberDescription[]): Uint8Array[] {
  return members
    .filter(({ roles }) => roles.includes("sequencer"))
    .flatMap(({ keys }) => keys.filter(({ use }) => use === "checkpoint"))
    .map(({ publicKey }) => publicKey);
}

async function describeFounder(
  member: FoundingMember,
  nonce: Uint8Array,
): Promise<MemberDescription> {
  assertKnown(member, MEMBER, "a founding member");
  return describeMember(member.keys, member.roles ?? DEFAULT_ROLES, nonce);
}

type CosignerGroups = Exclude<CreateGenesisOptions["cosignatures"], "none" | undefined>;

/** The groups that must cosign. An object that names no group is refused, not taken for `"none"`. */
function cosignersOf(cosignatures: "none" | CosignerGroups): CosignerGroups {
  if (cosignatures === "none") return {};
  assertKnown(cosignatures, GROUPS, "cosignatures");
  const { validators, witnesses } = cosignatures;
  if (validators === undefined && witnesses === undefined) {
    throw new TypeError('cosignatures must be "none", or have validators or witnesses');
  }
  return cosignatures;
}

function quorumOf(cosigners: Cosigners | undefined): Quorum {
  if (cosigners === undefined) return { required: 0, keys: [] };
  assertKnown(cosigners, COSIGNERS, "a group of cosigners");
  const { of, required = moreThanHalf(of.length) } = cosigners;
  const keys = of.map(({ name, publicKey }) => ({ name, publicKey }));
  return {
    required,
    keys,
    ...(cosigners.minority === undefined ? {} : { minority: cosigners.minority }),
  };
}

/** Refuses unknown names: a misspelt option would count as absent, and its default would apply. */
function assertKnown(given: unknown, known: Readonly<Record<string, true>>, what: string): void {
  if (!isPlainObject(given)) throw new TypeError(`${what} must be a plain object`);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(known, name)) throw new TypeError(`${what} has no option ${name}`);
  }
}
