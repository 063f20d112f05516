// @ts-check
import { hlChain, light, network } from "../lib/healthledger.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { pipelined } from "../lib/measure.mjs";

/** How far behind the reader is, in blocks, beyond the few that it has seen. */
const LATE = /** @type {const} */ ([
  ["light/late-1k", 1000],
  ["light/late-100k", 100_000],
  ["light/late-1m", 1_000_000],
]);
const SEEN = 300;

/**
 * What a reader without a store is given to come from a few blocks to the newest checkpoint.
 *
 * @param {import("../run.mjs").Run} run
 * @param {number} late
 */
async function follow({ folder, short, note }, late) {
  const founded = await found();
  const ledger = await openOnLmdb(folder("ledger"), founded);
  const { chain, storage } = ledger;
  const checkpointer = hlChain.createCheckpointer({
    ...{ chain, chains: storage.chains, signer: founded.checkpointSigner },
  });
  const source = network.publishHeads({
    ledger: { chain, checkpoint: async () => (await checkpointer.sign()).note },
    chains: storage.chains,
    // Only `look` signs.
    every: 1e9,
  });
  const handler = network.ledgerHandler({ source, reads: "public", requestsPerMinute: 1e9 });
  let requests = 0;
  let received = 0;
  const peer = light.publicPeer({
    ...{ url: "http://127.0.0.1", did: founded.signer.actor },
    async fetch(url, init) {
      requests++;
      const response = await handler(new Request(url, init));
      const body = new Uint8Array(await response.arrayBuffer());
      received += body.length;
      return new Response(body, response);
    },
  });
  const trust = light.trustFromGenesis(founded.genesis);
  const reader = light.lightClient({ trust, peers: [peer] });
  const grow = async (/** @type {number} */ blocks) => {
    await pipelined(blocks, 2, () => ledger.append(makeBlobs(1, 64)));
    await source.look();
  };
  await grow(SEEN);
  await reader.sync();
  await grow(short ? 100 : late);
  [requests, received] = [0, 0];
  const before = performance.now();
  const { size } = await reader.sync();
  const took = performance.now() - before;
  note(`${size} blocks: ${requests} requests, ${took.toFixed(0)} ms`);
  await reader.close();
  await source.close();
  await ledger.close();
  return {
    value: received / 1024,
    also: [{ name: "requests", unit: "requests", value: requests }],
  };
}

export const rows = LATE.map(([name, late]) => ({
  name,
  unit: "KiB received",
  lessIsBetter: true,
  onlyFull: late > 100_000,
  /** @param {import("../run.mjs").Run} run */
  run: (run) => follow(run, late),
}));
