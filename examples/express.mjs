// @ts-check
// Serves a ledger under Express:
//   npm install healthledger express @hono/node-server
//   node examples/express.mjs [port]
// @ts-ignore: installed by whoever runs this
import { getRequestListener } from "@hono/node-server";
// @ts-ignore: installed by whoever runs this
import express from "express";
import { ledgerHandler } from "healthledger/network";
import { smallLedger } from "./lib/small-ledger.mjs";

const { hl, source } = await smallLedger();
const handler = ledgerHandler({
  source,
  reads: "public", // or leave it out: then members alone read, by their sessions
  sessions: { did: hl.member },
  sequencer: hl.sequencer, // what members elsewhere write is recorded here
});

const app = express();
// Before anything that reads bodies. Express takes the path off, so the handler needs none.
app.use("/ledger", getRequestListener(handler));
const server = app.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/ledger`);
});
