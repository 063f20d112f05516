import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  evaluate,
  explain,
  extendTerminology,
  filter,
  HL7_TERMINOLOGY,
  makeTerminology,
  snapshotCid,
  type ConsentRequest,
  type ConsentResource,
  type ConsentSnapshot,
  type FilteredPage,
  type Rule,
} from "../../src/consent/index.ts";
import { encodeDecision } from "../../src/consent/model/decision.ts";
import { ConsentError } from "../../src/errors.ts";
import {
  at,
  confidentiality,
  decide,
  deny,
  filed,
  labelled,
  onLedger,
  overlay,
  permit,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
  type Filed,
  entryId,
} from "./support.ts";
import { tripleOf } from "./random.ts";
import { cases } from "../support/share.ts";

const NOW = at("2024-06-15");

const pick = <T>(...items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
const some = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.array(item, { minLength: 1, maxLength: 2 });

const when: fc.Arbitrary<Rule["when"]> = fc
  .record(
    {
      purposes: some(pick("TREAT", "BTG", "ETREAT", "HRESCH", "CLINTRCH", "HPAYMT")),
      actors: some(
        pick(
          { type: "person" as const, id: "dr-who" },
          { type: "person" as const, id: "dr-other" },
          { type: "organisation" as const, id: "hospital-b" },
          { type: "group" as const, id: "privileged" },
        ),
      ),
      roles: some(pick("nurse", "psychiatrist")),
      actions: some(pick("access", "use")),
      validity: pick({ to: "2024-06-14" }, { from: "2024" }, { from: "2025" }),
      labels: some(
        pick(sensitivity("PSY"), sensitivity("ETH"), confidentiality("N"), confidentiality("R")),
      ),
      types: some(pick("Observation", "Condition")),
      period: pick({ from: "2023" }, { to: "2022-12" }, { from: "2023-05-01", to: "2023-05-02" }),
    },
    { requiredKeys: [] },
  )
  .map(({ labels, types, period, ...rest }) => {
    const data = {
      ...(labels === undefined ? {} : { labels }),
      ...(types === undefined ? {} : { types }),
      ...(period === undefined ? {} : { period }),
    };
    return Object.keys(data).length === 0 ? rest : { ...rest, data };
  });

let ruleNumber = 0;
const ruleOf = (depth: number): fc.Arbitrary<Rule> =>
  fc
    .record({
      when: fc.oneof({ weight: 1, arbitrary: fc.constant({}) }, { weight: 2, arbitrary: when }),
      effect: pick("permit" as const, "deny" as const),
      combine: pick("deny-overrides" as const, "permit-overrides" as const),
      rules: depth <= 1 ? fc.constant([]) : fc.array(ruleOf(depth - 1), { maxLength: 3 }),
    })
    .map(({ rules, ...rest }) => ({
      id: `r${ruleNumber++}`,
      ...rest,
      ...(rules.length === 0 ? {} : { rules }),
    }));

const statement = fc.record({
  root: ruleOf(3),
  default: pick("permit" as const, "deny" as const, "none" as const),
});

const request: fc.Arbitrary<ConsentRequest> = fc
  .record({
    purposes: some(pick("TREAT", "BTG", "ETREAT", "HRESCH", "CLINTRCH", "HPAYMT", "urn:x|Y")),
    user: pick("dr-who", "dr-other", undefined),
    roles: pick(
      [],
      [{ code: "nurse", attestedBy: "hospital-b" }],
      [{ code: "nurse", attestedBy: "nobody" }],
    ),
    action: pick("access", "use"),
  })
  .map(({ user, ...rest }) => {
    const { user: _, ...plain } = requestOf(rest);
    return user === undefined ? plain : { ...plain, user };
  });

const resource: fc.Arbitrary<ConsentResource> = fc
  .record({
    type: pick("Observation", "Condition"),
    labels: pick(
      null,
      labelled(confidentiality("N")),
      labelled(sensitivity("PSY"), confidentiality("R")),
      labelled(sensitivity("ETHUD"), confidentiality("R")),
      { codes: [sensitivity("PSY")], stamp: null },
    ),
    period: pick({ from: "2023-05-01", to: "2023-05-01" }, { from: "2022" }, {}),
  })
  .map((fields) => resourceOf(fields));

const lineages = fc
  .array(statement, { maxLength: 3 })
  .map((list) =>
    list.map((one, index): Filed => filed(`d${index}`, { ...one, lineage: `l${index}` })),
  );
const facts = { memberships: [{ member: "dr-who", of: "privileged" }] };

describe("evaluate", () => {
  it("gives the same bytes twice, whatever order unrelated lineages were listed in", () => {
    fc.assert(
      fc.property(lineages, request, resource, (given, asking, about) => {
        const snapshot = snapshotOf(given);
        const other = { ...snapshot, directives: [...snapshot.directives].reverse() };
        const first = encodeDecision(evaluate(asking, about, snapshot, NOW));
        expect(encodeDecision(evaluate(asking, about, snapshot, NOW))).toEqual(first);
        expect(encodeDecision(evaluate(asking, about, other, NOW))).toEqual(first);
      }),
      { numRuns: cases(500, 5) },
    );
  });

  it("gives the same bytes, whatever order law, defaults and facts were listed in", () => {
    for (let seed = 0; seed < cases(400, 5); seed++) {
      const { snapshot, request, resource, asOf, supportedObligations } = tripleOf(seed);
      const turned = {
        ...snapshot,
        organisation: [...snapshot.organisation].reverse(),
        overlays: [...snapshot.overlays].reverse(),
        members: [...snapshot.members].reverse(),
        memberships: [...snapshot.memberships].reverse(),
        roles: [...snapshot.roles].reverse(),
        capacities: [...snapshot.capacities].reverse(),
      };
      const decided = [snapshot, turned].map((one) =>
        encodeDecision(evaluate(request, resource, one, asOf, { supportedObligations })),
      );
      expect(decided[1], `${seed}`).toEqual(decided[0]);
    }
  });

  it("lays on a refusal no duty of a permit", () => {
    const duty = { obligations: ["DELAU"], refrains: ["NORDSCLCD"] };
    const given = [
      filed("a", {
        root: permit(
          {},
          {
            id: "r",
            rules: [
              permit({ purposes: ["TREAT"] }, { id: "t", ...duty }),
              deny({ purposes: ["HMARKT"] }),
            ],
          },
        ),
      }),
    ];
    const asked = { purposes: ["TREAT", "HMARKT"] };
    expect(evaluate(requestOf(asked), resourceOf(), snapshotOf(given), NOW)).toMatchObject({
      outcome: "deny",
      obligations: [],
      refrains: [],
    });
    const strange = { it: "", given, then: "deny" as const };
    expect(decide(strange)).toMatchObject({ outcome: "deny", obligations: [], refrains: [] });
  });

  it("never permits more for a new directive without permits", () => {
    const onlyDenies = (rule: Rule): Rule => ({
      ...rule,
      effect: "deny",
      ...(rule.rules === undefined ? {} : { rules: rule.rules.map(onlyDenies) }),
    });
    fc.assert(
      fc.property(lineages, ruleOf(2), request, resource, (given, root, asking, about) => {
        const refusal = filed("extra", { lineage: "extra", root: onlyDenies(root) });
        const before = evaluate(asking, about, snapshotOf(given), NOW).outcome;
        const after = evaluate(asking, about, snapshotOf([...given, refusal]), NOW).outcome;
        if (after === "permit") expect(before).toBe("permit");
      }),
      { numRuns: cases(1_000, 5) },
    );
  });

  it("is not changed by a directive that does not match and has no default", () => {
    fc.assert(
      fc.property(lineages, ruleOf(2), request, resource, (given, root, asking, about) => {
        const never = permit({ actions: ["correct"] }, { id: "never", rules: [root] });
        const extra = filed("extra", { lineage: "extra", root: never });
        const before = evaluate(asking, about, snapshotOf(given), NOW);
        const after = evaluate(asking, about, snapshotOf([...given, extra]), NOW);
        expect(after.outcome).toBe(before.outcome);
        expect(after.reasons).toEqual(before.reasons);
      }),
      { numRuns: cases(500, 5) },
    );
  });

  it("names the directives it relied on, the snapshot, and until when it holds", () => {
    const given = [
      filed("a", { to: "2024-06-30", root: permit({ purposes: ["TREAT"] }) }),
      filed("b", { lineage: "other", from: "2025", root: deny() }),
    ];
    const snapshot = snapshotOf(given);
    const decision = evaluate(requestOf(), resourceOf(), snapshot, NOW);
    expect(decision.basedOn.map(String)).toEqual([snapshot.directives[0]!.cid.toString()]);
    expect(decision.snapshot.equals(snapshotCid(snapshot))).toBe(true);
    expect(decision.expiresAt).toBe(at("2024-07-01") - 1);
    const soon = evaluate(requestOf({ expires: NOW + 5 }), resourceOf(), snapshot, NOW);
    expect(soon.expiresAt).toBe(NOW + 5);
    expect(evaluate(requestOf(), resourceOf(), snapshot, at("2026-01-01")).expiresAt).toBeNull();
  });

  it("answers for an earlier height as it did then", () => {
    const given = [filed("a", { root: permit() }), filed("b", { after: ["a"], root: deny() })];
    const then = snapshotOf(given, { height: 0 });
    expect(evaluate(requestOf(), resourceOf(), then, NOW).outcome).toBe("permit");
    expect(evaluate(requestOf(), resourceOf(), snapshotOf(given), NOW).outcome).toBe("deny");
  });

  it("refuses a terminology other than the pinned one", () => {
    const data = extendTerminology(HL7_TERMINOLOGY, { name: "ours", version: "1" });
    const terminology = makeTerminology(data);
    const snapshot = snapshotOf([], { terminology: terminology.cid });
    expect(() => evaluate(requestOf(), resourceOf(), snapshot, NOW)).toThrow(ConsentError);
    expect(
      compileDirectives(snapshot, { terminology }).evaluate(requestOf(), resourceOf(), NOW).outcome,
    ).toBe("not-applicable");
  });

  it("refuses a legal time that is not an instant", () => {
    expect(() => evaluate(requestOf(), resourceOf(), snapshotOf([]), NaN)).toThrow(TypeError);
  });

  it("carries the law's duties with what satisfied it", () => {
    const root = permit({ data: { labels: [sensitivity("SUD")] } }, { refrains: ["NOREUSE"] });
    const law = overlay(
      deny({ data: { labels: [sensitivity("SUD")] } }, { refrains: ["NORDSCLCD"] }),
      {
        require: { namesLabel: sensitivity("SUD") },
      },
    );
    const decision = evaluate(
      requestOf(),
      resourceOf({ labels: labelled(sensitivity("OPIOIDUD")) }),
      snapshotOf([filed("a", { root })], { overlays: [law] }),
      NOW,
    );
    expect(decision.outcome).toBe("permit");
    expect(decision.refrains).toEqual(["NORDSCLCD", "NOREUSE"]);
    expect(decision.basedOn).toHaveLength(2);
  });

  it("takes as many rules and directives as there may be", () => {
    const rules = Array.from({ length: 9_999 }, (_, i) =>
      deny({ actors: [{ type: "person", id: `p${i}` }] }, { id: `r${i}` }),
    );
    const big = filed("big", { root: permit({}, { id: "root", rules }) });
    const many = Array.from({ length: 1_000 }, (_, i) =>
      filed(`d${i}`, {
        lineage: `l${i % 10}`,
        after: i < 10 ? [] : [`d${i - 10}`],
        root: permit(),
      }),
    );
    const one = compileDirectives(snapshotOf([big]));
    expect(one.evaluate(requestOf(), resourceOf(), NOW).outcome).toBe("permit");
    const two = compileDirectives(snapshotOf(many));
    expect(two.evaluate(requestOf(), resourceOf(), NOW).basedOn).toHaveLength(10);
  });
});

describe("filter", () => {
  const list = Array.from({ length: 40 }, (_, i) =>
    resourceOf({
      id: `Observation/${i}`,
      labels: labelled(i % 3 === 0 ? sensitivity("HIV") : confidentiality("N")),
    }),
  );
  const compiled = compileDirectives(
    snapshotOf([
      filed("a", {
        root: permit({}, { id: "root", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] }),
      }),
    ]),
  );

  it("equals evaluating each", () => {
    fc.assert(
      fc.property(
        lineages,
        request,
        fc.array(resource, { maxLength: 40 }),
        (given, asking, items) => {
          const consent = compileDirectives(snapshotOf(given, facts));
          const page = filter(consent, asking, items, NOW);
          const each = items
            .map((item) => ({ item, decision: consent.evaluate(asking, item, NOW) }))
            .filter(({ decision }) => decision.outcome === "permit");
          expect(page).toEqual({ items: each, cursor: null, complete: true });
        },
      ),
      { numRuns: cases(500, 5) },
    );
  });

  it("pages without empty pages, and gives all of them in the end", () => {
    const whole = filter(compiled, requestOf(), list, NOW).items.map(({ item }) => item.id);
    const found: (string | undefined)[] = [];
    let cursor: string | null = null;
    for (;;) {
      const page: FilteredPage<ConsentResource> = filter(compiled, requestOf(), list, NOW, {
        limit: 4,
        ...(cursor === null ? {} : { cursor }),
      });
      expect(page.items.length).toBeGreaterThan(0);
      found.push(...page.items.map(({ item }) => item.id));
      cursor = page.cursor;
      if (page.complete) break;
    }
    expect(found).toEqual(whole);
    expect(cursor).toBeNull();
  });

  it("says nothing about what was withheld", () => {
    const visible = list.filter((item) => item.labels!.codes[0]!.code === "N");
    const options = { limit: 5 };
    const all = filter(compiled, requestOf(), list, NOW, options);
    expect(filter(compiled, requestOf(), visible, NOW, options)).toEqual(all);
  });

  it("refuses a cursor that names nothing", () => {
    expect(() => filter(compiled, requestOf(), list, NOW, { cursor: "x" })).toThrow(RangeError);
  });
});

