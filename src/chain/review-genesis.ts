import type { CID } from "multiformats/cid";
import { decodeGenesis, ledgerId } from "../block/genesis.ts";
import { memberFields } from "../block/member.ts";
import type { Quorum } from "../block/policy.ts";
import { equalBytes } from "../bytes/compare.ts";
import { encode } from "../codec/dag-cbor.ts";
import { ChainError } from "../errors.ts";
import { verifyDescription } from "./description.ts";
import { genesisState } from "./genesis-state.ts";

/** A genesis record as its founders should look at it before they open the ledger. */
export interface ReviewedGenesis {
  /** The ledger's name, which all founders compare over another channel. */
  readonly ledger: CID;
  /** What they found, one sentence a line. */
  readonly lines: readonly string[];
}

/**
 * Holds a genesis record against what the founders said of themselves: each of them calls this before it
 * opens the ledger, with the descriptions that it got from the others and its own.
 *
 * @param descriptions - by `signDescription`, of exactly the members that the record should have
 * @throws {EncodingError} or {ChainError} `ERR_CHAIN_GENESIS` when the bytes are no genesis record, or
 *   its members are not those described
 * @throws {DescriptionRefused} when a description is not believed
 * @example
 * const { ledger, lines } = reviewGenesis(genesis, [ours, theirs]);
 * for (const line of lines) console.log(line);
 * console.log(`Compare over the telephone: ${ledger}`);
 */
export function reviewGenesis(
  genesis: Uint8Array,
  descriptions: readonly Uint8Array[],
): ReviewedGenesis {
  const decoded = decodeGenesis(genesis);
  genesisState(decoded);
  const described = descriptions.map((bytes) => verifyDescription(bytes, decoded.nonce));
  const lines = decoded.members.map((member) => {
    const found = described.find((one) => one.member.actor === member.actor);
    if (found === undefined) throw differs("has a member that did not describe itself");
    if (!equalBytes(encode(memberFields(member)), encode(memberFields(found.member)))) {
      throw differs("gives a member other roles or keys than it described");
    }
    const roles = member.roles.length === 0 ? "no role" : member.roles.join(", ");
    return `${found.name} is a member, as ${roles}: ${member.actor}.`;
  });
  if (lines.length !== described.length) throw differs("lacks a member that described itself");
  const { origin, threshold, checkpointKeys, cosignaturePolicy, maxDrift, maxTxAge } = decoded;
  const owned = decoded.members.flatMap(({ keys }) => keys.map(({ publicKey }) => publicKey));
  const strangers = checkpointKeys.filter(
    (key) => !owned.some((one) => equalBytes(one, key)),
  ).length;
  const registered = [...decoded.kinds, ...decoded.contracts].map(({ name }) => name);
  return {
    ledger: ledgerId(genesis),
    lines: [
      `The ledger is called ${origin}.`,
      ...lines,
      `${threshold} of ${lines.length} members must approve a change of members or policy.`,
      `Checkpoints are signed by one of ${checkpointKeys.length} keys, and cosigned by ` +
        `${quorumText(cosignaturePolicy.validators)} validators and ` +
        `${quorumText(cosignaturePolicy.witnesses)} witnesses.`,
      ...(strangers === 0
        ? []
        : [`${strangers} of the keys that sign checkpoints belong to no member.`]),
      `A clock may be ahead by ${maxDrift} ms; a transaction may wait for ${maxTxAge} ms.`,
      ...(registered.length === 0
        ? []
        : [`It registers kinds and contracts of its own: ${registered.join(", ")}.`]),
    ],
  };
}

function quorumText({ required, keys }: Quorum): string {
  const names = keys.length === 0 ? "" : ` (${keys.map(({ name }) => name).join(", ")})`;
  return `${required} of ${keys.length}${names}`;
}

const differs = (why: string): ChainError =>
  new ChainError("ERR_CHAIN_GENESIS", `the genesis record ${why}`);
