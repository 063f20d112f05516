import type { KnownForks } from "../chain/known-forks.ts";
import { ChainError } from "../errors.ts";
import type { AskingOptions } from "./disclosure/asking.ts";
import type { Governance } from "./governance.ts";
import type { Ledger } from "./ledger.ts";
import { assertCallOptions } from "./call-options.ts";
import { giveResult } from "./give-results.ts";
import { readOnlyError } from "./read-only.ts";
import { takeArgument } from "./take-arguments.ts";

/** A call of a ledger: no call has more arguments. */
type Call = (first: unknown, second: unknown, third: unknown) => unknown;

type Guard = "reads" | "signs" | "writes" | "takes" | "iterates" | "ends";

/**
 * How each call of a ledger is guarded. `signs`: it may sign a checkpoint, or what others count. `writes`: it files entries, or makes
 * known what would have to be filed. `takes`: it writes, and has read its second argument by the time that it
 * returns. All of these are refused while the ledger is forked. The type follows {@link Ledger}: an unlisted
 * call, or an iterator listed as something else, does not compile.
 */
export const LEDGER_CALLS: {
  readonly [
    Name in keyof Ledger as Ledger[Name] extends (...given: never[]) => unknown ? Name : never
  ]: Ledger[Name] extends (...given: never[]) => AsyncIterable<unknown>
    ? "iterates"
    : "reads" | "signs" | "writes" | "takes" | "ends";
} = {
  findSubject: "reads",
  ensureSubject: "writes",
  identify: "writes",
  merge: "writes",
  unmerge: "writes",
  mixed: "iterates",
  proposals: "iterates",
  dismissProposal: "writes",
  alias: "writes",
  acceptAlias: "writes",
  withdrawAlias: "writes",
  record: "takes",
  amend: "takes",
  recordBundle: "takes",
  recordNdjson: "writes",
  find: "reads",
  assign: "writes",
  unassigned: "iterates",
  relabel: "writes",
  relabelStale: "writes",
  retract: "writes",
  reattribute: "writes",
  read: "reads",
  attachments: "reads",
  records: "reads",
  attest: "writes",
  consent: "writes",
  receive: "writes",
  held: "reads",
  trustWitnesses: "writes",
  evidence: "reads",
  directives: "reads",
  decide: "reads",
  ask: "writes",
  pull: "iterates",
  deliver: "writes",
  deliveries: "reads",
  deliverPending: "writes",
  answerAsk: "writes",
  request: "writes",
  exportRecords: "writes",
  disclose: "writes",
  audit: "iterates",
  pendingReviews: "iterates",
  markReviewed: "writes",
  erase: "writes",
  compact: "reads",
  pendingErasures: "reads",
  pendingWork: "reads",
  placeHold: "writes",
  liftHold: "writes",
  checkpoint: "signs",
  fork: "reads",
  takeFork: "reads",
  receipt: "signs",
  verify: "reads",
  verifyBlobs: "reads",
  lost: "reads",
  giveUp: "writes",
  callContract: "writes",
  contractValue: "reads",
  follow: "iterates",
  outbox: "reads",
  dismissRefused: "writes",
  export: "signs",
  close: "ends",
  [Symbol.asyncDispose]: "ends",
};

/** How each call of {@link Ledger.governance} is guarded. */
export const GOVERNANCE_CALLS: {
  readonly [Name in keyof Governance]: "reads" | "signs" | "writes";
} = {
  members: "reads",
  propose: "reads",
  explain: "reads",
  approve: "signs",
  enact: "writes",
  changeKey: "writes",
  signKeyChange: "signs",
  submit: "writes",
  policySteps: "reads",
  takePolicySteps: "writes",
};

/** Calls that wait for other custodians, which may be silent for minutes, and which of their arguments has the signal. */
const ASKS_OTHERS: Readonly<Record<string, number>> = { ask: 2, deliver: 1, deliverPending: 0 };

