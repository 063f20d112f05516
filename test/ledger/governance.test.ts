import { describe, expect, it } from "vitest";
import { decodeEntry, encodeEntry, type MemberEntry } from "../../src/block/entry.ts";
import { signDescription } from "../../src/chain/description.ts";
import { importLedger } from "../../src/chain/import-ledger.ts";
import { approveProposal, decodeApproval, decodeProposal } from "../../src/chain/proposal.ts";
import { encodeSignedChange, signChange } from "../../src/chain/signed-change.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { bytesFor } from "../support/ledger.ts";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { found, organisation, WRITER, type Founders } from "../support/founders.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { signerFor } from "../support/ledger.ts";
import { collect } from "../support/ward.ts";

const refused = (reason: string) => ({ name: "TransactionRefused", refused: { reason } });
const missing = (required: number, approvedBy: number, reasons: readonly string[] = []) => ({
  ...{ name: "ApprovalsMissing", code: "ERR_CHAIN_APPROVALS", required },
  approvedBy: { length: approvedBy },
  discounted: reasons.map((reason) => expect.objectContaining({ reason }) as unknown),
});

const joining = async (hl: Ledger, name: string, roles = WRITER) =>
  signDescription(await organisation(name), { name, roles, for: hl.id });

let records = 0;
async function record(hl: Ledger) {
  return hl.record(await hl.ensureSubject(MRN), observation(`g${records++}`));
}
const verified = async (w: Founders, hl: Ledger, entry: Parameters<Ledger["receipt"]>[0]) => {
  const result = verifyReceipt(await hl.receipt(entry), trustFromGenesis(w.genesis));
  return result.ok ? result.key.status : result.reason;
};

describe("adding a member", () => {
  it("lets it open an export of the ledger, and the ledger itself, and record", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const { entry: before } = await record(a);
    // Until then it may look, and nothing else.
    await expect(w.open("c")).rejects.toMatchObject({ code: "ERR_CHAIN_READ_ONLY" });
    const proposal = await a.governance.propose({ members: [{ add: await joining(a, "c") }] });
    const b = await w.open("b");
    const approvals = [await a.governance.approve(proposal), await b.governance.approve(proposal)];
    const { height, steps } = await a.governance.enact(proposal, approvals);
    expect(steps).toBe("kept");
    expect((await a.chain.readBlock(height)).block.transactions).toHaveLength(1);
    const car = new Uint8Array(Buffer.concat(await collect(await a.export())));
    const c = await w.open("c");
    const { entry } = await record(c);
    expect(await verified(w, c, entry)).toBe("in-force");
    expect(await verified(w, a, before)).toBe("in-force");
    const members = await b.governance.members();
    expect(members.map(({ actor, from }) => [actor, from])).toEqual([
      ...[
        [a.member, 0],
        [b.member, 0],
        [c.member, height + 1],
      ],
    ]);
    // A store of its own, out of an export from before it recorded anything.
    const storage = memoryStorage();
    await importLedger(car, { storage, genesis: w.genesis });
    const moved = await w.open("c", { storage, keys: await organisation("c") });
    expect(await moved.governance.members()).toEqual(members);
    const later = await record(moved);
    // The export holds no steps from the genesis record to the policy with the new key.
    await expect(moved.receipt(later.entry)).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
    expect(await moved.governance.takePolicySteps(await a.governance.policySteps())).toBe(true);
    expect(await verified(w, moved, later.entry)).toBe("in-force");
    expect(await moved.verify()).toMatchObject({ ok: true });
  });

  it("is explained in words, and so are all other changes", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    await record(a);
    const b = w.keys["b"]!;
    const linesOf = async (change: Parameters<typeof a.governance.propose>[0]) =>
      (await a.governance.explain(await a.governance.propose(change))).lines.join("\n");
    const joined = await linesOf({ members: [{ add: await joining(a, "Clinic C") }] });
    const did = (await organisation("Clinic C")).signer().actor;
    expect(joined).toContain(
      `Adds ${did}, which calls itself “Clinic C”, as custodian, sequencer.`,
    );
    expect(joined).toMatch(/then has 3 members\. Of these, 3 may order blocks, and 2 must approve/);
    expect(joined).toMatch(/key [0-9a-f]{32} is added/);
    const roles = await linesOf({ members: [{ change: b.signer().actor, roles: ["auditor"] }] });
    expect(roles).toContain(`${b.signer().actor}, so far custodian, sequencer, auditor instead.`);
    expect(roles).toMatch(/Of these, 1 may order blocks/);
    const rule = a.id;
    const policy = await linesOf({
      policy: {
        ...{ threshold: 1, maxDrift: 5, maxTxAge: 7000, clock: 0 },
        ...{ kinds: [{ name: "lab-order", rule }], contracts: [{ name: "claims", rule, from: 9 }] },
        checkpointKeys: [b.signer("checkpoint").publicKey],
        cosignaturePolicy: {
          validators: { required: 0, keys: [] },
          witnesses: { required: 1, keys: [{ name: "w1", publicKey: bytesOf("w1") }] },
        },
      },
    });
    for (const part of [
      "Members that must approve a change: 1 instead of 2.",
      "A clock may be ahead by 5 ms instead of 60000 ms.",
      "A transaction may wait for its block for 7000 ms instead of 600000 ms.",
      "One block may be dated back to 1970-01-01T00:00:00.000Z, to mend a wrong clock.",
      `Kinds of entries: lab-order by ${rule.toString()} instead of none.`,
      `Versions of contracts: claims by ${rule.toString()} from height 9 instead of none.`,
      "Checkpoints are to be signed by one of 1 key.",
      "witnesses 1 of 1 (w1 ",
      "is dropped",
    ]) {
      expect(policy).toContain(part);
    }
    const removed = await a.governance.propose({
      members: [{ change: b.signer().actor, roles: [] }],
    });
    expect(await a.governance.explain(removed)).toMatchObject({
      ...{ kind: "members", required: 2, changesCheckpoints: true },
      notAfter: a.chain.size + 10_000,
    });
  });
});

