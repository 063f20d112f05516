import type {
  Capacity,
  ConsentRequest,
  ConsentResource,
  ConsentSnapshot,
  Decision,
  Directive,
  Overlay,
  Rule,
  SnapshotDirective,
  When,
} from "../../src/consent/index.ts";
import { HL7_TERMINOLOGY } from "../../src/consent/index.ts";
import { RESOURCE_TYPES } from "../../src/consent/terminology/data/resource-types.ts";

// A second evaluator, slow and literal, written from the prose of docs/spec/directive.md, for
// directives dated in UTC or in a zone that nobody knows. It shares the published hierarchies with the first, and nothing else.

type Truth = "yes" | "no" | "unknown";
type Answer = "permit" | "deny" | "indeterminate" | "none";
/** What is said about breaking the glass; `perhaps` is an `allowed` that may not apply. */
type Glass = "never" | "allowed" | "perhaps" | "silent";

const parentsOf = (table: Record<string, readonly string[]>, code: string): string[] =>
  (table[code] ?? []).slice(1);
function within(table: Record<string, readonly string[]>, code: string, above: string): boolean {
  return code === above || parentsOf(table, code).some((parent) => within(table, parent, above));
}

const purposes = HL7_TERMINOLOGY.purposes as unknown as Record<string, readonly string[]>;
const labels: Record<string, readonly string[]> = {
  ...(HL7_TERMINOLOGY.sensitivity as unknown as Record<string, readonly string[]>),
  SUD: ["", "SPI", "ETH"],
  ETHUD: ["", "SUD", "ETH"],
  OPIOIDUD: ["", "SUD", "ETH"],
};

function day(text: string, end: boolean): number {
  const [y, m, d] = text.split("-").map(Number) as [number, number?, number?];
  if (!end) return Date.UTC(y, (m ?? 1) - 1, d ?? 1);
  if (m === undefined) return Date.UTC(y + 1, 0, 1) - 1;
  return d === undefined ? Date.UTC(y, m, 1) - 1 : Date.UTC(y, m - 1, d + 1) - 1;
}
const instant = (value: unknown, end: boolean): number =>
  typeof value === "number" ? value : day(String(value), end);
const span = (period: { from?: unknown; to?: unknown }): [number, number] => [
  period.from === undefined ? -Infinity : instant(period.from, false),
  period.to === undefined ? Infinity : instant(period.to, true),
];
const inside = (period: { from?: unknown; to?: unknown }, moment: number): boolean =>
  span(period)[0] <= moment && moment <= span(period)[1];

const or = (truths: readonly Truth[]): Truth =>
  truths.includes("yes") ? "yes" : truths.includes("unknown") ? "unknown" : "no";
const and = (truths: readonly Truth[]): Truth =>
  truths.includes("no") ? "no" : truths.includes("unknown") ? "unknown" : "yes";
const truth = (value: boolean): Truth => (value ? "yes" : "no");

/** What is being decided. */
interface Question {
  readonly snapshot: ConsentSnapshot;
  readonly request: ConsentRequest;
  readonly resource: ConsentResource;
  readonly asOf: number;
  readonly purpose: string;
  /** Whether dates of the directive at hand can be read. */
  readonly readable?: boolean;
}

function memberships(who: string, { snapshot, asOf }: Question, seen: string[] = []): string[] {
  if (seen.includes(who)) return [];
  const direct = snapshot.memberships.filter((one) => one.member === who && inside(one, asOf));
  return [
    who,
    ...direct.flatMap((one) => memberships(one.of, { snapshot, asOf } as Question, [...seen, who])),
  ];
}

function role(code: string, { snapshot, request, asOf }: Question): Truth {
  const word = (text: string): string => text.split("|").at(-1)!.trim().toLowerCase();
  const claims = request.roles?.filter((claim) => word(claim.code) === word(code));
  const vouched = (one: { readonly code: string; readonly attestedBy: string }): boolean =>
    one.code === code && snapshot.members.includes(one.attestedBy);
  if (claims?.some(vouched)) return "yes";
  const attested = snapshot.roles.filter(
    (fact) =>
      word(fact.code) === word(code) &&
      [request.user, request.requester].includes(fact.actor) &&
      snapshot.members.includes(fact.attestedBy) &&
      inside(fact, asOf),
  );
  if (attested.some(vouched)) return "yes";
  const open = claims === undefined || request.user === undefined;
  return open || claims.length > 0 || attested.length > 0 ? "unknown" : "no";
}

