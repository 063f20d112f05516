// @ts-check
import * as cedar from "@cedar-policy/cedar-wasm/nodejs";
import { consent } from "../lib/healthledger.mjs";
import { collectGarbage, rates, values } from "../lib/measure.mjs";

const NOW = Date.UTC(2026, 5, 15);
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const terminology = consent.defaultTerminology();

/** @typedef {import("../../src/consent/index.ts").Rule} Rule */
/** @typedef {import("../../src/consent/index.ts").ConsentRequest} ConsentRequest */
/** @typedef {import("../../src/consent/index.ts").ConsentResource} ConsentResource */

/** @param {string} code */
const label = (code) => ({ system: ACT_CODE, code });

let rules = 0;
/**
 * @param {"permit" | "deny"} effect
 * @param {Rule["when"]} when
 * @param {Rule[]} [nested]
 * @returns {Rule}
 */
const rule = (effect, when, nested) => ({
  id: `rule-${rules++}`,
  effect,
  combine: "deny-overrides",
  when,
  ...(nested === undefined ? {} : { rules: nested }),
});

/**
 * Directives in lineages of their own, one a root.
 * @param {readonly Rule[]} roots
 * @returns {import("../../src/consent/index.ts").ConsentSnapshot}
 */
function snapshotOf(roots) {
  const directives = roots.map((root, index) => {
    /** @type {import("../../src/consent/index.ts").Directive} */
    const directive = {
      v: 1,
      lineage: `lineage-${index}`,
      predecessors: [],
      mode: "replace",
      grantor: { actor: "Patient/1", capacity: "self", evidence: [] },
      basis: { uri: "urn:example:policy", version: "1" },
      validity: { from: "2026-01-01", zone: "UTC" },
      default: "none",
      root,
    };
    const entry = /** @type {import("../../src/index.ts").EntryId} */ (
      index.toString(16).padStart(64, "0")
    );
    return {
      entry,
      place: { height: index, index: 0 },
      cid: consent.directiveCid(directive),
      directive,
      standing: /** @type {const} */ ("valid"),
    };
  });
  return {
    height: roots.length,
    directives,
    organisation: [],
    overlays: [],
    members: ["hospital-a"],
    memberships: [],
    roles: [],
    capacities: [],
    links: [],
    terminology: terminology.cid,
    labels: null,
  };
}

const HIV = rule("deny", { data: { labels: [label("HIV")] } });
/** Open to treatment but for one sensitivity. */
const open = (/** @type {string} */ code) =>
  rule("permit", { purposes: ["TREAT"] }, [rule("deny", { data: { labels: [label(code)] } })]);
/** Open to one organisation for one purpose. */
const forOne = (/** @type {number} */ index) =>
  rule("permit", {
    actors: [{ type: "organisation", id: `organisation-${index}` }],
    purposes: [index % 2 === 0 ? "TREAT" : "HPAYMT"],
  });
const nested = () =>
  rule("permit", { purposes: ["TREAT", "HPAYMT"] }, [
    rule("deny", { data: { labels: [label("PSY"), label("HIV")] } }, [
      rule("permit", { actors: [{ type: "person", id: "doctor-1" }] }, [
        rule("deny", { data: { types: ["DocumentReference"] } }),
      ]),
    ]),
    rule("deny", { purposes: ["HPAYMT"] }, [
      rule("permit", { data: { types: ["Observation", "Procedure"] } }),
    ]),
  ]);

const SENSITIVITIES = ["HIV", "PSY", "SUD", "STD", "SEX", "GDIS", "SDV", "MH", "COGN", "PREGNANT"];

/**
 * @param {number} organisations
 * @param {number} count
 * @returns {{ request: ConsentRequest, resource: ConsentResource }[]}
 */
const questions = (organisations, count) =>
  Array.from({ length: count }, (_, i) => ({
    request: {
      id: `request-${i}`,
      requester: `organisation-${(i * 7919) % organisations}`,
      user: `doctor-${i % 3}`,
      roles: [],
      purposes: [i % 4 === 3 ? "HPAYMT" : i % 4 === 2 ? "COC" : "TREAT"],
      action: "access",
      subject: "Patient/1",
    },
    resource: record(i),
  }));

