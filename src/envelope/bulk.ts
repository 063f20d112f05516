import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { InputError } from "../errors.ts";
import { giveTurn } from "../loop/give-turn.ts";

/** Most recipients of one call that returns its results at once. */
export const MAX_RECIPIENTS = 1000;

/** Options of work on many recipients. */
export interface BulkOptions<Recipient extends CoseRecipient = CoseRecipient> {
  /** Any number of recipients; read one at a time. */
  readonly recipients: Iterable<Recipient> | AsyncIterable<Recipient>;
  /** Called after each recipient; `total` is present if `recipients` is an array. */
  readonly onProgress?: (progress: { readonly done: number; readonly total?: number }) => void;
  readonly signal?: AbortSignal;
}

/**
 * Refuses more recipients than one call may serve.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE`
 */
export function assertRecipients(recipients: readonly CoseRecipient[]): void {
  if (recipients.length > MAX_RECIPIENTS) {
    throw new InputError(
      "ERR_INPUT_TOO_LARGE",
      `at most ${MAX_RECIPIENTS} recipients per call, got ${recipients.length}`,
    );
  }
}

/** Serves recipients one by one, in order, as fast as the caller takes the results. */
export async function* serveEach<Recipient extends CoseRecipient>(
  options: BulkOptions<Recipient>,
  serve: (recipient: Recipient) => Promise<Uint8Array>,
): AsyncGenerator<{ readonly recipient: Recipient; readonly bytes: Uint8Array }, void, undefined> {
  const { recipients, onProgress, signal } = options;
  const total = Array.isArray(recipients) ? { total: recipients.length } : {};
  let done = 0;
  signal?.throwIfAborted();
  for await (const recipient of recipients) {
    const bytes = await serve(recipient);
    done++;
    onProgress?.({ done, ...total });
    yield { recipient, bytes };
    await giveTurn();
    signal?.throwIfAborted();
  }
}
