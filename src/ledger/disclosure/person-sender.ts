import { equalBytes } from "../../bytes/compare.ts";
import { memberKey } from "../../chain/state.ts";
import type { Capacity, CapacityScope } from "../../consent/model/model.ts";
import { chainsOf } from "../../consent/rules/capacity.ts";
import { holdsAt } from "../../consent/rules/request-view.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import type { SignatureAlg } from "../../crypto/signing-input.ts";
import { StorageError } from "../../errors.ts";
import { keyId } from "../../identity/actor.ts";
import {
  capacityFacts,
  newestOf,
  speaks,
  type AttestedKey,
  type FiledKey,
} from "../consents/attested-key.ts";
import type { ConsentReader } from "../consents/read-consents.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { PersonIdentifier, Subjects } from "../entries/subjects.ts";

/** A person who sends something, by the keys that they use. */
export interface PersonSender {
  /** The name that the custodian attested of them. */
  readonly from: string;
  /** Id of the key that signs. */
  readonly key: Uint8Array;
  /** Id of the key that receives. */
  readonly recipient: Uint8Array;
}

/** How a person may act for themselves, or for somebody else. */
export interface ActingPerson {
  readonly capacity: Capacity;
  /** Local id of the person for whom they act. */
  readonly local: Uint8Array;
  /** The attestation of the key that signs. */
  readonly attested: Pick<AttestedKey, "from" | "to">;
  readonly alg: SignatureAlg;
  readonly publicKey: Uint8Array;
  readonly recipient: CoseRecipient;
  /** The bounds of the capacity, one list for each chain of grants: within one of them. */
  readonly bounds: readonly (readonly CapacityScope[])[];
}

/** In which order capacities count for who has several: a person acts in one of them. */
const CAPACITIES: readonly Capacity[] = ["self", "guardian", "court", "proxy"];

const isKey = (id: Uint8Array, { alg, publicKey }: AttestedKey): boolean =>
  alg !== undefined && publicKey !== undefined && equalBytes(id, keyId(alg, publicKey));

/**
 * Judges a person by the keys that are attested of somebody: both of theirs must be attested to them in one
 * capacity, and they must have that capacity.
 *
 * @returns `undefined` for who may not act for that person at this instant
 */
export function actingPerson(
  keys: readonly FiledKey[],
  { from, key, recipient }: PersonSender,
  at: number,
): Omit<ActingPerson, "local"> | undefined {
  const valid = newestOf(keys).filter((one) => one.actor === from && holdsAt(one, at));
  for (const capacity of CAPACITIES) {
    const own = valid.filter((one) => one.capacity === capacity);
    const signs = own.find((one) => speaks(one) && isKey(key, one));
    const receives = own.find((one) => !speaks(one) && isKey(recipient, one));
    if (signs === undefined || receives === undefined) continue;
    const bounds = chainsOf(capacityFacts(keys), from, capacity, at);
    if (bounds.length === 0) continue;
    return {
      ...{ capacity, attested: signs, bounds },
      ...{ alg: signs.alg as SignatureAlg, publicKey: signs.publicKey! },
      recipient: { alg: receives.alg as CoseRecipient["alg"], publicKey: receives.publicKey! },
    };
  }
  return undefined;
}

/** Dependencies of finding out about a person. */
export interface PersonContext extends LedgerContext {
  readonly catalogue: Catalogue;
  readonly readConsents: ConsentReader;
  readonly subjects: Pick<Subjects, "find">;
}

/**
 * Finds how a sender may act for a person now. The name of a member, also of one that left, is nobody's here: what
 * is permitted to the organisation would be permitted to them.
 *
 * @returns `undefined` for who may not, and alike if nobody is known by that identifier, or what is known of them
 *   is damaged: a stranger must not tell them apart
 */
export async function findActingPerson(
  context: PersonContext,
  sender: PersonSender,
  about: PersonIdentifier,
): Promise<ActingPerson | undefined> {
  const { catalogue, chain, now, readConsents, subjects } = context;
  await chain.state.load([memberKey(sender.from)]);
  if (chain.state.member(sender.from) !== undefined) return undefined;
  try {
    await catalogue.catchUp();
    const subject = await subjects.find(about);
    if (subject === undefined) return undefined;
    const links = await catalogue.itemsOf(subject.local, ["erase", "link"]);
    const { keys } = await readConsents(
      links.filter(({ kind }) => kind === "link"),
      chain.size - 1,
    );
    const person = actingPerson(keys, sender, now());
    return person && { ...person, local: subject.local };
  } catch (error) {
    if (error instanceof StorageError) return undefined;
    throw error;
  }
}
