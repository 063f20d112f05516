import { afterEach, describe, expect, it } from "vitest";
import type { ResourceLabels } from "../../../src/consent/model/resource.ts";
import { sleep } from "../../../src/storage/sleep.ts";
import { back, cutOff, DENIAL, MINUTE, patient, SWITCHED_ON } from "../../support/cut-off.ts";
import { codeOf, until } from "../../support/elsewhere.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { readable, texts } from "../../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const PENDING = "ERR_CHAIN_PENDING";
const NEVER = treatmentOnly(patient, {
  ...{ lineage: "later", root: { ...DENIAL, breakGlass: "never" } },
});
const RESTRICTED: ResourceLabels = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "R" }],
  stamp: { labeller: "the record office", version: "1" },
};

/** Cut off, with one record that the ledger has. */
async function withRecord() {
  const two = await cutOff(closing);
  const [current] = await two.away.records(two.patientHere);
  return { ...two, id: current!.record };
}

/** Writes something that stays in the outbox. */
async function keep(
  { away, ...two }: Awaited<ReturnType<typeof cutOff>>,
  work: () => Promise<unknown>,
) {
  const before = (await away.outbox()).length;
  const filing = codeOf(work());
  await until(two, async () => (await away.outbox()).length === before + 1);
  expect(await filing).toBe(PENDING);
}

describe("a record that this member has ended in its outbox", () => {
  it.each<[string, (two: Awaited<ReturnType<typeof withRecord>>) => (() => Promise<unknown>)[]]>([
    ["is retracted", ({ away, id }) => [() => away.retract(id, "of another patient")]],
    [
      "is retracted behind a correction",
      ({ away, id }) => [
        () => away.amend(id, observation("bp-away")),
        () => away.retract(id, "of another patient"),
      ],
    ],
    ["has other labels", ({ away, id }) => [() => away.relabel(id, RESTRICTED)]],
  ])("is not released in an emergency: it %s", async (_, writes) => {
    const two = await withRecord();
    const all = writes(two);
    for (const write of all) await keep(two, write);
    expect(await codeOf(two.away.disclose(await two.request()))).toBe(PENDING);
    // Nobody was answered, and nothing says so.
    expect(await two.away.outbox()).toHaveLength(all.length);
    await back(two, two.away);
  });

  it("keeps no other record closed", async () => {
    const two = await withRecord();
    await keep(two, () => two.away.retract(two.id, "of another patient"));
    const none = await two.request({ query: { types: ["Condition"] } });
    expect(await two.away.disclose(none)).toMatchObject({ ok: true, answer: { items: [] } });
  });

  it("is not ended by a new record or a correction of another", async () => {
    const two = await withRecord();
    await keep(two, () => two.away.record(two.patientHere, observation("new")));
    await keep(two, () => two.away.amend(two.id, observation("bp-away")));
    expect(await texts(await two.ask())).toEqual([observation("bp-away")]);
  });
});

describe("an emergency that is refused after its access was kept", () => {
  it("is not shown as one that released something, and releases nothing later", async () => {
    let taken = (): void => undefined;
    const isTaken = new Promise<void>((resolve) => (taken = resolve));
    const two = await cutOff(closing, {
      ...SWITCHED_ON,
      // The five seconds for which it waits for the home.
      sleep: (ms, signal) => (ms === 5000 ? isTaken : sleep(ms / 20, signal)),
    });
    const { away, patientHere } = two;
    two.clock.now -= 5 * MINUTE;
    const bytes = await two.request();
    const answer = codeOf(away.disclose(bytes));
    await until(two, async () => (await away.outbox()).length === 1);
    const filing = codeOf(away.consent(patientHere, NEVER, { signer: patient }));
    await until(two, async () => (await away.outbox()).length === 2);
    taken();
    expect(await answer).toBe(PENDING);
    await filing;
    const shown = { requester: two.home.member, records: [{ released: false }] };
    expect(await readable(away.audit(patientHere))).toMatchObject([shown]);
    await back(two, away);
    expect(await readable(away.audit(patientHere))).toMatchObject([shown]);
    expect(await away.disclose(bytes)).toEqual({ ok: false, reason: "replayed" });
  });
});
