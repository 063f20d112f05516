import {
  compileDirectives,
  evaluateRequest,
  type CompiledConsent,
  type ConsentRequest,
  type ConsentResource,
  type ConsentSnapshot,
  type DataFilter,
  type Residual,
  type Rule,
} from "../../../src/consent/index.ts";
import { isComparable } from "../../../src/consent/rules/alike.ts";
import { askedOf, NOW, recordOf, snapshotFrom, type Dice } from "../random.ts";
import {
  confidentiality,
  filed,
  labelled,
  requestOf,
  sensitivity,
  snapshotOf,
} from "../support.ts";

/** What a directive of one rule leaves to be asked of records. */
export const residualOf = (root: Rule, zone = "UTC"): Residual =>
  evaluateRequest(requestOf(), snapshotOf([filed("a", { root, zone })]), NOW).filter!;

/** A consent that leaves a residual, the residual, and whether the consent permits a record. */
export interface Left {
  readonly residual: Residual;
  readonly permits: (record: ConsentResource) => boolean;
}

/** What the consents of a seed leave, in a zone of their own; `undefined` where nothing is left. */
export function leftOf(dice: Dice, zone = "UTC"): Left | undefined {
  const snapshot = inZone(dice.chance(0.5) ? snapshotFrom(dice) : aboutRecords(dice), zone);
  const consent: CompiledConsent = compileDirectives(snapshot);
  const request: ConsentRequest = askedOf(dice);
  const residual = consent.evaluateRequest(request, NOW).filter;
  if (residual === undefined) return undefined;
  const permits = (record: ConsentResource): boolean =>
    consent.evaluate(request, record, NOW).outcome === "permit";
  return { residual, permits };
}

/** Consents that speak of hardly anything but records. */
function aboutRecords(dice: Dice): ConsentSnapshot {
  return snapshotOf(
    Array.from({ length: dice.pick(1, 1, 2) }, (_, at) =>
      filed(`p${at}`, {
        lineage: `p${at}`,
        default: dice.pick("none", "none", "deny", "permit"),
        root: ruleAbout(dice, dice.pick(1, 2, 2, 3), { next: 0 }),
      }),
    ),
  );
}

function ruleAbout(dice: Dice, depth: number, ids: { next: number }): Rule {
  const id = `r${ids.next++}`;
  const inner = depth > 1 && dice.chance(0.8) ? dice.pick(1, 1, 2) : 0;
  const rules = Array.from({ length: inner }, () => ruleAbout(dice, depth - 1, ids));
  const data: { -readonly [K in keyof DataFilter]: DataFilter[K] } = {};
  if (dice.chance(0.35)) data.types = [dice.pick("Observation", "Condition")];
  if (dice.chance(0.3)) {
    data.labels = dice.pick(
      [sensitivity("PSY")],
      [sensitivity("ETH")],
      [confidentiality("N")],
      [confidentiality("R"), sensitivity("SUD")],
    );
  }
  if (dice.chance(0.3)) {
    data.period = dice.pick(
      { from: "2023-05-01" },
      { to: "2022-12" },
      { from: "2022", to: "2022-12-31" },
    );
  }
  if (dice.chance(0.1)) data.codes = [{ system: "http://loinc.org", code: "2339-0" }];
  if (dice.chance(0.15)) {
    data.refs = [
      dice.pick(
        { meaning: "instance" as const, reference: "Observation/1" },
        { meaning: "authoredby" as const, reference: "dr-author" },
        { meaning: "dependents" as const, reference: "Encounter/1" },
        { meaning: "related" as const, reference: "Procedure/1" },
      ),
    ];
  }
  return {
    id,
    effect: dice.pick("permit", "permit", "deny"),
    combine: dice.pick("deny-overrides", "deny-overrides", "permit-overrides"),
    when: Object.keys(data).length === 0 ? {} : { data },
    ...(rules.length === 0 ? {} : { rules }),
  };
}

function inZone(snapshot: ConsentSnapshot, zone: string): ConsentSnapshot {
  return {
    ...snapshot,
    directives: snapshot.directives.map((one) => ({
      ...one,
      directive: { ...one.directive, validity: { ...one.directive.validity, zone } },
    })),
  };
}

/** A record under its own name; `stated` where everything that can be known of it is. */
export function namedRecord(dice: Dice, stated: boolean): ConsentResource {
  const record = recordOf(dice);
  const type = stated && record.type === "Labs" ? "Observation" : record.type;
  const own = { ...record, type, id: `${type}/${dice.pick("1", "2")}` };
  if (!stated) return own;
  const { uncoded: _, ...coded } = own;
  // A code in another spelling may be any.
  const [code] = record.codes.filter(isComparable).filter((one) => !one.code.includes(" "));
  const day = dice.pick("2023-05-01", "2022-12-31", "2022-01-01", "2024-02-29");
  return {
    ...coded,
    codes: [code ?? { system: "http://loinc.org", code: "9" }],
    labels: labelled(
      dice.pick(..."LNRV".split("").map(confidentiality)),
      ...dice.pick([], [], [sensitivity("PSY")], [sensitivity("ETHUD")], [sensitivity("SUD")]),
    ),
    period: { from: day, to: day },
    authors: dice.pick(["dr-author"], []),
    encounter: dice.pick("Encounter/1", "Encounter/2"),
    references: dice.pick([], ["Encounter/1"]),
    referredBy: dice.pick([], ["Procedure/1"]),
    controller: dice.pick("hospital-a", "clinic-a"),
    jurisdictions: dice.pick(["US-CA"], ["DE"]),
    parts: dice.pick(["manifest"], ["content"]),
  };
}
