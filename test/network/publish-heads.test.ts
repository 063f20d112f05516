import { expect, it } from "vitest";
import { createAuthor } from "../../src/chain/author.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { recordEntries, signerFor, startLedger } from "../support/ledger.ts";
import { never } from "../support/network.ts";

it("a home signs a new head at the next look, and the same head every minute", async () => {
  const { chain, sequencer, signers, storage, clock } = await startLedger();
  const author = createAuthor({
    ...{ ledger: chain.ledger, sequencer, signer: signers["a"]!, lane: 0, lastSeq: -1 },
    now: () => clock.now,
  });
  const write = async () => (await author.write(recordEntries(1))).durable;
  await write();
  const checkpointer = createCheckpointer({
    ...{ chain, chains: storage.chains!, signer: signerFor("checkpoint") },
  });
  /** The time of each signature, and the size that was signed. */
  const signed: (readonly [time: number, size: number])[] = [];
  let time = 0;
  const ended = new Promise<void>((resolve) => {
    const source = publishHeads({
      ledger: {
        chain,
        async checkpoint() {
          signed.push([time, chain.size]);
          return (await checkpointer.sign()).note;
        },
      },
      ...{ chains: storage.chains!, every: 1000, again: 60_000, now: () => time },
      async sleep(ms, signal) {
        if (time === 90_000) await write();
        if (time < 200_000) time += ms;
        else {
          resolve(source.close());
          await never(ms, signal);
        }
      },
    });
  });
  await ended;
  // A minute after the head, of whatever size, that was signed last.
  expect(signed).toEqual([
    [0, 1],
    [60_000, 1],
    [91_000, 2],
    [151_000, 2],
  ]);
});
