import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { signDescription } from "../../src/chain/description.ts";
import { importLedger } from "../../src/chain/import-ledger.ts";
import { signKeyChange } from "../../src/chain/key-change.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import type { EntryId } from "../../src/codec/ids.ts";
import { type KeyInfo, type KeyStore, memoryKeys } from "../../src/identity/key-store.ts";
import { generateSigner } from "../../src/identity/signer.ts";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { found, organisation, type Founders } from "../support/founders.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";
import { collect } from "../support/ward.ts";

const refused = (reason: string) => ({ name: "TransactionRefused", refused: { reason } });
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
let records = 0;
async function record(hl: Ledger) {
  return hl.record(await hl.ensureSubject(MRN), observation(`k${records++}`));
}
const verdict = (w: Founders, receipt: Uint8Array) => {
  const result = verifyReceipt(receipt, trustFromGenesis(w.genesis));
  return result.ok ? result.key.status : result.reason;
};
const proved = async (w: Founders, hl: Ledger, entry: EntryId) =>
  verdict(w, await hl.receipt(entry));
const oldest = (keys: KeyStore, use: KeyInfo["use"]): KeyInfo =>
  keys.list().find((one) => one.use === use)!;
const inUse = (keys: KeyStore, use: KeyInfo["use"]): string[] =>
  keys
    .list()
    .filter((one) => one.use === use && !one.retired)
    .map(({ key }) => toHex(key));

/** Announces a new key, opens again where that is needed, and retires the old one. */
async function rotate(w: Founders, hl: Ledger, name: string, use: KeyInfo["use"]): Promise<Ledger> {
  const keys = w.keys[name]!;
  const old = oldest(keys, use);
  const fresh = await keys.generate({ use });
  await hl.governance.changeKey({ op: "add", key: fresh.key });
  await hl.close();
  const again = await w.open(name);
  await again.governance.changeKey({ op: "retire", key: old.key });
  expect(inUse(keys, use)).toEqual([toHex(fresh.key)]);
  return again;
}