const bytesOf = (name: string) => signerFor(name).publicKey;

describe("removing a member", () => {
  it("refuses its entries and its requests from the next block on, and keeps what it recorded", async () => {
    const w = await found(["a", "b", "c"]);
    const [a, b] = [await w.open("a"), await w.open("b")];
    const patient = signerFor("patient");
    const subject = await a.ensureSubject(MRN);
    await a.consent(subject, treatmentOnly(patient), { signer: patient });
    await record(a);
    const { entry } = await record(b);
    const old = await b.receipt(entry);
    const keys = w.keys["b"]!;
    const ask = async () =>
      createRequest({
        ...{ chain: a.chain, custodian: a.member, patient: MRN, purposes: ["TREAT"] },
        ...{ signer: keys.signer(), agreement: keys.agreement(), now: w.clock.now },
      });
    expect(await a.disclose(await ask())).toMatchObject({ ok: true });
    await w.change(a, { members: [{ remove: b.member }] }, ["a", "c"]);
    expect(await a.disclose(await ask())).toMatchObject({ ok: false });
    await expect(record(b)).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    await expect(w.open("b")).rejects.toMatchObject({ code: "ERR_CHAIN_READ_ONLY" });
    expect((await a.governance.members()).map(({ actor }) => actor)).not.toContain(b.member);
    expect(verifyReceipt(old, trustFromGenesis(w.genesis))).toMatchObject({ ok: true });
    expect(await a.verify()).toMatchObject({ ok: true });
    // It returns by approvals again, with new keys, and a warning.
    const fresh = await organisation("b again");
    const named = { ...fresh.signer(), actor: b.member };
    const description = await signDescription(
      { sign: [named], agree: [fresh.agreement()] },
      { name: "b", roles: WRITER, for: a.id },
    );
    const back = await a.governance.propose({ members: [{ add: description }] });
    expect((await a.governance.explain(back)).lines.join()).toMatch(
      /was a member up to block \d+\./,
    );
    // With its old keys it does not.
    const same = await joining(a, "b");
    await expect(a.governance.propose({ members: [{ add: same }] })).rejects.toMatchObject(
      refused("key-known"),
    );
  });
});

