import type { Overlay } from "../model/model.ts";
import { ACT_CODE } from "../terminology/terminology.ts";

/** To whose records {@link part2Overlay} applies. */
export interface Part2Options {
  /**
   * References of the Part 2 programs, by which their records are known as author. Absent: every
   * record labelled as about substance use, which is more than the law asks for.
   */
  readonly programs?: readonly string[];
}

/**
 * 42 CFR Part 2 as an overlay, a worked example and no legal advice. Records of substance use
 * treatment are closed to everybody, whatever a general consent or a default policy says, until a
 * consent of the patient that he signed, on paper, electronically or by his key, names that
 * information and who may have it (§ 2.31); the notice of § 2.32
 * and the ban on redisclosure travel with what is released. In a medical emergency (§ 2.51) the
 * overlay demands nothing, and the layers below decide. Research and audit (§§ 2.52, 2.53) are not
 * in it: who discloses for those adds an overlay of his own.
 */
export function part2Overlay(options: Part2Options = {}): Overlay {
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
    // What was only said bears no signature (§ 2.31 (a)(8)).
    require: { namesLabel: label, recipientNamed: true, form: ["signed", "paper", "electronic"] },
  };
}
