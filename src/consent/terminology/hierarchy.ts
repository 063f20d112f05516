/** Concepts by code: the display, then the parents. */
export type Hierarchy = Readonly<Record<string, readonly [display: string, ...parents: string[]]>>;
