import { readVector } from "../../support/vectors.ts";

// FHIR Shorthand as far as CARIN Blue Button 2.2.0 uses it: https://hl7.org/fhir/uv/shorthand/

const SITE = "http://hl7.org/fhir/us/carin-bb";
export type Json = Record<string, unknown>;

const read = (name: string): string =>
  readVector(`carin-bb/${name}`)
    // First, since `//*` begins a line that is left out, and no block.
    .replaceAll(/(^|\s)\/\/.*$/gm, "$1")
    .replaceAll(/\/\*[\s\S]*?\*\//g, "");

/** What aliases stand for, without versions. */
const aliases = new Map(
  [...read("Aliases.fsh").matchAll(/^Alias:\s+(\S+)\s*=\s*(\S+?)(?:\|\S+)?\s*$/gm)].map(
    ([, name, url]) => [name!, url!],
  ),
);

/** The URL of a code system that is named by an alias, a name or a URL. */
export const systemOf = (name: string): string => {
  const plain = name.replace(/\|.*$/, "");
  return aliases.get(plain) ?? (plain.includes(":") ? plain : `${SITE}/CodeSystem/${plain}`);
};

/** The lines of an entity, each from its `*` to the next, with the indented ones given their parent's path. */
function statements(body: string): string[] {
  const found: string[] = [];
  let parent = "";
  for (const piece of body.split(/^(?=\s*\* )/m).filter((line) => /^\s*\* /.test(line))) {
    const isChild = /^ {2}\* /.test(piece);
    const text = piece
      .replace(/^\s*\* /, "")
      .replaceAll(/\s+/g, " ")
      .trim();
    if (isChild) found.push(`${parent}.${text}`);
    else {
      parent = text;
      found.push(text);
    }
  }
  return found;
}

/** The entities of a file by name: `Profile`, `Instance`, `RuleSet`, `ValueSet`. */
export function entities(file: string, kind: string): Map<string, string> {
  const found = new Map<string, string>();
  const parts = read(file).split(
    /^(?=(?:Profile|Instance|RuleSet|ValueSet|CodeSystem|Invariant)\s*:)/m,
  );
  for (const part of parts) {
    const head = new RegExp(`^${kind}\\s*:\\s*(\\S+)`).exec(part);
    if (head !== null) found.set(head[1]!, part);
  }
  return found;
}

const ruleSets = new Map(["EOBBaseProfile.fsh"].flatMap((file) => [...entities(file, "RuleSet")]));

/** The rules of a profile, with those of its rule sets. */
export function rulesOf(body: string): string[] {
  return statements(body).flatMap((rule) => {
    const inserted = /^insert (\S+)$/.exec(rule);
    if (inserted === null) return [rule];
    return rulesOf(ruleSets.get(inserted[1]!) ?? "");
  });
}

/** A value of an instance: a code, concept, reference, canonical, text, number or boolean. */
function valueOf(text: string): unknown {
  const quoted = /^"([^"]*)"$/.exec(text);
  if (quoted !== null) return quoted[1];
  const reference = /^Reference\((\S+)\)$/.exec(text);
  if (reference !== null) return { reference: reference[1] };
  const canonical = /^Canonical\((\w+)\|(\S+)\)$/.exec(text);
  if (canonical !== null)
    return `${SITE}/StructureDefinition/${idOf(canonical[1]!)}|${canonical[2]}`;
  const code = /^(\S*?)#("[^"]+"|\S+)(?: "[^"]*")?$/.exec(text);
  if (code === null) return text === "true" || text === "false" ? text === "true" : numberOr(text);
  if (code[1] === "") return code[2];
  const coding = { system: systemOf(code[1]!), code: code[2] };
  return { coding: [coding] };
}

const numberOr = (text: string): unknown => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);

const PROFILE_FILES = ["Inpatient", "Outpatient", "Oral", "Pharmacy", "Professional"];
const ids = new Map(
  PROFILE_FILES.flatMap((name) => [...entities(`EOB${name}Profile.fsh`, "Profile")]).map(
    ([name, body]) => [name, /^Id:\s*(\S+)/m.exec(body)![1]!],
  ),
);
const idOf = (name: string): string => ids.get(name) ?? name;

