import { afterEach, describe, expect, it } from "vitest";
import { signDescription } from "../../src/chain/description.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import type { EntryId } from "../../src/codec/ids.ts";
import type { Delivery } from "../../src/ledger/disclosure/delivering.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { sleep } from "../../src/storage/sleep.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import { patient } from "../support/asking.ts";
import { away as AWAY, twoHospitals } from "../support/elsewhere.ts";
import { NONCE, organisation, WRITER } from "../support/founders.ts";
import { LABELLER, MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { attest } from "../support/delivering.ts";
import { revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Three custodians: `away`, `home` and `third`, each of which knows the person; the last has a record. */
async function three() {
  const thirdKeys = await organisation("third");
  const all = [
    ["home", WRITER],
    ["away", AWAY],
    ["third", AWAY],
  ] as const;
  const members = await Promise.all(
    all.map(async ([name, roles]) =>
      signDescription(await organisation(name), { name, roles, for: NONCE }),
    ),
  );
  const ledgers = new Map<string, Ledger>();
  const to = (did: string): CustodianPeer => ({
    did,
    async *ask(sealed) {
      yield* await ledgers.get(did)!.answerAsk(sealed);
    },
  });
  const did = async (name: string) => (await organisation(name)).signer().actor;
  const custodians = [to(await did("home")), to(await did("third"))];
  const two = await twoHospitals({ genesis: { members }, home: { custodians } });
  closing.push(() => two.close());
  const away = await two.open({ custodians });
  closing.push(() => away.close());
  const third = await openLedger({
    ...{ storage: memoryStorage(), keys: thirdKeys, genesis: two.genesis, home: two.peer },
    ...{ now: () => two.clock.now, settleWithin: 60_000, policy: { labeller: LABELLER } },
    sleep: (ms, signal) => sleep(ms / 20, signal),
  });
  closing.push(() => third.close());
  const { home } = two;
  for (const hl of [home, away, third]) ledgers.set(hl.member, hl);
  const subjects = new Map<Ledger, Awaited<ReturnType<Ledger["ensureSubject"]>>>();
  for (const hl of [home, away, third]) {
    const subject = await hl.ensureSubject(MRN);
    await attest(hl, subject);
    subjects.set(hl, subject);
  }
  await third.record(subjects.get(third)!, observation("bp-1"));
  /** Delivers until the recipient's entry is proved: its block may not be under a checkpoint yet. */
  async function filed(deliver: () => Promise<readonly Delivery[]>): Promise<EntryId> {
    for (;;) {
      const [there] = await deliver();
      if (there!.status === "filed") return there!.entry!;
      expect(there).toMatchObject({ status: "queued", error: { code: "ERR_CHAIN_BUSY" } });
      await two.source.look();
    }
  }
  return {
    ...{ home, away, third },
    file: (directive: Directive) =>
      away.consent(subjects.get(away)!, directive, { signer: patient }),
    async asked(purpose: string): Promise<string> {
      const what = { patient: MRN, purposes: [purpose] };
      const answer = await away.ask(third.member, what, { peer: to(third.member) });
      return `${answer.decision.outcome} ${answer.count}`;
    },
    /** From `away` to `home`, and from there to `third`. */
    async onward(id: Awaited<ReturnType<Ledger["consent"]>>["id"]): Promise<void> {
      const there = await filed(() => away.deliver(id, { to: [home.member] }));
      await filed(() => home.deliver(there, { to: [third.member] }));
    },
  };
}

const DENY = { id: "none", effect: "deny", combine: "deny-overrides", when: {} } as const;
const ALL = { id: "all", effect: "permit", combine: "deny-overrides", when: {} } as const;

describe("a directive that is delivered on by who got it", () => {
  it("narrows there what went the same way, though it names an entry that is known by another name", async () => {
    const all = await three();
    const first = await all.file(treatmentOnly(patient));
    await all.onward(first.id);
    expect(await all.asked("TREAT")).toBe("permit 1");
    const narrower = await all.file(
      treatmentOnly(patient, { root: DENY, predecessors: [first.id] }),
    );
    await all.onward(narrower.id);
    expect(await all.asked("TREAT")).toBe("deny 0");
  });

  it("widens nothing there, before it comes from who filed what it names", async () => {
    const all = await three();
    const first = await all.file(treatmentOnly(patient));
    await all.onward(first.id);
    const wider = await all.file(treatmentOnly(patient, { root: ALL, predecessors: [first.id] }));
    await all.onward(wider.id);
    expect(await all.asked("HRESCH")).toBe("deny 0");
    const told = await all.away.deliver(wider.id, { to: [all.third.member] });
    expect(told).toMatchObject([{ status: "filed" }]);
    expect(await all.asked("HRESCH")).toBe("permit 1");
    expect(await all.asked("TREAT")).toBe("permit 1");
  });

  it("is withdrawn there by what went the same way", async () => {
    const all = await three();
    const first = await all.file(treatmentOnly(patient));
    await all.onward(first.id);
    await all.onward((await all.file(revoking(patient, { predecessors: [first.id] }))).id);
    expect(await all.asked("TREAT")).toBe("deny 0");
  });
});
