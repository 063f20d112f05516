import { assertOptions } from "../bytes/options.ts";
import { fromBase64Url, toBase64Url } from "../bytes/base64.ts";
import { assertBytes } from "../bytes/guards.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError, LedgerError } from "../errors.ts";
import { openCompact, sealCompact } from "./compact-jwe.ts";

/** A JWE in compact form and the key that opens it. */
export interface ExportedJwe {
  readonly jwe: string;
  /**
   * 32 bytes, fresh for each JWE; the caller must hand it over separately from the JWE and wipe it.
   */
  readonly key: Uint8Array;
}

/** The content of a JWE. */
export interface ImportedJwe {
  readonly content: Uint8Array;
  /** `cty` of its header, if present. */
  readonly contentType?: string;
}

/** The content of a SMART Health Link. */
export interface HealthLink {
  /** URL of the manifest or file: `https:`, at most 128 characters, and unguessable. */
  readonly url: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** Expiry in seconds since 1970; must be an integer in a written link. */
  readonly exp?: number;
  /** Letters `L`, `P` and `U` in that order, never `P` and `U` together. */
  readonly flag?: string;
  /** At most 80 characters; must hold nothing clinical, because it is shown beside the key. */
  readonly label?: string;
}

const FLAG = /^L?(?:P|U)?$/;
const MAX_URL = 128;
/** The last second of the year 9999: a larger number is in milliseconds. */
const MAX_EXP = 253_402_300_799;

/**
 * Writes content in the form of SMART Health Links: a compact JWE, `dir` with `A256GCM`, under a
 * fresh key. No rule of the ledger applies to the JWE: a holder of both can read it for ever. For
 * records use `Ledger.exportRecords`, which writes an access entry.
 *
 * @param options.random - cryptographically strong
 * @param options.compress - whether to deflate first; the length then leaks information about the
 *   content
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` where neither node:crypto nor WebCrypto is
 *   available
 * @example
 * const { jwe, key } = await exportJwe({ content, random });
 */
export async function exportJwe(options: {
  readonly content: Uint8Array;
  /** Default `application/fhir+json`. */
  readonly contentType?: string;
  readonly random: (length: number) => Uint8Array;
  readonly compress?: boolean;
}): Promise<ExportedJwe> {
  const known = { content: true, contentType: true, random: true, compress: true } as const;
  assertOptions(options, known, "exportJwe");
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
 * Opens a JWE of a SMART Health Link: only `dir` with `A256GCM`.
 *
 * @param key - 32 bytes; borrowed
 * @param options.maxBytes - most bytes of plaintext after inflating; also bounds the length of the
 *   text. Default 16 MiB
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when it does not open or inflates to more;
 *   `ERR_ENVELOPE_UNSUPPORTED` as in {@link exportJwe}
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the text alone is too long for that much
 *   plaintext
 * @example
 * const { content, contentType } = await importJwe(jwe, key);
 */
export async function importJwe(
  jwe: string,
  key: Uint8Array,
  options: { readonly maxBytes?: number } = {},
): Promise<ImportedJwe> {
  assertOptions(options, { maxBytes: true }, "importJwe");
  const { maxBytes = 16 * 1024 * 1024 } = options;
  assertBytes(key, "key", 32);
  if (jwe.length > maxBytes * 1.5 + 4096) {
    throw new InputError(
      "ERR_INPUT_TOO_LARGE",
      `the JWE is too long for ${maxBytes} bytes of plaintext`,
    );
  }
  return openCompact(jwe.trim(), key, maxBytes);
}

/**
 * Writes a SMART Health Link: `shlink:/` and base64url of its JSON. The link contains the key.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the values do not make a valid link
 * @see HL7 SMART Health Cards and Links STU 1, "Construct a SMART Health Links Payload"
 * @example
 * const { jwe, key } = await exportJwe({ content, random });
 * const link = encodeHealthLink({ url: "https://files.example/x7Qm", key, flag: "U" });
 * link.startsWith("shlink:/"); // true
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
 * Reads a SMART Health Link, with or without a viewer's URL before it. Unknown members and flags
 * are left out, as the specification requires.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the text is not a SMART Health Link
 * @example
 * const { url, key } = decodeHealthLink(text);
 * const jwe = await (await fetch(url)).text(); // of a link with the flag U
 * const { content } = await importJwe(jwe, key);
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
  new InputError("ERR_INPUT_INVALID", "the text is not a SMART Health Link");
