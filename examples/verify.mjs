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

/** @param {string} file */
async function genesisIn(file) {
  const bytes = new Uint8Array(await readFile(file));
  try {
    return trustFromGenesis(bytes);
  } catch {
    throw new Error(`${file} is no genesis record: are the files named in this order?`);
  }
}

/** @param {string} genesisFile @param {string} carFile @param {string | undefined} receiptFile */
async function check(genesisFile, carFile, receiptFile) {
  const trust = await genesisIn(genesisFile);
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
}

try {
  await check(genesisFile, carFile, receiptFile);
} catch (error) {
  console.error(`cannot check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
