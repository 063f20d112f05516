/** A data use term of a dataset, by the GA4GH Data Use Ontology. */
export interface DataUseTerm {
  /** `DUO:0000042`, `DUO_0000042` or the whole IRI. */
  readonly code: string;
  /** The diseases, places, projects, institutions, users or date that the term names. */
  readonly values?: readonly string[];
}

/** A kind of research. */
export type ResearchKind =
  "health" | "disease" | "ancestry" | "methods" | "clinical-care" | "fundamental" | "other";

/**
 * The use that a researcher wants to make of a dataset. A field that is absent is not stated: it
 * satisfies no term, and a committee has to judge.
 */
export interface ResearchPurpose {
  readonly kinds: readonly ResearchKind[];
  /** Diseases studied, in the dataset's own terms, each with everything above it. */
  readonly diseases?: readonly { readonly code: string; readonly above?: readonly string[] }[];
  /** Further topics of the research, in the terms of `DUO:0000012`: sex, age, population. */
  readonly topics?: readonly string[];
  readonly genetic?: boolean;
  readonly commercialOrganisation?: boolean;
  readonly commercialUse?: boolean;
  readonly places?: readonly string[];
  readonly institution?: string;
  readonly project?: string;
  readonly user?: string;
  /** Evidence that has been handed in and checked. */
  readonly ethicsApproval?: boolean;
  readonly collaboration?: boolean;
  /** Undertakings of the researcher. */
  readonly willPublish?: boolean;
  readonly willReturn?: boolean;
  /** First day of publication, and last day of use: `YYYY-MM-DD`. */
  readonly publishesFrom?: string;
  readonly usesUntil?: string;
}

/** The effect of one term on a purpose, and why. */
export interface DataUseReason {
  readonly code: string;
  readonly label: string;
  readonly effect: "permit" | "deny" | "abstain";
  readonly because: string;
}

/** Whether a dataset may serve a purpose. `abstain` leaves the question to a committee. */
export interface DataUseDecision {
  readonly outcome: "permit" | "deny" | "abstain";
  readonly reasons: readonly DataUseReason[];
}

type Verdict = readonly [effect: DataUseReason["effect"], because: string];
type Judge = (purpose: ResearchPurpose, values: readonly string[]) => Verdict;

const yes = (because: string): Verdict => ["permit", because];
const no = (because: string): Verdict => ["deny", because];
const ask = (because: string): Verdict => ["abstain", because];

/** Permits if every kind of research is among those allowed; methods may be part of any. */
const within =
  (...allowed: readonly ResearchKind[]): Judge =>
  ({ kinds }) => {
    if (kinds.length === 0) return ask("the kind of research is not stated");
    if (kinds.includes("other")) return ask("the research is of an unforeseen kind");
    return kinds.every((kind) => allowed.includes(kind))
      ? yes("the research is of this kind")
      : no("the research is of another kind");
  };

const stated = (value: boolean | undefined, wanted: boolean, what: string): Verdict =>
  value === undefined
    ? ask(`${what} is not stated`)
    : value === wanted
      ? yes(`${what} is as the term requires`)
      : no(`${what} is not as the term requires`);

const oneOf = (value: string | undefined, values: readonly string[], what: string): Verdict => {
  if (values.length === 0) return ask(`the term does not say which ${what}`);
  if (value === undefined) return ask(`the ${what} is not stated`);
  return values.includes(value) ? yes(`the ${what} is named`) : no(`the ${what} is not named`);
};

const disease: Judge = ({ kinds, diseases }, values) => {
  const kind = within("disease", "methods", "health")({ kinds }, []);
  if (kind[0] !== "permit") return kind;
  if (values.length === 0) return ask("the term does not say which disease");
  if (diseases === undefined || diseases.length === 0) return ask("the disease is not stated");
  return diseases.every(({ code, above = [] }) =>
    [code, ...above].some((one) => values.includes(one)),
  )
    ? yes("the disease is named, or one above it")
    : no("the disease is not named");
};

/** Compares a day of the research with the day that the term names. */
const day = (
  value: string | undefined,
  [limit]: readonly string[],
  holds: (value: string, limit: string) => boolean,
): Verdict => {
  if (limit === undefined || !DAY.test(limit)) return ask("the term does not say when");
  if (value === undefined || !DAY.test(value)) return ask("the day is not stated");
  return holds(value, limit) ? yes("the day is within the limit") : no("the day is not");
};
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Permissions: uses that the dataset allows. At least one must hold; the widest counts. */
const PERMISSIONS: Readonly<Record<string, readonly [label: string, judge: Judge]>> = {
  "0000004": ["no restriction", () => yes("every use is allowed")],
  "0000042": [
    "general research use",
    within("health", "disease", "ancestry", "methods", "fundamental"),
  ],
  "0000006": ["health or medical or biomedical research", within("health", "disease", "methods")],
  "0000007": ["disease specific research", disease],
  "0000011": ["population origins or ancestry research only", within("ancestry")],
};

