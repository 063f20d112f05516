/** Numbers of two systems: those of one hospital, and those of an insurer, which a family shares. */
export type Number = `mrn-${string}` | `ins-${string}` | `old-${string}`;
/** A number, or a reference as the source writes it. */
export type Who = Number | `Patient/${string}` | `https://${string}`;

/** A resource in short. */
export interface Sent {
  readonly id?: string;
  readonly type?: string;
  /** Of a Patient: its numbers. `old-` is a number of the hospital marked as old. */
  readonly numbers?: readonly Number[];
  /** What it refers to: a reference, or a number. */
  readonly about?: Who | string;
  /** Both in one reference. */
  readonly alsoNumber?: Number;
  readonly v?: string;
  readonly fullUrl?: string;
  readonly method?: string;
  readonly url?: string;
  readonly status?: string;
  readonly link?: string;
  readonly more?: object;
}

export type Act =
  | {
      readonly send: readonly Sent[];
      /** `Bundle.type`; NDJSON without it. */
      readonly as?: string;
      readonly source?: string;
      /** Whose each resource became, by a number or name; `"-"` if it was not recorded. */
      readonly to: readonly (Who | "-")[];
    }
  | { readonly know: Number }
  | { readonly refuse: Who }
  | { readonly merge: readonly [Who, Who] }
  | { readonly unmerge: true }
  | { readonly identify: readonly [Who, Number] }
  | { readonly dismiss: true }
  | { readonly forget: Who }
  /** The custodian moves a resource's record. */
  | { readonly move: readonly [string, Who] };

export interface WhomSituation {
  readonly name: string;
  readonly acts: readonly Act[];
  /** Ids that a member gets who asks by a number; all that nobody refuses is permitted. */
  readonly asks: Readonly<Partial<Record<Number, readonly string[]>>>;
  /** How many proposals are open in the end. */
  readonly open?: number;
}

const pat = (id: string, ...numbers: Number[]): Sent => ({ type: "Patient", id, numbers });
const obs = (id: string, about?: Who | string, more: Sent = {}): Sent => ({
  id,
  ...(about === undefined ? {} : { about }),
  ...more,
});
const send = (sent: Sent | readonly Sent[], ...to: (Who | "-")[]): Act => ({
  send: Array.isArray(sent) ? (sent as readonly Sent[]) : [sent as Sent],
  to,
});
const bundle = (as: string, sent: readonly Sent[], ...to: (Who | "-")[]): Act => ({
  as,
  send: sent,
  to,
});
const from = (source: string, act: Act): Act => ({ ...act, source }) as Act;
const post = (one: Sent, more: Sent = {}): Sent => ({
  ...{ ...one, method: "POST", url: one.type ?? "Observation" },
  ...more,
});

const A = "https://a.example/fhir/Patient/1";
const B = "https://b.example/fhir/Patient/1";
const A_WRITTEN_OTHERWISE = "HTTPS://A.Example:443/fhir/Patient/1";
const at = (fullUrl: string, one: Sent): Sent => ({ ...one, fullUrl });

