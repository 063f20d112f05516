import { expect, it } from "vitest";
import { decodeGenesis, encodeGenesis } from "../../src/block/genesis.ts";
import { foundLedger, signerFor } from "../support/ledger.ts";

it("takes neither one cosigner key under two names, nor two under one name", async () => {
  const { parsed } = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
  const one = { name: "witness.example/one", publicKey: signerFor("witness one").publicKey };
  const two = { name: "witness.example/two", publicKey: signerFor("witness two").publicKey };
  const withWitnesses = (keys: readonly (typeof one)[]) =>
    encodeGenesis({
      ...parsed,
      cosignaturePolicy: { ...parsed.cosignaturePolicy, witnesses: { required: 2, keys } },
    });
  const { cosignaturePolicy } = decodeGenesis(withWitnesses([one, two]));
  expect(cosignaturePolicy.witnesses.keys).toEqual([one, two]);
  const refused = { code: "ERR_ENCODING_SHAPE" };
  for (const twin of [
    { ...one, name: two.name },
    { ...two, name: one.name },
  ]) {
    let error: unknown;
    try {
      withWitnesses([one, twin]);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject(refused);
  }
});
