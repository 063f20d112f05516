import { expect } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { copyLedger } from "../../src/chain/copy-ledger.ts";
import { TransportError } from "../../src/errors.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { codeOf, emptied, twoHospitals, type TwoHospitals } from "./elsewhere.ts";
import { LABELLER, MRN, observation } from "./hospital.ts";
import { peerOf } from "./network.ts";

const INVALID = "ERR_CHAIN_INVALID";

/** Appends what somebody with access to the database might: past every check, at the end of the blocks. */
export async function appendForeign(
  { chains }: FullStorage,
  genesis: Uint8Array,
  record?: Uint8Array,
): Promise<number> {
  const name = blocksChain(ledgerId(genesis));
  const head = await chains.head(name);
  let last = new Uint8Array();
  for await (const one of chains.read(name, { from: head.size - 1 })) last = one.record.slice();
  // By default the last block once more: whole, signed, and in the wrong place.
  await chains.append(name, head, [record ?? last]);
  return head.size;
}

/** Opens the home on a store, with what serves it to the member elsewhere. */
async function openHome(two: TwoHospitals, storage: FullStorage): Promise<Ledger> {
  const home = await openLedger({
    ...{ storage, keys: two.homeKeys, genesis: two.genesis, now: () => two.clock.now },
    policy: { labeller: LABELLER },
  });
  const source = publishHeads({ ledger: home, chains: storage.chains, every: 5 });
  const { sequencer } = home;
  const real = peerOf(source, { sequencer, authorize: () => true, requestsPerMinute: 1e6 });
  const { peer } = two;
  const unlessDown = (call: () => Promise<unknown>) => {
    if (peer.isDown) throw new TransportError("ERR_TRANSPORT_FAILED", "down");
    return call();
  };
  Object.assign(peer, real, {
    checkpoint: async (...given: Parameters<LedgerPeer["checkpoint"]>) =>
      unlessDown(() => real.checkpoint(...given)),
    submit: async (...given: Parameters<LedgerPeer["submit"]>) =>
      unlessDown(() => real.submit(...given)),
    isDown: false,
  });
  Object.assign(two, { source, home });
  return home;
}

/** Everything that reads the store of an open ledger, in this process or another, names the record. */
async function assertAllStop(
  two: TwoHospitals,
  open: Ledger,
  { storage, at, known }: { storage: FullStorage; at: number; known: string },
): Promise<void> {
  const named = { code: INVALID, message: expect.stringContaining(`block ${at} `) };
  const me = await open.ensureSubject(MRN).catch((error: unknown) => error);
  expect(me).toMatchObject(named);
  await expect(open.read(known as never)).rejects.toMatchObject(named);
  await expect(open.chain.refresh()).rejects.toMatchObject(named);
  expect(await open.verify()).toMatchObject({ ok: false, height: at });
  const { genesis } = two;
  const own = { storage, genesis, keys: two.homeKeys, policy: { labeller: LABELLER } };
  await expect(openLedger(own)).rejects.toMatchObject(named);
  await expect(openLedger({ ...own, readOnly: true })).rejects.toMatchObject(named);
  await expect(openLedger({ ...own, peers: [two.peer] })).rejects.toMatchObject(named);
  await expect(openReplica({ storage, genesis, peers: [two.peer] })).rejects.toMatchObject(named);
}

/**
 * A foreign record is appended to the home's store, and then to a copy's: all that read it stop and name it, and
 * after the steps of the guide both record again and nothing that was acknowledged is lost.
 *
 * @param store - makes an empty store
 */
export async function surviveForeignRecords(store: () => Promise<FullStorage>): Promise<void> {
  const [homeStorage, awayStorage] = [await store(), await store()];
  const two = await twoHospitals({ homeStorage, awayStorage });
  const { genesis } = two;
  const away = await two.open();
  const theirs = await away.record(await away.ensureSubject(MRN), observation("away-1"));
  const mine = await two.home.record(await two.home.ensureSubject(MRN), observation("home-1"));
  await two.source.look();

  // The home.
  const old = two.home;
  const garbage = crypto.getRandomValues(new Uint8Array(200));
  const at = await appendForeign(homeStorage, genesis, garbage);
  await assertAllStop(two, old, { storage: homeStorage, at, known: mine.id });
  await expect(two.source.look()).rejects.toMatchObject({ code: INVALID });
  two.peer.isDown = true;
  const me = await away.ensureSubject(MRN);
  // Kept until the home is back.
  expect(await codeOf(away.record(me, observation("away-2")))).toBe("ERR_CHAIN_PENDING");
  const checkpoint = two.source.newest!.note;
  await two.close();
  const home2 = await store();
  const wrong = copyLedger(homeStorage, home2, { genesis, checkpoint, until: at - 1 });
  expect(await codeOf(wrong)).toBe("ERR_INPUT_INVALID");
  await copyLedger(homeStorage, home2, { genesis, checkpoint, until: at });
  const home = await openHome(two, home2);
  expect(home.chain.size).toBe(at);
  expect(new TextDecoder().decode(await home.read(mine.id))).toBe(observation("home-1"));
  await emptied(two, away);
  await home.record(await home.ensureSubject(MRN), observation("home-2"));

  // The copy, with something in its outbox.
  two.peer.isDown = true;
  expect(await codeOf(away.record(me, observation("away-3")))).toBe("ERR_CHAIN_PENDING");
  const known = (await away.outbox()).length;
  const beyond = await appendForeign(awayStorage, genesis);
  await assertAllStop(two, away, { storage: awayStorage, at: beyond, known: theirs.id });
  await away.close();
  expect(await codeOf(two.open())).toBe(INVALID);
  const away2 = await store();
  await copyLedger(awayStorage, away2, { genesis, until: beyond });
  two.peer.isDown = false;
  const again = await two.open({ storage: away2 });
  expect(known).toBe(1);
  await emptied(two, again);
  await again.record(await again.ensureSubject(MRN), observation("away-4"));
  expect(await again.records(await again.ensureSubject(MRN))).toHaveLength(4);
  expect(new TextDecoder().decode(await again.read(theirs.id))).toBe(observation("away-1"));
  for (const one of [home, again]) expect(await one.verify()).toMatchObject({ ok: true });
  await again.chain.refresh();
  expect(home.chain.size).toBe(again.chain.size);
  await again.close();
  await two.close();
}
