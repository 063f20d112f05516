import type { Role } from "../block/member.ts";
import { assertPositive } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { signDescription } from "../chain/description.ts";
import type { MemberKeys } from "../chain/founding.ts";
import type { CID } from "../codec/cid.ts";
import { EncodingError, InputError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { callerBudget } from "./budget.ts";
import { decodeDescribe, MAX_DESCRIBE_BYTES } from "./description-request.ts";
import { requestReader } from "./request-body.ts";
import { busy, Status } from "./status.ts";

export interface DescriptionHandlerOptions {
  /** All keys in use are described; or signers and public keys. */
  readonly keys: KeyStore | MemberKeys;
  /** What people call the organisation. */
  readonly name: string;
  readonly roles: Iterable<Role>;
  /**
   * Whether a request is answered. Whoever is admitted can have the organisation described to anybody, for any
   * ledger. It must not read the request's body.
   */
  readonly authorize: (request: Request) => boolean | Promise<boolean>;
  /** Requests in a minute of all who are admitted, and as many of all others. Default 60. */
  readonly requestsPerMinute?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Called with the error of an answer that failed; the caller learns only that it did. */
  readonly onError?: (error: unknown) => void;
}

const OPTIONS: OptionsOf<DescriptionHandlerOptions> = {
  ...{ keys: true, name: true, roles: true, authorize: true, requestsPerMinute: true },
  ...{ now: true, sleep: true, onError: true },
};

/**
 * Describes an organisation to those who found a ledger with it or let it join, as `signDescription`
 * does, under any path that ends with `/describe`. It needs no ledger.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or without `authorize`
 * @throws {RangeError} for a limit that is none
 * @example
 * const handler = descriptionHandler({
 *   ...{ keys, name: "Clinic", roles: ["custodian"] },
 *   authorize: (asked) => asked.headers.get("authorization") === authorization,
 * });
 * const url = "https://clinic.example/ledger/describe";
 * const response = await handler(new Request(url, { method: "POST" }));
 */
export function descriptionHandler(
  options: DescriptionHandlerOptions,
): (request: Request) => Promise<Response> {
  assertOptions(options, OPTIONS, "descriptionHandler");
  const { keys, name, authorize, requestsPerMinute = 60, onError } = options;
  if (typeof authorize !== "function") {
    throw new InputError("ERR_INPUT_INVALID", "say who may ask: give `authorize`");
  }
  assertPositive(requestsPerMinute, "requestsPerMinute");
  const roles = [...options.roles];
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const setting = { now, sleep, leastRate: MAX_DESCRIBE_BYTES };
  const budget = callerBudget(requestsPerMinute, now);

  async function describe(request: Request): Promise<Uint8Array> {
    if (!new URL(request.url).pathname.endsWith("/describe")) throw new Status(404);
    if (request.method !== "POST") throw new Status(405, { allow: "POST" });
    const isAdmitted = await authorize(request);
    const seconds = budget.take(isAdmitted ? "admitted" : "others", 1);
    if (seconds > 0) throw busy(seconds, 429);
    if (!isAdmitted) throw new Status(401);
    const body = await requestReader(request, MAX_DESCRIBE_BYTES, setting).rest();
    return signDescription(keys, { name, roles, for: contextOf(body) });
  }

  return async (request) => {
    const common = { "cache-control": "no-store", "x-content-type-options": "nosniff" };
    try {
      const headers = { ...common, "content-type": "application/octet-stream" };
      return new Response(new Uint8Array(await describe(request)), { headers });
    } catch (error) {
      if (request.body?.locked === false) void request.body.cancel().catch(() => undefined);
      const status = error instanceof Status ? error : new Status(500);
      if (status !== error) onError?.(error);
      return new Response(null, {
        status: status.status,
        headers: { ...common, ...status.headers },
      });
    }
  };
}

function contextOf(body: Uint8Array): CID | Uint8Array {
  try {
    return decodeDescribe(body);
  } catch (error) {
    throw error instanceof EncodingError ? new Status(400) : error;
  }
}
