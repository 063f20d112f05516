import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { httpPeer, type HttpPeerOptions } from "../../src/transport/http.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";

// Real HTTP on the loopback, since much of what goes wrong does so between fetch and the socket.

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ledger`;
}

async function peerOf(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: Partial<HttpPeerOptions> = {},
): Promise<LedgerPeer> {
  const url = await serve(answer);
  return httpPeer({ url, did: "did:key:other", deadline: 400, leastRate: 1000, ...options });
}

const tile = { level: 0, index: 0, width: 256 };

describe("httpPeer over HTTP", () => {
  it("counts a body after it is unpacked: a gzip bomb is refused early", async () => {
    const bomb = gzipSync(new Uint8Array(64 * 1024 * 1024));
    let sent = 0;
    const peer = await peerOf((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      sent += bomb.length;
      response.end(bomb);
    });
    const before = process.memoryUsage.rss();
    await expect(peer.tile(tile)).rejects.toMatchObject({ code: "ERR_TRANSPORT_TOO_LARGE" });
    await expect(peer.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TOO_LARGE" });
    expect(sent).toBeLessThan(200_000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(60 * 1024 * 1024);
  });

  it("puts pieces of any size together", async () => {
    const sizes = [1, 1, 4096, 4097, 3, 70_000, 2, 4095, 1];
    const pieces = Array.from({ length: 5000 }, (_, i) => (i % 500 < 491 ? 1 : sizes[i % 9]!));
    const length = pieces.reduce((a, b) => a + b);
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const size = pieces.shift();
        if (size === undefined) return controller.close();
        controller.enqueue(Uint8Array.from({ length: size }, () => at++ % 251));
      },
    });
    const peer = httpPeer({
      ...{ url: "http://other.invalid", did: "did:key:other" },
      fetch: async () => new Response(body),
    });
    const bytes = await peer.policy();
    expect(bytes.length).toBe(length);
    expect(bytes.every((byte, i) => byte === i % 251)).toBe(true);
  });

  it("gives up on a body that is too slow on the whole, however short each pause is", async () => {
    let time = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        time += 5;
        controller.enqueue(new Uint8Array(2));
      },
    });
    const peer = httpPeer({
      ...{ url: "http://other.invalid", did: "did:key:other", deadline: 400, leastRate: 1000 },
      ...{
        fetch: async () => new Response(body),
        now: () => time,
        sleep: () => new Promise(() => {}),
      },
    });
    // 2 bytes in 5 ms are 400 in a second: 400 + received ms are over after 400 / 3 · 5 ms.
    await expect(peer.policy()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TIMEOUT" });
    expect(time).toBeGreaterThan(600);
    expect(time).toBeLessThan(750);
  });

  it("reads a packed body that fits", async () => {
    const bytes = Uint8Array.from({ length: 8192 }, (_, i) => i);
    const peer = await peerOf((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      response.end(gzipSync(bytes));
    });
    expect(await peer.tile(tile)).toEqual(bytes);
  });

  it("ends a body without end, and the connection with it", async () => {
    let ended = false;
    const peer = await peerOf((_, response) => {
      response.on("close", () => (ended = true));
      const chunk = new Uint8Array(64 * 1024);
      const more = (): void => {
        while (!ended && response.write(chunk));
        if (!ended) response.once("drain", more);
      };
      more();
    });
    await expect(peer.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TOO_LARGE" });
    await expect.poll(() => ended).toBe(true);
  });

  it("gives up on one byte at a time, and on silence in the middle", async () => {
    const slow = await peerOf((_, response) => {
      const timer = setInterval(() => response.write("x"), 30);
      response.on("close", () => clearInterval(timer));
    });
    await expect(slow.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TIMEOUT" });
    const silent = await peerOf((_, response) => void response.write("x"));
    await expect(silent.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TIMEOUT" });
  });

  it("is not led elsewhere: no redirect is followed", async () => {
    let inward = 0;
    const inside = await serve((_, response) => {
      inward++;
      response.end("secret");
    });
    for (const code of [301, 302, 303, 307, 308]) {
      const peer = await peerOf((_, response) => {
        response.writeHead(code, { location: inside });
        response.end();
      });
      await expect(peer.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_REDIRECT" });
    }
    expect(inward).toBe(0);
    // A fetch of the user's that follows them all the same is noticed.
    const peer = await peerOf(
      (_, response) => {
        response.writeHead(302, { location: inside });
        response.end();
      },
      { fetch: (url, init) => fetch(url, { ...init, redirect: "follow" }) },
    );
    await expect(peer.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_REDIRECT" });
  });

  it("takes nothing that a connection broke off, and says when there is none", async () => {
    const broken = await peerOf((_, response) => {
      response.writeHead(200, { "content-length": "8192" });
      response.write(new Uint8Array(100));
      setTimeout(() => response.destroy(), 20);
    });
    await expect(broken.tile(tile)).rejects.toMatchObject({ code: "ERR_TRANSPORT_MALFORMED" });
    const reset = await peerOf((request) => void request.socket.destroy());
    await expect(reset.tile(tile)).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    const none = httpPeer({ url: "http://127.0.0.1:1/", did: "did:key:other" });
    await expect(none.tile(tile)).rejects.toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
  });

  it("believes no announced length", async () => {
    const peer = await peerOf((_, response) => {
      response.writeHead(200, { "content-length": String(2 ** 40) });
      response.write(new Uint8Array(10));
    });
    await expect(peer.genesis()).rejects.toMatchObject({ code: "ERR_TRANSPORT_TOO_LARGE" });
  });
});

describe("httpPeer", () => {
  it.each([
    "",
    "ledger",
    "ftp://a.example",
    "https://a.example/?q",
    "https://a.example/#f",
    "https://u:p@a.example",
  ])("refuses the address %s", (url) => {
    expect(() => httpPeer({ url, did: "did:key:other" })).toThrow(/address/);
  });

  it("refuses options that it does not have, and waits that proxies cut", async () => {
    expect(() => httpPeer({ url: "http://a.example", did: "d", fetcher: fetch } as never)).toThrow(
      /fetch/,
    );
    const peer = httpPeer({
      url: "http://a.example",
      did: "d",
      fetch: async () => new Response("x"),
    });
    for (const wait of [26, -1, 0.5, NaN]) {
      await expect(peer.checkpoint({ after: 0, wait })).rejects.toBeInstanceOf(RangeError);
    }
    await expect(peer.checkpoint({ afte: 0 } as never)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    await expect(peer.tile({ level: 0, index: -1, width: 1 })).rejects.toThrow();
  });

  it("names only the address that was configured, in whatever it throws", async () => {
    const peer = httpPeer({
      url: "http://a.example/ledger",
      did: "did:key:other",
      fetch: async () => new Response("a person's name", { status: 500 }),
    });
    const error = (await peer.state("sys/policy").catch((thrown: unknown) => thrown)) as Error;
    expect(`${error.message} ${String(error.cause)}`).not.toMatch(/person|sys\/policy/);
  });
});
