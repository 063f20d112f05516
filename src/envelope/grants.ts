import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { assertRecipients, type BulkOptions, serveEach } from "./bulk.ts";
import { grantSealer, type MakeGrantOptions } from "./grant.ts";

/** What {@link makeGrants} wraps, and for whom. */
export interface MakeGrantsOptions extends Omit<MakeGrantOptions, "recipient"> {
  /** At most 1,000, of any algorithms. */
  readonly recipients: readonly CoseRecipient[];
}

/** What {@link grantMany} wraps, and for whom. */
export interface GrantManyOptions<Recipient extends CoseRecipient = CoseRecipient>
  extends Omit<MakeGrantOptions, "recipient">, BulkOptions<Recipient> {}

/**
 * Wraps an envelope's keys for several recipients at once.
 *
 * @returns one grant for each recipient, in their order
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` beyond 1,000 recipients: use {@link grantMany}
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when a recipient's key is no usable key; there is
 *   then no grant for anyone
 */
export async function makeGrants(options: MakeGrantsOptions): Promise<readonly Uint8Array[]> {
  assertRecipients(options.recipients);
  const sealer = grantSealer(options);
  try {
    const grants: Uint8Array[] = [];
    for (const recipient of options.recipients) grants.push(await sealer.seal(recipient));
    return grants;
  } finally {
    sealer.wipe();
  }
}

/**
 * Wraps an envelope's keys for any number of recipients, holding one grant at a time. Timers and
 * signals get their turn in between. For audiences that stay the same from envelope to envelope, a
 * collection key costs a fraction of this.
 *
 * @param options.keys - borrowed until the iteration ends
 * @returns each recipient with its grant, in their order
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` on reaching a recipient whose key is no usable key
 */
export async function* grantMany<Recipient extends CoseRecipient>(
  options: GrantManyOptions<Recipient>,
): AsyncGenerator<{ readonly recipient: Recipient; readonly grant: Uint8Array }, void, undefined> {
  const sealer = grantSealer(options);
  try {
    for await (const { recipient, bytes } of serveEach(options, sealer.seal)) {
      yield { recipient, grant: bytes };
    }
  } finally {
    sealer.wipe();
  }
}
