import { describe, expect, it } from "vitest";
import { openAnswer } from "../../src/ledger/disclosure/answer.ts";
import { observation } from "../support/hospital.ts";
import { texts, ward } from "../support/ward.ts";

describe("the chain of an opened ledger", () => {
  it("has nothing by which it could be moved or closed", async () => {
    const { hl } = await ward();
    // Every name that may be there; whatever a sequencer needs beyond them is not.
    const names = [
      ...[
        "ahead",
        "checkAhead",
        "durableHead",
        "findTransaction",
        "genesis",
        "genesisBytes",
        "governance",
        "ledger",
      ],
      ...[
        "proveConsistency",
        "proveInclusion",
        "proveState",
        "readBlock",
        "readBlocks",
        "readTile",
        "refresh",
        "root",
      ],
      ...["rootAt", "size", "state", "tip"],
    ];
    expect(Object.keys(hl.chain).sort()).toEqual(names);
    expect(Object.keys(hl.chain.state).sort()).toEqual(
      ["get", "isLoaded", "key", "load", "member", "nonces", "policy", "root", "seq"].sort(),
    );
  });

  it("moves with the ledger", async () => {
    const { hl, me } = await ward();
    const { size, root } = hl.chain;
    const state = hl.chain.state.root;
    const { place } = await hl.record(me, observation("bp-1"));
    expect(hl.chain.size).toBeGreaterThan(size);
    expect(hl.chain.root).not.toEqual(root);
    expect(hl.chain.state.root).not.toEqual(state);
    expect(hl.chain.tip.size).toBe(hl.chain.size);
    expect((await hl.chain.readBlock(place.height)).header.height).toBe(place.height);
    expect(await hl.chain.rootAt(size)).toEqual(root);
  });

  it("opens an answer that was given to somebody else's request", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const answer = openAnswer(result.answer, {
      chain: w.hl.chain,
      custodian: w.hl.member,
      agreement: w.b.agreement,
      read: (cid) => w.storage.blobs!.get(cid),
      checkpoint: () => w.hl.checkpoint(),
    });
    expect(await texts(answer)).toEqual([observation("bp-1")]);
  });
});
