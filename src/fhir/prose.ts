import { isObject } from "./resource.ts";

/** How the name of an element bears on prose. */
export type Naming =
  /** It holds prose or attachments. */
  | "prose"
  /** It may be a narrative. */
  | "text"
  /** Prose in it does not count: extensions, whose names say what they are, and `meta`. */
  | "aside";

const named = (naming: Naming, names: string): readonly (readonly [string, Naming])[] =>
  names.split(/\s+/).map((name) => [name, naming]);

/** Names of elements that bear on prose. */
export const NAMINGS: ReadonlyMap<string, Naming> = /* @__PURE__ */ new Map([
  ...named(
    "prose",
    `note comment comments conclusion description valueString valueAttachment presentedForm
    attachment payload patientInstruction summary clinicalNotes data`,
  ),
  ...named("text", "text"),
  ...named("aside", "extension modifierExtension meta"),
]);

/** Whether a value is of a coded type: a Quantity or Period of `value[x]` is not. */
export function isCoded(value: unknown): boolean {
  if (!isObject(value)) return false;
  if ("coding" in value || "concept" in value) return true;
  if ("code" in value) return !("value" in value || "unit" in value);
  return "text" in value && !("status" in value);
}

/** Whether a value is prose, in an element whose name bears on it so. */
export function isProse(naming: Naming, value: unknown): boolean {
  if (naming === "prose") return !isCoded(value);
  // a generated narrative repeats the elements; any other may say more
  return isObject(value) && "div" in value && value["status"] !== "generated";
}
