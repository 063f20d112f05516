import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toEntryId, type EntryId } from "../../../src/codec/ids.ts";
import {
  createDirective,
  type CreateDirectiveOptions,
  type DirectiveStatement,
} from "../../../src/consent/model/create-directive.ts";
import { encodeDirective } from "../../../src/consent/model/directive.ts";
import type { Directive, Effect, Rule, When } from "../../../src/consent/model/model.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import {
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
} from "../../../src/consent/terminology/terminology.ts";
import { bytesFor } from "../../support/ledger.ts";
import { MRN, observation, alcoholDependence } from "../../support/hospital.ts";
import { texts, ward } from "../../support/ward.ts";

const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ETH = { system: ACT_CODE, code: "ETH" };
const basis = { uri: "https://example.org/policy", version: "1" };
const said: CreateDirectiveOptions = {
  ...{ lineage: "privacy", grantor: "Patient/1", basis, from: "2026-01-01" },
  permit: { purposes: ["TREAT"], except: { labels: [ETH] } },
};

describe("createDirective", () => {
  it("writes what one would write by hand", () => {
    const byHand: Directive = {
      v: 1,
      lineage: "privacy",
      predecessors: [],
      mode: "replace",
      grantor: { actor: "Patient/1", capacity: "self", evidence: [] },
      basis,
      validity: { from: "2026-01-01", zone: "UTC" },
      default: "deny",
      root: {
        id: "permit",
        effect: "permit",
        combine: "deny-overrides",
        when: { purposes: ["TREAT"] },
        rules: [
          {
            id: "permit-except",
            effect: "deny",
            combine: "deny-overrides",
            when: { data: { labels: [ETH] } },
          },
        ],
      },
    };
    expect(createDirective(said)).toEqual(byHand);
  });

  it("puts several statements beneath one for everything else", () => {
    const { permit, ...rest } = said;
    const { root, default: fallback } = createDirective({
      ...rest,
      permit: [{ purposes: ["TREAT"] }, { id: "pay", purposes: ["HPAYMT"] }],
      deny: { purposes: ["HRESCH"], breakGlass: "never", obligations: ["DELAU"] },
    });
    expect(permit).toBeDefined();
    const plain = { combine: "deny-overrides" };
    expect(fallback).toBe("deny");
    expect(root).toEqual({
      ...{ id: "all", effect: "deny", when: {}, ...plain },
      rules: [
        { id: "permit-1", effect: "permit", when: { purposes: ["TREAT"] }, ...plain },
        { id: "pay", effect: "permit", when: { purposes: ["HPAYMT"] }, ...plain },
        {
          ...{ id: "deny", effect: "deny", when: { purposes: ["HRESCH"] }, ...plain },
          ...{ breakGlass: "never", obligations: ["DELAU"] },
        },
      ],
    });
  });

  it("names what it replaces or amends", () => {
    const [one, two] = [toEntryId(bytesFor("one")), toEntryId(bytesFor("two"))];
    expect(createDirective({ ...said, replaces: one })).toMatchObject({
      ...{ mode: "replace", predecessors: [one], default: "deny" },
    });
    expect(createDirective({ ...said, amends: [one, two] })).toMatchObject({
      ...{ mode: "amend", predecessors: [one, two], default: "none" },
    });
    expect(() => createDirective({ ...said, replaces: one, amends: two })).toThrow(
      expect.objectContaining({ code: "ERR_CONSENT_INVALID" }),
    );
    expect(() => createDirective({ ...said, replaces: "abcd" as EntryId })).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
  });

  it("passes on who speaks, since when, where and of whose records", () => {
    const evidence = [cidOf(bytesFor("form"), DAG_CBOR)];
    const grantor = { actor: "RelatedPerson/2", capacity: "guardian", evidence } as const;
    const rest = { controller: "did:example:a", category: "research", jurisdictions: ["DE"] };
    const built = createDirective({
      ...said,
      ...{ grantor, ...rest, otherwise: "none" },
      ...{ from: 5, to: "2027", zone: "Europe/Berlin" },
    });
    const validity = { from: 5, to: "2027", zone: "Europe/Berlin" };
    expect(built).toMatchObject({ ...rest, validity, default: "none" });
    expect(built.grantor.capacity).toBe("guardian");
    expect(built.grantor.evidence.map(String)).toEqual(evidence.map(String));
    expect(createDirective({ ...said, grantor: { actor: "x" } }).grantor).toEqual({
      ...{ actor: "x", capacity: "self", evidence: [] },
    });
  });

  it("refuses a slip that would permit more than was meant", () => {
    const wrong = (change: object): (() => Directive) => {
      return () => createDirective({ ...said, ...change } as CreateDirectiveOptions);
    };
    expect(wrong({ permit: { purposes: ["TREAT"], exept: { labels: [ETH] } } })).toThrow(TypeError);
    expect(wrong({ permit: { purposes: undefined } })).toThrow(TypeError);
    expect(wrong({ permit: { purposes: ["TREAT"], except: undefined } })).toThrow(TypeError);
    expect(wrong({ denny: { purposes: ["TREAT"] } })).toThrow(TypeError);
    expect(wrong({ deny: undefined })).toThrow(TypeError);
    expect(wrong({ grantor: { actor: "x", capasity: "guardian" } })).toThrow(TypeError);
    const invalid = expect.objectContaining({ code: "ERR_CONSENT_INVALID" });
    expect(wrong({ permit: { purposes: [] } })).toThrow(invalid);
    expect(wrong({ permit: { purposes: ["TREAT"], except: [] } })).toThrow(invalid);
    expect(wrong({ permit: [] })).toThrow(invalid);
    expect(wrong({ deny: { id: "permit" } })).toThrow(invalid);
    expect(wrong({ deny: { types: ["Condition"] }, otherwise: "none" })).toThrow(invalid);
    const { permit, ...nothing } = said;
    expect(permit).toBeDefined();
    expect(() => createDirective(nothing)).toThrow(invalid);
    const malformed = expect.objectContaining({ name: "EncodingError" });
    expect(wrong({ permit: { purposes: "TREAT" } })).toThrow(malformed);
    for (const slip of [true, 5, null, "TREAT"]) expect(wrong({ permit: slip })).toThrow(TypeError);
    expect(wrong({ from: "yesterday" })).toThrow(invalid);
  });

  const label = (system: string, code: string) => ({ labels: [{ system, code }] });
  const misspelt: readonly (readonly [DirectiveStatement, string, string])[] = [
    [label(ACT_CODE, "HVI"), "HVI", "HIV"],
    [label("urn:oid:2.16.840.1.113883.5.4", "hiv"), "hiv", "HIV"],
    [label(CONFIDENTIALITY, "restricted"), "restricted", "R"],
    [label("v3-ActCode", "HIV"), "v3-ActCode", ACT_CODE],
    [{ purposes: ["TREAT", "HRESC"] }, "HRESC", "HRESCH"],
    [{ purposes: [`${ACT_REASON}|TRAET`] }, "TRAET", "TREAT"],
    [{ actions: ["acess"] }, "acess", "access"],
    [{ types: ["Observations"] }, "Observations", "Observation"],
    [{ types: ["condition"] }, "condition", "Condition"],
    [{ obligations: ["DELUA"] }, "DELUA", "DELAU"],
    [{ refrains: ["NORESUE"] }, "NORESUE", "NOREUSE"],
  ];

  it.each(misspelt)("refuses a code that nothing knows: %j", (statement, code, nearest) => {
    const wrong = expect.objectContaining({
      code: "ERR_CONSENT_TERMINOLOGY",
      message: expect.stringMatching(new RegExp(`"${code}" .*"${nearest}"`)) as unknown,
    }) as unknown;
    const all = { purposes: ["TREAT"] };
    for (const said of [
      { deny: statement },
      { permit: statement },
      { permit: all, deny: [all, statement] },
      { permit: { except: { except: statement } } },
    ]) {
      const made = () =>
        createDirective({
          ...{ lineage: "privacy", grantor: "Patient/1", basis, from: "2026-01-01" },
          otherwise: "permit",
          ...said,
        });
      expect(made).toThrow(wrong);
    }
  });

  it("refuses a jurisdiction that ISO 3166 does not have", () => {
    for (const jurisdictions of [["USA"], ["DE", "us"], ["US_CA"], ["XX"]]) {
      expect(() => createDirective({ ...said, jurisdictions })).toThrow(
        expect.objectContaining({ code: "ERR_CONSENT_TERMINOLOGY" }),
      );
    }
    expect(createDirective({ ...said, jurisdictions: ["US-CA", "DE"] }).jurisdictions).toEqual([
      "US-CA",
      "DE",
    ]);
  });

  it("takes codes of one's own, in a terminology or with their system", () => {
    const terminology = makeTerminology(
      extendTerminology(HL7_TERMINOLOGY, {
        ...{ name: "ours", version: "1" },
        purposes: { BOARD: ["Tumour board", "TREAT"] },
        sensitivity: { OURHIV: ["HIV programme", "HIV"] },
      }),
    );
    const ours: DirectiveStatement = { ...label(ACT_CODE, "OURHIV"), purposes: ["BOARD"] };
    const { permit, ...rest } = said;
    expect(permit).toBeDefined();
    expect(() => createDirective({ ...rest, deny: ours })).toThrow(
      expect.objectContaining({ code: "ERR_CONSENT_TERMINOLOGY" }),
    );
    const made = createDirective({ ...rest, deny: ours, terminology });
    expect(made).not.toHaveProperty("terminology");
    expect(made.root!.when).toEqual({ purposes: ["BOARD"], data: label(ACT_CODE, "OURHIV") });
    const named = { ...label("urn:ours:labels", "X"), purposes: ["urn:ours|X"] };
    expect(createDirective({ ...rest, deny: named }).root!.when.purposes).toEqual(["urn:ours|X"]);
  });

  it("keeps nothing of what it was given", () => {
    const purposes = ["TREAT"];
    const built = createDirective({ ...said, permit: { purposes } });
    purposes[0] = "HRESCH";
    expect(built.root!.when.purposes).toEqual(["TREAT"]);
  });

  it("makes every tree of exceptions that can be written by hand", () => {
    fc.assert(
      fc.property(trees, fc.constantFrom("permit", "deny", "none"), (shape, fallback) => {
        const root = handWritten(shape, "permit", counter());
        const byHand: Directive = { ...createDirective(said), default: fallback as Effect, root };
        const built = createDirective({ ...said, permit: spoken(root), otherwise: byHand.default });
        expect(encodeDirective(built)).toEqual(encodeDirective(byHand));
      }),
    );
  });

  it("is filed, and releases what it permits and nothing else", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp"));
    await w.hl.record(w.me, alcoholDependence("c"));
    const { permit, ...rest } = said;
    const before = createDirective({ ...rest, permit: { purposes: ["HPAYMT"] } });
    const witness = { user: "clerk-7", form: "paper", takenAt: w.clock.now } as const;
    const first = await w.hl.consent(w.me, before, { witness });
    expect(await texts(await w.ask(w.b, { patient: MRN, purposes: ["TREAT"] }))).toEqual([]);
    const replaces = first.id;
    await w.hl.consent(w.me, createDirective({ ...rest, permit: permit!, replaces }), { witness });
    const answer = await w.ask(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect(await texts(answer)).toEqual([observation("bp")]);
    expect(await texts(await w.ask(w.b, { patient: MRN, purposes: ["HPAYMT"] }))).toEqual([]);
  });
});