describe("rotating keys", () => {
  it("leaves everything readable and provable, by old keys and new", async () => {
    const w = await found(["a", "b"]);
    let hl = await w.open("a");
    const first = await record(hl);
    const early = await hl.receipt(first.entry);
    const entries: EntryId[] = [first.entry];
    for (const use of ["sign", "checkpoint", "agree"] as const) {
      hl = await rotate(w, hl, "a", use);
      const { id, entry } = await record(hl);
      entries.push(entry);
      await hl.amend(id, observation(`k${records++}`));
      await hl.read(first.id);
    }
    expect(await Promise.all(entries.map((one) => proved(w, hl, one)))).toEqual([
      ...["retired", "in-force", "in-force", "in-force"],
    ]);
    expect(verdict(w, early)).toBe("in-force");
    expect(await hl.verify()).toMatchObject({ ok: true });
    expect(await hl.verifyBlobs()).toMatchObject({ missing: [] });
    // A key that was retired never comes back.
    const [sign] = w.keys["a"]!.list();
    await expect(hl.governance.changeKey({ op: "add", key: sign!.key })).rejects.toThrow();
    const [another] = (await organisation("a")).list();
    const again = await w.open("a", { keys: await withKey(w.keys["a"]!, another!) });
    await expect(
      again.governance.changeKey({ op: "add", key: another!.key }),
    ).rejects.toMatchObject(refused("key-known"));
  });

  /** A store that takes the oldest signing key for one in use, as an older copy of it does. */
  async function withKey(keys: KeyStore, key: KeyInfo): Promise<KeyStore> {
    const old = await organisation("a");
    return {
      ...keys,
      list: () => keys.list().map((one) => (toHex(one.key) === toHex(key.key) ? key : one)),
      signer: (which, actor) =>
        which instanceof Uint8Array && toHex(which) === toHex(key.key)
          ? old.signer(which)
          : keys.signer(which, actor),
    };
  }

  it("opens requests that were sealed to the agreement key before", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const subject = await a.ensureSubject(MRN);
    const patient = signerFor("patient");
    await a.consent(subject, treatmentOnly(patient), { signer: patient });
    await record(a);
    const b = w.keys["b"]!;
    const ask = () =>
      createRequest({
        ...{ chain: a.chain, custodian: a.member, patient: MRN, purposes: ["TREAT"] },
        ...{ signer: b.signer(), agreement: b.agreement(), now: w.clock.now },
      });
    const before = await ask();
    const again = await rotate(w, a, "a", "agree");
    const result = await again.disclose(before);
    if (!result.ok) throw new Error(result.reason);
    expect(result.answer.items).toHaveLength(1);
    expect(await again.disclose(await ask())).toMatchObject({ ok: true });
    // The asker's own rotation: an answer is sealed to a key in force only.
    const other = await w.open("b");
    const late = await ask();
    const asker = await rotate(w, other, "b", "agree");
    expect(await again.disclose(late)).toMatchObject({ ok: false });
    await asker.close();
  });

  it("never ends the last signing key, nor the one that this process signs with", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    await record(a);
    const keys = w.keys["a"]!;
    const { key } = oldest(keys, "sign");
    await expect(a.governance.changeKey({ op: "retire", key })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    const signed = await a.governance.signKeyChange({ op: "retire", key });
    const b = await w.open("b");
    await expect(b.governance.submit(signed)).rejects.toMatchObject({
      refused: { reason: "last-signing-key" },
    });
    // A key that was made and not announced: the one before goes on signing.
    await keys.generate({ use: "sign" });
    await a.close();
    const again = await w.open("a");
    expect(await proved(w, again, (await record(again)).entry)).toBe("in-force");
    // Keys of others, and of nobody.
    for (const unknown of [oldest(w.keys["b"]!, "sign").key, bytesFor("none")]) {
      await expect(again.governance.changeKey({ op: "add", key: unknown })).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
      });
    }
    const theirs = oldest(w.keys["b"]!, "sign").key;
    await expect(again.governance.changeKey({ op: "retire", key: theirs })).rejects.toMatchObject({
      refused: { reason: "key-unknown" },
    });
    for (const [change, code] of [
      [{ op: "add", key, compromisedSince: 1 }, "ERR_INPUT_INVALID"],
      [{ op: "remove", key }, "ERR_INPUT_INVALID"],
      [{ op: "add", key, compromisedsince: 1 }, "ERR_INPUT_INVALID"],
    ] as const) {
      await expect(again.governance.changeKey(change as never)).rejects.toMatchObject({ code });
    }
  });

  it("by two processes at once ends in both keys, each in force", async () => {
    const w = await found(["a", "b"]);
    const [one, two] = [await w.open("a"), await w.open("a")];
    await record(one);
    const keys = w.keys["a"]!;
    const fresh = await Promise.all([0, 1].map(() => keys.generate({ use: "checkpoint" })));
    const added = await Promise.all([
      one.governance.changeKey({ op: "add", key: fresh[0]!.key }),
      two.governance.changeKey({ op: "add", key: fresh[1]!.key }),
    ]);
    expect(new Set(added.map(({ steps }) => steps))).toEqual(new Set(["kept"]));
    const members = await one.governance.members();
    const own = members.find(({ actor }) => actor === one.member)!;
    expect(own.keys.filter(({ use }) => use === "checkpoint")).toHaveLength(3);
    const old = oldest(keys, "checkpoint").key;
    const retired = await Promise.allSettled([
      one.governance.changeKey({ op: "retire", key: old }),
      two.governance.changeKey({ op: "retire", key: old }),
    ]);
    const outcomes = retired.map((one) =>
      one.status === "fulfilled"
        ? "done"
        : (one.reason as { refused: { reason: string } }).refused.reason,
    );
    expect(outcomes.sort()).toEqual(["done", "key-not-in-force"]);
    const { entry } = await record(two);
    expect(await proved(w, one, (await record(one)).entry)).toBe("in-force");
    expect(await proved(w, two, entry)).toBe("in-force");
  });

  it("in the middle of an upload and of a disclosure loses nothing and releases nothing", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const subject = await a.ensureSubject(MRN);
    const patient = signerFor("patient");
    await a.consent(subject, treatmentOnly(patient), { signer: patient });
    const { id } = await record(a);
    const keys = w.keys["a"]!;
    const old = oldest(keys, "sign");
    const fresh = await keys.generate({ use: "sign" });
    await a.governance.changeKey({ op: "add", key: fresh.key });
    // Another process, with the new key, retires the old one while this one seals an attachment.
    const other = await w.open("a");
    let retired: Promise<unknown> | undefined;
    async function* slow() {
      for (let i = 0; i < 40; i++) {
        if (i === 20) {
          retired = other.governance.changeKey({ op: "retire", key: old.key });
          await retired;
        }
        yield new Uint8Array(8192).fill(i);
      }
    }
    const size = a.chain.size;
    const upload = a.record(subject, observation("upload"), {
      attachments: [{ mediaType: "application/pdf", source: slow() }],
    });
    await expect(upload).rejects.toThrow();
    expect(retired).toBeDefined();
    const b = w.keys["b"]!;
    const request = await createRequest({
      ...{ chain: other.chain, custodian: a.member, patient: MRN, purposes: ["TREAT"] },
      ...{ signer: b.signer(), agreement: b.agreement(), now: w.clock.now },
    });
    // The old process can no longer record the access, so it releases nothing.
    await expect(a.disclose(request)).rejects.toThrow();
    expect(await other.disclose(request)).toMatchObject({ ok: true });
    expect(await other.chain.refresh()).toBe(size + 2);
    await a.close();
    const again = await w.open("a");
    expect(await again.records(subject)).toHaveLength(1);
    await again.read(id);
    expect(await again.verifyBlobs()).toMatchObject({ missing: [] });
    expect(await again.pendingWork()).toEqual([]);
    const sent = await again.record(subject, observation("upload"));
    expect(await proved(w, again, sent.entry)).toBe("in-force");
  });
});

