import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { Overlay } from "../model/model.ts";
import { ACT_CODE } from "../terminology/terminology.ts";

/** Options of {@link part2Overlay}. */
export interface Part2Options {
  /**
   * References of the Part 2 programs, whose records name them as author. Absent: every record
   * labelled as substance use, which is more than the law requires.
   */
  readonly programs?: readonly string[];
}

const PART2_OVERLAY_OPTIONS: OptionsOf<Part2Options> = { programs: true };

/**
 * 42 CFR Part 2 as an overlay: a worked example, not legal advice. Records of substance use
 * treatment are closed to everyone, whatever a general consent or a default policy says, until a
 * consent that the patient signed, on paper, electronically or with their key, names that
 * information and its recipient (§ 2.31). The notice of § 2.32 and the ban on redisclosure
 * accompany what is released. In a medical emergency (§ 2.51) the overlay requires nothing, and the
 * layers below decide. Research and audit (§§ 2.52, 2.53) are not covered: to disclose for those,
 * add an overlay of your own.
 *
 * @example
 * const overlay = part2Overlay({ programs: ["Organization/recovery-centre"] });
 */
export function part2Overlay(options: Part2Options = {}): Overlay {
  assertOptions(options, PART2_OVERLAY_OPTIONS, "part2Overlay");
  const { programs } = options;
  const label = { system: ACT_CODE, code: "SUD" };
  const data = {
    labels: [label],
    ...(programs === undefined
      ? {}
      : {
          refs: programs.map((reference) => ({ meaning: "authoredby" as const, reference })),
        }),
  };
  return {
    v: 1,
    basis: { uri: "https://www.ecfr.gov/current/title-42/part-2", version: "2024-04-16" },
    jurisdictions: ["US"],
    validity: { from: "1975-08-01", zone: "UTC" },
    root: {
      id: "42-cfr-part-2",
      effect: "deny",
      combine: "deny-overrides",
      when: { data },
      obligations: ["PRIVMARK"],
      refrains: ["NORDSCLCD"],
      rules: [
        {
          id: "medical-emergency",
          effect: "permit",
          combine: "deny-overrides",
          when: { purposes: ["ETREAT", "BTG"] },
        },
      ],
    },
    // A consent given orally bears no signature (§ 2.31 (a)(8)).
    require: { namesLabel: label, recipientNamed: true, form: ["signed", "paper", "electronic"] },
  };
}