interface Shape {
  readonly when: When;
  readonly rules: readonly Shape[];
}

const some = (...from: readonly string[]) =>
  fc.uniqueArray(fc.constantFrom(...from), { minLength: 1 });
const words = some("a", "b", "c");
const types = some("Observation", "Condition", "https://example.org/StructureDefinition/Own");
const data = fc
  .record({ types, parts: words, labels: fc.constant([ETH]) }, { requiredKeys: [] })
  .filter((filter) => Object.keys(filter).length > 0);
const whens = fc.record(
  {
    ...{ purposes: some("TREAT", "HPAYMT", "urn:ours|BOARD"), roles: words },
    ...{ actions: some("access", "use", "urn:ours|copy") },
    validity: fc.constant({ to: 9 }),
    data,
  },
  { requiredKeys: [] },
);
const { trees } = fc.letrec<{ trees: Shape }>((tie) => ({
  trees: fc.record({
    when: whens,
    rules: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant([]),
      fc.array(tie("trees"), { maxLength: 3 }),
    ),
  }),
}));

const counter = (): (() => number) => {
  let count = 0;
  return () => ++count;
};

/** Rules by hand, the exceptions of each saying the opposite. */
function handWritten({ when, rules }: Shape, effect: Effect, next: () => number): Rule {
  const opposite = effect === "deny" ? "permit" : "deny";
  return {
    ...{ id: `rule ${next()}`, effect, combine: "deny-overrides", when },
    ...(rules.length > 0 && { rules: rules.map((rule) => handWritten(rule, opposite, next)) }),
  };
}

