import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { anyCidFromBytes, CID } from "../../src/codec/cid.ts";
import { onceTag } from "../../src/contract/once.ts";
import { commitResult, opensResult } from "../../src/contract/result.ts";
import { CALL_CODES } from "../../src/contract/run-call.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("contracts.md");
const [, id] = /^ledger id: ([0-9a-f]+)$/m.exec(specPage("ledger.md").text)!;
const ledger = anyCidFromBytes(fromHex(id!));

describe("docs/spec/contracts.md", () => {
  // Both values are computed by a program in another language, from the formulas on the page.
  it("shows a one-time tag", () => {
    const secret = new Uint8Array(32).fill(1);
    expect(onceTag(secret, ledger, "plan-a", ["accumulators", 7])).toEqual(page.hex("tag"));
    expect(onceTag(secret, ledger, "plan-a", ["accumulators", 8])).not.toEqual(page.hex("tag"));
    expect(onceTag(secret, ledger, "plan-b", ["accumulators", 7])).not.toEqual(page.hex("tag"));
  });

  it("shows a result commitment, which opens nothing else", () => {
    const rule = CID.parse("bafyreigz3a42raoafiyfehy52ic4cj3b64fi6ezc6acbbpddkkhcsj36gi");
    const result = {
      ...{ ledger, contract: "plan-a", rule, action: "decide" },
      ...{ input: { units: 2 }, output: { paid: 100 } },
    };
    const salt = new Uint8Array(32).fill(2);
    const commitment = page.hex("result");
    expect(commitResult(salt, result)).toEqual(commitment);
    expect(opensResult(commitment, salt, result)).toBe(true);
    for (const other of [
      ...[{ contract: "plan-b" }, { rule: ledger }, { ledger: rule }, { action: "deny" }],
      ...[{ input: { units: 3 } }, { output: { paid: 101 } }],
    ]) {
      expect(opensResult(commitment, salt, { ...result, ...other })).toBe(false);
    }
    expect(opensResult(commitment, new Uint8Array(32), result)).toBe(false);
  });

  it("names every code of the library", () => {
    for (const code of CALL_CODES) expect(page.text).toContain(`\`${code}\``);
  });
});