/** @param {number} i */
const record = (i) => ({
  id: `Observation/${i}`,
  type: ["Observation", "Condition", "DocumentReference"][i % 3] ?? "",
  codes: [{ system: "http://loinc.org", code: `${i % 1000}-1` }],
  labels: {
    codes: i % 5 === 0 ? [label(SENSITIVITIES[i % 10] ?? "HIV")] : [],
    stamp: { labeller: "bench", version: "1" },
  },
  period: { from: NOW - i * 1000, to: NOW - i * 1000 },
  controller: "hospital-a",
});

/**
 * A rule in Cedar. It has no lineages and no third truth value; subsumption comes as sets in the
 * context, and a rule holds unless one nested in it does.
 * @param {Rule} one
 * @param {string[]} above
 * @returns {string[]}
 */
function toCedar(one, above = []) {
  const { purposes, actors, data } = one.when;
  /** @type {string[]} */
  const own = [];
  const anyOf = (/** @type {string} */ set, /** @type {readonly string[]} */ names) =>
    `context.${set}.containsAny([${names.map((name) => JSON.stringify(name)).join()}])`;
  if (purposes) own.push(anyOf("purposes", purposes));
  if (actors)
    own.push(
      anyOf(
        "actors",
        actors.map(({ id }) => id),
      ),
    );
  if (data?.types) own.push(anyOf("types", data.types));
  if (data?.labels)
    own.push(
      anyOf(
        "labels",
        data.labels.map(({ code }) => code),
      ),
    );
  const held = [...above, ...own];
  const inner = (one.rules ?? []).map((child) => conditionOf(child, anyOf));
  const condition = [...held, ...inner.map((text) => `!(${text})`)].join(" && ") || "true";
  const effect = one.effect === "permit" ? "permit" : "forbid";
  return [
    `${effect}(principal, action, resource) when { ${condition} };`,
    ...(one.rules ?? []).flatMap((child) => toCedar(child, held)),
  ];
}

/**
 * @param {Rule} one
 * @param {(set: string, names: readonly string[]) => string} anyOf
 */
function conditionOf({ when: { purposes, actors, data } }, anyOf) {
  const parts = [
    ...(purposes ? [anyOf("purposes", purposes)] : []),
    ...(actors
      ? [
          anyOf(
            "actors",
            actors.map(({ id }) => id),
          ),
        ]
      : []),
    ...(data?.types ? [anyOf("types", data.types)] : []),
    ...(data?.labels
      ? [
          anyOf(
            "labels",
            data.labels.map(({ code }) => code),
          ),
        ]
      : []),
  ];
  return parts.join(" && ") || "true";
}

const known = Object.keys(terminology.data.purposes);
const knownLabels = Object.keys(terminology.data.sensitivity);

/** @param {{ request: ConsentRequest, resource: ConsentResource }} question */
function cedarContext({ request, resource }) {
  const purpose = request.purposes[0] ?? "";
  const labels = resource.labels?.codes.map(({ code }) => code) ?? [];
  return {
    purposes: known.filter((code) => terminology.purposesBelow(code)?.has(purpose)),
    actors: [request.requester, request.user ?? ""],
    types: [resource.type],
    labels: knownLabels.filter((code) =>
      labels.some((own) => terminology.labelsBelow(code)?.has(own)),
    ),
  };
}

/**
 * @param {string} name
 * @param {() => Rule[]} make
 * @param {{ calls: number, cedarCalls: number, organisations: number }} size
 */