/** The kind of name, and the name without server and version. */
function nameParts(name: string): { kind: string; server: string; rest: string } {
  const [bare] = name.split("/_history/") as [string];
  const steps = bare.split("/");
  const type = steps.at(-2) ?? "";
  if (/^[A-Z][a-z]/.test(type)) {
    const server = steps.slice(0, -2).join("/");
    return { kind: `FHIR ${type}`, server, rest: `${type}/${steps.at(-1)}` };
  }
  const kind = name.includes("|")
    ? name.slice(0, name.lastIndexOf("|"))
    : name.includes(":")
      ? name.startsWith("urn:") || name.startsWith("did:")
        ? name.split(":").slice(0, 2).join(":").toLowerCase()
        : name.split(":")[0]!.toLowerCase()
      : "bare";
  return { kind, server: "", rest: name };
}

/** Whether two names mean one thing. */
function sameName(named: string, own: string): Truth {
  const [a, b] = [nameParts(named), nameParts(own)];
  if (named === own) return "yes";
  if (a.kind !== b.kind) {
    return a.kind.startsWith("FHIR") && b.kind.startsWith("FHIR") ? "no" : "unknown";
  }
  if (a.rest.toLowerCase() !== b.rest.toLowerCase()) return "no";
  if (a.rest !== b.rest) return "unknown";
  if (a.server === b.server) return "yes";
  const spelled = (server: string): string => server.toLowerCase().replace("https:", "http:");
  const other = a.server !== "" && b.server !== "" && spelled(a.server) !== spelled(b.server);
  return other ? "no" : "unknown";
}

/** Whether a party that is known by these names is the one named. */
function isParty(named: string, own: readonly string[]): Truth {
  const alike = own.filter((name) => nameParts(name).kind === nameParts(named).kind);
  if (own.includes(named)) return "yes";
  return alike.length === 0 ? "unknown" : or(alike.map((name) => sameName(named, name)));
}

const ACTIONS = ["collect", "access", "use", "disclose", "correct"];
/** One of a closed list of words; any other word may mean one of them. */
function wordIn(wanted: readonly string[], own: string, known: (word: string) => boolean): Truth {
  if (wanted.includes(own)) return "yes";
  return [...wanted, own].every(known) ? "no" : "unknown";
}

const spelt = ({ system, code }: { system: string; code: string }): string =>
  `${system.split("|")[0]!.toLowerCase().replace("https:", "http:").replace(/\/$/, "")} ` +
  code.toLowerCase().replaceAll(".", "").replaceAll(" ", "");
const isValueSet = (system: string): boolean =>
  system.includes("|") || system.includes("/ValueSet/") || !system.includes(":");

