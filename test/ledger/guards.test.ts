import { describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { randomBytes } from "#crypto";
import type { Rule } from "../../src/consent/model/model.ts";
import { openCatalogue } from "../../src/ledger/entries/catalogue.ts";
import { consentReader } from "../../src/ledger/consents/read-consents.ts";
import type { LedgerContext } from "../../src/ledger/context.ts";
import { openAnswer } from "../../src/ledger/disclosure/answer.ts";
import type { OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { memoryOf } from "../../src/identity/signed-heads.ts";
import { openVault } from "../../src/ledger/vault/vault.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { observation, treatmentOnly } from "../support/hospital.ts";
import { collect, opened, ward, type Ward } from "../support/ward.ts";
import { stride } from "../support/share.ts";

const permitAll = (change: Partial<Rule> = {}): Rule => ({
  id: "root",
  effect: "permit",
  combine: "deny-overrides",
  when: {},
  ...change,
});

describe("verifyBlobs", () => {
  it("names every blob of which one bit is wrong, and no other", async () => {
    const inner = memoryStorage();
    let wrong: { readonly name: string; readonly at: number } | undefined;
    const storage: FullStorage = {
      ...inner,
      blobs: {
        ...inner.blobs,
        async get(cid) {
          const bytes = await inner.blobs.get(cid);
          if (bytes === undefined || `${cid}` !== wrong?.name) return bytes;
          const copy = bytes.slice();
          copy[wrong.at >> 3]! ^= 1 << (wrong.at & 7);
          return copy;
        },
      },
    };
    const w = await ward({ inner: storage });
    await w.hl.record(w.me, observation("bp-1"));
    const names = await collect(inner.blobs.list());
    const checked = names.length;
    expect(await w.hl.verifyBlobs()).toEqual({ checked, damaged: [], missing: [] });
    for (const cid of names) {
      const bytes = (await inner.blobs.get(cid))!;
      await inner.blobs.delete([cid]);
      const report = await w.hl.verifyBlobs();
      expect([report.missing.map(String), report.damaged]).toEqual([[`${cid}`], []]);
      await inner.blobs.put([{ cid, bytes }]);
    }
    let bits = 0;
    const every = stride(9);
    for (const cid of await collect(inner.blobs.list())) {
      const { length } = (await inner.blobs.get(cid))!;
      // Ciphertext is mostly padding: every bit of a header, and some of each part.
      for (let at = 0; at < length * 8; at += (length > 3000 ? 61 : 1) * every) {
        wrong = { name: `${cid}`, at };
        const { damaged } = await w.hl.verifyBlobs();
        if (damaged.length !== 1 || `${damaged[0]}` !== wrong.name) expect(wrong).toBe(damaged);
        bits++;
      }
    }
    expect(bits).toBeGreaterThan(5000 / every);
  });
});

describe("breaking the glass", () => {
  const privileged: Partial<OpenLedgerOptions> = {
    breakGlass: { roles: ["emergency-physician"], maxDuration: 60_000 },
  };

  async function broken(w: Ward, attestedBy: string, lasting = 60_000): Promise<number> {
    const answer = await w.ask(w.b, {
      purposes: ["BTG"],
      roles: [{ code: "emergency-physician", attestedBy }],
      declaration: { reason: "unconscious", until: w.clock.now + lasting },
    });
    return answer.count;
  }

  it("opens for no longer than the custodian allows", async () => {
    const w = await ward(privileged);
    await w.hl.record(w.me, observation("bp-1"));
    expect(await broken(w, w.b.signer.actor)).toBe(1);
    expect(await broken(w, w.b.signer.actor, 60_001)).toBe(0);
    expect(await broken(w, w.b.signer.actor, 0)).toBe(0);
  });

  it("opens for no role that another member attests, and the audit does not list it", async () => {
    const w = await ward(privileged);
    await w.hl.record(w.me, observation("bp-1"));
    expect(await broken(w, w.c.signer.actor)).toBe(0);
    expect((await w.audit())[0]!.roles).toEqual([]);
    expect(await broken(w, w.b.signer.actor)).toBe(1);
    expect((await w.audit())[1]!.roles).toEqual(["emergency-physician"]);
  });

  it("opens nothing where a rule says never", async () => {
    for (const [breakGlass, count] of [
      ["allowed", 1],
      ["never", 0],
    ] as const) {
      const w = await ward(privileged);
      await w.hl.record(w.me, observation("bp-1"));
      await w.permit({ root: permitAll({ effect: "deny", breakGlass }) });
      expect(await broken(w, w.b.signer.actor)).toBe(count);
    }
  });
});

describe("disclose", () => {
  it("binds the requester to the duties of both decisions", async () => {
    const w = await ward({ policy: { supportedObligations: ["A", "B"] } });
    await w.hl.record(w.me, observation("bp-1"));
    const first = await w.permit({ root: permitAll({ obligations: ["A"], refrains: ["R"] }) });
    const other = await w.again();
    w.traps.before = async () => {
      const root = permitAll({ obligations: ["B"] });
      const directive = treatmentOnly(w.patient, { predecessors: [first], root });
      await other.consent(w.me, directive, { signer: w.patient });
    };
    const { count, decision } = await w.ask();
    expect(count).toBe(1);
    expect(decision).toMatchObject({ obligations: ["A", "B"], refrains: ["R"] });
  });
});

describe("consentReader", () => {
  it("orders directives of one block by transaction and entry", async () => {
    const w = await ward();
    const first = await w.permit();
    await w.permit({ predecessors: [first] });
    const { ledger } = w.hl.chain;
    const signer = w.hospitalA.signer();
    const storage = w.storage as FullStorage;
    const keys = w.hospitalA;
    const vault = await openVault({
      hasFiled: async () => false,
      ...{ storage, keys, ledger, random: randomBytes },
      actor: signer.actor,
    });
    const chain = await openChain({ storage, genesis: w.genesis });
    const context: LedgerContext = {
      ...{ chain, storage, vault, keys, signer, random: randomBytes },
      memory: memoryOf("store", ledger),
      now: () => w.clock.now,
      suite: "chacha",
      padding: "stepped",
      auditors: [],
    };
    const catalogue = openCatalogue(context, {
      carryOut: async () => undefined,
      assertCarriedOut: () => undefined,
    });
    await catalogue.catchUp();
    const [, link, one, two] = await catalogue.itemsOf(w.me.local);
    const { height } = one!.place;
    const read = consentReader(context, catalogue);
    for (const [a, b] of [
      [
        { transaction: 0, entry: 9_999 },
        { transaction: 1, entry: 0 },
      ],
      [
        { transaction: 3, entry: 1 },
        { transaction: 3, entry: 2 },
      ],
    ] as const) {
      const { directives } = await read(
        [link!, { ...one!, place: { height, ...a } }, { ...two!, place: { height, ...b } }],
        height,
      );
      const [earlier, later] = directives.map(({ place }) => place);
      expect([earlier!.height, later!.height]).toEqual([height, height]);
      expect(earlier!.index).toBeLessThan(later!.index);
    }
  });
});

describe("openAnswer", () => {
  it("takes a copy of the entry by another author for none of the custodian's", async () => {
    const w = await ward();
    await w.permit();
    const { place } = await w.hl.record(w.me, observation("bp-1"));
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const { block } = await w.hl.chain.readBlock(place.height);
    await w.write(w.hospitalB, [block.transactions[place.transaction]!.entries[place.entry]!]);
    await w.hl.chain.refresh();
    const copy = { height: w.hl.chain.size - 1, transaction: 0, entry: 0 };
    const open = (at: typeof copy) =>
      opened(
        openAnswer(
          { ...result.answer, items: [{ ...result.answer.items[0]!, place: at }] },
          {
            chain: w.hl.chain,
            custodian: w.hl.member,
            agreement: w.b.agreement,
            read: (cid) => w.storage.blobs!.get(cid),
            checkpoint: () => w.hl.checkpoint(),
          },
        ),
      );
    expect(await open(place)).toHaveLength(1);
    await expect(open(copy)).rejects.toMatchObject({
      code: "ERR_ENVELOPE_INVALID",
      message: expect.stringContaining("no such entry"),
    });
  });
});
