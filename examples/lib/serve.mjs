// @ts-check
// A handler under node:http, without a framework. `getRequestListener` of @hono/node-server does the same.
import { createServer } from "node:http";

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
      const chunks = [];
      for await (const chunk of incoming) chunks.push(chunk);
      const { method = "GET" } = incoming;
      const request = new Request(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: /** @type {Record<string, string>} */ (incoming.headers),
        signal: ending.signal,
        ...(method === "POST" ? { body: Buffer.concat(chunks) } : {}),
      });
      const response = await handler(request);
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      for await (const part of response.body ?? []) outgoing.write(part);
      outgoing.end();
    } catch {
      outgoing.destroy();
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}
