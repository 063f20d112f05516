import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { backends } from "./backends.ts";

const none = new Uint8Array(0);

describe.each(backends)("known answers on %s", (_, backend) => {
  it("SHA-256 of FIPS 180-4, in parts as in one", () => {
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(toHex(backend.sha256(utf8ToBytes("abc")))).toBe(abc);
    expect(toHex(backend.sha256(utf8ToBytes("a"), none, utf8ToBytes("bc")))).toBe(abc);
    const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    expect(toHex(backend.sha256())).toBe(empty);
    expect(toHex(backend.sha256(none))).toBe(empty);
    const millionA = new Uint8Array(1_000_000).fill(0x61);
    const million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    expect(toHex(backend.sha256(millionA))).toBe(million);
    const [head, tail] = [millionA.subarray(0, 3), millionA.subarray(3)];
    expect(toHex(backend.sha256(head, tail))).toBe(million);
  });

  it("HMAC-SHA256 of RFC 4231, cases 1, 2, 6 and 7", () => {
    const mac = (key: Uint8Array, ...data: readonly Uint8Array[]) =>
      toHex(backend.hmacSha256(key, ...data));
    expect(mac(new Uint8Array(20).fill(0x0b), utf8ToBytes("Hi There"))).toBe(
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    );
    expect(
      mac(utf8ToBytes("Jefe"), utf8ToBytes("what do ya want "), utf8ToBytes("for nothing?")),
    ).toBe("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    const long = new Uint8Array(131).fill(0xaa);
    expect(mac(long, utf8ToBytes("Test Using Larger Than Block-Size Key - Hash Key First"))).toBe(
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    );
    expect(
      mac(
        long,
        utf8ToBytes(
          "This is a test using a larger than block-size key and a larger than block-size data. " +
            "The key needs to be hashed before being used by the HMAC algorithm.",
        ),
      ),
    ).toBe("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
  });

  it("HKDF of RFC 5869, A.1 to A.3", () => {
    const derive = (ikm: string, salt: string, info: string, length: number) => {
      const prk = backend.hkdfExtract(fromHex(salt), fromHex(ikm));
      return [toHex(prk), toHex(backend.hkdfExpand(prk, fromHex(info), length))];
    };
    expect(
      derive("0b".repeat(22), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42),
    ).toEqual([
      "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ]);
    const range = (from: number) => toHex(Uint8Array.from({ length: 80 }, (_, i) => from + i));
    expect(derive(range(0), range(0x60), range(0xb0), 82)).toEqual([
      "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ]);
    expect(derive("0b".repeat(22), "", "", 42)).toEqual([
      "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ]);
    expect(() => backend.hkdfExpand(new Uint8Array(32), none, 8161)).toThrow(RangeError);
  });

  it.each([
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ])("Ed25519 of RFC 8032 §7.1, seed %s", (seed, publicKey, message, signature) => {
    const [secret, key, text, sig] = [seed, publicKey, message, signature].map(fromHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    expect(toHex(backend.ed25519PublicKey(secret))).toBe(publicKey);
    expect(toHex(backend.ed25519Sign(text, secret))).toBe(signature);
    expect(backend.ed25519Verify(sig, text, key)).toBe(true);
  });

  it("X25519 of RFC 7748 §6.1", () => {
    const alice = fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const bob = fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const alicePublic = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    const bobPublic = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect(toHex(backend.x25519PublicKey(alice))).toBe(alicePublic);
    expect(toHex(backend.x25519PublicKey(bob))).toBe(bobPublic);
    expect(toHex(backend.x25519(alice, fromHex(bobPublic)))).toBe(shared);
    expect(toHex(backend.x25519(bob, fromHex(alicePublic)))).toBe(shared);
  });

  it("ChaCha20-Poly1305 of RFC 8439 §2.8.2", () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);
    const nonce = fromHex("070000004041424344454647");
    const aad = fromHex("50515253c0c1c2c3c4c5c6c7");
    const plaintext = utf8ToBytes(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the " +
        "future, sunscreen would be it.",
    );
    const sealed =
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
      "3ff4def08e4b7a9de576d26586cec64b6116" +
      "1ae10b594f09e26a7e902ecbd0600691";
    expect(toHex(backend.chachaSeal(key, nonce, plaintext, aad))).toBe(sealed);
    expect(backend.chachaOpen(key, nonce, fromHex(sealed), aad)).toEqual(plaintext);
    expect(backend.chachaOpen(key, nonce, fromHex(sealed))).toBeUndefined();
    expect(backend.chachaOpen(key, nonce, fromHex(sealed).subarray(1), aad)).toBeUndefined();
    expect(backend.chachaOpen(key, nonce, new Uint8Array(15), aad)).toBeUndefined();
  });

  it("scrypt of RFC 7914 §12", async () => {
    const params = { N: 1024, r: 8, p: 16, length: 64 };
    expect(toHex(await backend.scrypt(utf8ToBytes("password"), utf8ToBytes("NaCl"), params))).toBe(
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
    );
  });

  // RFC 6979 A.2.5: key and the s values for SHA-256; where s is high, its low form n − s is ours.
  const x = fromHex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
  const u = "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
  const sample =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
  const test =
    "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367" +
    "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083";

  it("P-256 of RFC 6979 A.2.5: public key, and a low s accepted", () => {
    expect(toHex(backend.p256PublicKey(x))).toBe(u);
    expect(backend.p256Verify(fromHex(test), utf8ToBytes("test"), fromHex(u))).toBe(true);
  });

  it("P-256 of RFC 6979 A.2.5: a high s refused, its low form accepted", () => {
    expect(backend.p256Verify(fromHex(sample), utf8ToBytes("sample"), fromHex(u))).toBe(false);
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const s = n - BigInt(`0x${sample.slice(64)}`);
    const low = sample.slice(0, 64) + s.toString(16).padStart(64, "0");
    expect(backend.p256Verify(fromHex(low), utf8ToBytes("sample"), fromHex(u))).toBe(true);
    if (backend.backend === "noble") {
      expect(toHex(backend.p256Sign(utf8ToBytes("sample"), x))).toBe(low);
      expect(toHex(backend.p256Sign(utf8ToBytes("test"), x))).toBe(test);
    }
  });
});
