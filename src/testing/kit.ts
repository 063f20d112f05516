/** A case of a conformance kit, for any test runner or none. */
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
export interface KitCase<Make, Feature extends string> {
  readonly name: string;
  /** Features that the subject must offer for the case to apply. */
  readonly requires?: readonly Feature[];
  /**
   * Resolves when the subject keeps the rule; rejects with the violation.
   *
   * @param kitRun - the run that {@link runKit} is making; a test runner that does not know it
   *   omits it
   */
  run(make: Make, kitRun?: KitRun<Feature>): Promise<void>;
}

/** The scope of a run of a kit. */
export interface KitRun<Feature extends string> {
  /** Features that the subject offers. */
  readonly features: readonly Feature[];
  /** Features that the cases of the run require, all together. */
  readonly required: readonly Feature[];
}

/** The result of a case. */
export type KitResult =
  | { readonly name: string; readonly outcome: "passed" }
  /** With the features that the case requires and the subject does not offer. */
  | { readonly name: string; readonly outcome: "skipped"; readonly lacks: readonly string[] }
  | { readonly name: string; readonly outcome: "failed"; readonly error: unknown };

export interface KitOptions<Feature extends string> {
  /** Features that the subject offers; cases that require more are skipped. */
  readonly features: readonly Feature[];
  /** Milliseconds after which an unfinished case has failed; default 30000. */
  readonly timeout?: number;
}

const RUN_KIT_OPTIONS: OptionsOf<KitOptions<string>> = { features: true, timeout: true };

/**
 * Runs all cases one after another, without a test runner. The results include skipped cases, with
 * the features that they lacked: show them.
 * @example
 * const results = await runKit(storageCases, make, { features: ["chains", "blobs", "state"] });
 * for (const result of results) console.log(result.outcome, result.name);
 */
export async function runKit<Make, Feature extends string>(
  cases: readonly KitCase<Make, Feature>[],
  make: Make,
  options: KitOptions<Feature>,
): Promise<KitResult[]> {
  assertOptions(options, RUN_KIT_OPTIONS, "runKit");
  const { features, timeout = 30_000 } = options;
  const results: KitResult[] = [];
  const required = [...new Set(cases.flatMap(({ requires = [] }) => requires))];
  for (const { name, requires = [], run } of cases) {
    const lacks = requires.filter((feature) => !features.includes(feature));
    if (lacks.length > 0) {
      results.push({ name, outcome: "skipped", lacks });
      continue;
    }
    try {
      await within(run(make, { features, required }), "the case", timeout);
      results.push({ name, outcome: "passed" });
    } catch (error) {
      results.push({ name, outcome: "failed", error });
    }
  }
  return results;
}

/** The error of a case whose subject breaks the rule. */
export class KitFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = "KitFailure";
  }
}

/** Fails the case unless the condition holds. */
export function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new KitFailure(message);
}

/** Fails the case unless two values are deeply equal. */
export function checkSame(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [describe(actual), describe(expected)];
  if (a === b) return;
  // The common beginning of long values is not informative.
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const from = Math.max(a.length, b.length) > BRIEF && same > 40 ? same - 40 : 0;
  const shown = (text: string): string => (from > 0 ? "…" : "") + brief(text.slice(from));
  throw new KitFailure(`${what}: expected ${shown(b)}, got ${shown(a)}`);
}

/** Fails the case unless the call rejects; returns the rejection. */
export async function rejection(call: Promise<unknown>, what: string): Promise<unknown> {
  let value: unknown;
  try {
    value = await call;
  } catch (error) {
    return error;
  }
  throw new KitFailure(`${what}: expected an error, got ${brief(describe(value))}`);
}

/** Fails the case unless the call rejects with an error of this code. */
export async function checkCode(call: Promise<unknown>, code: string, what: string): Promise<void> {
  const error = await rejection(call, what);
  checkSame((error as { code?: unknown } | undefined)?.code, code, `${what}: code of the error`);
}

/** The outcome of a call. */
export interface Outcome {
  readonly failed: boolean;
  readonly value?: unknown;
  readonly error?: unknown;
  readonly code?: unknown;
  /** The outcome as text, for messages. */
  readonly text: string;
}

/**
 * Makes a call and waits for its end; fails the case if the call throws instead of rejecting, or
 * has not ended after ten seconds.
 */
export async function outcomeOf(call: () => Promise<unknown>, what: string): Promise<Outcome> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    throw new KitFailure(`${what}: threw instead of rejecting: ${String(error)}`);
  }
  const settled = promise.then(
    (value): Outcome => ({ failed: false, value, text: `resolved to ${brief(describe(value))}` }),
    (error: unknown): Outcome => {
      const { code } = Object(error) as { code?: unknown };
      return { failed: true, error, code, text: brief(`rejected with ${String(error)}`) };
    },
  );
  return within(settled, what);
}

/** Waits for a quick call; fails the case if it has not ended after `ms`. */
export async function within<T>(promise: Promise<T>, what: string, ms = 10_000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new KitFailure(`${what}: has not ended after ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for some milliseconds. */
export const pause = (ms = 0): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Reads an async iterable to its end. */
export async function collect<T>(source: AsyncIterable<T>, limit: number = Infinity): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) {
    items.push(item);
    if (items.length >= limit) break;
  }
  return items;
}

const BRIEF = 200;

function describe(value: unknown): string {
  return String(
    JSON.stringify(value, (_, part: unknown) => {
      if (part instanceof Uint8Array) return `bytes ${[...part].map(hex).join("")}`;
      if (part === undefined) return "undefined";
      return typeof part === "bigint" ? `${part}n` : part;
    }),
  );
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

function brief(text: string): string {
  return text.length > BRIEF ? `${text.slice(0, BRIEF)}…` : text;
}
