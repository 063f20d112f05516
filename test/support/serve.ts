import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

/** A handler on a port of this machine's own. */
export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a handler over HTTP on the loopback interface. */
export async function serve(
  handler: (request: Request) => Promise<Response>,
  port = 0,
): Promise<Served> {
  const server: Server = createServer((incoming, outgoing) => {
    void (async () => {
      const ending = new AbortController();
      outgoing.on("close", () => ending.abort());
      const chunks: Uint8Array[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Uint8Array);
      const { method = "GET" } = incoming;
      const body = method === "POST" ? { body: Buffer.concat(chunks) } : {};
      const url = `http://127.0.0.1${incoming.url}`;
      const headers = incoming.headers as Record<string, string>;
      const response = await handler(
        new Request(url, { method, headers, signal: ending.signal, ...body }),
      );
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      if (response.body) for await (const part of response.body) outgoing.write(part);
      outgoing.end();
    })().catch(() => outgoing.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
