import { expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { encodeGenesis } from "../../src/block/genesis.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { MRN, observation, treatmentOnly, LABELLER, custodianOf } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";

it.each([
  ["P-256", "X-Wing"],
  ["X-Wing", "P-256"],
] as const)(
  "discloses from a custodian with a %s key to a requester with a %s key",
  async (own, other) => {
    const nonce = bytesFor("agreement keys");
    const [custodian, requester] = [memoryKeys(), memoryKeys()];
    for (const [keys, alg] of [
      [custodian, own],
      [requester, other],
    ] as const) {
      await keys.generate({ use: "sign" });
      await keys.generate({ use: "checkpoint" });
      await keys.generate({ use: "agree", alg });
    }
    const member = (keys: typeof custodian) => custodianOf(keys, nonce);
    const genesis = encodeGenesis({
      v: 1,
      origin: "history.example/agreement",
      nonce,
      members: [await member(custodian), await member(requester)],
      threshold: 2,
      maxDrift: 60_000,
      maxTxAge: 600_000,
      checkpointKeys: [custodian.signer("checkpoint").publicKey],
      cosignaturePolicy: {
        validators: { required: 0, keys: [] },
        witnesses: { required: 0, keys: [] },
      },
      kinds: [],
      contracts: [],
    });
    const storage = memoryStorage();
    const hl = await openLedger({
      storage,
      keys: custodian,
      genesis,
      policy: { labeller: LABELLER },
      now: () => START,
    });
    const patient = memorySigner({ alg: "Ed25519", secret: bytesFor("patient") });
    const subject = await hl.ensureSubject(MRN);
    const text = observation("bp-1");
    await hl.record(subject, text);
    await hl.consent(subject, treatmentOnly(patient), { signer: patient });
    const answer = await hl.request(
      { signer: requester.signer(), agreement: requester.agreement() },
      { patient: MRN, purposes: ["TREAT"] },
    );
    const items: string[] = [];
    for await (const item of answer.items()) items.push(bytesToUtf8(item.text!));
    expect(items).toEqual([text]);
    await hl.close();
  },
);
