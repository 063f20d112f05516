import { describe, expect, it } from "vitest";
import { findZone, lastInstantOfMinority, snapshotCid } from "../../../src/consent/index.ts";
import { decide, filed, permit, snapshotOf } from "../support.ts";

const zone = (name: string) => findZone(name)!;

describe("lastInstantOfMinority", () => {
  it.each([
    ["2006-05-17", 18, "UTC", "2024-05-16T23:59:59.999Z"],
    ["2006-05-17", 18, "America/New_York", "2024-05-17T03:59:59.999Z"],
    ["2008-02-29", 18, "UTC", "2026-02-28T23:59:59.999Z"],
    ["2008-02-29", 20, "UTC", "2028-02-28T23:59:59.999Z"],
  ])("of who was born on %s, %i years, in %s", (born, years, name, last) => {
    expect(lastInstantOfMinority(born, years, zone(name))).toBe(Date.parse(last));
  });

  it.each(["2006", "2006-05", "2006-02-30", "17.5.2006"])("refuses %s", (born) => {
    expect(() => lastInstantOfMinority(born, 18, zone("UTC"))).toThrow(RangeError);
  });
});

describe("capacity facts in a snapshot", () => {
  const cid = (more: object) =>
    snapshotCid(
      snapshotOf([], { capacities: [{ actor: "a", capacity: "proxy", ...more }] }),
    ).toString();

  it("are named with who granted them, how far, and for what", () => {
    const all = [
      {},
      { by: { actor: "b", capacity: "self" } },
      { by: { actor: "b", capacity: "guardian" } },
      { depth: 1 },
      { scope: { purposes: ["TREAT"] } },
    ].map(cid);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("a chain of grants", () => {
  /** Each hands it on to the next: `count` grants from the patient to the last. */
  const chain = (count: number) =>
    Array.from({ length: count }, (_, at) => ({
      actor: `p${at}`,
      capacity: "proxy" as const,
      depth: 100,
      by:
        at === 0
          ? { actor: "patient", capacity: "self" as const }
          : { actor: `p${at - 1}`, capacity: "proxy" as const },
    }));
  const outcome = (count: number) =>
    decide({
      it: "",
      given: [filed("a", { root: permit(), by: `p${count - 1}`, capacity: "proxy" })],
      facts: { capacities: chain(count) },
      then: "permit",
    }).outcome;

  it("has at most 16", () => {
    expect(outcome(16)).toBe("permit");
    expect(outcome(17)).toBe("not-applicable");
  });

  it("counts whatever its place among others", () => {
    const facts = ["TREAT", ...Array.from({ length: 40 }, (_, at) => `urn:x|${at}`)].map(
      (purpose) => ({
        actor: "d",
        capacity: "proxy" as const,
        by: { actor: "patient", capacity: "self" as const },
        scope: { purposes: [purpose] },
      }),
    );
    const given = [filed("a", { root: permit(), by: "d", capacity: "proxy" })];
    for (const capacities of [facts, [...facts].reverse()]) {
      expect(decide({ it: "", given, facts: { capacities }, then: "permit" }).outcome).toBe(
        "permit",
      );
    }
  });
});

describe("grants in a circle", () => {
  const proxies = ["a", "b", "c", "d"];
  const circle = proxies.flatMap((actor) =>
    proxies.map((by) => ({
      actor,
      capacity: "proxy" as const,
      depth: 100,
      by: { actor: by, capacity: "proxy" as const },
    })),
  );
  const given = [filed("a", { root: permit(), by: "a", capacity: "proxy" })];

  it("give nobody a capacity, and end in bounded time", () => {
    const facts = { capacities: circle };
    expect(decide({ it: "", given, facts, then: "not-applicable" }).outcome).toBe("not-applicable");
  });

  it("take none away that comes from elsewhere", () => {
    const root = { actor: "d", capacity: "proxy" as const, depth: 3 };
    const facts = { capacities: [...circle, root] };
    expect(decide({ it: "", given, facts, then: "permit" }).outcome).toBe("permit");
  });
});
