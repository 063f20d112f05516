import { request } from "node:https";
import type { Readable } from "node:stream";

/** Certificates of one side, as PEM. */
export interface ClientCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A `fetch` that shows a client certificate; what `httpPeer` needs of one, by node:https. */
export function httpsFetch(
  certificate: Partial<ClientCertificate>,
): (url: string, init: RequestInit) => Promise<Response> {
  return (url, { method = "GET", headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const options = { ...certificate, method, headers: headers as Record<string, string> };
      const outgoing = request(url, { ...options, ...(signal && { signal }) }, (incoming) => {
        const { statusCode: status = 0, headers: given } = incoming;
        const named = Object.entries(given).map(([name, value]) => [name, String(value)]);
        const body = streamOf(incoming) as unknown as BodyInit;
        resolve(new Response(body, { status, headers: named as [string, string][] }));
      });
      outgoing.on("error", reject);
      outgoing.end(body ?? undefined);
    });
}

/**
 * A body as `Request` and `Response` take it. `Readable.toWeb` of Node.js 20 ends the process where a body is
 * cancelled with more of it under way.
 */
export function streamOf(readable: Readable): ReadableStream<Uint8Array> {
  const parts = readable[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, void>;
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await parts.next();
        if (done === true) controller.close();
        else controller.enqueue(new Uint8Array(value));
      },
      async cancel() {
        await parts.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