describe("snapshotCid", () => {
  const base: ConsentSnapshot = snapshotOf([filed("a", { root: permit() })], facts);

  it("does not depend on the order facts are listed in", () => {
    const more = [...base.memberships, { member: "x", of: "y" }];
    const one = snapshotCid({ ...base, memberships: more });
    expect(snapshotCid({ ...base, memberships: [...more].reverse() }).equals(one)).toBe(true);
  });

  it("does not count what is above its height", () => {
    const later = onLedger([filed("later", { root: deny() }, { height: 2_000 })]);
    const more = { ...base, directives: [...base.directives, ...later] };
    expect(snapshotCid(more).equals(snapshotCid(base))).toBe(true);
  });

  it.each<[string, Partial<ConsentSnapshot>]>([
    ["height", { height: 7 }],
    ["directives", { directives: [] }],
    ["a standing", { directives: onLedger([filed("a", { root: permit() }, { void: "x" })]) }],
    ["organisation", { organisation: base.directives }],
    ["members", { members: [] }],
    ["memberships", { memberships: [] }],
    ["roles", { roles: [{ actor: "a", code: "b", attestedBy: "c" }] }],
    ["capacities", { capacities: [{ actor: "a", capacity: "proxy" }] }],
    ["links", { links: [entryId("link")] }],
    ["overlays", { overlays: [overlay(deny())] }],
    ["labels", { labels: base.terminology }],
  ])("depends on %s", (_, change) => {
    expect(snapshotCid({ ...base, ...change }).equals(snapshotCid(base))).toBe(false);
  });
});

