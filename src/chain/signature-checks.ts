import type { Block } from "../block/block.ts";
import { isSignedHere } from "../block/transaction.ts";
import { verifySignatureAside, type SignatureClaim } from "../crypto/sign.ts";
import { isSignedBy, signatureOf, type PreparedTransaction } from "./prepare.ts";
import type { KeyState } from "./state.ts";

/**
 * Whether signatures of transactions, and those of proposers over their blocks' headers, are valid.
 * A key id determines its key, so that a verdict stays right whatever the state becomes; whether
 * the key is in force is another question.
 */
export interface Verdicts {
  /** @returns `undefined` if the signature was not checked: the rules then check it themselves */
  get(signed: PreparedTransaction | Block): boolean | undefined;
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
  /** Begins to check the signature over a block's header beside the main thread. */
  checkHeader(block: Block, key: KeyState): void;
  /** Resolves when what was begun about these is done. */
  done(signed: Iterable<PreparedTransaction | Block>): Promise<void>;
}

/** Starts without a verdict on any signature. */
export function signatureChecks(): SignatureChecks {
  const verdicts = new WeakMap<PreparedTransaction | Block, boolean>();
  const underWay = new Map<PreparedTransaction | Block, Promise<void>>();

  function begin(signed: PreparedTransaction | Block, claim: SignatureClaim): void {
    const checking = verifySignatureAside(claim)
      .then((valid) => void verdicts.set(signed, valid))
      .catch(() => undefined)
      .finally(() => underWay.delete(signed));
    underWay.set(signed, checking);
  }

  return {
    get: (signed) => verdicts.get(signed),
    check(transaction, key, aside) {
      const { signed } = transaction;
      if (key.alg !== signed.alg) return;
      if (isSignedHere(signed, key.publicKey)) verdicts.set(transaction, true);
      else if (aside) begin(transaction, signatureOf(signed, key));
      else verdicts.set(transaction, isSignedBy(transaction, key));
    },
    checkHeader(block, key) {
      if (key.alg === block.alg) begin(block, headerSignature(block, key));
    },
    async done(signed) {
      for (const one of signed) await underWay.get(one);
    },
  };
}

/** The signature of a block's proposer, if its algorithm is the key's. */
export function headerSignature(
  { alg, sig, header }: Pick<Block, "alg" | "sig" | "header">,
  { publicKey }: KeyState,
): SignatureClaim {
  return { alg, publicKey, signature: sig, what: "header", bytes: header };
}