function matches(when: When, effect: Rule["effect"], asked: Question): Truth {
  const { request, resource, asOf, purpose } = asked;
  const truths: Truth[] = [];
  if (when.purposes) {
    truths.push(
      or(
        when.purposes.map((named): Truth => {
          if (purpose === named) return "yes";
          if (!(purpose in purposes) || !(named in purposes)) return "unknown";
          if (within(purposes, purpose, named)) return "yes";
          return within(purposes, named, purpose) && named !== "BTG" ? "unknown" : "no";
        }),
      ),
    );
  }
  if (when.actions) {
    truths.push(wordIn(when.actions, request.action, (word) => ACTIONS.includes(word)));
  }
  if (when.roles) truths.push(or(when.roles.map((code) => role(code, asked))));
  if (when.actors) {
    truths.push(
      or(
        when.actors.map(({ type, id }): Truth => {
          const who = [request.requester, ...(request.user === undefined ? [] : [request.user])];
          if (type === "role") return role(id, asked);
          if (type === "device") {
            const device = request.client?.device;
            return device === undefined ? "unknown" : isParty(id, [device]);
          }
          const reached =
            type === "person"
              ? who
              : who.flatMap((one) => memberships(one, asked).slice(1)).concat(request.requester);
          const party = isParty(id, reached);
          if (party === "yes" || type === "organisation") return party;
          return request.user === undefined ? "unknown" : party;
        }),
      ),
    );
  }
  if (when.validity) {
    truths.push(asked.readable === false ? "unknown" : truth(inside(when.validity, asOf)));
  }
  const { types, codes, labels: wanted, period, refs, parts } = when.data ?? {};
  if (types) truths.push(wordIn(types, resource.type, (word) => RESOURCE_TYPES.has(word)));
  if (codes) {
    const elsewhere = effect === "deny" ? (resource.otherCodes ?? []) : [];
    const there = resource.codes.concat(elsewhere);
    const found = codes.some((one) =>
      there.some((own) => own.system === one.system && own.code === one.code),
    );
    const odd =
      resource.uncoded === true ||
      [...codes, ...there].some(({ system }) => isValueSet(system)) ||
      codes.some((one) => there.some((own) => spelt(own) === spelt(one)));
    const open = !found && (resource.codes.length === 0 || odd);
    truths.push(open ? "unknown" : truth(found));
  }
  if (wanted) {
    const own = resource.labels;
    if (own === null || (own.stamp === null && effect === "permit")) truths.push("unknown");
    else {
      const order = "ULMNRV";
      const confidential = own.codes.filter(({ system }) => system.endsWith("Confidentiality"));
      const level = Math.max(-1, ...confidential.map(({ code }) => order.indexOf(code)));
      const known = ({ system, code }: { system: string; code: string }): boolean =>
        (system.endsWith("v3-Confidentiality") && order.includes(code)) ||
        (system.endsWith("v3-ActCode") && code in labels);
      const strange = own.codes.some((label) => !known(label));
      const found = or(
        wanted.map((one): Truth => {
          const { system, code } = one;
          const itself = own.codes.some((label) => label.system === system && label.code === code);
          if (!known(one)) return itself ? "yes" : "unknown";
          if (!system.endsWith("Confidentiality")) {
            const inside = own.codes.some(
              (label) => known(label) && within(labels, label.code, code),
            );
            return inside ? "yes" : strange ? "unknown" : "no";
          }
          if (level < 0) return "unknown";
          const bound = order.indexOf(code);
          const covered = effect === "permit" ? level <= bound : level >= bound;
          return covered ? "yes" : strange ? "unknown" : "no";
        }),
      );
      truths.push(own.stamp === null && found === "no" ? "unknown" : found);
    }
  }
  if (period) {
    const [start, end] = span(period);
    const own = resource.period ?? {};
    const [from, to] = span(own);
    if (asked.readable === false) truths.push("unknown");
    else if (own.from === undefined && own.to === undefined) truths.push("unknown");
    else if (to < start || from > end) truths.push("no");
    else if (effect === "deny" || (from >= start && to <= end)) truths.push("yes");
    else truths.push("unknown");
  }
  if (refs) {
    truths.push(
      or(
        refs.map(({ meaning, reference }): Truth => {
          const among = (list: readonly string[] | undefined): Truth =>
            list === undefined
              ? "unknown"
              : or(list.map((one) => (one.startsWith("#") ? "no" : sameName(reference, one))));
          if (meaning === "authoredby") return among(resource.authors);
          const itself = among(resource.id === undefined ? undefined : [resource.id]);
          if (meaning === "instance") return itself;
          if (meaning === "related") return or([itself, among(resource.referredBy)]);
          const visit = among(resource.encounter === undefined ? [] : [resource.encounter]);
          return or([itself, visit, among(resource.references)]);
        }),
      ),
    );
  }
  if (parts) {
    const asking = resource.parts;
    const named = (asking ?? []).filter((part) => parts.includes(part));
    if (asking === undefined) truths.push(effect === "deny" ? "yes" : "unknown");
    else if (asking.length === 0) truths.push("unknown");
    else if (named.length === 0) truths.push("no");
    else truths.push(effect === "deny" || named.length === asking.length ? "yes" : "unknown");
  }
  return and(truths);
}

const strongest = (answers: readonly Answer[], order: readonly Answer[]): Answer =>
  order.find((answer) => answers.includes(answer)) ?? "none";
const DENY_FIRST: readonly Answer[] = ["deny", "indeterminate", "permit"];
const PERMIT_FIRST: readonly Answer[] = ["permit", "indeterminate", "deny"];
const softened = (answer: Answer): Answer =>
  answer === "permit" || answer === "none" ? "none" : "indeterminate";

/** What a rule comes to, and which rules led there, from the root down. */
interface Said {
  readonly answer: Answer;
  readonly leading: readonly (readonly Rule[])[];
}

function tree(rule: Rule, asked: Question, above: readonly Rule[] = []): Said {
  const match = matches(rule.when, rule.effect, asked);
  if (match === "no") return { answer: "none", leading: [] };
  const path = [...above, rule];
  const nested = (rule.rules ?? [])
    .map((child) => tree(child, asked, path))
    .filter(({ answer }) => answer !== "none");
  let answer = strongest(
    nested.map((one) => one.answer),
    rule.combine === "deny-overrides" ? DENY_FIRST : PERMIT_FIRST,
  );
  let leading: readonly (readonly Rule[])[];
  if (answer === "none") {
    const names = path.some((one) => one.when.purposes?.includes("BTG") === true);
    answer = rule.effect === "permit" && asked.purpose === "BTG" && !names ? "none" : rule.effect;
    leading = [path];
  } else {
    leading = nested.filter((one) => one.answer === answer).flatMap((one) => one.leading);
  }
  return { answer: match === "yes" ? answer : softened(answer), leading };
}

const strictest = (said: readonly Glass[]): Glass =>
  (["never", "allowed", "perhaps"] as const).find((one) => said.includes(one)) ?? "silent";
/** One after another, until one is sure. */
const inTurn = (said: readonly Glass[]): Glass => {
  const sure = said.findIndex((one) => one === "never" || one === "allowed");
  if (sure >= 0) return said[sure]!;
  return strictest(said);
};
const doubtedGlass = (said: Glass): Glass => (said === "allowed" ? "perhaps" : said);

