/**
 * How much a long suite does: what its own variable says, else little where
 * `HEALTHLEDGER_EFFORT=short`.
 */
export function effort(name: string, { full, short }: { full: number; short: number }): number {
  const { [name]: own, HEALTHLEDGER_EFFORT: all } = process.env;
  return own === undefined ? (all === "short" ? short : full) : Number(own);
}