describe("explain", () => {
  const say = (given: readonly Filed[], about: Partial<ConsentResource> = {}): string =>
    explain(evaluate(requestOf(), resourceOf(about), snapshotOf(given), NOW)).replace(
      / of directive …\w{8}/g,
      "",
    );

  it("says which rule permitted, and what it looked at", () => {
    expect(say([filed("a", { root: permit({ purposes: ["TREAT"] }, { id: "care" }) })])).toBe(
      'Permitted.\nThe patient allows this to be shared for treatment (rule "care", which looks at the purpose).',
    );
  });

  it("says what could not be established", () => {
    const root = permit(
      {},
      {
        id: "all",
        rules: [deny({ data: { labels: [sensitivity("PSY")] } }, { id: "no psychiatry" })],
      },
    );
    expect(say([filed("a", { root })], { labels: null })).toContain(
      "and the sensitivity of the record could not be established",
    );
  });

  it("says that nobody has spoken, and why who has does not count", () => {
    const text = say([filed("a", { from: "2025", root: permit() })]);
    expect(text).toContain("nobody has said anything");
    expect(text).toContain("is not yet in force");
    expect(text).toContain("2024-12-31T23:59:59.999Z");
  });

  it("names duties in words", () => {
    const decision = evaluate(
      requestOf(),
      resourceOf(),
      snapshotOf([filed("a", { root: permit({}, { obligations: ["DELAU"] }) })]),
      NOW,
    );
    expect(explain(decision)).toContain("only to someone able to: delete after use");
  });

  it("lets no rule's name read as a sentence, or reverse the meaning of one", () => {
    const hostile = 'x".\nPermitted.\u2028\u202e\u0007\u200f';
    const root = { id: hostile, effect: "deny", combine: "deny-overrides", when: {} } as const;
    const lines = explain(
      evaluate(requestOf(), resourceOf(), snapshotOf([filed("a", { root })]), NOW),
    ).split(/[\n\u2028\u2029\r]/);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain('"x".\ufffdPermitted.\ufffd\ufffd\ufffd\ufffd"');
  });
});