function glassOf(rule: Rule, asked: Question): Glass {
  const match = matches(rule.when, rule.effect, asked);
  if (match === "no") return "silent";
  const inner = strictest((rule.rules ?? []).map((child) => glassOf(child, asked)));
  const said = inTurn([inner, rule.breakGlass ?? "silent"]);
  return match === "yes" ? said : doubtedGlass(said);
}

/** Permits, in a rule and what is nested in it, of which it is unknown whether they apply. */
function doubtedIn(rule: Rule, asked: Question, doubtful: boolean): readonly Rule[] {
  const match = matches(rule.when, rule.effect, asked);
  if (match === "no") return [];
  const doubted = doubtful || match === "unknown";
  const inner = (rule.rules ?? []).flatMap((child) => doubtedIn(child, asked, doubted));
  return doubted && rule.effect === "permit" ? [rule, ...inner] : inner;
}

/** Chains of grants by which someone has a capacity: what each link is bounded to. */
function chains(
  snapshot: ConsentSnapshot,
  actor: string,
  capacity: Capacity,
  moment: number,
  further: number,
): When[][] {
  const own = snapshot.capacities.filter(
    (fact) => fact.actor === actor && fact.capacity === capacity,
  );
  if (capacity === "self" && own.length === 0) return [[]];
  return own
    .filter((fact) => inside(fact, moment))
    .filter((fact) => (fact.depth ?? (capacity === "proxy" ? 0 : Infinity)) >= further)
    .flatMap((fact) => {
      const bounds = fact.scope === undefined ? [] : [fact.scope];
      if (fact.by === undefined) return [bounds];
      const granted = fact.by.capacity === "self" && fact.from !== undefined;
      const when = granted ? Math.min(fact.from!, moment) : moment;
      const { actor: who, capacity: what } = fact.by;
      return chains(snapshot, who, what, when, further + 1).map((one) => [...one, ...bounds]);
    });
}

const speaks = (one: SnapshotDirective, snapshot: ConsentSnapshot, moment: number): boolean =>
  chains(snapshot, one.directive.grantor.actor, one.directive.grantor.capacity, moment, 0).length >
  0;

/** Whether a record is within what the grantor may speak of. */
function authority(one: SnapshotDirective, asked: Question, moment: number): Truth {
  const { actor, capacity } = one.directive.grantor;
  const found = chains(asked.snapshot, actor, capacity, moment, 0);
  if (found.length === 0) return "yes";
  return or(found.map((chain) => and(chain.map((when) => matches(when, "permit", asked)))));
}

function scope(directive: Directive | Overlay, { resource, purpose }: Question): Truth {
  const truths: Truth[] = [];
  if ("controller" in directive && directive.controller !== undefined) {
    const { controller } = resource;
    truths.push(controller === undefined ? "unknown" : sameName(directive.controller, controller));
  }
  if (directive.jurisdictions) {
    const own = resource.jurisdictions ?? [];
    truths.push(
      own.length === 0
        ? "unknown"
        : or(
            own.flatMap((place) =>
              directive.jurisdictions!.map((code): Truth => {
                if (place === code || place.startsWith(`${code}-`)) return "yes";
                const odd = [place, code].some((word) => !/^(US|DE)(-[A-Z0-9]{1,3})?$/.test(word));
                return odd || code.startsWith(`${place}-`) ? "unknown" : "no";
              }),
            ),
          ),
    );
  }
  if ("category" in directive && directive.category === "treatment") truths.push("no");
  if ("category" in directive && directive.category === "research") {
    const open = !(purpose in purposes) || purpose === "PurposeOfUse";
    const research = ["HRESCH", "CLINTRL"].some((code) => within(purposes, purpose, code));
    truths.push(open ? "unknown" : truth(research));
  }
  if ("category" in directive && directive.category === "surgery") truths.push("unknown");
  return and(truths);
}

interface Spoken {
  /** From rules, suspensions: what decides first. */
  readonly explicit: {
    readonly said: Said;
    readonly of: SnapshotDirective;
    readonly own: boolean;
  }[];
  readonly defaults: { readonly said: Answer; readonly own: boolean }[];
  readonly glass: Glass[];
  /** Permits that may apply: what they oblige to binds where another permits. */
  readonly doubted: Rule[];
}

const readable = ({ validity }: Directive | Overlay): boolean => validity.zone === "UTC";

const idsOf = (one: SnapshotDirective): string[] => [one.entry, ...(one.aliases ?? [])];

type Word = "doubted" | "elsewhere" | "own";
const WORDS: readonly Word[] = ["doubted", "elsewhere", "own"];
const better = (one: Word, other: Word): boolean => WORDS.indexOf(one) > WORDS.indexOf(other);

