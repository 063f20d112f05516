import { decode, encode } from "cborg";
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { coseAlgorithm, encStructure, openCose, readCose } from "../../src/crypto/cose-hpke.ts";
import { hpkeOpen } from "../../src/crypto/hpke.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

type CoseMap = Map<number, Uint8Array | number>;

const maps = { useMaps: true, tags: { 16: (decodeItem: () => unknown) => decodeItem() } };
const text = (value: string) => utf8ToBytes(value);

// Values that are not in the file come from the README beside it.
describeVectors("COSE-HPKE test vectors, COSE_Encrypt0, base mode", "cose-hpke", () => {
  const lines = readVector("cose-hpke", "testvectors.txt").split("\n");
  const after = (start: number, prefix: string) =>
    lines
      .slice(start)
      .find((line) => line.startsWith(prefix))!
      .slice(prefix.length)
      .trim();

  describe.each([
    ["HPKE-4", "X25519", 42],
    ["HPKE-7", "P-256", 45],
  ] as const)("%s", (name, alg, id) => {
    const key = decode(fromHex(after(0, `${name} COSE_Key:`)), { useMaps: true }) as CoseMap;
    const secret = key.get(-4) as Uint8Array;
    const { suite } = coseAlgorithm(alg);
    const title = new RegExp(
      `^${name} Encrypt0 with (default|external) aad and (default|external) info`,
    );
    const cases = lines.flatMap((line, at) => {
      const found = title.exec(line);
      return found === null
        ? []
        : [[found[1]!, found[2]!, fromHex(after(at, "Ciphertext:"))] as const];
    });

    it("is four messages to a key that names the algorithm", () => {
      expect(cases).toHaveLength(4);
      expect([key.get(3), coseAlgorithm(alg).id, coseAlgorithm(alg).name]).toEqual([id, id, name]);
      // COSE gives both coordinates of a P-256 point, and a ledger the first and a sign.
      const { publicKey } = memoryAgreement({ alg, secret });
      expect(publicKey.subarray(alg === "P-256" ? 1 : 0)).toEqual(key.get(-2));
    });

    it.each(cases)("opens with %s aad and %s info", async (aad, info, message) => {
      const [header, unprotected, ciphertext] = decode(message, maps) as [
        Uint8Array,
        CoseMap,
        Uint8Array,
      ];
      const ek = unprotected.get(-4) as Uint8Array;
      const externalAad = text(aad === "external" ? "external-aad" : "");
      const opened = hpkeOpen(
        suite,
        ek,
        secret,
        text(info === "external" ? "external-info" : ""),
        encStructure(header, externalAad),
        ciphertext,
      );
      expect(bytesToUtf8(opened!)).toBe("hpke test payload");

      // These messages carry a kid. Grants must not, so ours refuses them as they stand, and opens
      // them (where info is empty, as it always is in grants) once the unprotected kid is gone.
      expect(readCose(message)).toBeUndefined();
      const bare = encode([header, new Map([[-4, ek]]), ciphertext]);
      const tagged = Uint8Array.from([0xd0, ...bare]);
      const result = openCose(alg, secret, tagged, externalAad);
      if (info === "default") {
        expect(bytesToUtf8(result!)).toBe("hpke test payload");
        const agreement = memoryAgreement({ alg, secret });
        expect(await agreement.unwrap(tagged, externalAad)).toEqual(result);
      } else expect(result).toBeUndefined();
    });
  });
});
