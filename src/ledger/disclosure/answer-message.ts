import type { Checkpoints, ProvableCheckpoint } from "../../chain/checkpoints.ts";
import { makeKeyProof } from "../../chain/key-proof.ts";
import type { KnownForks } from "../../chain/known-forks.ts";
import type { Trust } from "../../chain/trust.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import { ConsentError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { AskAddress } from "./ask-format.ts";
import type { MessageToAnswer } from "./check-request.ts";
import { compareCheckpoint } from "./compare-checkpoint.ts";
import type { MessageKind } from "./message.ts";
import { sealMessagePage, type MessageHead } from "./message-pages.ts";

/**
 * Answers the messages of one kind. It gives the contents of the pages, each of at most 4 MiB, as they are taken.
 *
 * What it records is durable once it gives the first. The same message may come again, also at the same time, and must
 * have the same outcome. What it throws before the first refuses the message, with a {@link ConsentError}, or says
 * that it may come again.
 *
 * @param trust - what receipts in the reply must lead from
 */
export type MessageAnswerer = (message: MessageToAnswer, trust: Trust) => AsyncIterable<Uint8Array>;

/** The dependencies of answering messages. */
export interface AnsweringMessages extends LedgerContext {
  readonly checkpoints: Checkpoints;
  readonly forks: KnownForks;
  /** @throws {ChainError} while this custodian does not know enough of the ledger to answer */
  readonly assertReady: () => Promise<void>;
  readonly answerers: Readonly<Partial<Record<MessageKind, MessageAnswerer>>>;
}

/** Who asks, as far as it matters for the proofs. */
export interface Asker {
  readonly address: AskAddress;
  readonly trust: Trust;
  /** The newest checkpoint that it has accepted. */
  readonly checkpoint?: Uint8Array;
}

/** What is refused without being judged. */
export function refused(reason: string): ConsentError {
  return new ConsentError("ERR_CONSENT_REQUEST", `the request was refused: ${reason}`);
}

/** Answers a checked message, in pages that are made as they are taken. */
export async function answerMessage(
  context: AnsweringMessages,
  checked: MessageToAnswer,
  { address, trust, checkpoint }: Asker,
): Promise<AsyncIterable<Uint8Array>> {
  const { chain, checkpoints, signer } = context;
  const answerer = context.answerers[checked.message.kind];
  if (answerer === undefined) throw refused("not-answered");
  await context.assertReady();
  const contents = answerer(checked, trust)[Symbol.asyncIterator]();
  const first = await contents.next();
  const provable = await checkpoints.provable(trust);
  const head: MessageHead = {
    key: await makeKeyProof(chain, signer.key, {
      ...{ checkpoint: provable.note, policyPath: provable.policyPath },
      ...(trust.root === undefined ? {} : { from: trust }),
    }),
    ...(await consistencyFrom(context, checkpoint, provable)),
  };
  return (async function* () {
    try {
      let [next, page] = [first, 0];
      do {
        const content = next.done === true ? new Uint8Array(0) : next.value;
        if (next.done !== true) next = await contents.next();
        const place = { ask: checked.asked, page, last: next.done === true };
        const recipient = await recipientOfPage(context, checked.recipient);
        const fields = { content, ...(page === 0 ? { head } : {}) };
        yield await sealMessagePage({ ...place, ...fields }, address, recipient, context);
        page += 1;
      } while (next.done !== true);
    } finally {
      await contents.return?.();
    }
  })();
}

/**
 * Proves that a checkpoint extends the asker's, if it is larger. The asker's may have been beyond this copy when the ask
 * came, and within it now.
 *
 * @throws {ChainError} `ERR_CHAIN_FORKED` as {@link compareCheckpoint}
 */
export async function consistencyFrom(
  context: Pick<AnsweringMessages, "chain" | "forks">,
  askers: Uint8Array | undefined,
  provable: ProvableCheckpoint,
): Promise<{ readonly consistency?: readonly Uint8Array[] }> {
  const size = (askers && (await compareCheckpoint(context, askers, provable)))?.size ?? 0;
  if (size === 0 || size >= provable.size) return {};
  return { consistency: await context.chain.proveConsistency(size, provable.size) };
}

/**
 * The key that the next page is sealed to.
 *
 * @throws {ConsentError} `ERR_CONSENT_REQUEST` when the asker or its keys are no longer in force
 * @throws {ChainError} `ERR_CHAIN_FORKED` when a fork was found meanwhile
 */
export async function recipientOfPage(
  { chain, forks }: Pick<AnsweringMessages, "chain" | "forks">,
  inForce: () => Promise<CoseRecipient | undefined>,
): Promise<CoseRecipient> {
  await chain.refresh();
  await forks.assertNone();
  const recipient = await inForce();
  if (recipient === undefined) throw refused("unknown-requester");
  return recipient;
}
