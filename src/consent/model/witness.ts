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

/** How a directive came about: signed by its grantor, or as its witness says. */
export type DirectiveForm = "signed" | WitnessForm;

/** All ways in which a directive comes about. */
export const DIRECTIVE_FORMS: readonly DirectiveForm[] = ["signed", ...WITNESS_FORMS];
