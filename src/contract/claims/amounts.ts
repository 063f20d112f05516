import type { BasisPoints, Minor } from "./model.ts";

export const WHOLE: BasisPoints = 10_000;

/** Largest amount; with it every product of an amount and basis points is a safe integer. */
export const MAX_AMOUNT: Minor = 900_000_000_000;

/** Largest number of units of a line; as above. */
export const MAX_UNITS = 9_999;

/** `amount · part / whole`, half up. Exact: a division of floating point numbers could round up twice. */
export function portion(amount: Minor, part: number, whole: number): Minor {
  const product = amount * part;
  const rest = product % whole;
  return (product - rest) / whole + (rest * 2 >= whole ? 1 : 0);
}

/** A share of an amount, half up. */
export const shareOf = (amount: Minor, share: BasisPoints): Minor => portion(amount, share, WHOLE);

const NO_MINOR = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND";

/** Decimal places of a currency. @see ISO 4217 */
export function minorDigits(currency: string): number {
  if (NO_MINOR.includes(currency)) return 0;
  if (THREE_DIGITS.includes(currency)) return 3;
  return currency === "CLF" || currency === "UYW" ? 4 : 2;
}

/** An amount as a decimal number, such as `-12.50`. */
export function formatMinor(amount: Minor, currency: string): string {
  const digits = minorDigits(currency);
  const text = String(Math.abs(amount)).padStart(digits + 1, "0");
  const sign = amount < 0 ? "-" : "";
  if (digits === 0) return sign + text;
  return `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}