/** An example as JSON. */
export function instanceOf(name: string): Json {
  const body = [...entities(`examples/${name}.fsh`, "Instance").values()][0]!;
  const resource: Json = { resourceType: "ExplanationOfBenefit" };
  /** Positions of slices, and the newest, by the path of the list. */
  const places = new Map<string, number>();
  const newest = new Map<string, number>();
  const sizes = new Map<string, number>();
  const place = (path: string, marks: readonly string[]): number => {
    const slice = marks.find((mark) => !/^([+=]|\d+)$/.test(mark)) ?? "";
    const index = marks.find((mark) => /^([+=]|\d+)$/.test(mark)) ?? "0";
    const list = `${path}[${slice}]`;
    const at =
      index === "+"
        ? (newest.get(list) ?? -1) + 1
        : index === "="
          ? (newest.get(list) ?? 0)
          : Number(index);
    newest.set(list, at);
    const key = `${list}${at}`;
    if (!places.has(key)) {
      places.set(key, sizes.get(path) ?? 0);
      sizes.set(path, (sizes.get(path) ?? 0) + 1);
    }
    return places.get(key)!;
  };
  for (const statement of statements(body)) {
    const [, path = "", value = ""] =
      /^([^=]+?) = (.*)$/.exec(statement.replaceAll("[=]", "[@]")) ?? [];
    if (path === "") continue;
    assign(resource, path.replaceAll("[@]", "[=]"), valueOf(value.replaceAll("[@]", "[=]")), place);
  }
  fillFixed(resource, body);
  return resource;
}

/** Slices have the codes that their profile fixes, where an example leaves them out. */
function fillFixed(resource: Json, body: string): void {
  const name = /^InstanceOf:\s*(\S+)/m.exec(body)![1]!;
  const file = PROFILE_FILES.map((one) => `EOB${one}Profile.fsh`).find((one) =>
    entities(one, "Profile").has(name),
  )!;
  for (const rule of [...entities(file, "Profile").values()].flatMap(rulesOf)) {
    const fixed = /^adjudication\[(\S+)\]\.category = (\S+)$/.exec(rule);
    for (const one of (resource["adjudication"] ?? []) as Json[]) {
      if (fixed !== null && sliceOf.get(one) === fixed[1]) {
        one["category"] ??= valueOf(fixed[2]!);
      }
    }
  }
}

const sliceOf = new WeakMap<object, string>();

const LISTS = new Set(
  "identifier profile careTeam supportingInfo diagnosis procedure insurance item adjudication total related modifier processNote".split(
    " ",
  ),
);

function assign(
  root: Json,
  path: string,
  value: unknown,
  place: (path: string, marks: readonly string[]) => number,
): void {
  let at: Json = root;
  let walked = "";
  const steps = path.split(".");
  for (const [i, step] of steps.entries()) {
    const name = step.replace(/\[.*$/, "");
    const marks = [...step.matchAll(/\[([^\]]+)\]/g)].map(([, mark]) => mark!);
    walked += `.${name}`;
    const isLast = i === steps.length - 1;
    // `diagnosis.type` is a list of one; `insurance.coverage` is none, though the examples write [0].
    const isList = LISTS.has(name) || walked === ".diagnosis.type";
    if (!isList) {
      if (isLast) at[name] = merged(at[name], value);
      else at = (at[name] ??= {}) as Json;
      continue;
    }
    const list = (at[name] ??= []) as unknown[];
    const index = place(walkedOf(root, walked, at), marks);
    if (isLast) list[index] = merged(list[index], value);
    else at = (list[index] ??= {}) as Json;
    const slice = marks.find((mark) => !/^([+=]|\d+)$/.test(mark));
    if (slice !== undefined && !isLast) sliceOf.set(at, slice);
  }
}

/** Lists inside items are apart: their place is known by the object they are in. */
const objects = new WeakMap<object, number>();
let count = 0;
function walkedOf(_root: Json, path: string, at: object): string {
  if (!objects.has(at)) objects.set(at, count++);
  return `${path}@${objects.get(at)}`;
}

const merged = (before: unknown, value: unknown): unknown =>
  typeof before === "object" && typeof value === "object" ? { ...before, ...value } : value;
