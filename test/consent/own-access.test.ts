import { describe, expect, it } from "vitest";
import type { RoleAttestation } from "../../src/consent/model/snapshot.ts";
import { capacityRole, ownAccess } from "../../src/consent/own-access.ts";
import { part2Overlay } from "../../src/consent/overlays/part-2.ts";
import { filedDefault } from "../../src/ledger/disclosure/decide-records.ts";
import {
  decide,
  deny,
  filed,
  labelled,
  lawOf,
  overlay,
  permit,
  sensitivity,
  type Case,
} from "./support.ts";

const organisation = [ownAccess({ organisation: "hospital-a", from: "2020" })].map(filedDefault);
const roleOf = (capacity: "self" | "guardian"): RoleAttestation => ({
  ...{ actor: "patient", code: capacityRole(capacity), attestedBy: "hospital-a" },
});
const asked = { requester: "patient", user: "patient", purposes: ["PATRQT"] };
const roles = [roleOf("self")];
const outcome = (item: Partial<Case>) =>
  decide({ it: "", then: "deny", asked, ...item, facts: { organisation, roles, ...item.facts } })
    .outcome;

describe("ownAccess", () => {
  it("permits a person their own records, in the capacities named and no other", () => {
    expect(outcome({})).toBe("permit");
    expect(outcome({ facts: { roles: [] } })).toBe("not-applicable");
    expect(outcome({ facts: { roles: [roleOf("guardian")] } })).toBe("not-applicable");
    const capacities = ["self", "guardian"] as const;
    const wider = [ownAccess({ organisation: "hospital-a", from: "2020", capacities })];
    const facts = { organisation: wider.map(filedDefault), roles: [roleOf("guardian")] };
    expect(outcome({ facts })).toBe("permit");
  });

  it("counts for nobody to whom a stranger attests it, and breaks no glass", () => {
    const by = [{ ...roleOf("self"), attestedBy: "stranger" }];
    expect(outcome({ facts: { roles: by } })).toBe("not-applicable");
    expect(outcome({ asked: { ...asked, purposes: ["BTG"] } })).toBe("not-applicable");
  });

  it("gives way to what the law refuses or demands, and to the patient", () => {
    expect(outcome({ facts: { overlays: [overlay(deny())] } })).toBe("deny");
    const about = { labels: labelled(sensitivity("SUD")) };
    expect(outcome({ about })).toBe("permit");
    expect(outcome({ about, facts: { overlays: [lawOf(part2Overlay())] } })).toBe("deny");
    const never = deny({}, { breakGlass: "never" });
    expect(outcome({ given: [filed("a", { root: never })] })).toBe("deny");
    const closed = filed("a", { root: permit({ purposes: ["TREAT"] }), default: "deny" });
    expect(outcome({ given: [closed] })).toBe("deny");
    const open = permit({ roles: [capacityRole("self")] });
    expect(outcome({ given: [filed("a", { root: open, default: "deny" })] })).toBe("permit");
  });
});
