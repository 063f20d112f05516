import type { ConsentSnapshot, SnapshotDirective } from "./snapshot.ts";

/** How an organisation took a person's word down: signed on paper, confirmed on a screen, or heard. */
export type WitnessForm = "paper" | "electronic" | "oral";

/** All forms. */
export const WITNESS_FORMS: readonly WitnessForm[] = ["paper", "electronic", "oral"];

/** Who says that a person gave a directive which bears no signature of his. */
export interface DirectiveWitness {
  /** did:key of the organisation. */
  readonly by: string;
  readonly form: WitnessForm;
  /** Who took it down there. */
  readonly user: string;
  /** When, in ms since 1970. */
  readonly takenAt: number;
  /**
   * Its key was compromised when the directive was filed, or it was not among those that are
   * believed then.
   */
  readonly doubted?: true;
}

/** What is shown of a witness wherever a directive is shown. */
export const witnessedBy = ({
  by,
  form,
}: DirectiveWitness): Pick<DirectiveWitness, "by" | "form"> => ({
  by,
  form,
});

/** How far a custodian takes a directive for the person's word. */
export type WitnessTrust = 0 | 1 | 2;
/** Witnessed by who is not believed any more, or by a key that was stolen: its refusals alone count. */
export const DOUBTED = 0;
/** Witnessed by another organisation, which is believed: it weakens nothing that is the custodian's own. */
export const ELSEWHERE = 1;
/** Signed by a key that the custodian attests, or witnessed by itself. */
export const OWN = 2;

/** How far the custodian of a snapshot takes a directive in it for the person's word. */
export function trustOf({ witness }: SnapshotDirective, snapshot: ConsentSnapshot): WitnessTrust {
  if (witness === undefined) return OWN;
  if (witness.doubted === true) return DOUBTED;
  if (witness.by === snapshot.custodian) return OWN;
  return snapshot.witnesses?.includes(witness.by) === true ? ELSEWHERE : DOUBTED;
}

/** How a directive came about: signed by its grantor, or as its witness says. */
export type DirectiveForm = "signed" | WitnessForm;

/** All ways in which a directive comes about. */
export const DIRECTIVE_FORMS: readonly DirectiveForm[] = ["signed", ...WITNESS_FORMS];

/** How a directive came about. */
export const formOf = ({ witness }: SnapshotDirective): DirectiveForm => witness?.form ?? "signed";
