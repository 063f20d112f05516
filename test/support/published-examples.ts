/** A resource, as far as tests read it. */
export interface Example {
  readonly resourceType: string;
  readonly id: string;
  readonly contained?: readonly { readonly id: string; readonly identifier?: unknown }[];
  readonly [element: string]: unknown;
}

interface Reference {
  readonly reference?: string;
  readonly identifier?: { readonly system?: string; readonly value?: string };
}

/** What is at a path, through all members of lists. */
export function at(value: unknown, path: readonly string[]): readonly Reference[] {
  if (Array.isArray(value)) return value.flatMap((one: unknown) => at(one, path));
  if (typeof value !== "object" || value === null) return [];
  const [name, ...rest] = path;
  return name === undefined ? [value] : at((value as Record<string, unknown>)[name], rest);
}

/** The names of all that stands in references, wherever they are. */
export const referencesIn = (text: string): ReadonlySet<string> =>
  new Set(Array.from(text.matchAll(/"reference"\s*:\s*"([^"]+)"/g), ([, name]) => name!));

/** JSON on one line. A line break is never within a string of JSON: nothing else is changed. */
export const onOneLine = (text: string): string => text.trim().replace(/[\r\n]+/g, " ");
