import { readdirSync } from "node:fs";
import { readVector } from "./vectors.ts";

/** A resource of a person, with the texts of its versions, the oldest first. */
interface Sent {
  readonly name: string;
  readonly versions: readonly string[];
}

/** A patient of Synthea, and what is to be on record of them. */
export interface SyntheaPerson {
  readonly numbers: readonly { readonly system: string; readonly value: string }[];
  /** By type and id: what is about the patient, and what that leads to. */
  readonly resources: ReadonlyMap<string, readonly string[]>;
}

interface Json {
  readonly resourceType: string;
  readonly id: string;
  readonly identifier: SyntheaPerson["numbers"];
  readonly subject?: { readonly reference?: string };
  readonly patient?: { readonly reference?: string };
}

const ABOUT_NOBODY: ReadonlySet<string> = new Set(["Organization", "Practitioner"]);
const URN = /urn:uuid:([0-9a-f-]{36})/g;

/** A generator of numbers below a bound, the same for the same seed. */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export function shuffled<T>(list: readonly T[], random: (below: number) => number): T[] {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

/** The exact text of each entry's resource, found by counting braces. */
function resourcesIn(bundle: string): readonly string[] {
  const found: string[] = [];
  const mark = '"resource":{';
  for (let at = bundle.indexOf(mark); at >= 0; at = bundle.indexOf(mark, at)) {
    const from = at + mark.length - 1;
    let depth = 0;
    let isQuoted = false;
    at = from;
    do {
      const char = bundle[at++];
      if (char === "\\") at++;
      else if (char === '"') isQuoted = !isQuoted;
      else if (!isQuoted && char === "{") depth++;
      else if (!isQuoted && char === "}") depth--;
    } while (depth > 0);
    found.push(bundle.slice(from, at));
  }
  return found;
}

const nameOf = (text: string): string => {
  const { resourceType, id } = JSON.parse(text) as Json;
  return `${resourceType}/${id}`;
};
const idOf = (text: string): string => (JSON.parse(text) as Json).id;

function withVersion(text: string, versionId: string): string {
  const changed = text.replace(/"meta":\{/, `"meta":{"versionId":"${versionId}",`);
  const { meta } = JSON.parse(changed) as { meta: { versionId?: string } };
  if (meta.versionId !== versionId) throw new Error("the version is not the resource's");
  return changed;
}

/** What is to be on record of the patient of some resources that refer to each other by `urn:uuid`. */
function personOf(sent: readonly Sent[]): SyntheaPerson {
  const byUrn = new Map(sent.map((one) => [`urn:uuid:${one.name.split("/")[1]}`, one]));
  const read = new Map(sent.map((one) => [one, JSON.parse(one.versions[0]!) as Json]));
  const patient = sent.find((one) => read.get(one)!.resourceType === "Patient")!;
  const own = `urn:uuid:${read.get(patient)!.id}`;
  const reached = new Set<Sent>();
  const waiting: Sent[] = [];
  for (const one of sent) {
    const { resourceType, subject, patient: whose } = read.get(one)!;
    if (ABOUT_NOBODY.has(resourceType)) continue;
    if (one !== patient && (subject ?? whose)?.reference !== own) throw new Error("whose is it?");
    reached.add(one);
    waiting.push(one);
  }
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const [, urn] of next.versions[0]!.matchAll(/"reference":"(urn:uuid:[^"]+)"/g)) {
      const target = byUrn.get(urn!);
      if (target === undefined || reached.has(target)) continue;
      reached.add(target);
      waiting.push(target);
    }
  }
  return {
    numbers: read.get(patient)!.identifier,
    resources: new Map([...reached].map(({ name, versions }) => [name, versions] as const)),
  };
}

/**
 * Ten patients of Synthea as one system would send them, with a table of what is to be on record: made by
 * following references in the parsed JSON, without the library's reader. A seventh of the resources has two
 * versions, and all patients have one practitioner and one organization in common.
 */
export function readSynthea(folder: string): {
  /** Transaction bundles: of each patient one with the older versions and one with the newer. */
  readonly transactions: readonly string[];
  /** The same resources as lines, with references by type and id. */
  readonly lines: readonly string[];
  /** As the transactions say it, and as the lines do. */
  readonly tables: Readonly<Record<"transactions" | "lines", readonly SyntheaPerson[]>>;
} {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  const shared = new Map<string, string>();
  const transactions: string[] = [];
  const all: (readonly Sent[])[] = [];
  for (const file of files) {
    let bundle = readVector("synthea", file);
    for (const type of ABOUT_NOBODY) {
      const own = resourcesIn(bundle).find((text) => nameOf(text).startsWith(type))!;
      const common = shared.get(type) ?? own;
      shared.set(type, common);
      bundle = bundle.replace(own, () => common).replaceAll(idOf(own), idOf(common));
    }
    let newer = bundle;
    let older = bundle;
    const sent = resourcesIn(bundle).map((text, i): Sent => {
      const name = nameOf(text);
      if (i % 7 > 0 || ABOUT_NOBODY.has(name.split("/")[0]!)) return { name, versions: [text] };
      const versions = [withVersion(text, "9"), withVersion(text, "10")];
      older = older.replace(text, () => versions[0]!);
      newer = newer.replace(text, () => versions[1]!);
      return { name, versions };
    });
    transactions.push(older, newer);
    all.push(sent);
  }
  const names = new Map(all.flat().map(({ name }) => [name.split("/")[1]!, name]));
  const asLine = (text: string): string =>
    text.replace(URN, (urn, id: string) => names.get(id) ?? urn);
  const persons = all.map(personOf);
  return {
    transactions,
    lines: [...new Set(all.flat().flatMap(({ versions }) => versions.map(asLine)))],
    tables: {
      transactions: persons,
      lines: persons.map(({ numbers, resources }) => ({
        numbers,
        resources: new Map(
          Array.from(resources, ([name, versions]) => [name, versions.map(asLine)] as const),
        ),
      })),
    },
  };
}
