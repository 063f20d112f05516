import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { MAX_RECIPIENTS } from "../../src/envelope/bulk.ts";
import { openGrant } from "../../src/envelope/grant.ts";
import { grantMany, makeGrants } from "../../src/envelope/grants.ts";
import { InputError, SignatureError } from "../../src/errors.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import {
  basis,
  grantorOf,
  hospital,
  nobody,
  otherRecipient,
  recipient,
  seal,
  seeded,
} from "./parties.ts";

const sealed = await seal([{ id: "content", bytes: utf8ToBytes("content") }]);
const keys = { cek: sealed.cek };
const terms = { envelope: sealed.cid, basis, keys, signer: hospital, random: seeded("bulk") };
const opening = { envelope: sealed.cid, basis, grantor: grantorOf(hospital) };
const untouched = {
  ...terms,
  random: () => {
    throw new Error("drew randomness");
  },
};

describe("makeGrants", () => {
  it("makes one grant for each recipient, in their order, of any algorithms", async () => {
    const hybrid = memoryAgreement({ alg: "X-Wing", secret: new Uint8Array(32).fill(2) });
    const p256 = memoryAgreement({ alg: "P-256", secret: new Uint8Array(32).fill(2) });
    const recipients = [recipient, hybrid, otherRecipient, p256];
    const grants = await makeGrants({ ...terms, recipients });
    expect(grants).toHaveLength(4);
    for (const [i, agreement] of recipients.entries()) {
      expect(await openGrant({ ...opening, grant: grants[i]!, agreement })).toEqual(keys);
    }
    expect(await makeGrants({ ...terms, recipients: [] })).toEqual([]);
    expect(keys.cek.some((byte) => byte !== 0)).toBe(true);
  });

  it("serves 1,000 and refuses 1,001 and 10,001 before it touches anything", async () => {
    expect(MAX_RECIPIENTS).toBe(1000);
    const full = await makeGrants({ ...terms, recipients: Array(1000).fill(nobody) });
    expect(new Set(full.map((grant) => Buffer.from(grant).toString("hex"))).size).toBe(1000);
    for (const count of [1001, 10_001]) {
      const failure = makeGrants({ ...untouched, recipients: Array(count).fill(nobody) });
      await expect(failure).rejects.toThrow(InputError);
      await expect(failure).rejects.toMatchObject({
        code: "ERR_INPUT_TOO_LARGE",
        message: `at most 1000 recipients per call, got ${count}`,
      });
    }
  });

  it("makes no grant if one recipient is not a key", async () => {
    const recipients = [recipient, { alg: "X25519" as const, publicKey: new Uint8Array(32) }];
    await expect(makeGrants({ ...terms, recipients })).rejects.toThrow(SignatureError);
  });
});

describe("grantMany", () => {
  it("serves thousands with progress, in order, and lets timers run in between", async () => {
    const recipients = Array.from({ length: 2000 }, (_, i) => ({ ...nobody, i }));
    const progress: unknown[] = [];
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    let next = 0;
    for await (const { recipient: to, grant } of grantMany({
      ...terms,
      recipients,
      onProgress: (at) => progress.push(at),
    })) {
      expect(to).toBe(recipients[next++]);
      expect(grant.length).toBeGreaterThan(200);
    }
    clearInterval(timer);
    expect(next).toBe(2000);
    expect(progress[0]).toEqual({ done: 1, total: 2000 });
    expect(progress.at(-1)).toEqual({ done: 2000, total: 2000 });
    expect(ticks).toBeGreaterThan(5);
  });

  it("reads its recipients one at a time, from wherever they come", async () => {
    let read = 0;
    async function* members() {
      for (;;) {
        read++;
        yield recipient;
      }
    }
    const seen: unknown[] = [];
    for await (const { grant } of grantMany({
      ...terms,
      recipients: members(),
      onProgress: (at) => seen.push(at),
    })) {
      expect(await openGrant({ ...opening, grant, agreement: recipient })).toEqual(keys);
      if (read === 3) break;
    }
    expect(read).toBe(3);
    expect(seen).toEqual([{ done: 1 }, { done: 2 }, { done: 3 }]);
  });

  it("stops when told to, before the first and in between", async () => {
    const reason = new Error("enough");
    const take = async (signal: AbortSignal, upTo: () => void): Promise<void> => {
      const recipients = Array(100).fill(nobody) as (typeof nobody)[];
      for await (const _ of grantMany({ ...terms, recipients, signal })) upTo();
    };
    await expect(take(AbortSignal.abort(reason), () => {})).rejects.toBe(reason);
    const controller = new AbortController();
    let taken = 0;
    const stopped = take(controller.signal, () => {
      if (++taken === 10) controller.abort(reason);
    });
    await expect(stopped).rejects.toBe(reason);
    expect(taken).toBe(10);
  });
});
