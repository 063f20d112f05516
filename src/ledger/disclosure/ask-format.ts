import type { CID } from "multiformats/cid";
import type { PolicyPosition } from "../../chain/follow-steps.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectBytes,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
  type Fields,
} from "../../codec/shape.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { padMessage, unpadMessage, type Padding } from "../../envelope/padding.ts";
import { EncodingError, LedgerError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { MAX_ASK_BYTES } from "../../transport/types.ts";

/** What an asker sends to a custodian, sealed. */
export interface Ask {
  readonly kind: AskKind;
  /** The signed request or message. */
  readonly signed: Uint8Array;
  /** The newest checkpoint that the asker has accepted, a signed note. */
  readonly checkpoint?: Uint8Array;
  /** Where the receipts of the answer must lead from. */
  readonly from: PolicyPosition;
}

/** Whom an ask is for. */
export interface AskAddress {
  readonly ledger: CID;
  /** did:key of the custodian. */
  readonly custodian: string;
}

/** Longest checkpoint that goes along: a longer one is left out. */
export const MAX_ASK_NOTE: number = 64 * 1024;

/** A request for records, or a message of another kind. */
export type AskKind = "request" | "message";

const KINDS: readonly AskKind[] = ["request", "message"];

const askAad = ({ ledger, custodian }: AskAddress): Uint8Array =>
  encode(["healthledger/ask/1", ledger, custodian]);

/**
 * Seals an ask to the custodian's agreement key, padded.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when that is not a usable public key
 */
export function sealAsk(
  ask: Ask,
  address: AskAddress,
  to: CoseRecipient,
  {
    padding,
    random,
  }: { readonly padding: Padding; readonly random: (length: number) => Uint8Array },
): Uint8Array {
  const { kind, signed, checkpoint, from } = ask;
  const bytes = encode({
    ...{ v: 1, kind, [kind]: signed, from },
    ...(checkpoint === undefined || checkpoint.length > MAX_ASK_NOTE ? {} : { checkpoint }),
  });
  return sealCoseFresh(to, padMessage(bytes, padding), askAad(address), random);
}

/**
 * Opens an ask with whichever of the custodian's agreement keys it was sealed to.
 *
 * @returns `undefined` for anything that is no ask for this custodian and ledger
 */
export async function openAsk(
  sealed: Uint8Array,
  address: AskAddress,
  agreements: readonly KeyAgreement[],
): Promise<Ask | undefined> {
  if (sealed.length > MAX_ASK_BYTES) return undefined;
  const aad = askAad(address);
  for (const agreement of agreements) {
    try {
      return decodeAsk(unpadMessage(await agreement.unwrap(sealed, aad)));
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
      if (error instanceof EncodingError) return undefined;
    }
  }
  return undefined;
}

function decodeAsk(bytes: Uint8Array): Ask {
  const given = decode(bytes, { maxBytes: MAX_ASK_BYTES, maxDepth: 2, maxItems: 16 });
  const kind = expectOneOf((given as Fields | null)?.["kind"], "ask.kind", KINDS);
  const map = expectMap(given, "ask", ["v", "kind", kind, "from"], ["checkpoint"]);
  expectVersion(map["v"], "ask");
  const from = expectMap(map["from"], "ask.from", [], ["policyHeight", "size"]);
  const position = (name: "policyHeight" | "size") =>
    from[name] === undefined ? {} : { [name]: expectUint(from[name], `ask.from.${name}`) };
  const note = map["checkpoint"];
  const checkpoint = note === undefined ? undefined : expectBytes(note, "ask.checkpoint");
  if (checkpoint !== undefined && checkpoint.length > MAX_ASK_NOTE) {
    throw new EncodingError("ERR_ENCODING_LIMIT", `a checkpoint is at most ${MAX_ASK_NOTE} bytes`);
  }
  return {
    kind,
    signed: expectBytes(map[kind], `ask.${kind}`),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    from: { ...position("policyHeight"), ...position("size") },
  };
}
