import { equalBytes } from "../../bytes/compare.ts";
import { assertBytes } from "../../bytes/guards.ts";
import { chainsOf } from "../../consent/rules/capacity.ts";
import { ConsentError } from "../../errors.ts";
import type { Signer } from "../../identity/signer.ts";
import type { LedgerContext } from "../context.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { KnownPerson } from "../entries/subjects.ts";
import type { PersonIdentifier } from "../index/rows.ts";
import { capacityFacts, speaks, type AttestedKey } from "./attested-key.ts";
import type { SealedEvidence } from "./evidence.ts";
import { findHeld } from "./held.ts";
import { decodeFiledForm, judgeFiled, type ConsentReader, type Grounds } from "./read-consents.ts";
import { commitToPerson, NOT_ATTESTED } from "./signed-directive.ts";

/** A directive in the form in which it is filed, and the evidence that is sealed beside it. */
export interface DirectiveToFile {
  /** As it is delivered, with the 32 bytes under which it commits to the person. */
  readonly signed: Uint8Array;
  readonly salt: Uint8Array;
  readonly evidence?: SealedEvidence;
  /** Attested together with the directive, if nobody may speak for the person yet. */
  readonly firstKey?: Signer;
}

/** The facts that a directive about a person is judged by before it is filed. */
type JudgedBy = Pick<Grounds, "identifiers" | "keys" | "witnesses">;

/** A directive, judged as if it were filed about a person. */
export interface JudgedDirective {
  readonly owner: KnownPerson;
  readonly toFile: DirectiveToFile;
  /** The first key attested of the person, together with the directive. */
  readonly first: readonly AttestedKey[];
  /** The entry that held it. */
  readonly kept: CatalogueItem | undefined;
  readonly judged: Awaited<ReturnType<typeof judgeFiled>>;
  /** Why it would be void. */
  readonly why: string | undefined;
}

const firstKeyOf = ({ actor, alg, publicKey }: Signer) => ({ actor, alg, publicKey });

/** The identifier among these that a directive commits to. */
export const identifierIn = (
  identifiers: readonly PersonIdentifier[],
  { signed, salt }: Pick<DirectiveToFile, "signed" | "salt">,
): PersonIdentifier | undefined => {
  const { about } = decodeFiledForm(signed);
  return identifiers.find((one) => equalBytes(commitToPerson(salt, one), about));
};

/** Dependencies of judging a directive before it is filed. */
interface OwnerTools {
  readonly catalogue: Catalogue;
  readonly readConsents: ConsentReader;
}

const NO_CAPACITY = "nothing attests that the grantor has this capacity";

/** Why a directive would be void that counts once this custodian attests more. */
export const CURABLE: readonly string[] = [...NOT_ATTESTED, NO_CAPACITY];

export const wouldBeVoid = (why: string): ConsentError =>
  new ConsentError("ERR_CONSENT_INVALID", `the directive would be void: ${why}`);

/**
 * Makes the function that finds whom of several persons who are joined a directive is to be filed about: one
 * for whom it counts also once they are parted, if there is one.
 */
export function ownerFinder(context: LedgerContext, { catalogue, readConsents }: OwnerTools) {
  const { chain, now } = context;

  /** Judges a directive as if it were filed about a person now. */
  async function judgeFor(
    owner: KnownPerson,
    { identifiers, keys, witnesses }: JudgedBy,
    toFile: DirectiveToFile,
  ): Promise<JudgedDirective> {
    const { signed, salt, firstKey } = toFile;
    assertBytes(salt, "salt", 32);
    const form = decodeFiledForm(signed);
    const isFirst =
      !keys.some(speaks) && firstKey !== undefined && form.directive.grantor.capacity === "self";
    // The custodian that lets a person sign attests the first key that speaks for them.
    const first: AttestedKey[] = isFirst ? [{ ...firstKeyOf(firstKey), capacity: "self" }] : [];
    const kept = await findHeld(context, catalogue, owner, signed);
    const known = [...keys, ...first];
    const judged = await judgeFiled(context, form, {
      ...{ ledger: chain.ledger, salt, identifiers, keys: known, witnesses },
      filedAt: { height: chain.size, time: now() },
      heldAt: kept?.place.height,
      height: chain.size - 1,
    });
    const { actor, capacity } = judged.directive.grantor;
    const hasCapacity = chainsOf(capacityFacts(known), actor, capacity, now()).length > 0;
    const why =
      judged.standing !== "valid" ? judged.standing.void : hasCapacity ? undefined : NO_CAPACITY;
    return { owner, toFile, first, kept, judged, why };
  }

  return async (
    people: readonly KnownPerson[],
    make: (person: PersonIdentifier) => Promise<DirectiveToFile>,
  ): Promise<JudgedDirective> => {
    const [person] = people;
    // Keys alone: an unreadable directive must not prevent others from being filed.
    const links = await catalogue.itemsOf(person!.local, ["erase", "link"]);
    const { keys, witnesses } = await readConsents(
      links.filter(({ kind }) => kind === "link"),
      chain.size - 1,
    );
    let found: JudgedDirective | undefined;
    for (const owner of people) {
      const { identifiers } = owner;
      const own = keys.filter(({ local }) => equalBytes(local!, owner.local));
      found = await judgeFor(
        owner,
        { identifiers, keys: own, witnesses },
        await make(identifiers[0]!),
      );
      if (found.why === undefined) return found;
    }
    if (people.length > 1) {
      const toFile = await make(person!.identifiers[0]!);
      const owner = people.find(({ identifiers }) => identifierIn(identifiers, toFile)) ?? person!;
      const identifiers = people.flatMap((one) => one.identifiers);
      found = await judgeFor(owner, { identifiers, keys, witnesses }, toFile);
    }
    return found!;
  };
}
