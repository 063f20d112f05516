import { describe, expect, it } from "vitest";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { MRN } from "../support/hospital.ts";
import { opened, readable, ward } from "../support/ward.ts";
import { manyObservations } from "./disclosure/crash-child.ts";

/** Counts the records that are read from chains. */
function counted(inner: FullStorage): { storage: FullStorage; reads: { count: number } } {
  const reads = { count: 0 };
  const storage: FullStorage = {
    ...inner,
    chains: {
      ...inner.chains,
      async *read(chain, options) {
        for await (const item of inner.chains.read(chain, options)) {
          reads.count++;
          yield item;
        }
      },
    },
  };
  return { storage, reads };
}

describe("a patient with thousands of records", () => {
  it("is asked about and opened with reads that grow with what is asked for", async () => {
    const { storage, reads } = counted(memoryStorage());
    const w = await ward({ inner: storage });
    await w.permit({
      root: { id: "all", effect: "permit", combine: "deny-overrides", when: {} },
    });
    for (let at = 0; at < 2000; at += 500) {
      await w.hl.recordBundle(w.me, manyObservations(at, 500));
    }
    expect(await w.hl.records(w.me)).toHaveLength(2001); // and the patient once
    const ids = Array.from({ length: 500 }, (_, i) => `Observation/o-${i * 4}`);
    const answer = await w.ask(w.b, { query: { ids } });
    expect(answer.count).toBe(500);
    reads.count = 0;
    const items = await opened(answer);
    expect(items).toHaveLength(500);
    // A few reads a block, none an item.
    expect(reads.count).toBeLessThan(60);
    const trust = trustFromGenesis(w.genesis);
    for (const { receipt } of [items[0]!, items[250]!, items[499]!]) {
      expect(verifyReceipt(receipt, trust)).toMatchObject({ ok: true });
    }
    const [access] = await readable(w.hl.audit(w.me));
    expect(access!.records).toHaveLength(500);
    await w.hl.close();
    reads.count = 0;
    const again = await w.open({ storage });
    expect(await again.records(await again.ensureSubject(MRN))).toHaveLength(2001);
    expect(reads.count).toBeLessThan(10);
  });
});
