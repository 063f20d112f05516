import { TransportError } from "../errors.ts";
import { bodyReader, type BodyReader, type Surroundings } from "../transport/read-body.ts";
import { Status } from "./status.ts";

/** Milliseconds for each pause in a request's body. */
const PAUSE = 10_000;

/** How a request's body is read. */
export interface BodySetting extends Surroundings {
  /** Least bytes per second on the average, after ten seconds. */
  readonly leastRate: number;
}

/**
 * Reads a request's body, of which nothing beyond `most` bytes is read. A compressed one is refused: a
 * short one could fill the memory.
 *
 * @throws {Status} 408 for a body that is too slow, 413 for one that is too long, 415 for one that is
 *   compressed, 400 for one that breaks off; also what the reader's calls throw
 */
export function requestReader(request: Request, most: number, setting: BodySetting): BodyReader {
  const { body, headers, signal } = request;
  const pace = { deadline: PAUSE, leastRate: setting.leastRate };
  const reader = bodyReader(body, most, pace, setting, signal);
  const encoding = headers.get("content-encoding") ?? "identity";
  const announced = Number(headers.get("content-length") ?? 0);
  if (encoding.toLowerCase() !== "identity" || announced > most) {
    reader.cancel();
    throw new Status(encoding.toLowerCase() === "identity" ? 413 : 415);
  }
  const read = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw error instanceof TransportError ? new Status(statusOf(error)) : error;
    }
  };
  return {
    take: (length) => read(reader.take(length)),
    rest: () => read(reader.rest()),
    cancel: reader.cancel,
  };
}

function statusOf({ code }: TransportError): number {
  if (code === "ERR_TRANSPORT_TIMEOUT") return 408;
  return code === "ERR_TRANSPORT_TOO_LARGE" ? 413 : 400;
}
