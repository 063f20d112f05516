import { at, type Example } from "../support/published-examples.ts";
import type { Reason } from "./not-recorded.ts";
import type { Published, PublishedEntry } from "./packages.ts";

/** Where examples name whom they are about. */
const SUBJECTS: readonly (readonly string[])[] = [
  ["subject"],
  ["patient"],
  ["for"],
  ["beneficiary"],
  ["candidate"],
  ["individual"],
  ["deliverFor"],
  ["member", "entity"],
];

const subjectsOf = (example: Example): readonly string[] =>
  SUBJECTS.flatMap((path) => at(example, path)).map(({ reference = "" }) => reference);

/** Names of the patients whom an example says it is about, as they are written there. */
export function patientsOf(example: Example): ReadonlySet<string> {
  if (example.resourceType === "Patient") return new Set([`Patient/${example.id}`]);
  const named = subjectsOf(example).filter((reference) => /(?:^|\/)Patient\//.test(reference));
  return new Set(named.map((name) => name.replace(/\/_history\/.*/, "")));
}

/** Whether an example brings its patient with it, or names them by a number only. */
export const hasOwnPatient = (example: Example): boolean =>
  (example.contained ?? []).some((one: Partial<Example>) => one.resourceType === "Patient") ||
  SUBJECTS.flatMap((path) => at(example, path)).some(({ identifier }) => identifier !== undefined);

/** What a reason is held against. */
interface Case {
  readonly text: string;
  readonly example: Example;
  readonly refers: ReadonlySet<string>;
  /** If it is of a Bundle. */
  readonly entry?: PublishedEntry;
}

/** What else there is: on other lines, or in the same Bundle by `fullUrl`. */
export type Others = ReadonlyMap<string, Example>;

const lacksNumber = (example: Partial<Example> | undefined): boolean =>
  example?.resourceType === "Patient" && example["identifier"] === undefined;

/** Whether a reason is true of an example, by a reading that shares nothing with the ledger's. */
export function isTrue(reason: Reason, one: Case, others: Others): boolean {
  const { example, refers, entry, text } = one;
  const about = patientsOf(example);
  switch (reason) {
    case "untold":
      // In words, by a group that is not listed whole, or by a name relative to a urn.
      return (
        about.size === 0 ||
        example.resourceType === "Group" ||
        entry?.fullUrl?.startsWith("urn:") === true
      );
    case "nobody":
      return about.size === 0;
    case "several": {
      const led = [["link", "target"], ["focus"]].flatMap((path) =>
        at(example, path).map(({ reference = "" }) => reference),
      );
      const isBundle = example.resourceType === "Bundle";
      const inside = text.match(/"fullUrl"[^,]*\/Patient\/[^,]*/g) ?? [];
      return new Set(isBundle ? inside : led).size > 1;
    }
    case "unserved":
      return ![...refers].some((name) => name.includes("Patient/"));
    case "unnamed":
      return example.id.length > 64;
    case "unnumbered": {
      const inside = (example.contained ?? []) as readonly Partial<Example>[];
      const named = subjectsOf(example).map((name) => others.get(name));
      return [example, ...inside, ...named].some(lacksNumber);
    }
    case "contradicting": {
      const led = [...refers].flatMap((name) => {
        const other = others.get(name);
        return other === undefined ? [] : [...patientsOf(other)];
      });
      return led.some((name) => !about.has(name));
    }
    case "misnamed":
      return !entry!.fullUrl!.endsWith(`${example.resourceType}/${example.id}`);
    case "conditional":
      return entry!.request!.method === "DELETE" && text.includes("?");
    case "deleted":
      return entry!.request!.method === "DELETE";
    case "unread":
      return /"resourceType"\s*:\s*"Bundle"/.test(text.slice(20));
  }
}

/** Names within a text, in references and in other URLs. */
const NAME = /(?<=["/])[A-Z][A-Za-z]+\/[A-Za-z0-9.-]+(?=["/#])/g;

/** By `Type/id`: what refers to an example, and what it refers to. */
export function neighboursOf(all: readonly Published[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>(all.map(({ name }) => [name, new Set()]));
  for (const { name, text } of all) {
    for (const [other] of text.matchAll(NAME)) {
      found.get(other)?.add(name);
      if (found.has(other)) found.get(name)!.add(other);
    }
  }
  return found;
}
