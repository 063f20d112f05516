import { connect, createServer, type Socket } from "node:net";

/** What happens to the next message that matches. */
export interface Ambush {
  /** A part of what the client sends. */
  readonly when: string;
  /** Whether the server gets it. The client hears of nothing, its connection breaks. */
  readonly delivered: boolean;
}

/** A way to a server that breaks where it is told, or leads to another one. */
export interface Proxy {
  readonly port: number;
  ambush: Ambush | undefined;
  /** How often an ambush was sprung. */
  readonly sprung: number;
  /** The port that new connections are led to. */
  target: number;
  /** Breaks all connections. */
  cut(): void;
  close(): Promise<void>;
}

export async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const proxy = { ambush: undefined as Ambush | undefined, sprung: 0, target };
  const server = createServer((client) => {
    const upstream = connect(proxy.target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    }
    let lost = false;
    client.on("data", (chunk) => {
      const { ambush } = proxy;
      if (ambush !== undefined && chunk.includes(ambush.when)) {
        proxy.ambush = undefined;
        proxy.sprung++;
        lost = true;
        if (ambush.delivered) upstream.write(chunk);
        else upstream.destroy();
        if (!ambush.delivered) client.destroy();
        return;
      }
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      // The answer came, so the server has done it.
      if (lost) client.destroy();
      else client.write(chunk);
    });
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(proxy, {
    port: (server.address() as { port: number }).port,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
