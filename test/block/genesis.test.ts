import { describe, expect, it } from "vitest";
import { decodeGenesis, encodeGenesis, ledgerId, type Genesis } from "../../src/block/genesis.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { genesisState } from "../../src/chain/genesis-state.ts";
import { bytesFor, foundLedger, signerFor } from "../support/ledger.ts";

const MEMBERS = { a: ["custodian", "sequencer"], b: ["auditor"] } as const;

describe("encodeGenesis", () => {
  it("reads back, and names the ledger by all that it says", async () => {
    const { genesis, parsed } = await foundLedger(MEMBERS);
    expect(decodeGenesis(genesis)).toEqual(parsed);
    const other = encodeGenesis({ ...parsed, nonce: bytesFor("staging") });
    expect(ledgerId(other).equals(ledgerId(genesis))).toBe(false);
  });

  it("refuses records that contradict themselves", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const [a, b] = parsed.members;
    const refused = (change: Partial<Genesis>) =>
      expect(() => encodeGenesis({ ...parsed, ...change })).toThrow(
        expect.objectContaining({ code: "ERR_CHAIN_GENESIS" }),
      );
    refused({ members: [a!, a!] });
    refused({ members: [a!, { ...b!, keys: a!.keys }] });
    refused({ members: [a!, { ...b!, keys: [] }] });
    refused({ members: [a!, { ...b!, keys: [...b!.keys, b!.keys[0]!] }] });
    refused({ members: [a!, { ...b!, keys: [...b!.keys, a!.keys[1]!] }] });
    refused({ threshold: 3 });
    refused({ members: [{ ...a!, roles: ["custodian"] }, b!] });
    refused({ checkpointKeys: [] });
  });

  it("refuses what is malformed", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const refused = (change: object) =>
      expect(() => encodeGenesis({ ...parsed, ...change } as Genesis)).toThrow(
        expect.objectContaining({ name: "EncodingError" }),
      );
    refused({ v: 2 });
    refused({ origin: "two words" });
    refused({ origin: "" });
    refused({ nonce: new Uint8Array(31) });
    refused({ threshold: 0 });
    refused({ maxDrift: -1 });
    refused({ maxDrift: 1.5 });
    refused({ note: "free text" });
    refused({ members: [{ ...parsed.members[0]!, roles: ["sequencer", "custodian"] }] });
    refused({ members: [{ ...parsed.members[0]!, roles: ["king"] }] });
    refused({ checkpointKeys: [new Uint8Array(31)] });
  });

  it("wants each key proved for this very genesis", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const elsewhere = await describeMember(
      { sign: [signerFor("b")] },
      ["auditor"],
      bytesFor("other"),
    );
    for (const member of [
      elsewhere,
      { ...elsewhere, keys: elsewhere.keys.map(({ proof: _proof, ...key }) => key) },
    ]) {
      expect(() => genesisState({ ...parsed, members: [parsed.members[0]!, member] })).toThrow(
        expect.objectContaining({ code: "ERR_CHAIN_GENESIS" }),
      );
    }
    genesisState(parsed);
  });
});