/** Whose word it is, for the custodian. */
function wordOf({ witness }: SnapshotDirective, snapshot: ConsentSnapshot): Word {
  if (witness === undefined) return "own";
  if (witness.doubted) return "doubted";
  if (witness.by === snapshot.custodian) return "own";
  return (snapshot.witnesses ?? []).includes(witness.by) ? "elsewhere" : "doubted";
}

function lineage(list: readonly SnapshotDirective[], asked: Question, out: Spoken): void {
  const { snapshot, asOf } = asked;
  const unspoken = (one: SnapshotDirective): boolean =>
    one.standing !== "valid" ||
    (one.recordedAt !== undefined && !speaks(one, snapshot, one.recordedAt));
  const voidIds = list.filter(unspoken).flatMap(idsOf);
  // Withdrawn on another's word alone: nothing, until it is confirmed.
  const ineffective: SnapshotDirective[] = [];
  const known = (one: SnapshotDirective): string[] => {
    if (ineffective.includes(one)) return idsOf(one);
    return list
      .filter((other) => other.cid.equals(one.cid) && !unspoken(other))
      .filter((other) => !ineffective.includes(other))
      .flatMap(idsOf);
  };
  const lasting = (one: SnapshotDirective): boolean =>
    one.directive.mode === "suspend" || one.directive.mode === "revoke";
  const starts = (one: SnapshotDirective): number =>
    readable(one.directive) ? span(one.directive.validity)[0] : -Infinity;
  const within = (one: SnapshotDirective): boolean =>
    !readable(one.directive) || inside(one.directive.validity, asOf);

  let head: SnapshotDirective | undefined;
  // The first place of each statement counts, unless it waits there for a better word.
  const filed: SnapshotDirective[] = [];
  const contested: SnapshotDirective[] = [];
  const perhapsHead: SnapshotDirective[] = [];
  const named = new Map<SnapshotDirective, SnapshotDirective[]>();
  const words = new Map<SnapshotDirective, Word>();
  const waiting = new Set<SnapshotDirective>();
  let know: SnapshotDirective[] = [];
  let ours = false;
  for (const one of list.filter((item) => !unspoken(item))) {
    const word = wordOf(one, snapshot);
    const waits = word === "doubted" || (word === "elsewhere" && ours);
    if (word === "own") ours = true;
    const before = filed.find((other) => other.cid.equals(one.cid) && !ineffective.includes(other));
    if (before !== undefined) {
      const improved = better(word, words.get(before)!);
      if (!waiting.has(before) || !improved || named.has(before) || lasting(one)) {
        if (improved) words.set(before, word);
        if (lasting(one) && !waits) waiting.delete(before);
        continue;
      }
      filed.splice(filed.indexOf(before), 1);
    }
    if (waits && one.directive.mode === "revoke") {
      ineffective.push(one);
      voidIds.push(...idsOf(one));
      if (word === "doubted" && (one.witness?.by === snapshot.custodian || !ours)) {
        filed.push(one);
        words.set(one, word);
        know.push(one);
      }
      continue;
    }
    filed.push(one);
    words.set(one, word);
    if (waits) waiting.add(one);
    if (lasting(one)) {
      head = one;
      know = [];
      continue;
    }
    const predecessors: readonly string[] = one.directive.predecessors;
    const names = (other: SnapshotDirective): boolean =>
      known(other).some((name) => predecessors.includes(name));
    const knowing =
      head === undefined
        ? predecessors.every(
            (name) => voidIds.includes(name) || know.some((other) => known(other).includes(name)),
          )
        : names(head) || know.some(names);
    if (!knowing || waits) {
      contested.push(one);
      if (knowing) {
        know.push(one);
        if (word === "doubted" && (one.witness?.by === snapshot.custodian || !ours)) {
          perhapsHead.push(one);
        }
      }
      continue;
    }
    head = one;
    know = [];
    for (const other of contested) {
      if (!names(other) && !other.cid.equals(one.cid)) continue;
      if (word === "own" || !waiting.has(other)) {
        named.set(other, [...(named.get(other) ?? []), one]);
      }
    }
  }
  const own = (one: SnapshotDirective): boolean => words.get(one) === "own";
  const moment = (one: SnapshotDirective): number =>
    lasting(one) || !speaks(one, snapshot, asOf)
      ? (one.recordedAt ?? (lasting(one) ? asOf : starts(one)))
      : asOf;
  // Where its zone is not known, nobody can say whether a suspension or revocation has begun.
  const begun = (one: SnapshotDirective): Truth =>
    ineffective.includes(one) || (lasting(one) && !readable(one.directive)) ? "unknown" : "yes";
  const bounds = (one: SnapshotDirective): Truth =>
    authority(one, { ...asked, readable: readable(one.directive) }, moment(one));
  const about = (one: SnapshotDirective): Truth =>
    and([scope(one.directive, asked), bounds(one), begun(one)]);
  const inEffect = (one: SnapshotDirective): boolean => within(one) && speaks(one, snapshot, asOf);
  const disputed = (one: SnapshotDirective): boolean =>
    !lasting(one) &&
    (!readable(one.directive) ||
      (contested.includes(one) &&
        !(named.get(one) ?? []).some(
          (other) => readable(other.directive) && inEffect(other) && about(other) === "yes",
        )));
  const stopsOf = (one: SnapshotDirective): SnapshotDirective[] =>
    filed.filter(
      (stop, at) =>
        lasting(stop) &&
        !waiting.has(stop) &&
        at > filed.indexOf(one) &&
        starts(stop) <= asOf &&
        about(stop) === "yes",
    );
  const unbounded = (one: SnapshotDirective): boolean => {
    const { actor, capacity } = one.directive.grantor;
    const found = chains(snapshot, actor, capacity, moment(one), 0);
    return readable(one.directive) && (found.length === 0 || found.some((one) => one.length === 0));
  };
  const everything = ({ directive: { controller, jurisdictions, category } }: SnapshotDirective) =>
    controller === undefined &&
    jurisdictions === undefined &&
    (category === undefined || category === "patient-privacy");
  const undisputed = (one: SnapshotDirective): boolean =>
    !contested.includes(one) ||
    (named.get(one) ?? []).some(
      (other) => inEffect(other) && unbounded(other) && everything(other),
    );
  // What is disputed for nothing but its zone is ended by a later replace, disputed nowhere.
  const outlived = (one: SnapshotDirective): boolean =>
    !readable(one.directive) &&
    undisputed(one) &&
    filed.some(
      (other, at) =>
        at > filed.indexOf(one) &&
        undisputed(other) &&
        other.directive.mode === "replace" &&
        starts(other) <= asOf &&
        unbounded(other),
    );
  const disputes = filed.filter(
    (one) => starts(one) <= asOf && disputed(one) && !outlived(one) && about(one) !== "no",
  );
  const open = disputes.filter((one) => stopsOf(one).length === 0);
  const disputedAnswer = (one: SnapshotDirective): Answer => {
    const said = tree(one.directive.root!, { ...asked, readable: readable(one.directive) });
    return about(one) === "yes" ? said.answer : softened(said.answer);
  };
  const withheld = (one: SnapshotDirective): boolean =>
    open.some(
      (other) =>
        (!inEffect(other) ||
          !readable(other.directive) ||
          ((other.directive.default === "deny" || perhapsHead.includes(other)) &&
            disputedAnswer(other) !== "permit")) &&
        other.directive.mode === "replace" &&
        filed.indexOf(other) > filed.indexOf(one),
    );

  let certain = true;
  let decided = false;
  let silenced = false;
  const glass: Glass[] = [];
  const newest = [...filed].reverse();
  for (const one of newest) {
    const { mode, default: fallback, root, validity } = one.directive;
    if (asOf < starts(one) || disputed(one)) continue;
    const allowed = bounds(one);
    if (allowed === "no") continue;
    const concerned = scope(one.directive, asked);
    if (mode !== "replace" && concerned === "no") continue;
    const covered = and([concerned, allowed, begun(one)]);
    if (lasting(one)) {
      if (covered === "yes" && mode === "revoke") break;
      if (!decided) {
        const answer = covered === "yes" && certain ? "deny" : "indeterminate";
        out.explicit.push({ said: { answer, leading: [] }, of: one, own: own(one) });
      }
      decided = true;
      silenced = true;
      continue;
    }
    const over = asOf > span(validity)[1] || !speaks(one, snapshot, asOf);
    if (mode === "amend" && over) continue;
    if (covered !== "no" && !over) {
      const said = glassOf(root!, asked);
      if (silenced) glass.push(said === "never" ? said : "silent");
      else glass.push(covered === "yes" ? said : doubtedGlass(said));
    }
    if (covered !== "no" && !decided) {
      const firm = certain && covered === "yes";
      const said: Said = over ? { answer: "none", leading: [] } : tree(root!, asked);
      if (!over) out.doubted.push(...doubtedIn(root!, asked, !firm));
      const heard = firm ? said.answer : softened(said.answer);
      const answer = heard === "permit" && withheld(one) ? "none" : heard;
      if (answer !== "none") {
        out.explicit.push({ said: { ...said, answer }, of: one, own: own(one) });
        decided = true;
      } else if (mode === "replace") {
        if (fallback === "deny") out.defaults.push({ said: "deny", own: own(one) });
        const open = firm && !over && asked.purpose !== "BTG" && !withheld(one);
        if (fallback === "permit" && open) out.defaults.push({ said: "permit", own: own(one) });
      }
    }
    if (mode === "replace") {
      if (allowed === "yes") break;
      certain = false;
    }
  }
  out.glass.push(inTurn(glass));
  for (const one of disputes) {
    const revoked = stopsOf(one).some(({ directive }) => directive.mode === "revoke");
    const here = { ...asked, readable: readable(one.directive) };
    if (inEffect(one) && !revoked && glassOf(one.directive.root!, here) === "never") {
      out.glass.push("never");
    }
    if (!open.includes(one)) continue;
    if (!inEffect(one)) {
      const { mode, default: fallback } = one.directive;
      if (mode === "replace" && fallback === "deny") {
        out.defaults.push({ said: "deny", own: own(one) });
      }
      continue;
    }
    const said = tree(one.directive.root!, here);
    const answer = about(one) === "yes" ? said.answer : softened(said.answer);
    if (answer === "deny" || answer === "indeterminate") {
      out.explicit.push({ said: { ...said, answer }, of: one, own: own(one) });
    } else if (answer === "none" && one.directive.default === "deny") {
      out.defaults.push({ said: "deny", own: own(one) });
    }
  }
}

