import { sha256 } from "#crypto";
import { toHex } from "../bytes/hex.ts";
import type { SimulatedRandom } from "./simulation-random.ts";

/** An answer as it travels. */
export interface Travelling {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  /** How the body ends. */
  readonly end: "whole" | "broken" | "stalled";
}

/** Reads an answer to its end, or as far as it comes. */
export async function travelling(response: Response): Promise<Travelling> {
  const parts: Uint8Array[] = [];
  let end: Travelling["end"] = "whole";
  const reader = response.body?.getReader();
  try {
    for (let next = await reader?.read(); next?.done === false; next = await reader!.read()) {
      parts.push(next.value);
    }
  } catch {
    end = "broken";
  }
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return { status: response.status, headers: [...response.headers], body, end };
}

/** The answer that arrives, its body in up to three pieces. */
export function arrived({ status, headers, body, end }: Travelling, pieces: number): Response {
  if (NO_BODY.has(status))
    return new Response(null, { status, headers: [...headers] as [string, string][] });
  const length = Math.max(1, Math.ceil(body.length / pieces));
  let at = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (at < body.length) {
          controller.enqueue(body.slice(at, at + length));
          at += length;
          return undefined;
        }
        if (end === "stalled") return new Promise<void>(() => undefined);
        if (end === "whole") controller.close();
        else controller.error(new TypeError("the connection broke"));
        return undefined;
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, { status, headers: [...headers] as [string, string][] });
}

/** Statuses whose answers have no body. */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** These bytes with one to three bits changed. */
export function flipped(bytes: Uint8Array, random: SimulatedRandom): Uint8Array {
  const changed = bytes.slice();
  if (bytes.length === 0) return changed;
  for (let i = random.between(1, 3); i > 0; i--) {
    changed[random.between(0, bytes.length - 1)]! ^= 1 << random.between(0, 7);
  }
  return changed;
}

/** A short name of bytes, for traces. */
export const shortName = (bytes: Uint8Array): string =>
  `${bytes.length}:${toHex(sha256(bytes)).slice(0, 8)}`;
