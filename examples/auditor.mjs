// @ts-check
// What an auditor runs: follows a ledger that is published as files, with nothing but the genesis record, which
// she got from somewhere she trusts, and what she wrote down the last time.
//   node examples/auditor.mjs genesis.cbor folder-or-address [--trust trust.cbor]
//     [--receipt receipt.cbor] [--entry hex-id] [--member did]
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  decodeMemberState,
  decodeTrust,
  encodeForkEvidence,
  encodeTrust,
  followEntries,
  lightClient,
  publicPeer,
  trustFromGenesis,
} from "healthledger/light";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    trust: { type: "string" },
    receipt: { type: "string" },
    entry: { type: "string" },
    member: { type: "string" },
  },
});
const [genesisFile, place] = positionals;
if (genesisFile === undefined || place === undefined) {
  console.error("usage: node examples/auditor.mjs genesis.cbor folder-or-address [options]");
  process.exit(2);
}

/** @param {string} file */
async function bytesIn(file) {
  try {
    return new Uint8Array(await readFile(file));
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Asks a static host, or reads a folder as one would serve it. @param {string} place */
function peerAt(place) {
  if (/^https?:/.test(place)) return publicPeer({ url: place, did: "the publisher" });
  return publicPeer({
    ...{ url: "http://folder.invalid/", did: "the publisher" },
    async fetch(url) {
      const found = await bytesIn(join(place, decodeURIComponent(new URL(url).pathname)));
      return new Response(found ?? null, { status: found === undefined ? 404 : 200 });
    },
  });
}

/** @param {boolean} holds @param {string} what */
function tell(holds, what) {
  console.log(what);
  if (!holds) process.exitCode = 1;
}

/** @param {string} genesisFile @param {string} place */
async function audit(genesisFile, place) {
  const genesis = await bytesIn(genesisFile);
  if (genesis === undefined) throw new Error(`${genesisFile} is not there`);
  const kept = values.trust === undefined ? undefined : await bytesIn(values.trust);
  const founded = trustFromGenesis(genesis);
  const trust = kept === undefined ? founded : decodeTrust(kept);
  if (!trust.ledger.equals(founded.ledger)) throw new Error("the trust is in another ledger");
  const light = lightClient({ trust, peers: [peerAt(place)] });
  try {
    const { size, asOf, validators, witnesses } = await light.sync();
    const cosigners = [...validators, ...witnesses].join(", ") || "nobody";
    console.log(`${size} blocks as of ${new Date(asOf).toISOString()}, cosigned by ${cosigners}`);
  } catch (error) {
    if (light.fork === undefined) throw error;
    await writeFile("fork.cbor", encodeForkEvidence(light.fork));
    return tell(false, "there are TWO HISTORIES: show fork.cbor to the members");
  }

  if (values.receipt !== undefined) {
    const receipt = await bytesIn(values.receipt);
    const result = await light.verifyReceipt(receipt ?? new Uint8Array());
    if (result.ok) {
      tell(true, `the receipt holds: a ${result.decoded.kind} entry in block ${result.height}`);
    } else {
      tell(false, `the receipt does NOT hold: ${result.reason}`);
    }
  }
  if (values.member !== undefined) {
    const { value, height } = await light.state(`sys/member/${values.member}`);
    const roles = value === null ? "no member" : decodeMemberState(value).roles.join(", ");
    console.log(`before block ${height}, it was ${roles || "a member no more"}`);
  }
  if (values.entry !== undefined) {
    // All blocks are read, each proved to be under the checkpoint: what is not there, is not on the ledger.
    const { size } = light.trust;
    let entries = 0;
    let found = "is NOT on the ledger";
    for await (const { id, height } of followEntries(light, { until: size })) {
      entries++;
      if (Buffer.from(id).toString("hex") === values.entry) found = `is in block ${height}`;
    }
    console.log(`the entry ${found}: all ${entries} were read`);
  }
  if (values.trust !== undefined) {
    await writeFile(`${values.trust}.new`, encodeTrust(light.trust));
    await rename(`${values.trust}.new`, values.trust);
  }
}

try {
  await audit(genesisFile, place);
} catch (error) {
  console.error(`cannot check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
