import { isJsonObject } from "../../bytes/guards.ts";
import type { Coding } from "../model/model.ts";
import { codeSystem } from "../terminology/code-systems.ts";
import { CONFIDENTIALITY } from "../terminology/terminology.ts";

/**
 * Reads security labels: codings, or concepts of codings.
 *
 * @returns whether all of them are codes
 */
export function readLabels(value: unknown, into: Coding[]): boolean {
  let whole = true;
  for (const one of (value === undefined ? [] : [value].flat()) as unknown[]) {
    const { system, code, coding } = isJsonObject(one) ? one : {};
    if (typeof system === "string" && typeof code === "string" && code.trim() !== "") {
      into.push({ system: codeSystem(system), code: code.trim() });
    } else if (!Array.isArray(coding) || coding.length === 0 || !readLabels(coding, into)) {
      whole = false;
    }
  }
  return whole;
}

/**
 * Security labels of a Bundle or Composition that is read only in part: those in its `meta`, and
 * the confidentiality of a document.
 */
export function securityLabelsOf(whole: unknown): readonly Coding[] {
  const labels: Coding[] = [];
  if (!isJsonObject(whole)) return labels;
  const { meta, confidentiality } = whole;
  // Keeps a label without a code as one that nobody understands, so that it gets no stamp.
  if (isJsonObject(meta) && !readLabels(meta["security"], labels))
    labels.push({ system: "", code: "" });
  if (typeof confidentiality === "string") {
    labels.push({ system: CONFIDENTIALITY, code: confidentiality.trim() });
  }
  return labels;
}

/** The part of a resource that {@link securityLabelsOf} reads. */
export function labelledPart(whole: unknown): unknown {
  if (!isJsonObject(whole)) return null;
  const { meta, confidentiality } = whole;
  return {
    ...(isJsonObject(meta) && { meta: { security: meta["security"] } }),
    ...(typeof confidentiality === "string" && { confidentiality }),
  };
}