/** Modifiers: all of them must be satisfied. */
const MODIFIERS: Readonly<Record<string, readonly [label: string, judge: Judge]>> = {
  "0000012": [
    "research specific restrictions",
    ({ topics }, values) => {
      if (values.length === 0 || topics === undefined)
        return ask("a committee has to compare them");
      return values.every((one) => topics.includes(one))
        ? yes("the research is restricted in the same way")
        : no("the research is not restricted in the same way");
    },
  ],
  "0000015": [
    "no general methods research",
    ({ kinds }) =>
      !kinds.includes("methods")
        ? yes("no methods are developed")
        : kinds.every((kind) => kind === "methods")
          ? no("the research develops methods")
          : ask("methods are developed within other research"),
  ],
  "0000016": ["genetic studies only", ({ genetic }) => stated(genetic, true, "a genetic study")],
  "0000018": [
    "not for profit, non commercial use only",
    ({ commercialOrganisation, commercialUse }) =>
      worst([
        stated(commercialOrganisation, false, "a commercial organisation"),
        stated(commercialUse, false, "commercial use"),
      ]),
  ],
  "0000019": [
    "publication required",
    ({ willPublish }) => stated(willPublish, true, "publication"),
  ],
  "0000020": [
    "collaboration required",
    ({ collaboration }) => stated(collaboration, true, "a collaboration"),
  ],
  "0000021": [
    "ethics approval required",
    ({ ethicsApproval }) => stated(ethicsApproval, true, "an ethics approval"),
  ],
  "0000022": [
    "geographical restriction",
    ({ places }, values) =>
      places === undefined || places.length === 0
        ? ask("the place is not stated")
        : worst(places.map((place) => oneOf(place, values, "place"))),
  ],
  "0000024": [
    "publication moratorium",
    ({ publishesFrom }, values) => day(publishesFrom, values, (value, limit) => value >= limit),
  ],
  "0000025": [
    "time limit on use",
    ({ usesUntil }, values) => day(usesUntil, values, (value, limit) => value <= limit),
  ],
  "0000026": ["user specific restriction", ({ user }, values) => oneOf(user, values, "user")],
  "0000027": [
    "project specific restriction",
    ({ project }, values) => oneOf(project, values, "project"),
  ],
  "0000028": [
    "institution specific restriction",
    ({ institution }, values) => oneOf(institution, values, "institution"),
  ],
  "0000029": [
    "return to database or resource",
    ({ willReturn }) => stated(willReturn, true, "a return of results"),
  ],
  "0000043": ["clinical care use", within("clinical-care")],
  "0000044": [
    "population origins or ancestry research prohibited",
    ({ kinds }) =>
      kinds.includes("ancestry") ? no("the research is about origins") : yes("it is not"),
  ],
  "0000045": [
    "not for profit organisation use only",
    ({ commercialOrganisation }) =>
      stated(commercialOrganisation, false, "a commercial organisation"),
  ],
  "0000046": [
    "non-commercial use only",
    ({ commercialUse }) => stated(commercialUse, false, "commercial use"),
  ],
};

/** Clinical care is a separate use: the term that allows it widens the permissions. */
const CLINICAL_CARE = "0000043";

const CODE = /^(?:DUO[:_]|http:\/\/purl\.obolibrary\.org\/obo\/DUO_)(\d{7})$/;

function worst(verdicts: readonly Verdict[]): Verdict {
  return (
    verdicts.find(([effect]) => effect === "deny") ??
    verdicts.find(([effect]) => effect === "abstain") ??
    verdicts[0]!
  );
}

/**
 * Checks a research purpose against the data use terms of a dataset. At least one permission must
 * allow the research, and every modifier must be satisfied. A term that is unknown, or that the
 * stated purpose does not settle, makes the decision `abstain`, unless another term denies.
 *
 * @see GA4GH Data Use Ontology, http://purl.obolibrary.org/obo/duo.owl
 * @example
 * const terms = [{ code: "DUO:0000007", values: ["MONDO:0005148"] }];
 * const purpose = { kinds: ["disease"], diseases: [{ code: "MONDO:0005148" }] } as const;
 * decideDataUse(terms, purpose).outcome; // "permit"
 */
export function decideDataUse(
  terms: readonly DataUseTerm[],
  purpose: ResearchPurpose,
): DataUseDecision {
  const reasons: DataUseReason[] = [];
  const permissions: DataUseReason["effect"][] = [];
  const modifiers: DataUseReason["effect"][] = [];
  for (const { code, values = [] } of terms) {
    const number = CODE.exec(code)?.[1];
    const permission = number === undefined ? undefined : PERMISSIONS[number];
    const modifier = number === undefined ? undefined : MODIFIERS[number];
    const known = permission ?? modifier;
    if (known === undefined) {
      modifiers.push("abstain");
      reasons.push({ code, label: "", effect: "abstain", because: "the term is unknown here" });
      continue;
    }
    const [label, judge] = known;
    const [effect, because] = judge(purpose, values);
    reasons.push({ code: `DUO:${number}`, label, effect, because });
    (permission !== undefined || number === CLINICAL_CARE ? permissions : modifiers).push(effect);
  }
  const allowed = permissions.includes("permit")
    ? "permit"
    : permissions.length === 0 || permissions.includes("abstain")
      ? "abstain"
      : "deny";
  const all = [allowed, ...modifiers];
  if (permissions.length === 0) {
    reasons.push({ code: "", label: "", effect: "abstain", because: "no term permits any use" });
  }
  const outcome = all.includes("deny") ? "deny" : all.includes("abstain") ? "abstain" : "permit";
  return { outcome, reasons };
}
