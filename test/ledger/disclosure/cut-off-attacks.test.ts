import { afterEach, describe, expect, it } from "vitest";
import { back, cutOff, DENIAL, MINUTE, patient, SWITCHED_ON } from "../../support/cut-off.ts";
import { codeOf, until } from "../../support/elsewhere.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { collect, readable, texts } from "../../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const PENDING = "ERR_CHAIN_PENDING";
const OTHER = { ...MRN, value: "MRN-2" };
const NEVER = treatmentOnly(patient, {
  ...{ lineage: "later", root: { ...DENIAL, breakGlass: "never" } },
});

type CutOff = Awaited<ReturnType<typeof cutOff>>;

/** The same with a second person, who is the first one, too. */
async function joined() {
  const two = await cutOff(closing);
  const { away, peer, clock } = two;
  peer.isDown = false;
  const other = await away.ensureSubject(OTHER);
  await away.record(other, observation("bp-other"));
  await away.merge(other, two.patientHere, { reason: "same papers" });
  peer.isDown = true;
  clock.now += 5 * MINUTE;
  return { ...two, other };
}

/** Writes something that stays in the outbox. */
async function keep({ away, ...two }: CutOff, work: () => Promise<unknown>): Promise<void> {
  const before = (await away.outbox()).length;
  const filing = codeOf(work());
  await until(two, async () => (await away.outbox()).length === before + 1);
  expect(await filing).toBe(PENDING);
}

describe("an emergency about a person with two names, while cut off", () => {
  it("releases both one's records, and shows the same two accesses before and after they are recorded", async () => {
    const two = await joined();
    const { away, other, patientHere } = two;
    const answer = await two.ask();
    expect((await texts(answer)).sort()).toEqual([observation("bp-away"), observation("bp-other")]);
    expect(answer.pending!.entries).toHaveLength(2);
    const audits = async () => [
      (await readable(away.audit(patientHere))).map(({ id }) => id),
      (await readable(away.audit(other))).map(({ id }) => id),
    ];
    const kept = await audits();
    await back(two, away);
    expect(kept).toEqual(await audits());
    expect(kept.map((ids) => ids.length)).toEqual([2, 2]);
  });

  it("heeds a refusal in the outbox that is filed under the other name", async () => {
    const two = await joined();
    const { away, other } = two;
    await keep(two, () => away.consent(other, NEVER, { signer: patient }));
    expect(await codeOf(away.disclose(await two.request()))).toBe(PENDING);
    expect(await away.outbox()).toHaveLength(1);
  });

  it("heeds a merge in the outbox, by which a refusal is about the person too", async () => {
    const two = await cutOff(closing);
    const { away, peer, clock } = two;
    peer.isDown = false;
    const other = await away.ensureSubject(OTHER);
    peer.isDown = true;
    clock.now += 5 * MINUTE;
    await keep(two, () => away.merge(other, two.patientHere, { reason: "same papers" }));
    for (const name of [MRN, OTHER]) {
      const request = await two.request({ patient: name });
      expect(await codeOf(away.disclose(request))).toBe(PENDING);
    }
  });
});

describe("an emergency by an alias, while cut off", () => {
  async function agreed() {
    const two = await cutOff(closing);
    const { away, home, peer, clock } = two;
    peer.isDown = false;
    const own = { with: home.member };
    const alias = await away.alias(two.patientHere, own);
    peer.isDown = true;
    clock.now += 5 * MINUTE;
    return { ...two, own, alias };
  }

  it("finds the person by it, and heeds what waits about them", async () => {
    const two = await agreed();
    const { away, alias, patientHere } = two;
    expect(await texts(await two.ask({ patient: alias }))).toEqual([observation("bp-away")]);
    await keep(two, () => away.consent(patientHere, NEVER, { signer: patient }));
    expect(await codeOf(away.disclose(await two.request({ patient: alias })))).toBe(PENDING);
  });

  it("heeds its end in the outbox", async () => {
    const two = await agreed();
    const { away, alias, own } = two;
    await keep(two, () => away.withdrawAlias(alias, own));
    expect(await codeOf(away.disclose(await two.request({ patient: alias })))).toBe(PENDING);
    await back(two, away);
    expect(await away.disclose(await two.request({ patient: alias }))).toMatchObject({
      ...{ ok: true, answer: { items: [] } },
    });
  });
});

describe("an emergency that the ledger refuses for good", () => {
  it("is under review after a start, too, whatever the option says then", async () => {
    const two = await cutOff(closing);
    const { away, peer } = two;
    const { access } = await two.ask();
    peer.before = (all) => all.map(() => ({ ok: false as const, reason: "not-a-member" }));
    peer.isDown = false;
    await until(two, async () => (await away.outbox())[0]?.refused !== undefined);
    await away.close();
    for (const options of [SWITCHED_ON, {}]) {
      const again = await two.open(options);
      const shown = { id: access, pending: true, refused: "not-a-member" };
      expect(await readable(again.pendingReviews())).toMatchObject([shown]);
      expect(await readable(again.audit(two.patientHere))).toMatchObject([shown]);
      const [refused] = await again.outbox();
      expect(await codeOf(again.dismissRefused(refused!.id))).toBe("ERR_INPUT_INVALID");
      await again.close();
    }
    peer.before = () => undefined;
    const again = await two.open();
    closing.push(() => again.close());
    await again.markReviewed(access);
    expect(await collect(again.pendingReviews())).toEqual([]);
    await again.dismissRefused((await again.outbox())[0]!.id);
    expect(await again.outbox()).toEqual([]);
  });
});
