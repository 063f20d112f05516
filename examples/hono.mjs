// @ts-check
// Serves a ledger under Hono:
//   npm install healthledger hono @hono/node-server
//   node examples/hono.mjs [port]
// @ts-ignore: installed by whoever runs this
import { serve } from "@hono/node-server";
// @ts-ignore: installed by whoever runs this
import { Hono } from "hono";
import { ledgerHandler } from "healthledger/network";
import { smallLedger } from "./lib/small-ledger.mjs";

const { hl, source } = await smallLedger();
const handler = ledgerHandler({
  source,
  path: "/ledger",
  reads: "public", // or leave it out: then members alone read, by their sessions
  sessions: { did: hl.member },
  sequencer: hl.sequencer, // what members elsewhere write is recorded here
});

const app = new Hono();
app.all("/ledger/*", (/** @type {{ req: { raw: Request } }} */ { req }) => handler(req.raw));
serve(
  { fetch: app.fetch, hostname: "127.0.0.1", port: Number(process.argv[2] ?? 8080) },
  (/** @type {{ port: number }} */ { port }) => console.log(`http://127.0.0.1:${port}/ledger`),
);
