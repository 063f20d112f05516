import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { verifyExport } from "../../src/chain/export.ts";
import { readCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { decodeReceipt, encodeReceipt } from "../../src/chain/receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { CID } from "../../src/codec/cid.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import {
  cid,
  entryIdOf,
  genesisState,
  isSigned,
  mapRoot,
  publicKeyOf,
  read,
  readReceipt,
  readRecords,
} from "../support/independent-ledger.ts";
import { mth, verifyProof } from "../support/rfc9162.ts";
import { specHex } from "../support/spec-blocks.ts";
import { specLedger, specPolicyReceipt } from "../support/spec-ledger.ts";

const ledgerPage = specHex("ledger.md");
const receiptPage = specHex("receipt.md");
const exportPage = specHex("export.md");
const made = await specLedger();
const id = CID.decode(ledgerPage("ledger id"));
const entries = [ledgerPage("record entry"), ledgerPage("erase entry")];

describe("docs/spec/ledger.md", () => {
  it("has what the library writes", () => {
    for (const [label, bytes] of Object.entries(made)) {
      if (["checkpoint", "receipt", "export"].includes(label)) continue;
      expect(ledgerPage(label), label).toEqual(bytes);
    }
  });

  it("has what a second implementation reads", () => {
    const genesis = ledgerPage("genesis");
    expect(cid(genesis).bytes).toEqual(id.bytes);
    const { transactions, headers } = readRecords(genesis, [ledgerPage("block record")]);
    expect(headers).toEqual([ledgerPage("header")]);
    const [tx] = transactions[0]!;
    expect(tx!.entryIds[0]).toBe(Buffer.from(ledgerPage("entry id")).toString("hex"));
    expect(entryIdOf(id as never, tx!.author, entries[0]!)).toEqual(ledgerPage("entry id"));
    expect(mth(entries)).toEqual(read(ledgerPage("transaction"))["entries"]);
    const pub = publicKeyOf(tx!.author);
    for (const what of ["transaction", "header"]) {
      expect(isSigned(what, ledgerPage(what), ledgerPage(`${what} signature`), pub)).toBe(true);
    }
    const state = genesisState(genesis);
    expect(state.get("sys/policy")).toEqual(Buffer.from(ledgerPage("sys/policy")));
    expect(mapRoot(state)).toEqual(read(ledgerPage("header"))["state"]);
    state.set(`sys/seq/${tx!.key}/0`, ledgerPage("sys/seq"));
    expect(mapRoot(state)).toEqual(ledgerPage("state after the block"));
  });
});

describe("docs/spec/receipt.md", () => {
  it("has a receipt that the library writes, and two implementations believe", () => {
    const genesis = ledgerPage("genesis");
    const receipt = receiptPage("receipt");
    expect(receipt).toEqual(made["receipt"]);
    expect(readReceipt(receipt, genesis).id).toEqual(ledgerPage("entry id"));
    const verified = verifyReceipt(receipt, trustFromGenesis(genesis));
    expect(verified).toMatchObject({ ok: true, height: 0, id: toHex(ledgerPage("entry id")) });
  });
});

describe("docs/spec/receipt.md, behind a change of policy", () => {
  it("has a receipt that leads from genesis to the new key, in one history", async () => {
    const bytes = receiptPage("receipt behind a change of policy");
    expect(bytes).toEqual(await specPolicyReceipt());
    const trust = trustFromGenesis(ledgerPage("genesis"));
    const verified = verifyReceipt(bytes, trust);
    expect(verified).toMatchObject({ ok: true, height: 0, id: toHex(ledgerPage("entry id")) });
    const receipt = decodeReceipt(bytes);
    const [step] = receipt.policyPath;
    const [from, to] = [step!.checkpoint, receipt.checkpoint].map((note) => readCheckpoint(note)!);
    expect([from!.size, to!.size]).toEqual([3, 4]);
    expect(step!.consistency).toBeUndefined();
    const claim = { first: 3, second: 4, firstRoot: from!.root, secondRoot: to!.root };
    expect(verifyProof(claim, receipt.consistency!)).toBe(true);
    const { consistency: _left, ...without } = receipt;
    expect(verifyReceipt(encodeReceipt(without), trust)).toEqual({
      ok: false,
      reason: "not-connected",
    });
    expect(verifyReceipt(encodeReceipt({ ...receipt, policyPath: [] }), trust)).toEqual({
      ok: false,
      reason: "no-checkpoint-signature",
    });
  });
});

describe("docs/spec/export.md", () => {
  it("has the parts of the export", async () => {
    const parts = concatBytes(
      exportPage("CAR header"),
      exportPage("before header record"),
      exportPage("export header"),
      exportPage("before genesis"),
      ledgerPage("genesis"),
      exportPage("before checkpoint"),
      exportPage("checkpoint"),
      exportPage("before block 0"),
      ledgerPage("block"),
    );
    expect(parts).toEqual(made["export"]);
    expect(read(exportPage("export header"))).toMatchObject({ v: 1, size: 1 });
    expect(cid(exportPage("export header")).bytes).toEqual(
      exportPage("before header record").slice(-36),
    );
    expect(await verifyExport([parts], { ledger: id })).toMatchObject({ ok: true, size: 1 });
  });
});
