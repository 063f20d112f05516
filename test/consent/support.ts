import { parseEntryId, type EntryId } from "../../src/codec/ids.ts";
import {
  ACT_CODE,
  CONFIDENTIALITY,
  compileDirectives,
  defaultTerminology,
  directiveCid,
  type Coding,
  type ConsentRequest,
  type ConsentResource,
  type ConsentSnapshot,
  type Decision,
  type Directive,
  type Overlay,
  type Rule,
  type SnapshotDirective,
  type When,
} from "../../src/consent/index.ts";
import { encodeOverlay } from "../../src/consent/model/directive.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";

/** An instant, written as people do; UTC. */
export const at = (text: string): number =>
  Date.parse(text.includes("T") ? text : `${text}T00:00Z`);

/** The id of an entry, of 32 bytes that begin with its name. */
export function entryId(name: string): EntryId {
  const bytes = Buffer.alloc(32);
  bytes.write(name);
  return parseEntryId(bytes.toString("hex"));
}

export const sensitivity = (code: string): Coding => ({ system: ACT_CODE, code });
export const confidentiality = (code: string): Coding => ({ system: CONFIDENTIALITY, code });

export type RuleOptions = Partial<Omit<Rule, "when" | "effect">>;

export function permit(when: When = {}, options: RuleOptions = {}): Rule {
  return { id: "permit", combine: "deny-overrides", effect: "permit", when, ...options };
}

export function deny(when: When = {}, options: RuleOptions = {}): Rule {
  return { id: "deny", combine: "deny-overrides", effect: "deny", when, ...options };
}

export interface Statement {
  readonly lineage?: string;
  readonly after?: readonly string[];
  readonly mode?: Directive["mode"];
  readonly by?: string;
  readonly capacity?: Directive["grantor"]["capacity"];
  readonly controller?: string;
  readonly category?: string;
  readonly jurisdictions?: readonly string[];
  readonly from?: number | string;
  readonly to?: number | string;
  readonly zone?: string;
  readonly default?: Directive["default"];
  readonly root?: Rule;
}

export function says(statement: Statement): Directive {
  const { mode = "replace", controller, category, jurisdictions, to, root } = statement;
  return {
    v: 1,
    lineage: statement.lineage ?? "main",
    predecessors: (statement.after ?? []).map(entryId),
    mode,
    grantor: {
      actor: statement.by ?? "patient",
      capacity: statement.capacity ?? "self",
      evidence: [],
    },
    ...(controller === undefined ? {} : { controller }),
    ...(category === undefined ? {} : { category }),
    basis: { uri: "urn:test:policy", version: "1" },
    ...(jurisdictions === undefined ? {} : { jurisdictions }),
    validity: {
      from: statement.from ?? "2020",
      ...(to === undefined ? {} : { to }),
      zone: statement.zone ?? "UTC",
    },
    default: statement.default ?? "none",
    ...(mode === "suspend" || mode === "revoke" ? {} : { root: root ?? permit() }),
  };
}

/** Files a statement under a name; statements are filed one block each, in the order given. */
export interface Filed {
  readonly name: string;
  readonly statement: Statement;
  readonly void?: string;
  readonly height?: number;
  readonly recordedAt?: number;
  readonly aliases?: readonly string[];
  readonly witness?: SnapshotDirective["witness"];
}

export const filed = (name: string, statement: Statement, more: Partial<Filed> = {}): Filed => ({
  name,
  statement,
  ...more,
});

export function onLedger(list: readonly Filed[]): SnapshotDirective[] {
  return list.map((item, index) => {
    const directive = says(item.statement);
    return {
      entry: entryId(item.name),
      place: { height: item.height ?? index, index: 0 },
      cid: directiveCid(directive),
      directive,
      standing: item.void === undefined ? "valid" : { void: item.void },
      ...(item.recordedAt === undefined ? {} : { recordedAt: item.recordedAt }),
      ...(item.aliases === undefined ? {} : { aliases: item.aliases.map(entryId) }),
      ...(item.witness === undefined ? {} : { witness: item.witness }),
    };
  });
}

export function overlay(root: Rule, more: Partial<Overlay> = {}): ConsentSnapshot["overlays"][0] {
  const value: Overlay = {
    v: 1,
    basis: { uri: "urn:test:law", version: "1" },
    validity: { from: "2000", zone: "UTC" },
    root,
    ...more,
  };
  return lawOf(value);
}

/** An overlay with its name. */
export function lawOf(value: Overlay): ConsentSnapshot["overlays"][0] {
  return { cid: cidOf(encodeOverlay(value), DAG_CBOR), overlay: value };
}

/** A snapshot of a ledger that holds nothing. */
export const noFacts = (): ConsentSnapshot => ({
  height: 0,
  directives: [],
  organisation: [],
  overlays: [],
  members: [],
  memberships: [],
  roles: [],
  capacities: [],
  links: [],
  terminology: defaultTerminology().cid,
  labels: null,
});

export function snapshotOf(
  given: readonly Filed[],
  more: Partial<ConsentSnapshot> = {},
): ConsentSnapshot {
  const members = ["hospital-a", "hospital-b"];
  return { ...noFacts(), height: 1_000, directives: onLedger(given), members, ...more };
}

export function requestOf(more: Partial<ConsentRequest> = {}): ConsentRequest {
  return {
    id: "request-1",
    requester: "hospital-b",
    user: "dr-who",
    roles: [],
    purposes: ["TREAT"],
    action: "access",
    subject: "patient",
    ...more,
  };
}

export const stamp = { labeller: "test", version: "1" };

export function labelled(...codes: readonly Coding[]): ConsentResource["labels"] {
  return { codes, stamp };
}

export function resourceOf(more: Partial<ConsentResource> = {}): ConsentResource {
  return {
    id: "Observation/1",
    type: "Observation",
    codes: [{ system: "http://loinc.org", code: "2339-0" }],
    labels: labelled(confidentiality("N")),
    period: { from: "2023-05-01", to: "2023-05-01" },
    authors: ["dr-author"],
    references: [],
    controller: "hospital-a",
    jurisdictions: ["US"],
    ...more,
  };
}

/** One line of a table: given directives, when asked, then decision, because. */
export interface Case {
  readonly it: string;
  readonly given?: readonly Filed[];
  readonly facts?: Partial<ConsentSnapshot>;
  readonly asked?: Partial<ConsentRequest>;
  readonly about?: Partial<ConsentResource>;
  readonly on?: string;
  readonly supportedObligations?: readonly string[];
  readonly then: Decision["outcome"];
  /** Reasons as `kind path` or directives set aside as `aside why`; the listed ones must be there. */
  readonly because?: readonly string[];
  readonly not?: readonly string[];
  readonly breakGlass?: Decision["breakGlass"];
}

export function decide(item: Case): Decision {
  return compileDirectives(snapshotOf(item.given ?? [], item.facts)).evaluate(
    requestOf(item.asked),
    resourceOf(item.about),
    at(item.on ?? "2024-06-15"),
    { supportedObligations: item.supportedObligations ?? [] },
  );
}

export function grounds(decision: Decision): string[] {
  return [
    ...decision.reasons.map((one) => `${one.kind} ${one.path.join("/")}`.trim()),
    ...decision.setAside.map((one) => `aside ${one.why}`),
  ];
}
