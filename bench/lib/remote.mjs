// @ts-check
import { hlChain, network } from "./healthledger.mjs";

/**
 * Serves a bench ledger, and asks it by a fetch that calls the handler: HTTP's requests and bodies without a
 * socket, so that the client's and the server's work are both in the figures and the network is not.
 *
 * @param {Awaited<ReturnType<typeof import("./ledger.mjs").openOnLmdb>>} ledger
 * @param {Awaited<ReturnType<typeof import("./ledger.mjs").found>>} founded
 */
export async function serveLedger({ chain, sequencer, storage }, { checkpointSigner, signer }) {
  const checkpointer = hlChain.createCheckpointer({
    ...{ chain, chains: storage.chains, signer: checkpointSigner },
  });
  const source = network.publishHeads({
    ledger: { chain, checkpoint: async () => (await checkpointer.sign()).note },
    chains: storage.chains,
    // Only `look` signs.
    every: 1e9,
  });
  await source.look();
  const handler = network.ledgerHandler({
    ...{ source, sequencer, sessions: { did: signer.actor } },
    requestsPerMinute: 1e9,
  });
  let received = 0;
  const peer = network.httpPeer({
    ...{ url: "http://127.0.0.1", did: signer.actor },
    session: { ledger: chain.ledger, signer },
    async fetch(url, init) {
      const response = await handler(new Request(url, init));
      if (response.body === null) return response;
      const counter = new TransformStream({
        transform(part, controller) {
          received += part.length;
          controller.enqueue(part);
        },
      });
      return new Response(response.body.pipeThrough(counter), response);
    },
  });
  return {
    source,
    peer,
    /** Bytes of bodies that the peer was given so far. */
    received: () => received,
    close: () => source.close(),
  };
}
