import type { Day } from "./model.ts";

/** Days from the first of January 1970 to a day; `undefined` if the text names none. */
export function dayNumber(day: string): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day);
  if (match === null) return undefined;
  const [year, month, date] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (year < 1 || month < 1 || month > 12 || date < 1 || date > daysIn(year, month))
    return undefined;
  // Years that begin in March, so that a leap day is the last.
  const y = month <= 2 ? year - 1 : year;
  const leaps = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  const inYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + date - 1;
  return y * 365 + leaps + inYear - 719_468;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Days from one day to another; both must be valid. */
export const daysBetween = (from: Day, to: Day): number => dayNumber(to)! - dayNumber(from)!;

/** Whether a plan year can begin on `MM-DD`: every year must have it. */
export const isYearStart = (text: string): boolean => dayNumber(`2001-${text}`) !== undefined;

/** The first day of the plan year that a day belongs to. */
export function yearOf(day: Day, yearStarts: string): Day {
  const year = Number(day.slice(0, 4)) - (day.slice(5) < yearStarts ? 1 : 0);
  return `${String(year).padStart(4, "0")}-${yearStarts}`;
}