const row = (name, make, { calls, cedarCalls, organisations }) => ({
  name,
  unit: "decisions/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const roots = make();
    const compiled = consent.compileDirectives(snapshotOf(roots));
    const asked = questions(organisations, 256);
    const policies = roots.flatMap((root) => toCedar(root)).join("\n");
    const parsed = cedar.preparsePolicySet(name, { staticPolicies: policies });
    if (parsed.type !== "success") throw new Error(JSON.stringify(parsed));
    const calling = asked.map((question) => ({
      principal: { type: "User", id: question.request.requester },
      action: { type: "Action", id: "access" },
      resource: { type: "Record", id: question.resource.id ?? "" },
      context: cedarContext(question),
      preparsedPolicySetId: name,
      entities: [],
    }));
    let permits = 0;
    asked.forEach(({ request, resource }, i) => {
      const ours = compiled.evaluate(request, resource, NOW).outcome === "permit";
      const call = calling[i];
      const answer = call && cedar.statefulIsAuthorized(call);
      if (answer?.type !== "success") throw new Error(JSON.stringify(answer));
      if ((answer.response.decision === "allow") !== ours) throw new Error(`${name}: ${i} differs`);
      if (ours) permits++;
    });
    if (permits === 0 || permits === asked.length) throw new Error("the questions tell nothing");
    const measured = await rates(
      [
        {
          name: "ours",
          round() {
            const count = short ? 1000 : calls;
            for (let i = 0; i < count; i++) {
              const { request, resource } = /** @type {typeof asked[0]} */ (asked[i & 255]);
              compiled.evaluate(request, resource, NOW);
            }
            return count;
          },
        },
        {
          name: "cedar",
          round() {
            const count = short ? 20 : cedarCalls;
            for (let i = 0; i < count; i++) {
              cedar.statefulIsAuthorized(/** @type {typeof calling[0]} */ (calling[i & 255]));
            }
            return count;
          },
        },
      ],
      { rounds },
    );
    note(`both agree on ${asked.length} questions, ${permits} of them permitted`);
    return { value: measured.ours, peers: { "cedar-wasm": measured.cedar } };
  },
});

const filter = {
  name: "filter/1m",
  unit: "manifests/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const count = short ? 10_000 : 1_000_000;
    const list = Array.from({ length: count }, (_, i) => record(i));
    const compiled = consent.compileDirectives(
      snapshotOf(SENSITIVITIES.slice(0, 3).map((code) => open(code))),
    );
    const request = { ...questions(1, 1)[0]?.request, purposes: ["TREAT"] };
    let kept = 0;
    const measured = await rates(
      [
        {
          name: "ours",
          round() {
            const page = consent.filter(
              compiled,
              /** @type {ConsentRequest} */ (request),
              list,
              NOW,
            );
            kept = page.items.length;
            return count;
          },
        },
      ],
      { rounds: Math.min(rounds, 3) },
    );
    note(`${kept} of ${count} kept, each with its decision`);
    return { value: measured.ours };
  },
};

const compile = {
  name: "compile",
  unit: "directives/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short }) {
    const count = short ? 100 : 1000;
    const snapshot = snapshotOf(Array.from({ length: count }, () => open("HIV")));
    const compiledOnce = () => consent.compileDirectives(snapshot);
    const measured = await rates(
      [
        {
          name: "ours",
          round() {
            compiledOnce();
            return count;
          },
        },
      ],
      { rounds },
    );
    /** @type {unknown[]} */
    const kept = [];
    const memory = await values(
      [
        {
          name: "memory",
          round() {
            collectGarbage();
            const before = process.memoryUsage().heapUsed;
            const compiled = consent.compileDirectives(snapshot);
            compiled.evaluate(
              /** @type {ConsentRequest} */ (questions(1, 1)[0]?.request),
              record(1),
              NOW,
            );
            kept.push(compiled);
            collectGarbage();
            return (process.memoryUsage().heapUsed - before) / count;
          },
        },
      ],
      { rounds },
    );
    return {
      value: measured.ours,
      also: [
        {
          name: "compile/memory",
          unit: "bytes a directive, beside the directive itself",
          value: memory.memory,
        },
      ],
    };
  },
};

export const rows = [
  row("evaluate/1", () => [open("HIV")], { calls: 200_000, cedarCalls: 2000, organisations: 4 }),
  row("evaluate/10", () => SENSITIVITIES.map((code) => open(code)), {
    calls: 50_000,
    cedarCalls: 1000,
    organisations: 4,
  }),
  row("evaluate/1000", () => [...Array.from({ length: 999 }, (_, index) => forOne(index)), HIV], {
    calls: 50_000,
    cedarCalls: 50,
    organisations: 2000,
  }),
  row("evaluate/nested", () => [nested()], { calls: 100_000, cedarCalls: 2000, organisations: 4 }),
  filter,
  compile,
];