/** Calls whose results are made for the caller and need no copy: they may be large, or hold streams. */
const MADE_ANEW: ReadonlySet<string> = /* @__PURE__ */ new Set<keyof typeof LEDGER_CALLS & string>([
  "read",
  "records",
  "find",
  "recordNdjson",
  "decide",
  "audit",
  "pendingReviews",
  "pull",
  "mixed",
  "proposals",
  "attachments",
  "evidence",
  "ask",
  "answerAsk",
  "request",
  "exportRecords",
  "disclose",
  "checkpoint",
  "receipt",
  "verify",
  "export",
  "outbox",
]);

/**
 * Every call takes its arguments and gives its results as copies: see {@link takeArgument} and
 * {@link giveResult}. Every call but closing rejects once the ledger is closed. Closing waits for the calls
 * that write, and ends asking others: they may be silent for minutes.
 */
export function untilClosed(
  ledger: Ledger,
  options: {
    readonly isClosed: () => boolean;
    /** Holds the calls that write and have not settled. */
    readonly writing: Set<Promise<unknown>>;
    readonly readOnly: string | undefined;
    readonly forks: Pick<KnownForks, "assertNone">;
  },
): Ledger {
  const { isClosed, writing, readOnly, forks } = options;
  const assertOpen = (): void => {
    if (isClosed()) throw closedError();
  };
  const ending = new AbortController();
  const close = (): Promise<void> => {
    ending.abort(closedError());
    return ledger.close();
  };
  async function* whileOpen(pages: AsyncIterable<unknown>) {
    for await (const page of pages) {
      assertOpen();
      yield page;
    }
  }
  async function* iterate(run: Call, first: unknown, second: unknown) {
    assertOpen();
    yield* run(first, second, undefined) as AsyncIterable<unknown>;
  }
  return {
    ...ledger,
    ...guardCalls(ledger, LEDGER_CALLS, ""),
    governance: guardCalls(ledger.governance, GOVERNANCE_CALLS, "governance."),
    ...{ close, [Symbol.asyncDispose]: close },
  };

  function guardCalls<T extends object>(
    of: T,
    calls: Readonly<Record<string, Guard>>,
    group: string,
  ): T {
    const guarded: Record<string, unknown> = {};
    for (const [method, guard] of Object.entries(calls)) {
      const name = group + method;
      const run = of[method as keyof T] as Call;
      if (guard === "ends") continue;
      if (guard === "iterates") {
        guarded[method] = (first: unknown, second: unknown) => {
          assertCallOptions(name, [first, second]);
          const taken = takeArgument(second);
          const last = name === "pull" ? endedBy(ending.signal, taken) : taken;
          return iterate(run, takeArgument(first), last);
        };
        continue;
      }
      const give = (result: unknown): unknown =>
        name === "answerAsk"
          ? whileOpen(result as AsyncIterable<unknown>)
          : MADE_ANEW.has(name)
            ? result
            : giveResult(result);
      // At once, before anything is waited for.
      const taken = (first: unknown, second: unknown, third: unknown) =>
        [
          takeArgument(first),
          guard === "takes" ? second : takeArgument(second),
          takeArgument(third),
        ] as const;
      guarded[method] = async (first: unknown, second: unknown, third: unknown) => {
        assertOpen();
        assertCallOptions(name, [first, second, third]);
        const args = taken(first, second, third);
        const at = ASKS_OTHERS[name];
        const own = args.map((one, i) => (i === at ? endedBy(ending.signal, one) : one));
        const call = (): unknown => run(own[0], own[1], own[2]);
        if (guard === "reads") return give(await call());
        if (guard === "signs") return give(await forks.assertNone().then(call));
        if (readOnly !== undefined) throw readOnlyError(readOnly);
        // What it takes must be read before this returns; its entries are refused when they are filed.
        const work = guard === "takes" ? Promise.resolve(call()) : forks.assertNone().then(call);
        writing.add(work);
        return work.finally(() => writing.delete(work)).then(give);
      };
    }
    return { ...of, ...guarded };
  }
}

const closedError = (): ChainError => new ChainError("ERR_CHAIN_CLOSED", "the ledger is closed");

/** Options whose signal aborts when another one does, too. */
function endedBy(ending: AbortSignal, options: unknown): AskingOptions {
  const given = options as AskingOptions | undefined;
  return { ...given, signal: AbortSignal.any([ending, ...(given?.signal ? [given.signal] : [])]) };
}
