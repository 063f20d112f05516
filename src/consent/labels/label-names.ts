import { isJsonObject } from "../../bytes/guards.ts";
import { codeSystem } from "../terminology/code-systems.ts";

/** Codes for "not known" or "left out": text beside them is not the name of the code. */
export const NOTHING_SAID: ReadonlySet<string> = new Set([
  "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
  "http://terminology.hl7.org/CodeSystem/data-absent-reason",
]);

/** Whether the codes that say what a resource is include this display. */
export function isCalled(resource: Record<string, unknown>, display: unknown): boolean {
  if (typeof display !== "string") return false;
  const name = foldName(display);
  const concepts = Object.values(resource).filter(isJsonObject);
  const codings = concepts.flatMap(({ coding }) => (Array.isArray(coding) ? coding : []));
  return codings.some(
    (coding: unknown) =>
      isJsonObject(coding) &&
      typeof coding["display"] === "string" &&
      foldName(coding["display"]) === name,
  );
}

/** The name that a coding gives its code; `undefined` if there is none, or the code says nothing. */
export function nameOfCode(coding: Record<string, unknown>): string | undefined {
  const { system, code, display } = coding;
  if (typeof display !== "string" || typeof system !== "string" || typeof code !== "string") {
    return undefined;
  }
  return NOTHING_SAID.has(codeSystem(system)) ? undefined : display;
}

/** Folds differences of case and white space, which do not make another name. */
export const foldName = (text: string): string => text.trim().toLowerCase().replace(/\s+/g, " ");
