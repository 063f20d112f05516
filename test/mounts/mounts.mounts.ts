import { gzipSync } from "node:zlib";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { afterEach, describe, expect, it } from "vitest";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { runKit } from "../../src/testing/kit.ts";
import { transportCases, type MakeTransport } from "../../src/testing/transport-kit.ts";
import { signTransaction, type TransactionWithEntries } from "../../src/block/transaction.ts";
import { recordEntries } from "../support/ledger.ts";
import { startHome } from "../support/network.ts";

// Typed here, since the packages are installed in this folder only.
type Handler = (request: Request) => Promise<Response>;
type Listener = (request: unknown, response: unknown) => void;
const require = createRequire(import.meta.url);
const { getRequestListener } = (await import(require.resolve("@hono/node-server"))) as {
  getRequestListener(handler: Handler): Listener;
};
const { default: express } = (await import(require.resolve("express"))) as {
  default(): { use(path: string, listener: Listener): void } & Listener;
};
const { Hono } = (await import(require.resolve("hono"))) as {
  Hono: new () => {
    all(path: string, answer: (context: { req: { raw: Request } }) => Promise<Response>): void;
    fetch: Handler;
  };
};

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listen(listener: Listener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/history/v1`;
}

const mounts: readonly (readonly [string, string, (handler: Handler) => Listener])[] = [
  ["node:http", "/history/v1", (handler) => getRequestListener(handler)],
  [
    "Express, which takes the path off",
    "/",
    (handler) => {
      const app = express();
      app.use("/history/v1", getRequestListener(handler));
      return app;
    },
  ],
  [
    "Hono",
    "/history/v1",
    (handler) => {
      const app = new Hono();
      app.all("/history/v1/*", ({ req }) => handler(req.raw));
      return getRequestListener((request) => app.fetch(request));
    },
  ],
];

describe.each(mounts)("a ledger's handler under %s", (_, path, mount) => {
  it("answers a peer as it does without", async () => {
    const home = await startHome();
    await home.grow(3);
    await home.source.look();
    const handler = ledgerHandler({ source: home.source, path, reads: "public" });
    const peer: LedgerPeer = httpPeer({ url: await listen(mount(handler)), did: "did:key:home" });
    expect(await peer.genesis()).toEqual(home.genesis);
    const note = new TextDecoder().decode(await peer.checkpoint());
    expect(note.split("\n")[1]).toBe("3");
    const blocks: Uint8Array[] = [];
    for await (const block of peer.blocks({ index: 0, width: 3 })) blocks.push(block);
    const own: Uint8Array[] = [];
    for await (const block of home.chain.readBlocks({ from: 0 })) own.push(block);
    expect(blocks).toEqual(own);
    expect((await peer.headers({ index: 0, width: 2 })).length).toBe(2);
    const answer = await peer.state("sys/member/did:key:nobody");
    expect(answer.length).toBeGreaterThan(100);
    await expect(peer.tile({ level: 0, index: 1, width: 1 })).rejects.toMatchObject({
      code: "ERR_TRANSPORT_NOT_FOUND",
    });
    const waiting = peer.checkpoint({ after: 3, wait: 25 });
    await home.grow(1);
    await home.source.look();
    expect(new TextDecoder().decode(await waiting).split("\n")[1]).toBe("4");
  });
});

describe.each(mounts)("a home's handler under %s", (_, path, mount) => {
  it("takes what a member with a session submits, and closes on a body that nobody reads", async () => {
    const home = await startHome();
    const { chain, signers, sequencer } = home;
    const server = signers["a"]!.actor;
    const handler = ledgerHandler({
      ...{ source: home.source, path, sequencer, sessions: { did: server } },
    });
    const url = await listen(mount(handler));
    const session = { ledger: chain.ledger, signer: signers["b"]! };
    const peer: LedgerPeer = httpPeer({ url, did: server, session });
    const transactions: TransactionWithEntries[] = [];
    for (const [seq, entries] of [3, 1, 6000].entries()) {
      transactions.push(
        await signTransaction(signers["b"]!, {
          ...{ ledger: chain.ledger, lane: 0, seq, time: home.clock.now },
          entries: recordEntries(entries),
        }),
      );
    }
    const outcomes = await peer.submit(transactions);
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true, true]);
    expect(await peer.submit(transactions)).toEqual(outcomes);
    await home.source.look();
    expect((await peer.checkpoint()).length).toBeGreaterThan(100);
    // Without a token nothing of a body is waited for.
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
    });
    const init = { method: "POST", body: endless, duplex: "half" };
    const refused = await fetch(`${url}/submit`, init as RequestInit).then(
      ({ status }) => status,
      () => "reset",
    );
    expect([401, "reset"]).toContain(refused);
    const compressed = await fetch(`${url}/session`, {
      ...{ method: "POST", body: gzipSync(new Uint8Array(100)) },
      headers: { "content-encoding": "gzip" },
    });
    expect(compressed.status).toBe(415);
  });
});

describe("the transport kit over node:http", () => {
  const make: MakeTransport = async ({ handler, ...setting }) => {
    const url = await listen(getRequestListener(handler));
    const ledger = url.replace("/history/v1", "/ledger");
    const peer = httpPeer({ url: ledger, ...setting });
    return { peer, close: async () => undefined };
  };

  it("passes", async () => {
    const results = await runKit(transportCases, make, { features: ["session"] });
    const failed = results.filter(({ outcome }) => outcome !== "passed");
    expect(
      failed.map((result) => `${result.name}: ${String("error" in result && result.error)}`),
    ).toEqual([]);
  });
});
