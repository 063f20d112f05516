import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { assertRecipients, type BulkOptions, serveEach } from "./bulk.ts";
import { grantSealer, type MakeGrantOptions } from "./grant.ts";

/** Options of {@link makeGrants}. */
export interface MakeGrantsOptions extends Omit<MakeGrantOptions, "recipient"> {
  /** At most 1,000, of any algorithms. */
  readonly recipients: readonly CoseRecipient[];
}

/** Options of {@link grantMany}. */
export interface GrantManyOptions<Recipient extends CoseRecipient = CoseRecipient>
  extends Omit<MakeGrantOptions, "recipient">, BulkOptions<Recipient> {}

/**
 * Wraps an envelope's keys for several recipients at once.
 *
 * @returns one grant per recipient, in the recipients' order
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` beyond 1,000 recipients: use {@link grantMany}
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when a recipient's key is not usable; then no grant
 *   is returned for anyone
 * @example
 * const grants = await makeGrants({ envelope, keys, recipients, basis, signer, random });
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

const GRANT_MANY_OPTIONS: OptionsOf<GrantManyOptions> = {
  ...{ envelope: true, keys: true, basis: true, signer: true, random: true },
  ...{ recipients: true, onProgress: true, signal: true },
};

/**
 * Wraps an envelope's keys for any number of recipients, holding one grant in memory at a time.
 * Timers and signals get their turn between grants. For an audience that stays the same across
 * envelopes, a collection key costs a fraction of this.
 *
 * @param options.keys - borrowed until the iteration ends
 * @returns each recipient with its grant, in the recipients' order
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` on reaching a recipient whose key is not usable
 * @example
 * const options = { envelope, keys, recipients, basis, signer, random };
 * for await (const { recipient, grant } of grantMany(options)) await send(recipient, grant);
 */
export async function* grantMany<Recipient extends CoseRecipient>(
  options: GrantManyOptions<Recipient>,
): AsyncGenerator<{ readonly recipient: Recipient; readonly grant: Uint8Array }, void, undefined> {
  assertOptions(options, GRANT_MANY_OPTIONS, "grantMany");
  const sealer = grantSealer(options);
  try {
    for await (const { recipient, bytes } of serveEach(options, sealer.seal)) {
      yield { recipient, grant: bytes };
    }
  } finally {
    sealer.wipe();
  }
}
