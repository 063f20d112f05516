import { createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to a request on its way: it may be lost, its response may be, or it is refused. */
export type Mishap =
  "lost" | "response-lost" | "response-cut" | { readonly status: number; readonly code: string };

export interface Proxy {
  readonly endpoint: string;
  /** Requests that a mishap befell. */
  befallen(): number;
  stop(): Promise<void>;
}

/**
 * Stands before a server and lets requests meet with mishaps. Headers pass as they are, so that
 * signatures hold.
 */
export async function startProxy(
  target: string,
  plan: (method: string, path: string) => Mishap | undefined,
): Promise<Proxy> {
  let befallen = 0;
  const { hostname, port } = new URL(target);
  const server = createServer(async (incoming, outgoing) => {
    const { method = "", url = "" } = incoming;
    const mishap = plan(method, url);
    if (mishap !== undefined) befallen++;
    const body = await bytesOf(incoming);
    if (mishap === "lost") return void incoming.socket.destroy();
    if (typeof mishap === "object") {
      const xml = `<?xml version="1.0"?><Error><Code>${mishap.code}</Code></Error>`;
      return void outgoing.writeHead(mishap.status, { "content-type": "text/xml" }).end(xml);
    }
    const headers = { ...incoming.headers };
    delete headers["transfer-encoding"];
    headers["content-length"] = String(body.length);
    const onward = request({ hostname, port, method, path: url, headers }, async (response) => {
      try {
        const answer = await bytesOf(response);
        if (mishap === "response-lost") return void incoming.socket.destroy();
        const { "transfer-encoding": _, ...rest } = response.headers;
        // Of a HEAD the length is the object's.
        const length = method === "HEAD" ? {} : { "content-length": String(answer.length) };
        outgoing.writeHead(response.statusCode ?? 502, { ...rest, ...length });
        if (mishap === "response-cut") {
          outgoing.write(answer.subarray(0, answer.length >> 1), () => incoming.socket.destroy());
        } else outgoing.end(answer);
      } catch {
        incoming.socket.destroy();
      }
    });
    onward.on("error", () => incoming.socket.destroy());
    onward.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const own = (server.address() as AddressInfo).port;
  return {
    endpoint: `http://127.0.0.1:${own}`,
    befallen: () => befallen,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
