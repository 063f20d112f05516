import { describe, expect, it, vi } from "vitest";
import { decodeTransaction } from "../../../src/block/transaction.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { decodeReceipt } from "../../../src/chain/receipt.ts";
import { effort } from "../../support/effort.ts";
import { alcoholDependence, MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { seeded } from "../../envelope/parties.ts";
import { opened, ward } from "../../support/ward.ts";
import type * as decoys from "../../../src/ledger/entries/decoys.ts";
import { memorySigner } from "../../../src/identity/signer.ts";

const REQUESTS = effort("HEALTHLEDGER_DECOY_REQUESTS", { full: 2000, short: 400 });

const filing = vi.hoisted(() => ({ decoys: true }));
vi.mock("../../../src/ledger/entries/decoys.ts", async (original) => {
  const real = await original<typeof decoys>();
  const withDecoys: typeof real.withDecoys = (context, entries) =>
    filing.decoys ? real.withDecoys(context, entries) : real.inOrder(entries);
  return { ...real, withDecoys };
});

/** Treatment is permitted of everybody, except what is about dependence. */
const HOUSE = treatmentOnly(memorySigner({ alg: "Ed25519", secret: bytesFor("house") }), {
  lineage: "house",
  default: "none",
});

/** Numbers that the requester knows of one answer. */
type Seen = Readonly<Record<string, number>>;

interface Case {
  readonly withheld: number;
  readonly seen: Seen;
}

/**
 * Files a bundle for each of many persons, and asks about each. How many records are released says nothing of how
 * many are withheld.
 */
async function answers(counts: readonly number[]): Promise<readonly Case[]> {
  const random = seeded(`decoys ${filing.decoys}`);
  const w = await ward({ random, policy: { defaults: [HOUSE] } });
  const cases: Case[] = [];
  for (const [i, withheld] of counts.entries()) {
    const number = { ...MRN, value: `MRN-${i + 100_000}` };
    const texts = Array.from({ length: 2 + (random(1)[0]! % 6) }, (_, n) => observation(`o${n}`));
    for (let n = 0; n < withheld; n++) {
      texts.splice(random(1)[0]! % (texts.length + 1), 0, alcoholDependence(`c${n}`));
    }
    const entry = texts.map((text) => ({ resource: JSON.parse(text) as { resourceType: string } }));
    const bundle = { resourceType: "Bundle", type: "collection", entry };
    await w.hl.recordBundle(await w.hl.ensureSubject(number), bundle);
    const answer = await w.ask(w.b, { patient: number });
    const items = await opened(answer);
    expect(items).toHaveLength(texts.length - withheld);
    const receipts = items.map(({ receipt }) => decodeReceipt(receipt));
    const { count } = decodeTransaction(receipts[0]!.tx);
    const at = receipts.map(({ entryIndex }) => entryIndex).sort((a, b) => a - b);
    const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);
    cases.push({
      withheld,
      seen: {
        "entries not shown": count - items.length,
        "entries of the transaction": count,
        "share of entries shown": -items.length / count,
        "first position": at[0]!,
        "positions behind the last": count - 1 - at.at(-1)!,
        "widest gap": Math.max(...at.slice(1).map((place, n) => place - at[n]!)),
        "mean position": sum(at) / at.length / count,
        "records released": items.length,
        "bytes released": sum(items.map(({ text }) => text!.length)),
        "bytes of receipts": sum(items.map(({ receipt }) => receipt.length)) / items.length,
      },
    });
  }
  await w.hl.close();
  return cases;
}

/** Chance that one of the first has a higher score than one of the others; equal ones count half. */
function aucOf(some: readonly number[], others: readonly number[]): number {
  let wins = 0;
  for (const one of some) {
    for (const other of others) wins += one > other ? 1 : one === other ? 0.5 : 0;
  }
  return wins / (some.length * others.length);
}

const average = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;

/** A score of everything seen, with weights learned from other answers whose truth is known. */
function learned(known: readonly Case[]): (seen: Seen) => number {
  const weights = Object.keys(known[0]!.seen).map((name) => {
    const of = (isWithheld: boolean): number[] =>
      known.filter((one) => one.withheld > 0 === isWithheld).map(({ seen }) => seen[name]!);
    const [hidden, complete] = [of(true), of(false)];
    const middle = average([...hidden, ...complete]);
    const variance = average([...hidden, ...complete].map((value) => (value - middle) ** 2));
    return [name, (average(hidden) - average(complete)) / (variance || 1)] as const;
  });
  return (seen) => weights.reduce((sum, [name, weight]) => sum + weight * seen[name]!, 0);
}

/** What an attacker reaches by each number that is seen, whichever way it points, and by all together. */
function attack(cases: readonly Case[]): ReadonlyMap<string, number> {
  const scores = new Map<string, (seen: Seen) => number>();
  for (const name of Object.keys(cases[0]!.seen)) scores.set(name, (seen) => seen[name]!);
  const judged = (score: (seen: Seen) => number, some: readonly Case[]): number => {
    const of = (isWithheld: boolean): number[] =>
      some.filter((one) => one.withheld > 0 === isWithheld).map(({ seen }) => score(seen));
    return aucOf(of(true), of(false));
  };
  const reached = new Map<string, number>();
  for (const [name, score] of scores) {
    const auc = judged(score, cases);
    reached.set(name, Math.max(auc, 1 - auc));
  }
  const [train, test] = [0, 1].map((odd) => cases.filter((_, i) => i % 2 === odd));
  reached.set("all together, learned", judged(learned(train!), test!));
  return reached;
}

/** Half ones and half zeros, in no order: receipts grow with the ledger, in steps. */
function halves(count: number): number[] {
  const random = seeded("halves");
  const drawn = Array.from({ length: count }, (_, i) => ({ at: toHex(random(4)), one: i % 2 }));
  return drawn.sort((a, b) => (a.at < b.at ? -1 : 1)).map(({ one }) => one);
}

const shown = (auc: number): string => auc.toFixed(3);

describe(`${REQUESTS} answers, half of them with one record withheld`, () => {
  it("do not tell which, beyond the bound of the decoys", async () => {
    filing.decoys = true;
    const reached = attack(await answers(halves(REQUESTS)));
    console.log(Object.fromEntries([...reached].map(([name, auc]) => [name, shown(auc)])));
    // Three standard errors above 0.5625 where there are fewer answers.
    const bound = REQUESTS < 2000 ? 0.5625 + (3 * 0.29) / Math.sqrt(REQUESTS / 2) : 0.6;
    for (const [name, auc] of reached) expect(auc, name).toBeLessThanOrEqual(bound);
    // The attack is one: it reaches what the numbers of decoys leave.
    expect(reached.get("entries not shown")).toBeGreaterThan(0.51);
  });

  it("tell without decoys", async () => {
    filing.decoys = false;
    const reached = attack(await answers(halves(Math.min(REQUESTS, 200))));
    expect(reached.get("entries not shown")).toBe(1);
    expect(reached.get("all together, learned")).toBeGreaterThan(0.9);
  });

  it.each([
    [2, 0.6172],
    [4, 0.7069],
    [8, 0.8282],
  ])("tell more where %i are withheld, which is reported", async (withheld, expected) => {
    filing.decoys = true;
    const count = REQUESTS / 4;
    const cases = await answers(halves(count).map((odd) => odd * withheld));
    const auc = attack(cases).get("entries not shown")!;
    console.log(`${withheld} withheld: ${shown(auc)}, expected ${expected}`);
    expect(Math.abs(auc - expected)).toBeLessThan((4 * 0.29) / Math.sqrt(count / 2));
  });
});