function layer(list: readonly SnapshotDirective[], asked: Question) {
  const out: Spoken = { explicit: [], defaults: [], glass: [], doubted: [] };
  const ordered = [...list]
    .filter((one) => one.place.height <= asked.snapshot.height)
    .sort((a, b) => a.place.height - b.place.height || a.place.index - b.place.index);
  for (const name of new Set(ordered.map((one) => one.directive.lineage))) {
    lineage(
      ordered.filter((one) => one.directive.lineage === name),
      asked,
      out,
    );
  }
  const explicit = strongest(
    out.explicit.map(({ said }) => said.answer),
    DENY_FIRST,
  );
  const glass = strictest(out.glass);
  const leading = out.explicit.filter(({ said }) => said.answer === explicit);
  const { doubted } = out;
  // Another's permit alone does not weaken what the custodian itself has by default.
  const refused = out.defaults.some(({ said, own }) => own && said === "deny");
  const weakens = explicit === "permit" && refused && !leading.some(({ own }) => own);
  if (explicit !== "none" && !weakens) return { answer: explicit, leading, glass, doubted };
  const held = strongest(
    out.defaults.map(({ said }) => said),
    DENY_FIRST,
  );
  return { answer: held, leading: [], glass, doubted };
}

const codes = (
  paths: readonly (readonly Rule[])[],
  answer: Answer,
  kind: "obligations" | "refrains",
): string[] =>
  paths.flatMap((path) =>
    path.filter((rule) => rule.effect === answer).flatMap((rule) => rule[kind] ?? []),
  );

