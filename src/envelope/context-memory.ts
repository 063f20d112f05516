import type { EnvelopeHeader } from "./header-form.ts";

/** The fields of a header that the envelopes of one author and one kind of entry share. */
export type SharedFields = Pick<EnvelopeHeader, "suite" | "context">;

/** A memory of one value for each of the shared fields that were set last. */
export interface ContextMemory<Value> {
  get(shared: SharedFields): Value | undefined;
  set(shared: SharedFields, value: Value): void;
}

/** A member seals entries of five kinds on each of its ledgers. */
const MOST_KEPT = 32;

/** Makes an empty memory. It compares ledgers by the identity of their CID, which costs nothing. */
export function contextMemory<Value>(): ContextMemory<Value> {
  const kept: { readonly shared: SharedFields; readonly value: Value }[] = [];
  return {
    get({ suite, context: { ledger, author, kind } }) {
      for (const { shared, value } of kept) {
        const { context } = shared;
        if (
          context.ledger === ledger &&
          context.author === author &&
          context.kind === kind &&
          shared.suite === suite
        ) {
          return value;
        }
      }
      return undefined;
    },
    set({ suite, context: { ledger, author, kind } }, value) {
      if (kept.length === MOST_KEPT) kept.shift();
      kept.push({ shared: { suite, context: { ledger, author, kind } }, value });
    },
  };
}