describe("approvals", () => {
  async function three() {
    const w = await found(["a", "b", "c"], { threshold: 3 });
    const a = await w.open("a");
    await record(a);
    const change = { policy: { maxDrift: 1234 } };
    const proposal = await a.governance.propose(change);
    const by = (name: string, of = proposal) => approveProposal(of, w.keys[name]!.signer());
    return { w, a, change, proposal, by };
  }

  it("suffice at the threshold, and not one below it, whoever collects them", async () => {
    const { w, a, proposal, by } = await three();
    const two = [await by("a"), await by("b")];
    await expect(a.governance.enact(proposal, [])).rejects.toMatchObject(missing(3, 0));
    await expect(a.governance.enact(proposal, two)).rejects.toMatchObject(missing(3, 2));
    await expect(a.governance.enact(proposal, two)).rejects.toThrow(
      /^1 of 3 approvals are missing$/,
    );
    expect(a.chain.state.policy().maxDrift).toBe(60_000);
    const b = await w.open("b");
    await b.governance.enact(proposal, [await by("c"), ...two]);
    await a.chain.refresh();
    expect(a.chain.state.policy().maxDrift).toBe(1234);
    // Once is enough.
    await expect(a.governance.enact(proposal, [...two, await by("c")])).rejects.toMatchObject(
      refused("nonce-used"),
    );
  });

  it("count once for each member in force, and for one change of one ledger only", async () => {
    const { w, a, change, proposal, by } = await three();
    const [mine, theirs] = [await by("a"), await by("b")];
    // The same change again: another nonce.
    const again = await a.governance.propose(change);
    const other = await a.governance.propose({ policy: { maxDrift: 1235 } });
    const later = await a.governance.propose(change, { notAfter: a.chain.size + 99_999 });
    const elsewhere = await (
      await found(["a", "b", "c"], { origin: "history.example/other" })
    ).open("a");
    const foreign = await elsewhere.governance.propose(change);
    const kinds = { members: [{ change: a.member, roles: WRITER }] };
    const members = await a.governance.propose(kinds);
    for (const one of [again, other, later, foreign, members]) {
      await expect(
        a.governance.enact(proposal, [mine, theirs, await by("c", one)]),
      ).rejects.toMatchObject(missing(3, 2, ["other-change"]));
    }
    for (const [third, reason] of [
      [mine, "repeated"],
      [await approveProposal(proposal, w.keys["a"]!.signer()), "repeated"],
      [await approveProposal(proposal, signerFor("stranger")), "not-a-member"],
      [await approveProposal(proposal, w.keys["c"]!.signer("checkpoint")), "key-not-in-force"],
      [await approveProposal(proposal, w.keys["c"]!.signer("recovery")), "key-not-in-force"],
      [new Uint8Array(9), "malformed"],
      [proposal, "malformed"],
    ] as const) {
      await expect(a.governance.enact(proposal, [mine, theirs, third])).rejects.toMatchObject(
        missing(3, 2, [reason]),
      );
    }
    // In another member's name; and a good signature under another key's id.
    const c = decodeApproval(await by("c"))!;
    for (const forged of [
      { ...decodeApproval(theirs)!, actor: c.actor },
      { ...c, sig: decodeApproval(mine)!.sig },
      { ...c, sig: c.sig.with(5, c.sig[5]! ^ 1) },
    ]) {
      const bytes = encode({ v: 1, ...forged });
      await expect(a.governance.enact(proposal, [mine, theirs, bytes])).rejects.toMatchObject({
        discounted: { length: 1 },
      });
    }
    // What does not count stands in nobody's way.
    const all = [new Uint8Array(0), mine, mine, theirs, await by("c", other), await by("c")];
    await a.governance.enact(proposal, all);
    expect(a.chain.state.policy().maxDrift).toBe(1234);
    await expect(a.governance.explain(foreign)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    await expect(a.governance.approve(foreign)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });

  it("by members and keys that are no longer in force do not count", async () => {
    const { w, a, proposal, by } = await three();
    const approvals = [await by("a"), await by("b"), await by("c")];
    const b = await w.open("b");
    // One rotates its signing key: what the old one approved is void.
    const fresh = await w.keys["b"]!.generate({ use: "sign" });
    const [old] = w.keys["b"]!.list();
    await b.governance.changeKey({ op: "add", key: fresh.key });
    await b.close();
    await (await w.open("b")).governance.changeKey({ op: "retire", key: old!.key });
    await expect(a.governance.enact(proposal, approvals)).rejects.toMatchObject(
      missing(3, 2, ["key-not-in-force"]),
    );
    const c = w.keys["c"]!.signer().actor;
    await w.change(a, { members: [{ remove: c }] }, ["a", "b", "c"]).catch((error: unknown) =>
      // Three must approve, so none can leave.
      expect(error).toMatchObject(refused("threshold-unreachable")),
    );
    await w.change(a, { policy: { threshold: 2 } }, ["a", "b", "c"]);
    const open = await a.governance.propose({ policy: { maxDrift: 99 } });
    const [one, gone] = [await by("a", open), await by("c", open)];
    await w.change(a, { members: [{ remove: c }] }, ["a", "b"]);
    await expect(a.governance.enact(open, [one, gone])).rejects.toMatchObject(
      missing(2, 1, ["not-a-member"]),
    );
  });

  it("do not help a change past its last height, nor by the rules alone", async () => {
    const { w, a, by } = await three();
    const notAfter = a.chain.size;
    const short = await a.governance.propose({ policy: { maxDrift: 77 } }, { notAfter });
    const approvals = [await by("a", short), await by("b", short), await by("c", short)];
    await record(a);
    for (const call of [
      () => a.governance.enact(short, approvals),
      () => a.governance.approve(short),
    ]) {
      await expect(call()).rejects.toMatchObject(refused("approval-expired"));
    }
    expect(await a.governance.explain(short)).toMatchObject({ refusal: "approval-expired" });
    // Past the library, by a signed change: the rules say the same of each attack.
    const submit = async (proposal: Uint8Array, given: readonly Uint8Array[]) => {
      const { entry } = decodeProposal(proposal);
      const bytes = encodeEntry({ ...entry, approvals: given.map((one) => decodeApproval(one)!) });
      const how = { now: () => w.clock.now, random: (n: number) => new Uint8Array(n).fill(7) };
      const signed = await signChange(a.chain, w.keys["b"]!.signer(), [bytes], how);
      return a.governance.submit(encodeSignedChange(signed));
    };
    await expect(submit(short, approvals)).rejects.toMatchObject({
      refused: { reason: "approval-expired" },
    });
    const open = await a.governance.propose({ policy: { maxDrift: 78 } });
    const [mine, theirs] = [await by("a", open), await by("b", open)];
    for (const [given, reason] of [
      [[mine, theirs], "approvals-missing"],
      [[mine, theirs, mine], "approvals-missing"],
      [[mine, theirs, await by("c", short)], "approval-invalid"],
      [[mine, theirs, await approveProposal(open, signerFor("stranger"))], "approval-invalid"],
    ] as const) {
      await expect(submit(open, given)).rejects.toMatchObject({ refused: { reason } });
    }
    expect(await submit(open, [mine, theirs, await by("c", open)])).toMatchObject({
      steps: "unchanged",
    });
  });

  it("can be given by an auditor, and by no stranger", async () => {
    const w = await found(["a", "b"], { roles: WRITER });
    const a = await w.open("a");
    const auditor = await joining(a, "auditor", ["auditor"]);
    await w.change(a, { members: [{ add: auditor }] }, ["a", "b"]);
    const proposal = await a.governance.propose({ policy: { maxDrift: 5 } });
    const reading = await w.open("auditor", { readOnly: true });
    const approval = await reading.governance.approve(proposal);
    await expect(reading.governance.enact(proposal, [approval])).rejects.toMatchObject({
      code: "ERR_CHAIN_READ_ONLY",
    });
    await a.governance.enact(proposal, [approval, await a.governance.approve(proposal)]);
    const stranger = await w.open("stranger", { readOnly: true });
    await expect(
      stranger.governance.approve(await a.governance.propose({ policy: { maxDrift: 6 } })),
    ).rejects.toThrow(/cannot approve: not-a-member/);
  });
});

describe("a proposal", () => {
  it("that the rules would refuse is not made, and says why", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const b = w.keys["b"]!.signer().actor;
    const propose = (change: Parameters<typeof a.governance.propose>[0]) =>
      expect(a.governance.propose(change)).rejects;
    await propose({ members: [{ remove: b }] }).toMatchObject(refused("threshold-unreachable"));
    await propose({ members: [{ remove: signerFor("x").actor }] }).toMatchObject(
      refused("member-unknown"),
    );
    await propose({ policy: { threshold: 3 } }).toMatchObject(refused("threshold-unreachable"));
    await propose({ policy: { checkpointKeys: [] } }).toMatchObject(
      refused("no-checkpoint-key-left"),
    );
    await propose({ policy: {} }).toMatchObject({ code: "ERR_ENCODING_SHAPE" });
    await propose({ members: [] }).toMatchObject({ code: "ERR_ENCODING_SHAPE" });
    await propose({ policy: { maxTxAge: 1 } }).toMatchObject({ code: "ERR_ENCODING_SHAPE" });
    const misspelt = { polcy: { threshold: 1 } } as never;
    await propose(misspelt).toMatchObject({ code: "ERR_INPUT_INVALID" });
    const both = { policy: { threshold: 1 }, members: [{ remove: b }] } as never;
    await propose(both).toMatchObject({ code: "ERR_INPUT_INVALID" });
    for (const member of [{}, { remove: b, add: b }, { remove: b, roles: [] }, { removed: b }]) {
      await propose({ members: [member as never] }).toMatchObject({ code: "ERR_INPUT_INVALID" });
    }
    const since = { policy: { threshold: 1 }, compromisedSince: 1 } as never;
    await propose(since).toMatchObject({ code: "ERR_INPUT_INVALID" });
    await propose({ policy: { threshhold: 1 } as never }).toMatchObject({
      code: "ERR_ENCODING_SHAPE",
    });
    // Described for a ledger to be founded, or for another ledger.
    const old = await signDescription(await organisation("c"), {
      ...{ name: "c", roles: WRITER, for: bytesFor("founders") },
    });
    await propose({ members: [{ add: old }] }).toMatchObject({ reason: "other-ledger" });
  });

  it("adds nobody but who described itself, whatever its bytes say", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const proposal = await a.governance.propose({ members: [{ add: await joining(a, "c") }] });
    const map = decode(proposal) as { entry: Uint8Array; descriptions: Uint8Array[] };
    const entry = decodeEntry(map.entry) as MemberEntry;
    const [added] = entry.changes;
    if (added?.op !== "add") throw new Error("no addition");
    const thief = (await organisation("thief")).agreement();
    const keys = added.keys.map((key) =>
      key.use === "agree" ? { ...key, publicKey: thief.publicKey } : key,
    );
    const entries = [
      { ...entry, changes: [{ ...added, keys }] },
      { ...entry, changes: [{ ...added, roles: ["auditor"] as const }] },
      { ...entry, changes: [added, { ...added, actor: signerFor("x").actor }] },
      { ...entry, approvals: [decodeApproval(await a.governance.approve(proposal))!] },
    ];
    for (const forged of entries) {
      const bytes = encode({ ...map, entry: encodeEntry(forged) });
      for (const call of [a.governance.explain, a.governance.approve]) {
        await expect(call(bytes)).rejects.toMatchObject({ code: "ERR_ENCODING_SHAPE" });
      }
    }
    for (const descriptions of [[], [...map.descriptions, ...map.descriptions]]) {
      await expect(a.governance.approve(encode({ ...map, descriptions }))).rejects.toMatchObject({
        code: "ERR_ENCODING_SHAPE",
      });
    }
  });
});
