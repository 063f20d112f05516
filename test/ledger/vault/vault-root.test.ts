import { expect, it, describe } from "vitest";
import { sha256 } from "#crypto";
import { concatBytes } from "../../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { ledgerId } from "../../../src/block/genesis.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { sealCoseFresh } from "../../../src/crypto/cose-hpke.ts";
import { signWith } from "../../../src/identity/signer.ts";
import { foundWorld, keysFor, MRN, observation } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";

describe("the root of a vault", () => {
  it("is the member's own: nobody else's sealed to him is taken", async () => {
    const world = await foundWorld();
    const { storage, genesis, hospitalA } = world;
    const hl = await world.open();
    await hl.record(await hl.ensureSubject(MRN), observation("bp-1"));
    await hl.close();

    const ledger = ledgerId(genesis);
    const { actor } = hospitalA.signer();
    const owner = sha256(ledger.bytes, utf8ToBytes(actor)).subarray(0, 16);
    const at = concatBytes(utf8ToBytes("vault/"), owner, Uint8Array.of(0));
    const stored = (await storage.state!.get(at))!;
    const honest = decode(stored) as { key: Uint8Array; signer: Uint8Array; sig: Uint8Array };
    const aad = encode(["healthledger/vault/1", ledger, actor]);
    const random = (length: number) => bytesFor("attacker").slice(0, length);
    const message = sealCoseFresh(hospitalA.agreement(), bytesFor("attacker's root"), aad, random);
    const stranger = (await keysFor("stranger")).signer();
    const sig = await signWith(stranger, "vault", encode([aad, honest.key, message]));
    const forgeries = [
      { ...honest, message },
      { ...honest, message, sig },
      { ...honest, message, sig, signer: stranger.key },
      { key: honest.key, message },
    ];
    for (const forged of forgeries) {
      await storage.state!.batch([{ key: at, value: encode(forged) }]);
      await expect(world.open()).rejects.toMatchObject({
        code: expect.stringMatching(
          /^ERR_(STORAGE_CORRUPT|SIGNATURE_KEYSTORE|ENCODING_SHAPE)$/,
        ) as string,
      });
    }
    await storage.state!.batch([{ key: at, value: stored }]);
    const again = await world.open();
    expect((await again.records(await again.ensureSubject(MRN))).length).toBe(1);
    await again.close();
  });

  it("is refused by its version when its envelopes are of before padding, not as lost data", async () => {
    const world = await foundWorld();
    const { storage, genesis, hospitalA } = world;
    await (await world.open()).close();
    const owner = sha256(ledgerId(genesis).bytes, utf8ToBytes(hospitalA.signer().actor));
    const at = concatBytes(utf8ToBytes("vault/"), owner.subarray(0, 16), Uint8Array.of(0));
    const { v, ...root } = decode((await storage.state!.get(at))!) as { readonly v: number };
    expect(v).toBe(3);
    for (const older of [root, { ...root, v: 1 }, { ...root, v: 2 }]) {
      await storage.state!.batch([{ key: at, value: encode(older) }]);
      for (const repair of [{}, { repair: { index: true } }]) {
        await expect(world.open(repair)).rejects.toMatchObject({
          code: "ERR_STORAGE_CORRUPT",
          message: expect.stringContaining("made by another version") as string,
        });
      }
    }
  });
});
