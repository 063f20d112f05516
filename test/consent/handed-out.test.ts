import { describe, expect, it } from "vitest";
import { compileDirectives, type Decision } from "../../src/consent/index.ts";
import {
  at,
  deny,
  filed,
  type Filed,
  labelled,
  permit,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
} from "./support.ts";

/** Changes every list and every object of what was handed out, CIDs excepted, where that can be done. */
function spoil(value: unknown, seen: Set<object> = new Set()): void {
  if (typeof value !== "object" || value === null || seen.has(value) || "multihash" in value)
    return;
  seen.add(value);
  for (const item of Object.values(value)) spoil(item, seen);
  try {
    if (Array.isArray(value)) value.push("spoiled");
    else Object.assign(value, { outcome: "permit", kind: "spoiled" });
  } catch (error) {
    // it is frozen
    expect(error).toBeInstanceOf(TypeError);
  }
}

const ON = at("2024-06-15");
const hiv = deny({ data: { labels: [sensitivity("HIV")] } }, { id: "hiv" });
const given: readonly (readonly [string, readonly Filed[]])[] = [
  ["nothing", []],
  ["a refusal", [filed("a", { root: deny() })]],
  ["a permit for something else", [filed("a", { root: permit({ purposes: ["HRESCH"] }) })]],
  ["a permit with an exception", [filed("a", { root: permit({}, { rules: [hiv] }) })]],
  [
    "a permit with a duty, and one that has ended",
    [
      filed("a", { root: permit({}, { obligations: ["DELAU"] }) }),
      filed("b", { lineage: "other", to: "2021" }),
    ],
  ],
];
const records = Array.from({ length: 40 }, (_, i) =>
  resourceOf({
    id: `Observation/${i}`,
    labels: [labelled(), labelled(sensitivity("HIV")), null][i % 3]!,
  }),
);

describe("a decision that somebody changes", () => {
  it.each(given)("changes no other: %s", (_, directives) => {
    const compiled = compileDirectives(snapshotOf(directives));
    const prepared = compiled.prepare(requestOf(), ON);
    const all = (): Decision[] => [
      compiled.evaluateRequest(requestOf(), ON),
      ...records.map((record) => compiled.evaluate(requestOf(), record, ON)),
    ];
    const before = JSON.stringify(all());
    const decided = (): string[] => records.map((one) => JSON.stringify(prepared.decide(one)));
    const expected = decided();
    for (const decision of all()) spoil(decision);
    for (const record of records) spoil(prepared.decide(record));
    expect(JSON.stringify(all())).toBe(before);
    expect(decided()).toEqual(expected);
    const fresh = compileDirectives(snapshotOf(directives));
    expect(JSON.stringify(fresh.evaluateRequest(requestOf(), ON))).toBe(
      JSON.stringify(compiled.evaluateRequest(requestOf(), ON)),
    );
  });
});