/** What one purpose comes to. */
interface ForPurpose {
  readonly answer: Answer;
  readonly obligations: readonly string[];
  readonly refrains: readonly string[];
}
const comesTo = (
  answer: Answer,
  leading: readonly { readonly said: Said }[],
  doubted: readonly Rule[],
): ForPurpose => {
  const maybe = answer === "permit" ? doubted.map((rule) => [rule]) : [];
  const paths = [...leading.flatMap(({ said }) => said.leading), ...maybe];
  return {
    answer,
    obligations: codes(paths, answer, "obligations"),
    refrains: codes(paths, answer, "refrains"),
  };
};

function meets({ require }: Overlay, leading: ReturnType<typeof layer>["leading"]): boolean {
  const { namesLabel, grantorCapacity, recipientNamed, form } = require ?? {};
  return leading.some(({ said, of }) =>
    said.leading.some((path) => {
      if (form && !form.includes(of.witness?.form ?? "signed")) return false;
      if (grantorCapacity && !grantorCapacity.includes(of.directive.grantor.capacity)) return false;
      if (recipientNamed && !path.some((rule) => rule.when.actors !== undefined)) return false;
      if (namesLabel === undefined) return true;
      return path
        .flatMap((rule) => rule.when.data?.labels ?? [])
        .some(
          ({ system, code }) =>
            system === namesLabel.system &&
            (within(labels, code, namesLabel.code) || within(labels, namesLabel.code, code)),
        );
    }),
  );
}

