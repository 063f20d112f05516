import { MRN } from "../../support/hospital.ts";

/** An entry of a bundle, in short. */
export interface Entry {
  readonly id?: string | undefined;
  readonly type?: string;
  /** `meta.versionId` */
  readonly v?: string;
  /** Minutes after noon of `meta.lastUpdated`; for a deletion of `response.lastModified`. */
  readonly t?: number;
  /** The value that is measured, by which a test tells versions apart. */
  readonly value?: number;
  readonly status?: string;
  /** Whether it is about alcohol, which the patient refuses to share. */
  readonly secret?: boolean;
  readonly fullUrl?: string;
  readonly method?: string;
  readonly url?: string;
  /** The patient's number; the ward's patient without it. */
  readonly mrn?: string;
  readonly subject?: unknown;
  readonly more?: object;
}

export const put = (id: string | undefined, value: number, more: Entry = {}): Entry => ({
  ...{ id, value, ...more },
});
export const del = (id: string, more: Entry = {}): Entry => ({
  ...{ method: "DELETE", url: `${more.type ?? "Observation"}/${id}`, ...more },
});

export interface Step {
  readonly source?: string;
  readonly type?: string;
  /** Minutes after noon of `Bundle.timestamp`. */
  readonly at?: number;
  /** Records it for the ward's patient, and not for whom it names. */
  readonly mine?: boolean;
  readonly entries: readonly Entry[];
  /** What became of each entry, in the order of the entries. */
  readonly expect: readonly string[];
}

export interface Situation {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Values that are released at the end, in ascending order. */
  readonly released: readonly number[];
}

const instant = (minutes: number): string =>
  new Date(Date.UTC(2026, 0, 1, 12, minutes)).toISOString();

const resourceOf = (entry: Entry): object => {
  const { id, type = "Observation", v, t, value, status = "final", secret, mrn, subject } = entry;
  const code = secret
    ? { system: "http://snomed.info/sct", code: "66590003" }
    : { system: "http://loinc.org", code: "8480-6" };
  const identifier = mrn === undefined ? MRN : { ...MRN, value: mrn };
  return {
    resourceType: type,
    ...(id !== undefined && { id }),
    ...((v !== undefined || t !== undefined) && {
      meta: {
        ...(v !== undefined && { versionId: v }),
        ...(t !== undefined && { lastUpdated: instant(t) }),
      },
    }),
    status,
    code: { coding: [code] },
    subject: subject ?? { identifier },
    effectiveDateTime: "2025-11-03T10:15:00Z",
    valueQuantity: { value },
    ...entry.more,
  };
};

/** The bundle of a step, as JSON. */
export function bundleOf({ type = "transaction", at, entries }: Step): string {
  return JSON.stringify({
    resourceType: "Bundle",
    type,
    ...(at !== undefined && { timestamp: instant(at) }),
    entry: entries.map((entry) => {
      const { fullUrl, method, url, v, t } = entry;
      const isDeletion = method === "DELETE";
      const response = {
        ...(t !== undefined && { lastModified: instant(t) }),
        ...(v !== undefined && { etag: `W/"${v}"` }),
      };
      return {
        ...(fullUrl !== undefined && { fullUrl }),
        ...(entry.value !== undefined && { resource: resourceOf(entry) }),
        ...(method !== undefined && { request: { method, url: url ?? "Observation" } }),
        ...(isDeletion && { response }),
      };
    }),
  });
}

const A = "https://a.example/fhir";
const B = "https://b.example/fhir";
const UUID = "0b8a2b1c-5f5e-4c0e-9d3a-6c1a3f1e2d4b";
const on = (base: string, id: string): Entry => ({ fullUrl: `${base}/Observation/${id}` });
const once = (entry: Entry, expect: string, more: Partial<Step> = {}): Step => ({
  ...{ entries: [entry], expect: [expect], ...more },
});

