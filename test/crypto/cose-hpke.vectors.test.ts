import { decode, encode } from "cborg";
import { expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encStructure, openCose, readCose } from "../../src/crypto/cose-hpke.ts";
import { hpkeOpen, hpkeX25519Chacha } from "../../src/crypto/hpke.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

type CoseMap = Map<number, Uint8Array | number>;

const maps = { useMaps: true, tags: { 16: (decodeItem: () => unknown) => decodeItem() } };
const text = (value: string) => utf8ToBytes(value);

// Values that are not in the file come from the README beside it.
describeVectors("COSE-HPKE test vectors, HPKE-4, COSE_Encrypt0, base mode", "cose-hpke", () => {
  const lines = readVector("cose-hpke", "testvectors.txt").split("\n");
  const after = (start: number, prefix: string) =>
    lines
      .slice(start)
      .find((line) => line.startsWith(prefix))!
      .slice(prefix.length)
      .trim();
  const key = decode(fromHex(after(0, "HPKE-4 COSE_Key:")), { useMaps: true }) as CoseMap;
  const secret = key.get(-4) as Uint8Array;
  const cases = lines.flatMap((line, at) => {
    const found = /^HPKE-4 Encrypt0 with (default|external) aad and (default|external) info/.exec(
      line,
    );
    return found === null
      ? []
      : [[found[1]!, found[2]!, fromHex(after(at, "Ciphertext:"))] as const];
  });

  it("are four messages", () => {
    expect(cases).toHaveLength(4);
  });

  it.each(cases)("opens with %s aad and %s info", (aad, info, message) => {
    const [header, unprotected, ciphertext] = decode(message, maps) as [
      Uint8Array,
      CoseMap,
      Uint8Array,
    ];
    const ek = unprotected.get(-4) as Uint8Array;
    const externalAad = text(aad === "external" ? "external-aad" : "");
    const opened = hpkeOpen(
      hpkeX25519Chacha,
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
    const result = openCose("X25519", secret, tagged, externalAad);
    if (info === "default") expect(bytesToUtf8(result!)).toBe("hpke test payload");
    else expect(result).toBeUndefined();
  });
});
