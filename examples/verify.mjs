// @ts-check
// What an auditor runs: checks an export and a receipt with nothing but the genesis record, which
// he got from somewhere he trusts. No server, no store, no private key.
//   node examples/verify.mjs genesis.cbor ledger.car [receipt.cbor]
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { verifyExport } from "healthledger";
import { trustFromGenesis, verifyReceipt } from "healthledger/verify";

const [genesisFile, carFile, receiptFile] = process.argv.slice(2);
if (genesisFile === undefined || carFile === undefined) {
  console.error("usage: node examples/verify.mjs genesis.cbor ledger.car [receipt.cbor]");
  process.exit(2);
}
const trust = trustFromGenesis(new Uint8Array(await readFile(genesisFile)));
const ledger = await verifyExport(createReadStream(carFile), { ledger: trust.ledger });
if (ledger.ok) {
  console.log(`the ledger holds: ${ledger.size} blocks, ${ledger.entries} entries`);
} else {
  console.log(`the ledger does NOT hold: ${ledger.reason} at block ${ledger.height ?? "?"}`);
  process.exitCode = 1;
}
if (receiptFile !== undefined) {
  const receipt = verifyReceipt(new Uint8Array(await readFile(receiptFile)), trust);
  if (receipt.ok) {
    console.log(
      `the receipt holds: a ${receipt.decoded.kind} entry by ${receipt.author}, ` +
        `no later than ${new Date(receipt.time).toISOString()}`,
    );
  } else {
    console.log(`the receipt does NOT hold: ${receipt.reason}`);
    process.exitCode = 1;
  }
}
