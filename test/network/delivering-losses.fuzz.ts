import { afterEach, expect, it } from "vitest";
import { LedgerError } from "../../src/errors.ts";
import { openLedger, type Ledger } from "../../src/index.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { patient } from "../support/asking.ts";
import { attest, consentAway, delivering, toHome, type Delivering } from "../support/delivering.ts";
import { MRN, treatmentOnly } from "../support/hospital.ts";
import { signerFor } from "../support/ledger.ts";
import { snapshotOf, storageFrom, type Snapshot } from "../support/loss-scene.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const DENY = { id: "root", effect: "deny", combine: "deny-overrides", when: {} } as const;

/** The store without one blob or one row of its state, each in turn. */
function* losses(all: Snapshot): Iterable<Snapshot> {
  for (const lost of all.blobs) yield { ...all, blobs: all.blobs.filter((one) => one !== lost) };
  for (const key of all.state.keys()) {
    yield { ...all, state: new Map([...all.state].filter(([one]) => one !== key)) };
  }
}

/** What is told from a store, or that it is refused. */
async function told<T>(
  open: (storage: FullStorage) => Promise<Ledger>,
  left: Snapshot,
  tell: (hl: Ledger) => Promise<T>,
): Promise<T | "refused"> {
  let hl: Ledger | undefined;
  try {
    hl = await open(await storageFrom(left));
    return await tell(hl);
  } catch (error) {
    if (error instanceof LedgerError) return "refused";
    throw error;
  } finally {
    await hl?.close().catch(() => undefined);
  }
}

const homeOf =
  ({ homeKeys, genesis, clock }: Delivering) =>
  (storage: FullStorage): Promise<Ledger> =>
    openLedger({ storage, keys: homeKeys, genesis, now: () => clock.now, signedHeads: "store" });

it("decides by a held refusal or not at all, whatever the recipient's store has lost", async () => {
  const two = await delivering(closing);
  await two.home.consent(two.me, treatmentOnly(patient), { signer: patient });
  const guardian = signerFor("guardian");
  await attest(two.away, two.there, guardian);
  const { id } = await consentAway(two, { lineage: "denial", root: DENY }, guardian);
  expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
  await attest(two.home, two.me, guardian);
  const requester = two.away.member;
  const decide = async (hl: Ledger) => {
    const me = await hl.findSubject(MRN);
    if (me === undefined) return "nobody";
    const { records } = await hl.decide(me, { requester, purposes: ["TREAT"] });
    return records.map(({ decision }) => decision.outcome).join();
  };
  const all = await snapshotOf(two.homeStorage as FullStorage);
  expect(await told(homeOf(two), all, decide)).toBe("deny");
  const outcomes = new Set<string>();
  for (const left of losses(all)) outcomes.add(await told(homeOf(two), left, decide));
  expect(outcomes).toEqual(new Set(["deny", "refused"]));
});

it("forgets no delivery, whatever the sender's store has lost", async () => {
  const two = await delivering(closing);
  const first = await consentAway(two, { lineage: "another" });
  await two.away.deliver(first.id, toHome(two));
  two.wire.ask = () => {
    throw new Error("not reached");
  };
  const second = await consentAway(two);
  await two.away.deliver(second.id, toHome(two)).catch(() => undefined);
  const tell = async (hl: Ledger) =>
    (await hl.deliveries()).map(({ consent, status }) => `${consent} ${status}`).join();
  const whole = `${first.id} filed,${second.id} queued`;
  expect(await tell(two.away)).toBe(whole);
  await two.away.close();
  const all = await snapshotOf(two.awayStorage as FullStorage);
  const open = (storage: FullStorage) => two.open({ storage, signedHeads: "store" });
  expect(await told(open, all, tell)).toBe(whole);
  const outcomes = new Set<string>();
  for (const left of losses(all)) outcomes.add(await told(open, left, tell));
  expect(outcomes).toEqual(new Set([whole, "refused"]));
});
