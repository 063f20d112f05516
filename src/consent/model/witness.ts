/** How an organisation took a statement down: signed on paper, confirmed on a screen, or spoken. */
export type WitnessForm = "paper" | "electronic" | "oral";

/** All forms. */
export const WITNESS_FORMS: readonly WitnessForm[] = ["paper", "electronic", "oral"];

/** The organisation that says that a person gave a directive which they did not sign. */
export interface DirectiveWitness {
  /** did:key of the organisation. */
  readonly by: string;
  readonly form: WitnessForm;
  /** The organisation's user who took it down. */
  readonly user: string;
  /** When, in ms since 1970. */
  readonly takenAt: number;
  /**
   * The organisation's key was compromised when the directive was filed, or the organisation was
   * not among those believed then.
   */
  readonly doubted?: true;
}

/** The fields of a witness that are shown wherever a directive is shown. */
export const witnessedBy = ({
  by,
  form,
}: DirectiveWitness): Pick<DirectiveWitness, "by" | "form"> => ({
  by,
  form,
});

/** How a directive was made: signed by its grantor, or in the form that its witness states. */
export type DirectiveForm = "signed" | WitnessForm;

/** All ways of making a directive. */
export const DIRECTIVE_FORMS: readonly DirectiveForm[] = ["signed", ...WITNESS_FORMS];