/** Who sends what about whom, and who is asked for by what in the end; written by hand. */
export const WHOM: readonly WhomSituation[] = [
  // Early references
  {
    name: "a reference, then the Patient",
    acts: [send(obs("o", "Patient/1"), "Patient/1"), send(pat("1", "mrn-1"), "mrn-1")],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "a reference, then the Patient with two numbers",
    acts: [send(obs("o", "Patient/1"), "Patient/1"), send(pat("1", "mrn-1", "ins-1"), "mrn-1")],
    asks: { "mrn-1": ["1", "o"], "ins-1": ["1", "o"] },
  },
  {
    name: "a file in alphabetical order",
    acts: [
      send(
        [
          obs("a", "Patient/1", { type: "AllergyIntolerance" }),
          obs("c", "Patient/2", { type: "Condition" }),
          pat("1", "mrn-1"),
          pat("2", "mrn-2"),
        ],
        ...(["mrn-1", "mrn-2", "mrn-1", "mrn-2"] as const),
      ),
    ],
    asks: { "mrn-1": ["1", "a"], "mrn-2": ["2", "c"] },
  },
  {
    name: "a refusal before any number",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      { refuse: "Patient/1" },
      send(pat("1", "mrn-1", "ins-1"), "mrn-1"),
      send(obs("p", "Patient/1"), "mrn-1"),
    ],
    asks: { "mrn-1": [], "ins-1": [] },
  },
  {
    name: "a reference, and a Patient who never comes",
    acts: [send(obs("o", "Patient/1"), "Patient/1")],
    asks: { "mrn-1": [] },
  },
  {
    name: "a reference, then a Patient without numbers, then with one",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1"), "Patient/1"),
      send({ ...pat("1", "mrn-1"), v: "2" }, "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "a versioned reference",
    acts: [send(obs("o", "Patient/1/_history/3"), "Patient/1"), send(pat("1", "mrn-1"), "mrn-1")],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "an absolute reference, then the Patient at that URL",
    acts: [
      send(obs("o", A), A),
      bundle("collection", [{ ...pat("1", "mrn-1"), fullUrl: A }], "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "a relative reference, then the Patient at a URL",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      bundle("collection", [{ ...pat("1", "mrn-1"), fullUrl: A }], "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "a reference with a number in it, then one without",
    acts: [
      send(obs("o", "Patient/1", { alsoNumber: "mrn-1" }), "mrn-1"),
      send(obs("p", "Patient/1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["o", "p"] },
  },
  {
    name: "a reference, then one with a number in it",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      send(obs("p", "Patient/1", { alsoNumber: "mrn-1" }), "mrn-1"),
    ],
    asks: { "mrn-1": ["o", "p"] },
  },
  {
    name: "an early reference by another source",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      from("ehr-2", send(obs("o", "Patient/1"), "Patient/1")),
    ],
    asks: { "mrn-1": ["1"] },
  },
  {
    name: "an early reference without a source",
    acts: [from("", bundle("collection", [obs("o", "Patient/1")], "-"))],
    asks: { "mrn-1": [] },
  },
  {
    name: "a reference after the Patient was deleted: nobody can ask for it",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send(obs("o", "Patient/1"), "Patient/1"),
    ],
    asks: { "mrn-1": [] },
  },
  {
    name: "a Patient who is deleted, and comes again with a new number: people decide whether it is theirs",
    acts: [
      send({ ...pat("1", "mrn-1"), v: "1" }, "mrn-1"),
      { refuse: "mrn-1" },
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send({ ...pat("1", "mrn-2"), v: "5" }, "Patient/1"),
      send(obs("o", "Patient/1"), "Patient/1"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "the same, referred to in between, and merged",
    acts: [
      send({ ...pat("1", "mrn-1"), v: "1" }, "mrn-1"),
      { refuse: "mrn-1" },
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send(obs("o", "Patient/1"), "Patient/1"),
      send({ ...pat("1", "mrn-2"), v: "5" }, "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      send({ ...pat("1", "mrn-1", "mrn-2"), v: "6" }, "mrn-1"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
  },
  {
    name: "the same, dismissed: the id is somebody else's",
    acts: [
      send({ ...pat("1", "mrn-1"), v: "1" }, "mrn-1"),
      { refuse: "mrn-1" },
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send({ ...pat("1", "mrn-2"), v: "5" }, "Patient/1"),
      { dismiss: true },
      send({ ...pat("1", "mrn-2"), v: "6" }, "mrn-2"),
    ],
    asks: { "mrn-1": [], "mrn-2": ["1"] },
  },
  {
    name: "a Patient who is deleted, and comes again with a number of somebody else",
    acts: [
      { know: "mrn-2" },
      send({ ...pat("1", "mrn-1"), v: "1" }, "mrn-1"),
      { refuse: "mrn-1" },
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send({ ...pat("1", "mrn-2"), v: "5" }, "-"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "a Patient who is deleted, and comes again with its number",
    acts: [
      send({ ...pat("1", "mrn-1"), v: "1" }, "mrn-1"),
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send({ ...pat("1", "mrn-1", "mrn-2"), v: "5" }, "mrn-1"),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": ["1"] },
  },
  {
    name: "a deletion of the Patient before it comes, after a reference",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      bundle("transaction", [{ method: "DELETE", url: "Patient/1" }]),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "an early reference of a resource that is deleted before its Patient comes",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      bundle("transaction", [{ method: "DELETE", url: "Observation/o" }]),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1"] },
  },
  {
    name: "an early reference that was entered in error",
    acts: [
      send(obs("o", "Patient/1", { v: "1" }), "Patient/1"),
      send(obs("o", "Patient/1", { v: "2", status: "entered-in-error" }), "Patient/1"),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1"] },
  },
  {
    name: "early versions out of order",
    acts: [
      send(obs("o", "Patient/1", { v: "2" }), "Patient/1"),
      send(obs("o", "Patient/1", { v: "1" }), "Patient/1"),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "a history, newest first, before its Patient",
    acts: [
      bundle(
        "history",
        [
          obs("o", "Patient/1", { v: "2", method: "PUT", url: "Observation/o" }),
          obs("o", "Patient/1", { v: "1", method: "POST", url: "Observation" }),
        ],
        ...(["Patient/1", "Patient/1"] as const),
      ),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "early references of a person who is forgotten",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      { forget: "Patient/1" },
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1"] },
  },
  // Numbers of somebody else
  {
    name: "a reference, then the Patient with a number of a person known here",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1"), "Patient/1"),
      send(obs("p", "Patient/1"), "Patient/1"),
    ],
    asks: { "mrn-1": [] },
    open: 1,
  },
  {
    name: "the same, and the two are merged",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1"), "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      send(obs("p", "Patient/1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o", "p"] },
  },
  {
    name: "the same, and the owner of the number had refused",
    acts: [
      { know: "mrn-1" },
      { refuse: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1", "ins-1"), "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      send(pat("1", "mrn-1", "ins-1"), "mrn-1"),
    ],
    asks: { "mrn-1": [], "ins-1": [] },
  },
  {
    name: "the same, and the person of the name had refused",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      { refuse: "Patient/1" },
      send(pat("1", "mrn-1"), "Patient/1"),
      { merge: ["mrn-1", "Patient/1"] },
    ],
    asks: { "mrn-1": [] },
  },
  {
    name: "the same, merged and parted again",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1"), "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      { unmerge: true },
    ],
    asks: { "mrn-1": [] },
    open: 1,
  },
  {
    name: "a number of somebody else beside a new one: the new one finds nobody",
    acts: [
      { know: "mrn-1" },
      { refuse: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1", "ins-1"), "Patient/1"),
      send({ ...pat("1", "ins-1"), v: "2" }, "Patient/1"),
    ],
    asks: { "mrn-1": [], "ins-1": [] },
    open: 1,
  },
  {
    name: "numbers of two others",
    acts: [
      { know: "mrn-1" },
      { know: "ins-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1", "ins-1"), "Patient/1"),
    ],
    asks: { "mrn-1": [], "ins-1": [] },
    open: 2,
  },
  {
    name: "numbers of two others, and all three are merged",
    acts: [
      { know: "mrn-1" },
      { know: "ins-1" },
      { refuse: "ins-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1", "ins-1"), "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      { merge: ["ins-1", "Patient/1"] },
    ],
    asks: { "mrn-1": [], "ins-1": [] },
  },
  {
    name: "a former number of somebody else",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "old-1", "mrn-2"), "Patient/1"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "a proposal that is dismissed: the number stays whose it is",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1"), "Patient/1"),
      { dismiss: true },
      send({ ...pat("1", "mrn-2"), v: "2" }, "mrn-2"),
    ],
    asks: { "mrn-1": [], "mrn-2": ["1", "o"] },
  },
  {
    name: "a number that is said to be the person's of the name",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      { identify: ["Patient/1", "mrn-1"] },
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "the owner of the number is forgotten, and the Patient comes again",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send(pat("1", "mrn-1"), "Patient/1"),
      { forget: "mrn-1" },
      send({ ...pat("1", "mrn-1"), v: "2" }, "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  // Two servers
  {
    name: "equal ids on two servers",
    acts: [send(obs("o", A), A), send(obs("p", B), B)],
    asks: { "mrn-1": [] },
  },
  {
    name: "equal ids on two servers, then their Patients",
    acts: [
      send(obs("o", A), A),
      send(obs("p", B), B),
      bundle("collection", [{ ...pat("1", "mrn-1"), fullUrl: A }], "mrn-1"),
      bundle("collection", [{ ...pat("1", "mrn-2"), fullUrl: B }], "mrn-2"),
    ],
    asks: { "mrn-1": ["1", "o"], "mrn-2": ["1", "p"] },
  },
  {
    name: "equal ids on two servers, one of whose patients refused",
    acts: [
      send(obs("o", A), A),
      { refuse: A },
      send(obs("p", B), B),
      bundle("collection", [{ ...pat("1", "mrn-2"), fullUrl: B }], "mrn-2"),
      bundle("collection", [{ ...pat("1", "mrn-1"), fullUrl: A }], "mrn-1"),
    ],
    asks: { "mrn-1": [], "mrn-2": ["1", "p"] },
  },
  {
    name: "a relative reference, once two servers are known",
    acts: [send(obs("o", A), A), send(obs("p", B), B), send(obs("q", "Patient/1"), "-")],
    asks: { "mrn-1": [] },
  },
  {
    name: "a relative reference first: it is of the server that comes next",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      send(obs("p", A), A),
      send(obs("q", B), B),
      bundle("collection", [{ ...pat("1", "mrn-1"), fullUrl: A }], "mrn-1"),
      bundle("collection", [{ ...pat("1", "mrn-2"), fullUrl: B }], "mrn-2"),
    ],
    asks: { "mrn-1": ["1", "o", "p"], "mrn-2": ["1", "q"] },
  },
  {
    name: "a relative reference first, then two servers at once: it is of the one that comes first",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      send([obs("p", A), obs("q", B)], A, B),
      bundle("collection", [at(A, pat("1", "mrn-1")), at(B, pat("1", "mrn-2"))], "mrn-1", "mrn-2"),
    ],
    asks: { "mrn-1": ["1", "o", "p"], "mrn-2": ["1", "q"] },
  },
  {
    name: "a relative reference first, which is refused, then the Patients of two servers at once",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      { refuse: "Patient/1" },
      bundle("collection", [at(A, pat("1", "mrn-1")), at(B, pat("1", "mrn-2"))], "mrn-1", "mrn-2"),
    ],
    asks: { "mrn-1": [], "mrn-2": ["1"] },
  },
  {
    name: "a Patient without a server, then those of two servers at once",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      bundle("collection", [at(A, pat("1", "mrn-1")), at(B, pat("1", "mrn-2"))], "mrn-1", "mrn-2"),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": ["1"] },
  },
  {
    name: "a Patient without a server, then references to two servers at once",
    acts: [send(pat("1", "mrn-1"), "mrn-1"), send([obs("p", A), obs("q", B)], "mrn-1", B)],
    asks: { "mrn-1": ["1", "p"] },
  },
  {
    name: "a server's URL written in two ways: what was refused under one holds for the other",
    acts: [
      send(obs("o", A), A),
      { refuse: A },
      bundle("collection", [at(A_WRITTEN_OTHERWISE, pat("1", "mrn-1"))], "mrn-1"),
    ],
    asks: { "mrn-1": [] },
  },
  {
    name: "all three in one file",
    acts: [send([obs("o", A), obs("p", B), obs("q", "Patient/1")], A, B, "-")],
    asks: { "mrn-1": [] },
  },
  // Other kinds of references
  {
    name: "a urn:uuid of the bundle",
    acts: [
      bundle(
        "transaction",
        [
          post(pat("x", "mrn-1"), { fullUrl: "urn:uuid:p" }),
          post(obs("o", "urn:uuid:p"), { fullUrl: "urn:uuid:o" }),
        ],
        ...(["mrn-1", "mrn-1"] as const),
      ),
    ],
    asks: { "mrn-1": ["o", "x"] },
  },
  {
    name: "a urn:uuid of no bundle",
    acts: [send(obs("o", "urn:uuid:p"), "-")],
    asks: { "mrn-1": [] },
  },
  {
    name: "a conditional reference to a number",
    acts: [
      { know: "mrn-1" },
      bundle("transaction", [post(obs("o", "Patient?identifier=urn:mrn|1"))], "mrn-1"),
    ],
    asks: { "mrn-1": ["o"] },
  },
  {
    name: "a contained Patient, with an id that the source has too",
    acts: [
      send(obs("o", "Patient/1"), "Patient/1"),
      send(
        obs("p", "#1", {
          more: {
            contained: [
              {
                ...{ resourceType: "Patient", id: "1" },
                identifier: [{ system: "urn:mrn", value: "2" }],
              },
            ],
          },
        }),
        "mrn-2",
      ),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"], "mrn-2": ["p"] },
  },
  {
    name: "an id that a transaction is about to replace",
    acts: [
      bundle(
        "transaction",
        [post(pat("1", "mrn-1")), post(obs("o", "Patient/1"))],
        ...(["mrn-1", "mrn-1"] as const),
      ),
    ],
    asks: { "mrn-1": ["1", "o"] },
  },
  {
    name: "the same, of a Patient whom the source has, and who is another person",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      { refuse: "mrn-1" },
      bundle("transaction", [post(pat("1", "mrn-2")), post(obs("o", "Patient/1"))], "-", "-"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
  },
  {
    name: "the same, of a Patient whom the source has, and who is the same person",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      bundle(
        "transaction",
        [post(pat("1", "mrn-1"), { fullUrl: "urn:uuid:q" }), post(obs("o", "Patient/1"))],
        ...(["mrn-1", "mrn-1"] as const),
      ),
    ],
    asks: { "mrn-1": ["1", "1", "o"] },
  },
  // Transplants of identifiers
  {
    name: "a number that moves to another Patient: it is filed about neither",
    acts: [
      send([pat("1", "mrn-1"), pat("2", "mrn-2")], "mrn-1", "mrn-2"),
      { refuse: "mrn-2" },
      send([{ ...pat("2", "mrn-1"), v: "2" }, obs("o", "Patient/2")], "-", "-"),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": [] },
    open: 1,
  },
  {
    name: "two Patients who swap their numbers",
    acts: [
      send([pat("1", "mrn-1"), pat("2", "mrn-2")], "mrn-1", "mrn-2"),
      send(
        [
          { ...pat("1", "mrn-2"), v: "2" },
          { ...pat("2", "mrn-1"), v: "2" },
        ],
        "-",
        "-",
      ),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": ["2"] },
    open: 2,
  },
  {
    name: "a number that is added to a Patient, and is another's",
    acts: [
      send([pat("1", "mrn-1"), pat("2", "ins-2")], "mrn-1", "ins-2"),
      { refuse: "ins-2" },
      send({ ...pat("1", "mrn-1", "ins-2"), v: "2" }, "-"),
    ],
    asks: { "mrn-1": ["1"], "ins-2": [] },
    open: 1,
  },
  {
    name: "a new number in place of the old one",
    acts: [send(pat("1", "mrn-1"), "mrn-1"), send({ ...pat("1", "mrn-2"), v: "2" }, "-")],
    asks: { "mrn-1": ["1"], "mrn-2": [] },
    open: 1,
  },
  {
    name: "a new number beside the one marked as old",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      { refuse: "mrn-1" },
      send({ ...pat("1", "old-1", "mrn-2"), v: "2" }, "-"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "a Patient that the custodian moved to the person of the number",
    acts: [
      send([pat("1", "mrn-1"), pat("2", "mrn-2")], "mrn-1", "mrn-2"),
      { move: ["2", "mrn-1"] },
      send([{ ...pat("2", "mrn-1"), v: "2" }, obs("o", "Patient/2")], "mrn-1", "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "2", "o"], "mrn-2": [] },
  },
  // Mother and newborn
  {
    name: "a newborn with the mother's insurance number",
    acts: [
      send(pat("m", "mrn-1", "ins-1"), "mrn-1"),
      { refuse: "mrn-1" },
      send([pat("n", "mrn-2", "ins-1"), obs("o", "Patient/n")], "-", "-"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "the same, and the newborn was referred to before",
    acts: [
      send(pat("m", "mrn-1", "ins-1"), "mrn-1"),
      send(obs("o", "Patient/n"), "Patient/n"),
      send(pat("n", "mrn-2", "ins-1"), "Patient/n"),
      { identify: ["Patient/n", "mrn-2"] },
      { dismiss: true },
    ],
    asks: { "mrn-1": ["m"], "ins-1": ["m"], "mrn-2": ["n", "o"] },
  },
  {
    name: "mother and newborn in one file, each with an own number and a common one",
    acts: [
      send(
        [pat("m", "mrn-1", "ins-1"), pat("n", "mrn-2", "ins-1"), obs("o", "Patient/n")],
        ...(["mrn-1", "mrn-2", "mrn-2"] as const),
      ),
    ],
    asks: { "mrn-1": ["m"], "mrn-2": ["n", "o"], "ins-1": [] },
  },
  {
    name: "a newborn who is registered under the mother's number first",
    acts: [
      send([pat("m", "mrn-1"), obs("o", "Patient/n")], "mrn-1", "Patient/n"),
      { refuse: "mrn-1" },
      send(pat("n", "mrn-1"), "Patient/n"),
      { dismiss: true },
      send({ ...pat("n", "mrn-2"), v: "2" }, "mrn-2"),
    ],
    asks: { "mrn-1": [], "mrn-2": ["n", "o"] },
  },
  // Merges in every order
  {
    name: "two who are merged before the early Patient comes",
    acts: [
      { know: "mrn-1" },
      send(obs("o", "Patient/1"), "Patient/1"),
      { merge: ["Patient/1", "mrn-1"] },
      send(pat("1", "mrn-1", "ins-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"], "ins-1": ["1", "o"] },
  },
  {
    name: "two early names that are merged, then their Patients with one number",
    acts: [
      send([obs("o", "Patient/1"), obs("p", "Patient/2")], "Patient/1", "Patient/2"),
      { merge: ["Patient/1", "Patient/2"] },
      send([pat("1", "mrn-1"), pat("2", "mrn-1")], "mrn-1", "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "2", "o", "p"] },
  },
  {
    name: "two early names whose Patients have one number",
    acts: [
      send([obs("o", "Patient/1"), obs("p", "Patient/2")], "Patient/1", "Patient/2"),
      { refuse: "Patient/2" },
      send([pat("1", "mrn-1"), pat("2", "mrn-1")], "mrn-1", "Patient/2"),
    ],
    asks: { "mrn-1": ["1", "o"] },
    open: 1,
  },
  {
    name: "the same, merged: what either refused holds",
    acts: [
      send([obs("o", "Patient/1"), obs("p", "Patient/2")], "Patient/1", "Patient/2"),
      { refuse: "Patient/2" },
      send([pat("1", "mrn-1"), pat("2", "mrn-1")], "mrn-1", "Patient/2"),
      { merge: ["Patient/2", "mrn-1"] },
    ],
    asks: { "mrn-1": [] },
  },
  {
    name: "two Patients who are linked, and merged",
    acts: [
      send([{ ...pat("1", "mrn-1"), link: "Patient/2" }, pat("2", "mrn-2")], "mrn-1", "mrn-2"),
      { refuse: "mrn-2" },
      { merge: ["mrn-1", "mrn-2"] },
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
  },
  {
    name: "two Patients who are linked, and not merged",
    acts: [
      send([{ ...pat("1", "mrn-1"), link: "Patient/2" }, pat("2", "mrn-2")], "mrn-1", "mrn-2"),
      { refuse: "mrn-2" },
    ],
    asks: { "mrn-1": ["1"], "mrn-2": [] },
    open: 1,
  },
  {
    name: "two early names that are joined, one with a number of somebody else, one with a new one",
    acts: [
      { know: "mrn-1" },
      { refuse: "mrn-1" },
      send([obs("o", "Patient/1"), obs("p", "Patient/2")], "Patient/1", "Patient/2"),
      { merge: ["Patient/1", "Patient/2"] },
      bundle("collection", [pat("1", "mrn-1"), pat("2", "mrn-2")], "Patient/1", "Patient/2"),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "an early name that comes linked to somebody who refused: no number until people decide",
    acts: [
      send(pat("2", "mrn-2"), "mrn-2"),
      { refuse: "mrn-2" },
      send(obs("o", "Patient/1"), "Patient/1"),
      bundle(
        "collection",
        [pat("2", "mrn-2"), { ...pat("1", "mrn-1"), link: "Patient/2" }],
        ...(["mrn-2", "Patient/1"] as const),
      ),
    ],
    asks: { "mrn-1": [], "mrn-2": [] },
    open: 1,
  },
  {
    name: "the same, dismissed: the number comes with the next version",
    acts: [
      send(pat("2", "mrn-2"), "mrn-2"),
      { refuse: "mrn-2" },
      send(obs("o", "Patient/1"), "Patient/1"),
      send({ ...pat("1", "mrn-1"), link: "Patient/2" }, "Patient/1"),
      { dismiss: true },
      send({ ...pat("1", "mrn-1"), link: "Patient/2", v: "2" }, "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "o"], "mrn-2": [] },
  },
  {
    name: "a Patient who is linked to one of an earlier file",
    acts: [
      send(pat("2", "mrn-2"), "mrn-2"),
      send({ ...pat("1", "mrn-1"), link: "Patient/2" }, "mrn-1"),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": ["2"] },
    open: 1,
  },
  {
    name: "a second child with the family's number, once the first is known",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      { identify: ["mrn-1", "ins-1"] },
      send(pat("2", "mrn-2", "ins-1"), "-"),
      { know: "mrn-2" },
      send(pat("3", "mrn-3", "ins-1"), "-"),
    ],
    asks: { "mrn-1": ["1"] },
    open: 1,
  },
  {
    name: "a second child with the family's number, once the first is dismissed",
    acts: [
      send(pat("1", "mrn-1"), "mrn-1"),
      { identify: ["mrn-1", "ins-1"] },
      send(pat("2", "mrn-2", "ins-1"), "-"),
      { dismiss: true },
      send(pat("2", "mrn-2", "ins-1"), "-"),
      send(pat("3", "mrn-3", "ins-1"), "-"),
    ],
    asks: { "mrn-1": ["1"] },
    open: 1,
  },
  // Several patients, messages
  {
    name: "a resource about two patients who have not come",
    acts: [
      send(
        {
          ...{ type: "Group", id: "g" },
          more: {
            ...{ type: "person", actual: true },
            member: [
              { entity: { reference: "Patient/1" } },
              { entity: { reference: "Patient/2" } },
            ],
          },
        },
        "-",
      ),
      send([pat("1", "mrn-1"), pat("2", "mrn-2")], "mrn-1", "mrn-2"),
    ],
    asks: { "mrn-1": ["1"], "mrn-2": ["2"] },
  },
  {
    name: "a resource of which two references lead to different patients",
    acts: [
      send(
        [
          obs("e", "Patient/2", { type: "Encounter" }),
          obs("o", "Patient/1", { more: { encounter: { reference: "Encounter/e" } } }),
        ],
        ...(["Patient/2", "-"] as const),
      ),
    ],
    asks: { "mrn-1": [] },
  },
  {
    name: "a message about a patient who has not come, then the Patient",
    acts: [
      bundle(
        "message",
        [{ type: "MessageHeader", id: "h" }, obs("o", "Patient/1")],
        ...(["-", "Patient/1"] as const),
      ),
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": ["1", "Bundle", "o"] },
  },
  {
    name: "a document about a patient who has not come, then the Patient",
    acts: [
      bundle(
        "document",
        [obs("d", "Patient/1", { type: "Composition" }), obs("o", "Patient/1")],
        ...(["Patient/1", "Patient/1"] as const),
      ),
      { refuse: "Patient/1" },
      send(pat("1", "mrn-1"), "mrn-1"),
    ],
    asks: { "mrn-1": [] },
  },
];
