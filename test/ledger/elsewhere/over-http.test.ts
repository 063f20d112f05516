import { afterEach, describe, expect, it } from "vitest";
import { signTransaction } from "../../../src/block/transaction.ts";
import { ledgerHandler } from "../../../src/network/ledger-handler.ts";
import { publishHeads } from "../../../src/network/publish-heads.ts";
import { createGenesis } from "../../../src/ledger/create-genesis.ts";
import { signDescription } from "../../../src/chain/description.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { httpPeer } from "../../../src/transport/http.ts";
import { NONCE, organisation, WRITER } from "../../support/founders.ts";
import { forgedEvidence } from "../../support/forks.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";
import { recordEntries, START } from "../../support/ledger.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** A home that serves with sessions, and what a member elsewhere needs to reach it. */
async function served() {
  const homeKeys = await organisation("home");
  const awayKeys = await organisation("away");
  const genesis = await createGenesis({
    ...{ origin: "history.example/http", nonce: NONCE },
    members: [
      await signDescription(homeKeys, { name: "home", roles: WRITER, for: NONCE }),
      await signDescription(awayKeys, { name: "away", roles: ["custodian"], for: NONCE }),
    ],
  });
  const now = (): number => START;
  const storage = memoryStorage();
  const policy = { labeller: LABELLER };
  const home = await openLedger({ storage, keys: homeKeys, genesis, now, policy });
  closing.push(() => home.close());
  const source = publishHeads({ ledger: home, chains: storage.chains, every: 5 });
  closing.push(() => source.close());
  const handler = ledgerHandler({
    ...{ source, sequencer: home.sequencer, sessions: { did: home.member, now } },
    ...{ requestsPerMinute: 1e6, maxWaiting: { ofCaller: 64, ofAll: 64 } },
  });
  const asked = new Set<string>();
  const statuses: number[] = [];
  const peer = httpPeer({
    ...{ url: "http://home.invalid", did: home.member },
    session: { ledger: home.id, signer: awayKeys.signer(), now },
    async fetch(url, init) {
      const path = new URL(url).pathname.split("/")[1]!;
      asked.add(path);
      const response = await handler(new Request(url, init));
      if (path === "submit") statuses.push(response.status);
      return response;
    },
  });
  const away = { storage: memoryStorage(), keys: awayKeys, genesis, home: peer, now, policy };
  return { home, away, peer, asked, statuses, homeKeys, awayKeys };
}

describe("a member elsewhere, over HTTP with a session", () => {
  it("records through the home that openLedger opened, and both can prove it", async () => {
    const { home, away, asked } = await served();
    const hl: Ledger = await openLedger(away);
    closing.push(() => hl.close());
    const patient = await hl.ensureSubject(MRN);
    const recorded = await Promise.all(
      [1, 2, 3].map((n) => hl.record(patient, observation(`o${n}`))),
    );
    expect(new TextDecoder().decode(await hl.read(recorded[1]!.id))).toBe(observation("o2"));
    await home.chain.refresh();
    expect(await home.verify()).toMatchObject({ ok: true });
    expect(hl.chain.size).toBeLessThanOrEqual(home.chain.size);
    expect(asked).toContain("submit");
    expect(asked).toContain("session");
    // A home does not take what it orders through another, nor from whoever only reads.
    const transaction = await signTransaction(away.keys.signer(), {
      ...{ ledger: home.id, lane: 900, seq: 0, time: START, entries: recordEntries(1) },
    });
    expect(() => hl.sequencer.submit(transaction)).toThrow(/only a home/);
  });

  it("keeps what a frozen home refuses, says why, and does not ask again at once", async () => {
    const { home, away, statuses, homeKeys } = await served();
    const faults: unknown[] = [];
    const hl = await openLedger({
      ...{ ...away, settleWithin: 1500 },
      onFault: ({ error }) => faults.push(error),
    });
    closing.push(() => hl.close());
    const patient = await hl.ensureSubject(MRN);
    const { origin } = home.chain.genesis;
    const { size } = home.chain;
    await home.takeFork(await forgedEvidence(origin, [homeKeys.signer("checkpoint")], size));
    const before = statuses.length;
    faults.length = 0;
    const refused = { code: "ERR_TRANSPORT_REFUSED", name: "PeerForked" };
    await expect(hl.record(patient, observation("o1"))).rejects.toMatchObject({
      ...{ code: "ERR_CHAIN_PENDING", cause: refused },
    });
    expect(statuses.slice(before)).toEqual([409]);
    expect(faults).toMatchObject([refused]);
    expect(await hl.outbox()).toMatchObject([{ error: refused }]);
    expect((await hl.outbox())[0]!.refused).toBeUndefined();
  });

  it("hands nothing in once the home is closed, and is told to come again", async () => {
    const { home, peer, awayKeys } = await served();
    const transaction = await signTransaction(awayKeys.signer(), {
      ...{ ledger: home.id, lane: 900, seq: 0, time: START, entries: recordEntries(1) },
    });
    expect(await peer.submit([transaction])).toMatchObject([{ ok: true }]);
    await home.close();
    await expect(peer.submit([transaction])).rejects.toMatchObject({ code: "ERR_TRANSPORT_BUSY" });
  });
});
