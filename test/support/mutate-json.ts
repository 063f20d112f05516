import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FhirResource } from "../../src/fhir/resource.ts";
import { vectorsPath } from "./vectors.ts";

/** A number below another, repeatable by its seed. */
export type Draw = (below: number) => number;

/** Draws numbers; xorshift. */
export function drawFrom(seed: number): Draw {
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/**
 * Changes a copy of a JSON value in some places: a value becomes another one of the resource or of
 * a list, an element is renamed, dropped, repeated, nested in a list or put elsewhere.
 */
export function mutateJson<T>(value: T, draw: Draw, values: readonly unknown[]): T {
  const copy = structuredClone(value);
  const count = 1 + draw(4);
  for (let i = 0; i < count; i++) {
    const places = placesIn(copy);
    const { holder, key } = places[draw(places.length)]!;
    const elsewhere = places[draw(places.length)]!;
    const other = structuredClone(elsewhere.holder[elsewhere.key]);
    const listed = structuredClone(values[draw(values.length)]);
    const own = holder[key];
    const change = draw(8);
    if (change < 2) holder[key] = listed;
    else if (change === 2) holder[key] = other;
    else if (change === 3) holder[key] = [own];
    else if (change === 4) holder[key] = [own, structuredClone(own), listed];
    else if (change === 5 && typeof listed === "string") put(holder, listed, own);
    else if (change === 6 && key !== "resourceType") {
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    } else put(holder, elsewhere.key, structuredClone(own));
  }
  return copy;
}

/** Adds a member as `JSON.parse` does: by assignment, `__proto__` would set the prototype. */
function put(holder: Record<string, unknown>, key: string, value: unknown): void {
  if (Array.isArray(holder)) holder.push(value);
  else {
    const plain = { configurable: true, enumerable: true, writable: true };
    Object.defineProperty(holder, key, { value, ...plain });
  }
}

interface Place {
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

function placesIn(value: unknown, into: Place[] = []): Place[] {
  if (typeof value !== "object" || value === null || into.length > 5000) return into;
  for (const key of Object.keys(value)) {
    const holder = value as Record<string, unknown>;
    into.push({ holder, key });
    placesIn(holder[key], into);
  }
  return into;
}

/** Resources as FHIR's own examples and synthetic patients have them; few where they are absent. */
export function exampleResources(): readonly FhirResource[] {
  const found: FhirResource[] = [];
  const add = (value: unknown): void => {
    const { resourceType, entry } = value as FhirResource & {
      readonly entry?: readonly { readonly resource?: FhirResource }[];
    };
    if (resourceType !== "Bundle") found.push(value as FhirResource);
    else for (const { resource } of entry ?? []) if (resource !== undefined) add(resource);
  };
  const examples = new URL("../../examples/data/", import.meta.url);
  for (const name of readdirSync(examples).filter((file) => file.endsWith(".json"))) {
    add(JSON.parse(readFileSync(new URL(name, examples), "utf8")));
  }
  for (const folder of ["fhir-r4", "fhir-r5", "synthea"]) {
    const path = vectorsPath(folder);
    if (path === undefined) continue;
    for (const name of readdirSync(path).filter((file) => file.endsWith(".json"))) {
      add(JSON.parse(readFileSync(join(path, name), "utf8")));
    }
  }
  return found;
}
