import { expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { webcryptoVerify } from "../../src/crypto/webcrypto.ts";
import { describeVectors, readVector } from "../support/vectors.ts";
import { backends } from "./backends.ts";

interface EdgeCase {
  readonly number: number;
  readonly key: string;
  readonly sig: string;
  readonly msg: string;
  readonly flags: readonly string[] | null;
}

describeVectors("Ed25519 edge cases (C2SP/CCTV)", "ed25519", () => {
  const cases = JSON.parse(readVector("ed25519", "ed25519vectors.json")) as readonly EdgeCase[];
  // What the rule admits, read off the published flags: no small-order R or A, no encoding that is
  // not canonical, and no residue that only the cofactored equation forgives.
  const refusing = [
    "low_order_R",
    "low_order_A",
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
  ];
  const admitted = cases
    .filter(({ flags }) => !(flags ?? []).some((flag) => refusing.includes(flag)))
    .map(({ number }) => number);

  it("are 914, of which the rule admits 43", () => {
    expect(cases).toHaveLength(914);
    expect(admitted).toHaveLength(43);
  });

  it.each(backends)("are admitted on %s exactly as the rule says", (_, backend) => {
    const accepted = cases.filter(({ key, sig, msg }) =>
      backend.ed25519Verify(fromHex(sig), utf8ToBytes(msg), fromHex(key)),
    );
    expect(accepted.map(({ number }) => number)).toEqual(admitted);
  });

  it.each(backends)("are admitted on %s beside the main thread alike", async (_, backend) => {
    const verdicts = await Promise.all(
      cases.map(({ key, sig, msg }) =>
        backend.ed25519VerifyAside(fromHex(sig), utf8ToBytes(msg), fromHex(key)),
      ),
    );
    const accepted = cases.filter((_case, i) => verdicts[i]);
    expect(accepted.map(({ number }) => number)).toEqual(admitted);
  });

  it("are admitted on WebCrypto exactly as the rule says", async () => {
    const accepted: number[] = [];
    for (const { number, key, sig, msg } of cases) {
      const ok = await webcryptoVerify("Ed25519", fromHex(sig), utf8ToBytes(msg), fromHex(key));
      if (ok) accepted.push(number);
    }
    expect(accepted).toEqual(admitted);
  });
});
