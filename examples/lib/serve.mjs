// @ts-check
// A handler under node:http, without a framework. `getRequestListener` of @hono/node-server does the same.
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ReadableStream } from "node:stream/web";

/**
 * Serves handlers on the loopback interface: the first whose path is the beginning of the request's.
 *
 * @param {number} port
 * @param {Map<string, (request: Request) => Promise<Response>>} handlers
 */
export function serve(port, handlers) {
  const server = createServer(async (incoming, outgoing) => {
    const ending = new AbortController();
    outgoing.on("close", () => ending.abort());
    try {
      const path = incoming.url ?? "/";
      const [, handler] = [...handlers].find(([prefix]) => path.startsWith(prefix)) ?? [];
      if (handler === undefined) {
        outgoing.writeHead(404).end();
        return;
      }
      const { method = "GET" } = incoming;
      // Bodies are streams, so that the handler says how much it reads, and the other side how fast.
      const body = /** @type {any} */ (ReadableStream.from(incoming));
      const request = new Request(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: /** @type {Record<string, string>} */ (incoming.headers),
        signal: ending.signal,
        ...(method === "POST" ? { body, duplex: "half" } : {}),
      });
      const response = await handler(request);
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      if (response.body === null) outgoing.end();
      else await pipeline(Readable.fromWeb(/** @type {any} */ (response.body)), outgoing);
    } catch {
      outgoing.destroy();
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}
