import { entities, type Json, rulesOf, systemOf } from "./fsh.ts";

/** One rule of a profile that is checked here, as it is written in FHIR Shorthand. */
export interface ProfileRule {
  readonly text: string;
  /** Every place where the rule is broken. */
  broken(resource: Json): number;
  /** Breaks it in one place; false where the resource has none. */
  breakIt(resource: Json): boolean;
}

const TYPES: Readonly<Record<string, string>> = {
  date: "Date",
  Quantity: "Quantity",
  CodeableConcept: "CodeableConcept",
  boolean: "Boolean",
  string: "String",
  decimal: "",
};

// Value sets, as far as they list codes or whole systems.
const valueSets = new Map([
  ...entities("ValueSets.fsh", "ValueSet"),
  ...entities("CodeSystemStubs.fsh", "ValueSet"),
]);
function includes(set: string): ((system: string, code: string) => boolean) | undefined {
  const body = valueSets.get(set);
  if (body === undefined) return undefined;
  const parts = rulesOf(body).flatMap((rule) => {
    const whole = /^(?:include )?codes from system (\S+)/.exec(rule);
    if (whole !== null) return [(system: string) => system === systemOf(whole[1]!)];
    const other = /^(?:include )?codes from valueset (\S+)/.exec(rule);
    if (other !== null) return [includes(other[1]!) ?? (() => true)];
    const one = /^(?:include )?([^\s#^]+)#(\S+)/.exec(rule);
    if (one === null) return [];
    return [(system: string, code: string) => system === systemOf(one[1]!) && code === one[2]];
  });
  return (system, code) => parts.some((part) => part(system, code));
}

type Concept = { coding?: { system?: string; code?: string }[] };
const codings = (value: unknown): { system?: string; code?: string }[] =>
  typeof value === "string" ? [{ code: value }] : ((value as Concept | undefined)?.coding ?? []);
const has = (value: unknown, is: (system: string, code: string) => boolean): boolean =>
  codings(value).some(({ system = "", code = "" }) => is(system, code));

/** A step of a path: `item`, `value[x]`, `adjudication[slice]`. */
const stepsOf = (path: string): { name: string; slice?: string; isChoice: boolean }[] =>
  path.split(".").map((step) => {
    const [, name = "", mark] = /^([^[]+)(?:\[([^\]]+)\])?$/.exec(step) ?? [];
    return {
      name,
      isChoice: mark === "x",
      ...(mark !== undefined && mark !== "x" && { slice: mark }),
    };
  });

/** The rules of a profile and of its parents, made checkable. */
export function profileRules(file: string): readonly ProfileRule[] {
  const profiles = [...entities(file, "Profile").values()];
  const base = [...entities("EOBBaseProfile.fsh", "Profile").values()];
  const texts = [...base, ...profiles].flatMap(rulesOf).filter((rule) => !rule.includes("^"));
  /** What makes a member of a slice: a fixed code, or a value set, by the path of the slice. */
  const slices = new Map<string, (element: Json) => boolean>();
  for (const text of texts) {
    const fixed = /^(\S+\[\S+\])\.(category|type) = (\S*)#(\S+)$/.exec(text);
    if (fixed !== null) {
      const [, path, key, system, code] = fixed as unknown as [
        string,
        string,
        string,
        string,
        string,
      ];
      slices.set(path, (one) => has(one[key], (s, c) => s === systemOf(system) && c === code));
    }
    const bound = /^(\S+\[adjudicationamounttype\])\.category from (\S+)/.exec(text);
    const set = bound && includes(bound[2]!);
    if (bound !== null && set) slices.set(bound[1]!, (one) => has(one["category"], set));
  }

  /** The objects at a path, lists and slices resolved. */
  const at = (resource: Json, path: string): Json[] => {
    let found: Json[] = [resource];
    let walked = "";
    for (const { name, slice } of path === "" ? [] : stepsOf(path)) {
      walked += `${walked === "" ? "" : "."}${name}`;
      const is = slice === undefined ? () => true : slices.get(`${walked}[${slice}]`);
      if (is === undefined) return [];
      found = found.flatMap((one) => [one[name] ?? []].flat() as Json[]).filter(is);
    }
    return found;
  };
  const split = (path: string): [parent: string, last: ReturnType<typeof stepsOf>[number]] => {
    const dot = path.lastIndexOf(".");
    return [dot < 0 ? "" : path.slice(0, dot), stepsOf(path.slice(dot + 1))[0]!];
  };
  const keysOf = (one: Json, { name, isChoice }: { name: string; isChoice: boolean }): string[] =>
    Object.keys(one).filter((key) =>
      isChoice ? key.startsWith(name) && key !== name : key === name,
    );

  const cardinality = (text: string, path: string, least: number, most: number): ProfileRule => {
    const [parent, last] = split(path);
    const is = last.slice === undefined ? undefined : slices.get(path);
    const members = (one: Json): unknown[] =>
      keysOf(one, last)
        .flatMap((key) => one[key])
        .filter((member) => is === undefined || is(member as Json));
    return {
      text,
      broken: (resource) =>
        at(resource, parent).filter(
          (one) => members(one).length < least || members(one).length > most,
        ).length,
      breakIt(resource) {
        const one = at(resource, parent).find((it) => members(it).length > 0);
        if (one === undefined) return false;
        const [key] = keysOf(one, last) as [string];
        if (least > 0) {
          const left = [one[key]]
            .flat()
            .filter((member) => is !== undefined && !is(member as Json));
          if (left.length > 0) one[key] = left;
          else delete one[key];
          return true;
        }
        if (most === Infinity || !Array.isArray(one[key])) return false;
        const list = one[key] as unknown[];
        list.push(...Array.from({ length: most + 1 }, () => structuredClone(members(one)[0])));
        return true;
      },
    };
  };
  const coded = (
    text: string,
    path: string,
    is: (system: string, code: string) => boolean,
  ): ProfileRule => {
    const [parent, last] = split(path);
    const values = (one: Json): [string, unknown][] =>
      keysOf(one, last.isChoice ? last : { ...last, isChoice: false }).flatMap((key) =>
        [one[key]].flat().map((value): [string, unknown] => [key, value]),
      );
    return {
      text,
      broken: (resource) =>
        at(resource, parent).flatMap((one) => values(one).filter(([, value]) => !has(value, is)))
          .length,
      breakIt(resource) {
        const one = at(resource, parent).find((it) => values(it).length > 0);
        if (one === undefined) return false;
        const [key] = values(one)[0]!;
        const wrong = { coding: [{ system: "urn:other", code: "zzz" }] };
        const before = one[key];
        one[key] = typeof before === "string" ? "zzz" : Array.isArray(before) ? [wrong] : wrong;
        return true;
      },
    };
  };
  const typed = (text: string, path: string, suffix: string): ProfileRule => {
    const [parent, last] = split(path);
    const wrong = (one: Json): string[] =>
      keysOf(one, last).filter((key) => key !== last.name + suffix);
    return {
      text,
      broken: (resource) => at(resource, parent).flatMap(wrong).length,
      breakIt(resource) {
        const right = last.name + suffix;
        const one = at(resource, parent).find((it) => Object.hasOwn(it, right));
        if (one === undefined) return false;
        one[`${last.name}Other`] = one[right];
        delete one[right];
        return true;
      },
    };
  };

  const rules: ProfileRule[] = [];
  for (const text of texts) {
    const cards = /^(\S+) (\d+)\.\.(\d+|\*)?(?: .*)?$/.exec(text);
    const most = (mark: string | undefined): number =>
      mark === undefined || mark === "*" ? Infinity : Number(mark);
    if (cards !== null) {
      // `0..*` says nothing.
      const [, path, least, max] = cards;
      if (Number(least) > 0 || most(max) < Infinity) {
        rules.push(cardinality(text, path!, Number(least), most(max)));
      }
      continue;
    }
    const contains = /^(\S+) contains (.*)$/.exec(text);
    if (contains !== null) {
      for (const part of contains[2]!.split(/\s+and\s+/)) {
        const [, name, least, max] = /^(\S+) (\d+)\.\.(\d+|\*)?/.exec(part)!;
        if (!slices.has(`${contains[1]}[${name}]`)) continue;
        if (Number(least) === 0 && most(max) === Infinity) continue;
        const rule = `${contains[1]} contains ${part}`;
        rules.push(cardinality(rule, `${contains[1]}[${name}]`, Number(least), most(max)));
      }
      continue;
    }
    const fixed = /^(\S+) = (\S*)#(\S+)$/.exec(text);
    if (fixed !== null) {
      const [, path, system, code] = fixed as unknown as [string, string, string, string];
      // A discriminator makes the slice, and cannot be wrong in it.
      if (slices.has(path.replace(/\.(category|type)$/, ""))) continue;
      const wanted = system === "" ? "" : systemOf(system);
      rules.push(coded(text, path, (s, c) => s === wanted && c === code));
      continue;
    }
    const bound = /^(\S+) from (\S+)(?: \((\w+)\))?$/.exec(text);
    if (bound !== null) {
      const set = includes(bound[2]!);
      const isSlice = slices.has(bound[1]!.replace(/\.category$/, ""));
      if (set !== undefined && bound[3] !== "extensible" && !isSlice)
        rules.push(coded(text, bound[1]!, set));
      continue;
    }
    const only = /^(\S+\[x\]) only (\w+)$/.exec(text);
    if (only !== null && Object.hasOwn(TYPES, only[2]!)) {
      rules.push(typed(text, only[1]!, TYPES[only[2]!]!));
    }
  }
  return [...rules, ...invariants(texts, at, slices)];
}

/** Invariants, written out by hand from their expressions. */
function invariants(
  texts: readonly string[],
  at: (resource: Json, path: string) => Json[],
  slices: ReadonlyMap<string, (element: Json) => boolean>,
): ProfileRule[] {
  const obeyed = new Set(texts.flatMap((text) => /obeys (\S+)/.exec(text)?.[1] ?? []));
  const amountsAt = (resource: Json, path: string): Json[] =>
    slices.has(`${path}[adjudicationamounttype]`)
      ? at(resource, `${path}[adjudicationamounttype]`)
      : [];
  const all: Readonly<Record<string, Omit<ProfileRule, "text">>> = {
    "EOB-institutional-item-or-header-adjudication": {
      broken: (resource) =>
        amountsAt(resource, "adjudication").length > 0 !==
        amountsAt(resource, "item.adjudication").length > 0
          ? 0
          : 1,
      breakIt(resource) {
        const header = (resource["adjudication"] ??= []) as Json[];
        const items = at(resource, "item");
        const amount = [
          ...amountsAt(resource, "adjudication"),
          ...amountsAt(resource, "item.adjudication"),
        ][0]!;
        header.push(amount);
        items[0]!["adjudication"] = [
          ...((items[0]!["adjudication"] as Json[] | undefined) ?? []),
          amount,
        ];
        return true;
      },
    },
    "adjudication-has-amount-type-slice": {
      broken: (resource) =>
        at(resource, "item").filter((item) => {
          const list = (item["adjudication"] ?? []) as Json[];
          return (
            list.length > 0 && !list.some(slices.get("item.adjudication[adjudicationamounttype]")!)
          );
        }).length,
      breakIt(resource) {
        at(resource, "item")[0]!["adjudication"] = [{ category: { coding: [] } }];
        return true;
      },
    },
    "EOB-insurance-focal": {
      broken: (resource) =>
        at(resource, "insurance").filter((one) => one["focal"] === true).length < 2 ? 0 : 1,
      breakIt(resource) {
        resource["insurance"] = [1, 2].map(() => structuredClone(at(resource, "insurance")[0]!));
        return true;
      },
    },
  };
  return Object.entries(all).flatMap(([text, rule]) =>
    obeyed.has(text) ? [{ text, ...rule }] : [],
  );
}