describe("recovering keys", () => {
  it("ends a stolen key, from the height on that is said, and lets the member go on", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const good = await record(a);
    const before = await a.receipt(good.entry);
    const stolenSince = a.chain.size;
    // The thief records too, with the same key.
    const thief = await w.open("a", { keys: await organisation("a"), signedHeads: "store" });
    const bad = await record(thief);
    expect(await proved(w, thief, bad.entry)).toBe("in-force");
    const keys = w.keys["a"]!;
    const fresh = await keys.generate({ use: "sign" });
    await a.governance.changeKey({ op: "recover", key: fresh.key, compromisedSince: stolenSince });
    expect(inUse(keys, "sign")).toEqual([toHex(fresh.key)]);
    await expect(record(thief)).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    await a.close();
    const again = await w.open("a");
    const later = await record(again);
    expect(await proved(w, again, later.entry)).toBe("in-force");
    expect(await proved(w, again, good.entry)).toBe("retired");
    expect(await proved(w, again, bad.entry)).toBe("key-compromised");
    expect(verdict(w, before)).toBe("in-force");
    // The thief has no recovery key, and cannot announce one.
    const thiefs = await organisation("a");
    const recovery = await thiefs.generate({ use: "recovery" });
    const b = await w.open("b");
    const attack = await thief.governance.signKeyChange({ op: "retire", key: fresh.key });
    await expect(b.governance.submit(attack)).rejects.toMatchObject({
      refused: { reason: "key-not-in-force" },
    });
    const mine = await w.open("b", { keys: w.keys["b"]! });
    const own = await w.keys["b"]!.generate({ use: "recovery" });
    await expect(mine.governance.changeKey({ op: "add", key: own.key })).rejects.toMatchObject({
      refused: { reason: "recovery-only" },
    });
    void recovery;
  });

  it("works where every signing key is lost, by another member who submits it", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    await record(a);
    await a.close();
    // What is left: a recovery key in a safe, and new keys.
    const did = w.keys["a"]!.signer().actor;
    const left = memoryKeys();
    const fresh = await left.generate({ use: "sign", actor: did });
    await left.add({ use: "recovery", secret: bytesFor("a recovery"), actor: did });
    const agree = await left.generate({ use: "agree", actor: did });
    const b = await w.open("b");
    // On a machine of its own, from what another member exports.
    const car = new Uint8Array(Buffer.concat(await collect(await b.export())));
    const storage = memoryStorage();
    await importLedger(car, { storage, genesis: w.genesis });
    const chain = await openChain({ storage, genesis: w.genesis });
    const how = { keys: left, now: () => w.clock.now, random };
    const recovered = await signKeyChange(chain, { op: "recover", key: fresh.key }, how);
    await b.governance.submit(recovered);
    await expect(b.governance.submit(recovered)).resolves.toMatchObject({ steps: "unchanged" });
    const next = await openChain({ storage: w.storage, genesis: w.genesis });
    const add = { op: "add", key: agree.key } as const;
    await b.governance.submit(await signKeyChange(next, add, how));
    const own = (await b.governance.members()).find(({ actor }) => actor === did)!;
    expect(own.keys.filter(({ use }) => use === "sign").map(({ key }) => toHex(key))).toEqual([
      toHex(fresh.key),
    ]);
    // Too late for whoever signs when a transaction may not wait any more.
    const late = await signKeyChange(next, { op: "retire", key: agree.key }, how);
    w.clock.now += 600_001;
    await expect(b.governance.submit(late)).rejects.toMatchObject({
      refused: { reason: "too-old" },
    });
    await expect(b.governance.submit(new Uint8Array(3))).rejects.toMatchObject({
      name: "EncodingError",
    });
  });

  it("by a recovery key that was not announced before is refused", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    await record(a);
    const did = a.member;
    const stranger = memoryKeys();
    const fresh = await stranger.generate({ use: "sign", actor: did });
    await stranger.generate({ use: "recovery", actor: did });
    const { chain } = a;
    const now = () => w.clock.now;
    const recover = { op: "recover", key: fresh.key } as const;
    const attack = await signKeyChange(chain, recover, { keys: stranger, now, random });
    const b = await w.open("b");
    await expect(b.governance.submit(attack)).rejects.toMatchObject({
      refused: { reason: "unknown-key" },
    });
    // Another member's recovery key does not speak for this one.
    const other = memoryKeys();
    const key = await other.generate({ use: "sign", actor: did });
    await other.add({ use: "recovery", secret: bytesFor("b recovery"), actor: did });
    const theirs = { op: "recover", key: key.key } as const;
    await expect(
      b.governance.submit(await signKeyChange(chain, theirs, { keys: other, now, random })),
    ).rejects.toMatchObject({ refused: { reason: "key-of-another-actor" } });
  });

  it("by the members, where the recovery key is gone too, takes as many as the threshold", async () => {
    const w = await found(["a", "b", "c"]);
    const [a, b] = [await w.open("a"), await w.open("b")];
    const { entry } = await record(a);
    const fresh = generateSigner({ actor: a.member });
    const described = (name: string, key = fresh) =>
      signDescription({ sign: [key] }, { name, roles: [], for: b.id });
    const change = { recover: await described("Hospital A"), compromisedSince: 0 };
    const proposal = await b.governance.propose(change);
    const { lines, kind, notAfter } = await b.governance.explain(proposal);
    expect([kind, notAfter]).toEqual(["recovery", undefined]);
    expect(lines.join("\n")).toMatch(/calls itself “Hospital A”, a new signing key: sign Ed25519/);
    expect(lines.join("\n")).toMatch(/ask it over another channel/);
    const [mine, theirs] = [
      await b.governance.approve(proposal),
      await (await w.open("c")).governance.approve(proposal),
    ];
    await expect(b.governance.enact(proposal, [mine])).rejects.toMatchObject({
      code: "ERR_CHAIN_APPROVALS",
    });
    // Approvals are for this key, and this height of compromise.
    for (const other of [
      { recover: await described("x", generateSigner({ actor: a.member })), compromisedSince: 0 },
      { recover: change.recover, compromisedSince: 1 },
      { recover: change.recover },
    ]) {
      const bytes = await b.governance.propose(other);
      await expect(b.governance.enact(bytes, [mine, theirs])).rejects.toMatchObject({
        discounted: { length: 2 },
      });
    }
    await b.governance.enact(proposal, [mine, theirs]);
    await expect(b.governance.enact(proposal, [mine, theirs])).rejects.toMatchObject(
      refused("key-known"),
    );
    await expect(record(a)).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    const own = (await b.governance.members()).find(({ actor }) => actor === a.member)!;
    expect(own.keys.find(({ use }) => use === "sign")!.publicKey).toEqual(fresh.publicKey);
    void entry;
    const twoKeys = await signDescription(
      { sign: [generateSigner({ actor: a.member }), generateSigner({ actor: a.member })] },
      { name: "a", roles: [], for: b.id },
    );
    await expect(b.governance.propose({ recover: twoKeys })).rejects.toMatchObject({
      code: "ERR_ENCODING_SHAPE",
    });
  });
});