/** What sources send, and what is to become of it; written by hand. */
export const SITUATIONS: readonly Situation[] = [
  // The same again
  {
    name: "the same text twice",
    steps: [once(put("1", 1), "create"), once(put("1", 1), "recorded")],
    released: [1],
  },
  {
    name: "the same text twice in one bundle",
    steps: [{ entries: [put("1", 1), put("1", 1)], expect: ["create", "recorded"] }],
    released: [1],
  },
  {
    name: "two resources of one text but for the id",
    steps: [{ entries: [put("1", 1), put("2", 1)], expect: ["create", "create"] }],
    released: [1, 1],
  },
  {
    name: "two types with one id",
    steps: [
      {
        entries: [put("1", 1), put("1", 2, { type: "DiagnosticReport" })],
        expect: ["create", "create"],
      },
    ],
    released: [1, 2],
  },
  // Newer and older
  {
    name: "a greater version number",
    steps: [once(put("1", 1, { v: "1" }), "create"), once(put("1", 2, { v: "2" }), "amend")],
    released: [2],
  },
  {
    name: "version 10 after version 9",
    steps: [once(put("1", 1, { v: "9" }), "create"), once(put("1", 2, { v: "10" }), "amend")],
    released: [2],
  },
  {
    name: "a smaller version number",
    steps: [once(put("1", 2, { v: "2" }), "create"), once(put("1", 1, { v: "1" }), "newer")],
    released: [2],
  },
  {
    name: "a later time",
    steps: [once(put("1", 1, { t: 1 }), "create"), once(put("1", 2, { t: 2 }), "amend")],
    released: [2],
  },
  {
    name: "an earlier time",
    steps: [once(put("1", 2, { t: 2 }), "create"), once(put("1", 1, { t: 1 }), "newer")],
    released: [2],
  },
  {
    name: "number and time that agree",
    steps: [
      once(put("1", 2, { v: "2", t: 2 }), "create"),
      once(put("1", 1, { v: "1", t: 1 }), "newer"),
      once(put("1", 3, { v: "3", t: 3 }), "amend"),
    ],
    released: [3],
  },
  {
    name: "a greater number with an earlier time: what came last",
    steps: [
      once(put("1", 1, { v: "1", t: 9 }), "create"),
      once(put("1", 2, { v: "2", t: 8 }), "amend by arrival"),
    ],
    released: [2],
  },
  {
    name: "a smaller number with a later time: what came last",
    steps: [
      once(put("1", 2, { v: "2", t: 8 }), "create"),
      once(put("1", 1, { v: "1", t: 9 }), "amend by arrival"),
    ],
    released: [1],
  },
  {
    name: "one number with a later time",
    steps: [
      once(put("1", 1, { v: "1", t: 1 }), "create"),
      once(put("1", 2, { v: "1", t: 2 }), "amend"),
    ],
    released: [2],
  },
  {
    name: "one time with a smaller number",
    steps: [
      once(put("1", 2, { v: "2", t: 1 }), "create"),
      once(put("1", 1, { v: "1", t: 1 }), "newer"),
    ],
    released: [2],
  },
  {
    name: "neither number nor time: what came last",
    steps: [once(put("1", 1), "create"), once(put("1", 2), "amend by arrival")],
    released: [2],
  },
  {
    name: "a number on one side only: what came last",
    steps: [once(put("1", 2, { v: "2" }), "create"), once(put("1", 1), "amend by arrival")],
    released: [1],
  },
  {
    name: "versions that are no numbers: what came last",
    steps: [
      once(put("1", 1, { v: "b" }), "create"),
      once(put("1", 2, { v: "a" }), "amend by arrival"),
    ],
    released: [2],
  },
  {
    name: "another text of one version: what came last",
    steps: [
      once(put("1", 1, { v: "1", t: 1 }), "create"),
      once(put("1", 2, { v: "1", t: 1 }), "amend by arrival"),
    ],
    released: [2],
  },
  {
    name: "a former text again: it does not come back",
    steps: [
      once(put("1", 1), "create"),
      once(put("1", 2), "amend by arrival"),
      once(put("1", 1), "newer"),
    ],
    released: [2],
  },
  {
    name: "versions in any order",
    steps: [
      once(put("1", 3, { v: "3" }), "create"),
      once(put("1", 1, { v: "1" }), "newer"),
      once(put("1", 4, { v: "4" }), "amend"),
      once(put("1", 2, { v: "2" }), "newer"),
    ],
    released: [4],
  },
  // Several versions in one input
  {
    name: "a history, newest first",
    steps: [
      {
        type: "history",
        entries: [put("1", 3, { v: "3" }), put("1", 2, { v: "2" }), put("1", 1, { v: "1" })],
        expect: ["amend", "amend", "create"],
      },
    ],
    released: [3],
  },
  {
    name: "a history, newest last",
    steps: [
      {
        type: "history",
        entries: [put("1", 1, { v: "1" }), put("1", 2, { v: "2" }), put("1", 3, { v: "3" })],
        expect: ["create", "amend", "amend"],
      },
    ],
    released: [3],
  },
  {
    name: "a history that says nothing of its versions: the first is the newest",
    steps: [
      {
        type: "history",
        entries: [put("1", 2), put("1", 1)],
        expect: ["amend by arrival", "create"],
      },
    ],
    released: [2],
  },
  {
    name: "a history of which one version is on record",
    steps: [
      once(put("1", 2, { v: "2" }), "create"),
      {
        type: "history",
        entries: [put("1", 3, { v: "3" }), put("1", 2, { v: "2" }), put("1", 1, { v: "1" })],
        expect: ["amend", "recorded", "newer"],
      },
    ],
    released: [3],
  },
  {
    name: "a history twice",
    steps: [
      {
        type: "history",
        entries: [put("1", 2, { v: "2" }), put("1", 1, { v: "1" })],
        expect: ["amend", "create"],
      },
      {
        type: "history",
        entries: [put("1", 2, { v: "2" }), put("1", 1, { v: "1" })],
        expect: ["recorded", "newer"],
      },
    ],
    released: [2],
  },
  {
    name: "two versions in a collection, the older last",
    steps: [
      {
        type: "collection",
        entries: [put("1", 2, { v: "2" }), put("1", 1, { v: "1" })],
        expect: ["amend", "create"],
      },
    ],
    released: [2],
  },
  {
    name: "two versions in a collection that say nothing: the last",
    steps: [
      {
        type: "collection",
        entries: [put("1", 1), put("1", 2)],
        expect: ["create", "amend by arrival"],
      },
    ],
    released: [2],
  },
  {
    name: "a history that ends in a deletion",
    steps: [
      {
        type: "history",
        entries: [del("1", { v: "2", t: 2 }), put("1", 1, { v: "1", t: 1 })],
        expect: ["deleted", "create"],
      },
    ],
    released: [],
  },
  {
    name: "a history of a deletion and a return",
    steps: [
      {
        type: "history",
        entries: [
          put("1", 3, { v: "3", t: 3 }),
          del("1", { v: "2", t: 2 }),
          put("1", 1, { v: "1", t: 1 }),
        ],
        expect: ["create", "deleted", "create"],
      },
    ],
    released: [3],
  },
  {
    name: "a history in which a POST made the first version",
    steps: [
      {
        type: "history",
        entries: [
          put("1", 2, { v: "2", method: "PUT", url: "Observation/1" }),
          put("1", 1, { v: "1", method: "POST", url: "Observation" }),
        ],
        expect: ["amend", "create"],
      },
    ],
    released: [2],
  },
  // Deletions
  {
    name: "a deletion of what is on record",
    steps: [once(put("1", 1), "create"), once(del("1"), "deleted")],
    released: [],
  },
  {
    name: "a deletion twice",
    steps: [once(put("1", 1), "create"), once(del("1"), "deleted"), once(del("1"), "ended")],
    released: [],
  },
  {
    name: "a deletion of one of two",
    steps: [
      { entries: [put("1", 1), put("2", 2)], expect: ["create", "create"] },
      once(del("1"), "deleted"),
    ],
    released: [2],
  },
  {
    name: "a deletion of another source's resource",
    steps: [once(put("1", 1), "create"), once(del("1"), "skip", { source: "ehr-2" })],
    released: [1],
  },
  {
    name: "a deletion without a source",
    steps: [once(put("1", 1), "create"), once(del("1"), "none", { source: "" })],
    released: [1],
  },
  {
    name: "a deletion older than what is on record",
    steps: [once(put("1", 2, { t: 2 }), "create"), once(del("1", { t: 1 }), "newer")],
    released: [2],
  },
  {
    name: "a deletion dated by its bundle, older than what is on record",
    steps: [once(put("1", 2, { t: 2 }), "create"), once(del("1"), "newer", { at: 1 })],
    released: [2],
  },
  {
    name: "the deleted text again",
    steps: [once(put("1", 1), "create"), once(del("1"), "deleted"), once(put("1", 1), "ended")],
    released: [],
  },
  {
    name: "an older version after a deletion that says when",
    steps: [
      once(put("1", 1, { t: 1 }), "create"),
      once(del("1", { t: 5 }), "deleted"),
      once(put("1", 2, { t: 4 }), "ended"),
    ],
    released: [],
  },
  {
    name: "an older version after a deletion that does not say when",
    steps: [
      once(put("1", 2, { v: "2" }), "create"),
      once(del("1"), "deleted"),
      once(put("1", 1, { v: "1" }), "ended"),
    ],
    released: [],
  },
  {
    name: "a newer version after a deletion: a record of its own",
    steps: [
      once(put("1", 1, { t: 1 }), "create"),
      once(del("1", { t: 5 }), "deleted"),
      once(put("1", 2, { t: 6 }), "create"),
    ],
    released: [2],
  },
  {
    name: "another text after a deletion, and nothing says when",
    steps: [
      once(put("1", 1), "create"),
      once(del("1"), "deleted"),
      once(put("1", 2), "create by arrival"),
    ],
    released: [2],
  },
  {
    name: "a deletion before an older version",
    steps: [once(del("1", { t: 5 }), "skip"), once(put("1", 1, { t: 4 }), "skip")],
    released: [],
  },
  {
    name: "a deletion before a newer version",
    steps: [once(del("1", { t: 5 }), "skip"), once(put("1", 1, { t: 6 }), "create")],
    released: [1],
  },
  {
    name: "a deletion of version 3 before version 2",
    steps: [once(del("1", { v: "3" }), "skip"), once(put("1", 2, { v: "2" }), "skip")],
    released: [],
  },
  {
    name: "a deletion that does not say when before any version",
    steps: [once(del("1"), "skip"), once(put("1", 1, { t: 1 }), "create")],
    released: [1],
  },
  {
    name: "a deletion before an older version of another server",
    steps: [
      once(del("1", { t: 5, url: `${A}/Observation/1` }), "skip"),
      once(put("1", 1, { t: 4, ...on(B, "1") }), "create"),
      once(put("1", 2, { t: 4, ...on(A, "1") }), "skip"),
    ],
    released: [1],
  },
  {
    name: "deletions at two servers before older versions of both",
    steps: [
      once(del("1", { t: 5, url: `${A}/Observation/1` }), "skip"),
      once(del("1", { t: 3, url: `${B}/Observation/1` }), "skip"),
      once(put("1", 1, { t: 4, ...on(B, "1") }), "create"),
      once(put("1", 2, { t: 4, ...on(A, "1") }), "skip"),
    ],
    released: [1],
  },
  {
    name: "a conditional deletion",
    steps: [
      once(put("1", 1), "create"),
      once(del("1", { url: "Observation?code=8480-6" }), "skip"),
    ],
    released: [1],
  },
  {
    name: "a deletion by an absolute URL",
    steps: [once(put("1", 1), "create"), once(del("1", { url: `${A}/Observation/1` }), "deleted")],
    released: [],
  },
  {
    name: "a deletion and a new version in one transaction, in the order of the text",
    steps: [
      once(put("1", 1), "create"),
      { entries: [del("1"), put("1", 2)], expect: ["deleted", "create by arrival"] },
    ],
    released: [2],
  },
  // Entered in error
  {
    name: "a version entered in error",
    steps: [
      once(put("1", 1, { v: "1" }), "create"),
      once(put("1", 2, { v: "2", status: "entered-in-error" }), "amend, entered in error"),
    ],
    released: [],
  },
  {
    name: "only a version entered in error",
    steps: [once(put("1", 1, { status: "entered-in-error" }), "create, entered in error")],
    released: [],
  },
  {
    name: "the version entered in error again",
    steps: [
      once(put("1", 1, { status: "entered-in-error" }), "create, entered in error"),
      once(put("1", 1, { status: "entered-in-error" }), "ended"),
    ],
    released: [],
  },
  {
    name: "an older version after the one entered in error",
    steps: [
      once(put("1", 2, { v: "2", status: "entered-in-error" }), "create, entered in error"),
      once(put("1", 1, { v: "1" }), "ended"),
    ],
    released: [],
  },
  {
    name: "a version after the one entered in error",
    steps: [
      once(put("1", 2, { v: "2", status: "entered-in-error" }), "create, entered in error"),
      once(put("1", 3, { v: "3" }), "create"),
    ],
    released: [3],
  },
  {
    name: "an older version entered in error",
    steps: [
      once(put("1", 2, { v: "2" }), "create"),
      once(put("1", 1, { v: "1", status: "entered-in-error" }), "newer"),
    ],
    released: [2],
  },
  // Whose resource
  {
    name: "one id of two sources",
    steps: [once(put("1", 1), "create"), once(put("1", 2), "create", { source: "ehr-2" })],
    released: [1, 2],
  },
  {
    name: "a relative name, then the URL of the server",
    steps: [
      once(put("1", 1, { v: "1" }), "create"),
      once(put("1", 2, { v: "2", ...on(A, "1") }), "amend"),
      once(put("1", 3, { v: "3" }), "amend"),
    ],
    released: [3],
  },
  {
    name: "the URL of a version",
    steps: [
      once(put("1", 1, { v: "1", ...on(A, "1") }), "create"),
      once(put("1", 2, { v: "2", fullUrl: `${A}/Observation/1/_history/2` }), "amend"),
    ],
    released: [2],
  },
  {
    name: "one id on two servers that one source passes on",
    steps: [
      once(put("1", 1, on(A, "1")), "create"),
      once(put("1", 2, on(B, "1")), "create"),
      once(put("1", 3, on(B, "1")), "amend by arrival"),
      once(put("1", 4), "skip"),
    ],
    released: [1, 3],
  },
  {
    name: "an id that is not that of its URL",
    steps: [once(put("1", 1, on(A, "2")), "skip")],
    released: [],
  },
  {
    name: "an id that is not that of its request",
    steps: [once(put("1", 1, { method: "PUT", url: "Observation/2" }), "skip")],
    released: [],
  },
  {
    name: "a POST with an id that means nothing",
    steps: [
      once(put("1", 1, { method: "POST", fullUrl: "urn:uuid:x" }), "create"),
      once(put("1", 2, { method: "POST", fullUrl: "urn:uuid:x" }), "create"),
    ],
    released: [1, 2],
  },
  {
    name: "a POST whose id is the UUID of its URL",
    steps: [
      once(put(UUID, 1, { method: "POST", fullUrl: `urn:uuid:${UUID}` }), "create"),
      once(put(UUID, 2), "amend by arrival"),
    ],
    released: [2],
  },
  {
    name: "a resource without an id, twice",
    steps: [
      once(put(undefined, 1), "create"),
      once(put(undefined, 1), "recorded"),
      once(put(undefined, 2), "create"),
    ],
    released: [1, 2],
  },
  {
    name: "entries that are no writes",
    steps: [
      {
        entries: [
          put("1", 1, { method: "GET", url: "Observation/1" }),
          put("2", 2, { method: "HEAD", url: "Observation/2" }),
          put("3", 3, { method: "PATCH", url: "Observation/3" }),
          put("4", 4, { method: "PUT", url: "Observation/4" }),
        ],
        expect: ["skip", "skip", "skip", "create"],
      },
    ],
    released: [4],
  },
  {
    name: "one id about two persons",
    steps: [
      once(put("1", 1), "create"),
      once(put("1", 2, { mrn: "other" }), "create"),
      once(put("1", 3), "amend by arrival"),
    ],
    released: [3],
  },
  {
    name: "a deletion of what is about two persons",
    steps: [
      once(put("1", 1), "create"),
      once(put("1", 2, { mrn: "other" }), "create"),
      once(del("1"), "deleted, deleted"),
    ],
    released: [],
  },
  {
    name: "a deletion for one of two persons",
    steps: [
      once(put("1", 1), "create"),
      once(put("1", 2, { mrn: "other" }), "create"),
      once(del("1"), "deleted", { mine: true }),
    ],
    released: [],
  },
  // What the patient refuses
  {
    name: "a version that becomes sensitive",
    steps: [
      once(put("1", 1, { v: "1" }), "create"),
      once(put("1", 2, { v: "2", secret: true }), "amend"),
    ],
    released: [],
  },
  {
    name: "a version that is sensitive no longer, and an older one that was",
    steps: [
      once(put("1", 2, { v: "2" }), "create"),
      once(put("1", 1, { v: "1", secret: true }), "newer"),
    ],
    released: [2],
  },
  {
    name: "a sensitive version that comes back after a deletion",
    steps: [
      once(put("1", 1, { t: 1 }), "create"),
      once(del("1", { t: 2 }), "deleted"),
      once(put("1", 2, { t: 3, secret: true }), "create"),
    ],
    released: [],
  },
];
