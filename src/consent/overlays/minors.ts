import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { Basis, Coding, Overlay } from "../model/model.ts";
import { ACT_CODE } from "../terminology/terminology.ts";
import type { DateValue } from "../model/time.ts";

/** Options of {@link minorSelfConsentOverlay}. */
export interface MinorSelfConsentOptions {
  /** When the minor reaches the age at which the law lets them consent; absent: any age. */
  readonly from?: DateValue;
  /** Last instant or day of minority: see `lastInstantOfMinority`. */
  readonly until: DateValue;
  readonly zone: string;
  /** Labels of the care that a minor may consent to alone. Default {@link MINOR_CONSENT_LABELS}. */
  readonly labels?: readonly Coding[];
  /** Default California Family Code § 6924 ff. */
  readonly basis?: Basis;
  /** Default `US-CA`. */
  readonly jurisdictions?: readonly string[];
}

/**
 * The care that California lets minors consent to: infections that must be reported, sexual and
 * reproductive health, sexual assault, substance use and outpatient mental health.
 */
export const MINOR_CONSENT_LABELS: readonly Coding[] = [
  "HIV",
  "STD",
  "SEX",
  "PREGNANT",
  "SDV",
  "SUD",
  "MH",
  "PSY",
].map((code) => ({ system: ACT_CODE, code }));

const MINOR_SELF_CONSENT_OVERLAY_OPTIONS: OptionsOf<MinorSelfConsentOptions> = {
  ...{ from: true, until: true, zone: true, labels: true, basis: true, jurisdictions: true },
};

/**
 * Minors' self-consent as an overlay: a worked example, not legal advice. If the law lets a minor
 * consent to care alone, only the minor's own permit opens the record of it, to the parents as to
 * everyone else. Add it to the snapshot of one person only, since it ends with that person's
 * minority. A guardian's refusal still refuses: it reveals nothing.
 *
 * @example
 * const zone = findZone("America/Los_Angeles")!;
 * const overlay = minorSelfConsentOverlay({
 *   until: lastInstantOfMinority("2012-05-14", 18, zone),
 *   zone: "America/Los_Angeles",
 * });
 */
export function minorSelfConsentOverlay(options: MinorSelfConsentOptions): Overlay {
  assertOptions(options, MINOR_SELF_CONSENT_OVERLAY_OPTIONS, "minorSelfConsentOverlay");
  return {
    v: 1,
    basis: options.basis ?? {
      uri: "https://leginfo.legislature.ca.gov/faces/codes_displaySection.xhtml?lawCode=FAM&sectionNum=6924",
      version: "2024-01-01",
    },
    jurisdictions: options.jurisdictions ?? ["US-CA"],
    validity: { from: options.from ?? "1900", to: options.until, zone: options.zone },
    root: {
      id: "minor-self-consent",
      effect: "deny",
      combine: "deny-overrides",
      when: { data: { labels: options.labels ?? MINOR_CONSENT_LABELS } },
    },
    require: { grantorCapacity: ["self"] },
  };
}
