import { fromBase64Url, toBase64Url } from "../bytes/base64.ts";
import { assertBytes } from "../bytes/guards.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError, LedgerError } from "../errors.ts";
import { openCompact, sealCompact } from "./compact-jwe.ts";

/** A JWE in compact form and the key that opens it. */
export interface ExportedJwe {
  readonly jwe: string;
  /** 32 bytes, new for each JWE; the caller hands it over apart from the JWE and wipes it. */
  readonly key: Uint8Array;
}

/** What a JWE held. */
export interface ImportedJwe {
  readonly content: Uint8Array;
  /** `cty` of its header, where it says. */
  readonly contentType?: string;
}

/** What a SMART Health Link leads to. */
export interface HealthLink {
  /** Where the manifest or file is had: `https:`, at most 128 characters, not to be guessed. */
  readonly url: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** When it ends, in seconds since 1970; whole ones where it is written. */
  readonly exp?: number;
  /** Letters `L`, `P` and `U` in that order, never `P` and `U` together. */
  readonly flag?: string;
  /** At most 80 characters; stands beside the key, so nothing clinical belongs there. */
  readonly label?: string;
}

const FLAG = /^L?(?:P|U)?$/;
const MAX_URL = 128;
/** The last second of the year 9999: what is more was counted in milliseconds. */
const MAX_EXP = 253_402_300_799;

/**
 * Writes content as SMART Health Links have it: a compact JWE, `dir` with `A256GCM`, under a key of
 * its own. The JWE is outside every rule of the ledger: whoever holds both reads it for ever. Of
 * records, `Ledger.exportRecords` makes them with an access entry.
 *
 * @param options.random - cryptographically strong
 * @param options.compress - deflates first; lengths then tell about the content
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` where there is neither node:crypto nor WebCrypto
 */
export async function exportJwe(options: {
  readonly content: Uint8Array;
  /** Default `application/fhir+json`. */
  readonly contentType?: string;
  readonly random: (length: number) => Uint8Array;
  readonly compress?: boolean;
}): Promise<ExportedJwe> {
  const { content, contentType = "application/fhir+json", random, compress = false } = options;
  assertBytes(content, "content");
  const key = random(32);
  try {
    return { jwe: await sealCompact(key, random(12), content, { contentType, compress }), key };
  } catch (error) {
    key.fill(0);
    throw error;
  }
}

/**
 * Opens a JWE of a SMART Health Link: `dir` and `A256GCM`, nothing else.
 *
 * @param key - 32 bytes; borrowed
 * @param options.maxBytes - most plaintext, inflated, and most text. Default 16 MiB
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` whenever it does not open, or inflates to more;
 *   `ERR_ENVELOPE_UNSUPPORTED` as {@link exportJwe}
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the text alone is longer than that can be
 */
export async function importJwe(
  jwe: string,
  key: Uint8Array,
  options: { readonly maxBytes?: number } = {},
): Promise<ImportedJwe> {
  const { maxBytes = 16 * 1024 * 1024 } = options;
  assertBytes(key, "key", 32);
  if (jwe.length > maxBytes * 1.5 + 4096) {
    throw new InputError("ERR_INPUT_TOO_LARGE", `more than ${maxBytes} bytes of plaintext`);
  }
  return openCompact(jwe.trim(), key, maxBytes);
}

/**
 * Writes a SMART Health Link: `shlink:/` and base64url of its JSON. It holds the key.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when it would be none
 * @see HL7 SMART Health Cards and Links STU 1, "Construct a SMART Health Links Payload"
 */
export function encodeHealthLink(link: HealthLink): string {
  assertBytes(link.key, "key", 32);
  const { url, exp, flag, label } = link;
  const good =
    isUrl(url, ["https:"]) &&
    url.length <= MAX_URL &&
    (exp === undefined || (isExp(exp) && Number.isInteger(exp))) &&
    (flag === undefined || (flag !== "" && isFlag(flag))) &&
    (label === undefined || isLabel(label));
  if (!good) throw invalidLink();
  const json = {
    url,
    key: toBase64Url(link.key),
    ...(exp === undefined ? {} : { exp }),
    ...(flag === undefined ? {} : { flag }),
    ...(label === undefined ? {} : { label }),
    v: 1,
  };
  return `shlink:/${toBase64Url(utf8ToBytes(JSON.stringify(json)))}`;
}

/**
 * Reads a SMART Health Link, with or without the address of a viewer before it. Members and flags
 * that are not known are left out, as the specification demands.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when it is none
 */
export function decodeHealthLink(text: string): HealthLink {
  const at = text.search(/shlink:\//i);
  if (text.length > 8192 || at < 0) throw invalidLink();
  const payload = text
    .slice(at + 8)
    .trim()
    .replace(/={1,2}$/, "");
  try {
    const json: unknown = JSON.parse(bytesToUtf8(fromBase64Url(payload)));
    const { url, key, exp, flag, label, v = 1 } = json as Record<string, unknown>;
    const bytes = typeof key === "string" ? fromBase64Url(key) : undefined;
    const flags = typeof flag === "string" ? flag.replace(/[^LPU]/g, "") : flag;
    const good =
      isUrl(url, ["https:", "http:"]) &&
      v === 1 &&
      bytes?.length === 32 &&
      (exp === undefined || isExp(exp)) &&
      (flags === undefined || isFlag(flags)) &&
      (label === undefined || isLabel(label));
    if (!good) throw invalidLink();
    return {
      url,
      key: bytes,
      ...(exp === undefined ? {} : { exp }),
      ...(flags === undefined || flags === "" ? {} : { flag: flags }),
      ...(label === undefined ? {} : { label }),
    };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    if (
      cause instanceof LedgerError ||
      cause instanceof SyntaxError ||
      cause instanceof TypeError
    ) {
      throw invalidLink();
    }
    throw cause;
  }
}

const isUrl = (value: unknown, protocols: readonly string[]): value is string =>
  typeof value === "string" && URL.canParse(value) && protocols.includes(new URL(value).protocol);

const isExp = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= MAX_EXP;

const isFlag = (value: unknown): value is string => typeof value === "string" && FLAG.test(value);

const isLabel = (value: unknown): value is string =>
  typeof value === "string" && [...value].length <= 80;

const invalidLink = (): InputError =>
  new InputError("ERR_INPUT_INVALID", "not a SMART Health Link");