/** The same as one would say it. */
function spoken({ id, when, rules }: Rule): DirectiveStatement {
  const { data: filter, ...rest } = when;
  return { id, ...rest, ...filter, ...(rules && { except: rules.map(spoken) }) };
}

describe("a statement of which not everything is seen", () => {
  const narrow = { purposes: ["TREAT"] };
  class Narrow {
    get purposes() {
      return narrow.purposes;
    }
  }
  const unseen: readonly (readonly [string, object])[] = [
    ["a class", new Narrow()],
    ["a set", new Set([narrow])],
    ["a map", new Map(Object.entries(narrow))],
    ["what inherits", Object.create(narrow) as object],
    ["a function", () => narrow],
    ["a promise", Promise.resolve(narrow)],
  ];

  // Each would be a statement without attributes, which matches anything.
  it.each(unseen)("is refused: %s", (_, statement) => {
    const given = statement as DirectiveStatement;
    for (const wrong of [
      { permit: given },
      { permit: [given] },
      { permit: { except: given } },
      { permit: narrow, deny: [narrow, given] },
    ]) {
      expect(() => createDirective({ ...said, ...wrong })).toThrow(TypeError);
    }
  });

  it("is not one that has no prototype, or that was parsed", () => {
    const bare = Object.assign(Object.create(null) as object, narrow);
    const made = createDirective({ ...said, permit: narrow });
    expect(createDirective({ ...said, permit: bare })).toEqual(made);
    const parsed = JSON.parse(JSON.stringify(narrow)) as DirectiveStatement;
    expect(createDirective({ ...said, permit: parsed })).toEqual(made);
  });
});

describe("what is said of other directives, and not known", () => {
  it.each([
    [{ replaces: null }],
    [{ amends: null }],
    [{ otherwise: null }],
    [{ grantor: { actor: "Patient/1", capacity: null } }],
    [{ permit: { purposes: null } }],
  ])("is refused: %j", (wrong) => {
    const options = { ...said, ...wrong } as unknown as CreateDirectiveOptions;
    expect(() => createDirective(options)).toThrow(TypeError);
  });

  it("is refused of an amendment that amends nothing", () => {
    expect(() => createDirective({ ...said, amends: [] })).toThrow(
      expect.objectContaining({ code: "ERR_CONSENT_INVALID" }),
    );
    expect(createDirective({ ...said, replaces: [] }).predecessors).toEqual([]);
  });
});
