import { verifySignatureAside } from "../crypto/sign.ts";
import { isSignedHere } from "../block/transaction.ts";
import { isSignedBy, signatureOf, type PreparedTransaction } from "./prepare.ts";
import type { KeyState } from "./state.ts";

/**
 * Whether the signatures of transactions are valid. A key id determines its key, so that a verdict
 * stays right whatever the state becomes; whether the key is in force is another question.
 */
export interface Verdicts {
  /** @returns `undefined` if the signature was not checked */
  get(transaction: PreparedTransaction): boolean | undefined;
}

/** Checks signatures before the rules ask for them. */
export interface SignatureChecks extends Verdicts {
  /**
   * Checks a transaction's signature at once, or begins to.
   *
   * @param key - the key of the transaction's key id
   * @param aside - whether to check it beside the main thread; a lone check is faster at once
   */
  check(transaction: PreparedTransaction, key: KeyState, aside: boolean): void;
  /** Resolves when what was begun about these transactions is done. */
  done(transactions: Iterable<PreparedTransaction>): Promise<void>;
}

/** Starts without a verdict on any signature. */
export function signatureChecks(): SignatureChecks {
  const verdicts = new WeakMap<PreparedTransaction, boolean>();
  const underWay = new Map<PreparedTransaction, Promise<void>>();
  return {
    get: (transaction) => verdicts.get(transaction),
    check(transaction, key, aside) {
      const { signed } = transaction;
      if (key.alg !== signed.alg) return;
      if (isSignedHere(signed, key.publicKey)) {
        verdicts.set(transaction, true);
      } else if (!aside) {
        verdicts.set(transaction, isSignedBy(transaction, key));
      } else {
        // Without a verdict the rules check the signature themselves.
        const checking = verifySignatureAside(signatureOf(signed, key))
          .then((valid) => void verdicts.set(transaction, valid))
          .catch(() => undefined)
          .finally(() => underWay.delete(transaction));
        underWay.set(transaction, checking);
      }
    },
    async done(transactions) {
      for (const transaction of transactions) await underWay.get(transaction);
    },
  };
}
