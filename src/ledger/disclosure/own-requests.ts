import type { Checkpoints } from "../../chain/checkpoints.ts";
import { ConsentError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { ProofOptions, Requester } from "../ledger.ts";
import { openAnswer, type Answer } from "./answer.ts";
import type { DiscloseContext, DisclosureResult } from "./disclose.ts";
import { createRequest, type RequestOptions } from "./request.ts";

/**
 * Makes the call that makes a request to this custodian in a requester's name, and opens the answer.
 */
export function ownRequests(
  context: DiscloseContext,
  {
    checkpoints,
    answerTo,
  }: {
    readonly checkpoints: Checkpoints;
    readonly answerTo: (request: Uint8Array) => Promise<DisclosureResult>;
  },
): (requester: Requester, options: RequestOptions & ProofOptions) => Promise<Answer> {
  const { chain, keys, signer, storage, random, now, terminology } = context;
  return async (requester, { from, ...what }) => {
    const own = keys.agreement();
    // Before anything is decided: an answer without proofs would be an incomplete disclosure.
    const ready = (await chain.refresh()) === 0 ? undefined : await checkpoints.provable(from);
    const bytes = await createRequest({
      ...what,
      ledger: chain.ledger,
      custodian: signer.actor,
      custodianKey: own,
      signer: requester.signer,
      agreement: requester.agreement,
      now: now(),
      random,
      terminology,
    });
    const result = await answerTo(bytes);
    if (!result.ok) {
      throw new ConsentError("ERR_CONSENT_REQUEST", `the request was refused: ${result.reason}`);
    }
    const { answer } = result;
    return afterWriting(async () =>
      openAnswer(answer, {
        chain,
        custodian: signer.actor,
        agreement: requester.agreement,
        read: (cid) => storage.blobs.get(cid),
        checkpoint: async (height) =>
          ready !== undefined && height < ready.size ? ready : checkpoints.provable(from),
        ...(from === undefined ? {} : { from }),
      }),
    );
  };
}
