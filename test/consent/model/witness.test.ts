import { describe, expect, it } from "vitest";
import { explain, part2Overlay, type SnapshotDirective } from "../../../src/consent/index.ts";
import { decide, deny, filed, grounds, lawOf, permit, sensitivity, labelled } from "../support.ts";

// Rules 5 to 8, 10 and 11 of witnessed directives, at the custodian hospital-a, which believes B.

type Witness = NonNullable<SnapshotDirective["witness"]>;
const by = (who: string, form: Witness["form"] = "paper", more: Partial<Witness> = {}) => ({
  witness: { by: who, form, user: "clerk-7", takenAt: 0, ...more },
});
const A = by("hospital-a");
const B = by("hospital-b");
const C = by("hospital-c");
const facts = { custodian: "hospital-a", witnesses: ["hospital-b"] };
const yes = { root: permit() };
const no = { root: deny() };

describe("a witnessed directive", () => {
  it.each<[what: string, given: Parameters<typeof filed>[], then: string, because?: string]>([
    ["counts when the custodian itself took it down", [["d", yes, A]], "permit"],
    ["counts when a believed organisation did", [["d", yes, B]], "permit"],
    ["does not permit on the word of another", [["d", yes, C]], "not-applicable", "unconfirmed"],
    ["still refuses on the word of another", [["d", no, C]], "deny"],
    [
      "does not permit where its key was stolen, even the custodian's own",
      [["d", yes, by("hospital-a", "paper", { doubted: true })]],
      "not-applicable",
      "unconfirmed",
    ],
    [
      "from elsewhere does not replace a refusal that is the custodian's own",
      [
        ["own", no],
        ["theirs", { ...yes, after: ["own"] }, B],
      ],
      "deny",
      "unconfirmed",
    ],
    [
      "from elsewhere adds its refusal to a permit that is the custodian's own",
      [
        ["own", yes, A],
        ["theirs", { ...no, after: ["own"] }, B],
      ],
      "deny",
    ],
    [
      "from elsewhere does not amend what is the custodian's own",
      [
        ["own", { ...no, default: "none" }],
        ["theirs", { ...yes, mode: "amend", after: ["own"] }, B],
      ],
      "deny",
    ],
    [
      "from elsewhere revokes nothing that is the custodian's own",
      [
        ["own", no],
        ["theirs", { mode: "revoke", after: ["own"] }, B],
      ],
      "deny",
      "unconfirmed",
    ],
    [
      "from elsewhere suspends what is the custodian's own",
      [
        ["own", yes],
        ["theirs", { mode: "suspend", after: ["own"] }, B],
      ],
      "deny",
    ],
    [
      "from elsewhere replaces what is from elsewhere",
      [
        ["first", no, B],
        ["second", { ...yes, after: ["first"] }, B],
      ],
      "permit",
    ],
    [
      "from elsewhere counts once the custodian confirms it, by witnessing the same",
      [
        ["own", no],
        ["theirs", { ...yes, after: ["own"] }, B],
        ["confirmed", { ...yes, after: ["own"] }, A],
      ],
      "permit",
    ],
    [
      "from elsewhere counts once the grantor confirms it, by a directive that names both",
      [
        ["own", { ...no, default: "none" }],
        ["theirs", { ...yes, after: ["own"] }, B],
        ["both", { ...yes, mode: "amend", after: ["own", "theirs"] }],
      ],
      "permit",
    ],
    [
      "from elsewhere is confirmed by nobody else's word",
      [
        ["own", no],
        ["theirs", { ...yes, after: ["own"] }, B],
        ["again", { ...yes, mode: "amend", after: ["own", "theirs"] }, B],
      ],
      "deny",
    ],
    [
      "from elsewhere does not get past a default that is the custodian's own",
      [
        ["own", { root: permit({ purposes: ["HRESCH"] }), default: "deny" }],
        ["theirs", { ...yes, lineage: "theirs" }, B],
      ],
      "deny",
    ],
    [
      "of the custodian's own gets past a default, as any permit does",
      [
        ["own", { root: permit({ purposes: ["HRESCH"] }), default: "deny" }],
        ["mine", { ...yes, lineage: "mine" }, A],
      ],
      "permit",
    ],
    [
      "leaves current who was filed in its knowledge, when it is believed no more",
      [
        ["theirs", no, C],
        ["own", { ...yes, after: ["theirs"] }],
      ],
      "permit",
    ],
    [
      "that withdraws is not undone when the custodian's own key turns out to be stolen",
      [
        ["own", yes, A],
        ["gone", { mode: "revoke", after: ["own"] }, by("hospital-a", "paper", { doubted: true })],
      ],
      "indeterminate",
      "unconfirmed",
    ],
    [
      "that withdraws is not undone when its witness's key turns out to be stolen",
      [
        ["theirs", yes, B],
        ["gone", { mode: "revoke" }, by("hospital-b", "paper", { doubted: true })],
      ],
      "indeterminate",
      "unconfirmed",
    ],
    [
      "that narrows is not undone when the custodian's own key turns out to be stolen",
      [
        ["own", yes, A],
        [
          "less",
          { root: permit({ purposes: ["HRESCH"] }), after: ["own"] },
          by("hospital-a", "paper", { doubted: true }),
        ],
      ],
      "not-applicable",
      "unconfirmed",
    ],
    [
      "that withdraws by a stolen key takes no refusal back",
      [
        ["own", no, A],
        ["gone", { mode: "revoke" }, by("hospital-a", "paper", { doubted: true })],
      ],
      "indeterminate",
    ],
    [
      "narrower than what was withdrawn by a stolen key brings nothing of it back",
      [
        ["own", yes, A],
        ["gone", { mode: "revoke" }, by("hospital-a", "paper", { doubted: true })],
        ["new", { root: permit({ purposes: ["HRESCH"] }), after: ["gone"] }, A],
      ],
      "not-applicable",
    ],
    [
      "counts after one that is withdrawn by a stolen key, whichever of the two it names",
      [
        ["own", no, A],
        ["gone", { mode: "revoke" }, by("hospital-a", "paper", { doubted: true })],
        ["new", { ...yes, after: ["own"] }, A],
      ],
      "permit",
    ],
    [
      "by who is not listed withdraws nothing that is the custodian's own",
      [
        ["own", yes, A],
        ["gone", { mode: "revoke" }, C],
      ],
      "permit",
      "unconfirmed",
    ],
    [
      "that suspends settles no dispute that is the custodian's own",
      [
        ["own", yes],
        ["late", { ...no, after: [] }],
        ["theirs", { mode: "suspend", after: ["own"] }, B],
        ["resumed", { ...yes, after: ["theirs"] }],
      ],
      "deny",
    ],
  ])("%s", (_, given, then, because) => {
    const decision = decide({
      it: _,
      given: given.map((one) => filed(...one)),
      facts,
      then: "deny",
    });
    expect(decision.outcome).toBe(then);
    if (because !== undefined) expect(grounds(decision)).toContain(`aside ${because}`);
  });

  it("was from elsewhere, and believed only while the list says so", () => {
    const given = [filed("d", yes, B)];
    const on = (witnesses: string[]) =>
      decide({ it: "", given, facts: { custodian: "hospital-a", witnesses }, then: "permit" });
    expect(on(["hospital-b"]).outcome).toBe("permit");
    expect(on(["hospital-c"]).outcome).toBe("not-applicable");
    // The list is part of what a decision rests on.
    expect(on(["hospital-b"]).snapshot).not.toEqual(on(["hospital-b", "hospital-c"]).snapshot);
    expect(on(["hospital-b"]).snapshot).not.toEqual(
      decide({ it: "", given: [filed("d", yes, A)], facts, then: "permit" }).snapshot,
    );
  });

  it("is never shown as the patient's signature", () => {
    const witnessed = decide({ it: "", given: [filed("d", yes, B)], facts, then: "permit" });
    expect(witnessed.reasons[0]!.witnessed).toEqual({ by: "hospital-b", form: "paper" });
    expect(explain(witnessed)).toMatch(
      /; witnessed by the organisation …spital-b as signed on paper\.$/m,
    );
    const signed = decide({ it: "", given: [filed("d", yes)], facts, then: "permit" });
    expect(signed.reasons[0]).not.toHaveProperty("witnessed");
    expect(explain(signed)).not.toMatch(/witnessed/);
  });

  it.each<[form: Witness["form"] | "signed", then: string]>([
    ["signed", "permit"],
    ["paper", "permit"],
    ["electronic", "permit"],
    ["oral", "deny"],
  ])("meets Part 2's demand of a signature: %s", (form, then) => {
    const names = {
      actors: [{ type: "organisation" as const, id: "hospital-b" }],
      data: { labels: [sensitivity("SUD")] },
    };
    const decision = decide({
      it: form,
      given: [filed("d", { root: permit(names) }, form === "signed" ? {} : by("hospital-a", form))],
      facts: { ...facts, overlays: [lawOf(part2Overlay())] },
      about: { labels: labelled(sensitivity("SUD")) },
      supportedObligations: ["PRIVMARK"],
      then: "permit",
    });
    expect(decision.outcome).toBe(then);
  });
});
