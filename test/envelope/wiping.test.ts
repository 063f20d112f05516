import { expect, it, vi } from "vitest";
import type * as CoseHpke from "../../src/crypto/cose-hpke.ts";
import { createCollection } from "../../src/envelope/collection.ts";
import { makeGrant } from "../../src/envelope/grant.ts";
import { sealMembership } from "../../src/envelope/membership.ts";
import { hospital, recipient as member, seal, seeded } from "./parties.ts";

/** What was sealed, as it was then and as it is later. */
const plaintexts: { readonly was: Uint8Array; readonly is: Uint8Array }[] = [];

vi.mock("../../src/crypto/cose-hpke.ts", async (original) => {
  const real = await original<typeof CoseHpke>();
  const sealCoseFresh: typeof real.sealCoseFresh = (recipient, plaintext, ...rest) => {
    plaintexts.push({ was: plaintext.slice(), is: plaintext });
    return real.sealCoseFresh(recipient, plaintext, ...rest);
  };
  return { ...real, sealCoseFresh };
});

const random = seeded("wiping");
const terms = { basis: random(32), signer: hospital, random };
const unusable = { alg: "X25519", publicKey: new Uint8Array(32) } as const;

it("plaintexts of grants and memberships are wiped, whether they are made or not", async () => {
  const { cid: envelope, cek } = await seal([{ id: "content", bytes: random(9) }]);
  const key = createCollection(random);
  for (const recipient of [member, unusable]) {
    const outcomes = await Promise.allSettled([
      makeGrant({ ...terms, recipient, envelope, keys: { cek } }),
      sealMembership({ ...terms, recipient, key }),
    ]);
    const expected = recipient === unusable ? "rejected" : "fulfilled";
    expect(outcomes.map(({ status }) => status)).toEqual([expected, expected]);
  }
  expect(plaintexts).toHaveLength(4);
  for (const { was, is } of plaintexts) {
    const held = [cek, key.key].some((secret) => Buffer.from(was).includes(Buffer.from(secret)));
    expect(held).toBe(true);
    expect(is).toEqual(new Uint8Array(was.length));
  }
});