function forPurpose(asked: Question): ForPurpose & { readonly glass: Glass } {
  const laws = asked.snapshot.overlays
    .map(({ overlay }) => overlay)
    .filter((one) => !readable(one) || inside(one.validity, asked.asOf))
    .map((overlay) => {
      const own = { ...asked, readable: readable(overlay) };
      const covered = readable(overlay)
        ? scope(overlay, asked)
        : and(["unknown", scope(overlay, asked)]);
      const said: Said =
        covered === "no" ? { answer: "none", leading: [] } : tree(overlay.root, own);
      const answer = covered === "yes" ? said.answer : softened(said.answer);
      const glass = covered === "no" ? "silent" : glassOf(overlay.root, own);
      const silent = covered === "no" || overlay.require !== undefined;
      const doubted = silent ? [] : doubtedIn(overlay.root, own, covered !== "yes");
      return {
        overlay,
        said: { ...said, answer },
        glass: covered === "yes" ? glass : doubtedGlass(glass),
        doubted,
      };
    });
  const own = layer(asked.snapshot.directives, asked);
  const theirs = layer(asked.snapshot.organisation, asked);
  const glass = inTurn([strictest(laws.map((one) => one.glass)), own.glass, theirs.glass]);
  const lawful = laws.flatMap((one) => one.doubted);
  const final = laws.filter(({ overlay }) => overlay.require === undefined);
  const law = strongest(
    final.map(({ said }) => said.answer),
    DENY_FIRST,
  );
  if (law !== "none") {
    return {
      ...comesTo(
        law,
        final.filter(({ said }) => said.answer === law),
        lawful,
      ),
      glass,
    };
  }
  const demands = laws
    .filter(({ overlay }) => overlay.require !== undefined)
    .filter(({ said }) => said.answer === "deny" || said.answer === "indeterminate");
  const refused = { answer: "deny" as const, obligations: [], refrains: [], glass };
  if (own.answer === "none") {
    if (demands.length > 0) return refused;
    return {
      ...comesTo(theirs.answer, theirs.leading, [...lawful, ...own.doubted, ...theirs.doubted]),
      glass,
    };
  }
  const mine = comesTo(own.answer, own.leading, [...lawful, ...own.doubted]);
  // What the patient's own word refuses, or leaves in doubt, the law has nothing to demand of.
  if (own.answer !== "permit") return { ...mine, glass };
  if (demands.some(({ overlay }) => !meets(overlay, own.leading))) return refused;
  const roots = demands.map(({ overlay }) => overlay.root);
  return {
    answer: "permit",
    obligations: [...mine.obligations, ...roots.flatMap((root) => root.obligations ?? [])],
    refrains: [...mine.refrains, ...roots.flatMap((root) => root.refrains ?? [])],
    glass,
  };
}

/** The last instants before anything dated in a snapshot begins or ends. */
function turningPoints(snapshot: ConsentSnapshot): number[] {
  const points: number[] = [];
  const add = (period: { from?: unknown; to?: unknown } | undefined): void => {
    if (period === undefined) return;
    const [from, to] = span(period);
    points.push(from - 1, to);
  };
  const visit = (rule: Rule | undefined): void => {
    add(rule?.when.validity);
    for (const child of rule?.rules ?? []) visit(child);
  };
  const known = [...snapshot.directives, ...snapshot.organisation].filter(
    (one) =>
      one.place.height <= snapshot.height &&
      one.standing === "valid" &&
      (one.recordedAt === undefined || speaks(one, snapshot, one.recordedAt)),
  );
  const dated = [
    ...known.map(({ directive }) => directive),
    ...snapshot.overlays.map(({ overlay }) => overlay),
  ];
  for (const one of dated.filter(readable)) {
    add(one.validity);
    visit(one.root);
  }
  for (const fact of [...snapshot.memberships, ...snapshot.roles, ...snapshot.capacities])
    add(fact);
  return points;
}

const sortedOnce = (list: readonly string[]): string[] => [...new Set(list)].sort();

/** What of a decision the page lays down. */
export type Specified = Pick<
  Decision,
  "outcome" | "obligations" | "refrains" | "breakGlass" | "expiresAt"
>;

export const SPECIFICATION = {
  decide(
    snapshot: ConsentSnapshot,
    request: ConsentRequest,
    resource: ConsentResource,
    asOf: number,
    supportedObligations: readonly string[] = [],
  ): Specified {
    const each = request.purposes.map((purpose) =>
      forPurpose({ snapshot, request, resource, asOf, purpose }),
    );
    const next = Math.min(
      ...turningPoints(snapshot).filter((point) => point >= asOf),
      request.expires !== undefined && request.expires >= asOf ? request.expires : Infinity,
    );
    const glass = strictest(each.map((one) => one.glass));
    const rest = {
      breakGlass: glass === "silent" ? null : glass === "never" ? glass : "allowed",
      expiresAt: Number.isFinite(next) ? next : null,
    } as const;
    if (each.length === 0)
      return { outcome: "indeterminate", obligations: [], refrains: [], ...rest };
    const answer = strongest(
      each.map((one) => one.answer),
      ["deny", "indeterminate", "none", "permit"],
    );
    const deciding = each.filter((one) => one.answer === answer);
    const obligations = sortedOnce(deciding.flatMap((one) => one.obligations));
    const refrains = sortedOnce(deciding.flatMap((one) => one.refrains));
    if (answer === "permit" && obligations.some((code) => !supportedObligations.includes(code))) {
      return { outcome: "deny", obligations: [], refrains: [], ...rest };
    }
    // `none` is both what strongest finds and what it falls back to.
    const outcome = answer === "none" ? "not-applicable" : answer;
    return { outcome, obligations, refrains, ...rest };
  },
};
