import { afterEach, describe, expect, it } from "vitest";
import { noteKey, NOTE_ED25519 } from "../../../src/chain/note-key.ts";
import { createWitness, type Witness } from "../../../src/chain/witness.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { createRequest } from "../../../src/ledger/disclosure/request.ts";
import type { CheckpointOptions } from "../../../src/transport/types.ts";
import { askingHospitals, TREAT } from "../../support/asking.ts";
import { organisation } from "../../support/founders.ts";
import { signerFor, START } from "../../support/ledger.ts";
import { MRN } from "../../support/hospital.ts";
import { readable } from "../../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const MINUTE = 60_000;
const STALE = { code: "ERR_CHAIN_STALE" };

describe("a custodian elsewhere, where no cosigner is required", () => {
  it("discloses nothing once its home's last answer is older than maxAge", async () => {
    const two = await askingHospitals(closing, { away: { policy: { maxAge: 4 * MINUTE } } });
    const { away, home, clock, peer, toAway } = two;
    await away.ensureSubject(MRN);
    await home.ask(away.member, TREAT, { peer: toAway });
    const audited = async () =>
      (await readable(away.audit({ local: (await away.findSubject(MRN))!.local }))).length;
    expect(await audited()).toBe(1);
    peer.isDown = true;
    clock.now += 5 * MINUTE;
    await expect(away.ask(away.member, TREAT)).rejects.toMatchObject(STALE);
    const own = { signer: two.awayKeys.signer(), agreement: two.awayKeys.agreement() };
    await expect(away.request(own, TREAT)).rejects.toMatchObject(STALE);
    const signal = AbortSignal.timeout(300);
    await expect(home.ask(away.member, TREAT, { peer: toAway, signal })).rejects.toBeDefined();
    expect(toAway.proxy.statuses.slice(1)).toContain(503);
    expect(new Set(toAway.proxy.statuses.slice(1))).toEqual(new Set([503]));
    expect(two.errors).toContainEqual(expect.objectContaining(STALE));
    expect(await audited()).toBe(1);
    // It asks by itself once it is asked.
    peer.isDown = false;
    clock.now += 15 * MINUTE;
    await away.ask(away.member, TREAT);
    expect(await audited()).toBe(2);
  });

  it("is not held back at the home, nor without a bound", async () => {
    const two = await askingHospitals(closing, { away: { policy: { maxAge: Infinity } } });
    two.clock.now += 60 * MINUTE;
    expect(await two.home.ask(two.home.member, TREAT)).toMatchObject({ count: 0 });
    await two.source.close();
  });
});

describe("a ledger that requires a cosigner", () => {
  async function cosigned() {
    const signer = signerFor("witness");
    const name = "witness.example/w1";
    const origin = "history.example/two";
    const log = (await organisation("home")).signer("checkpoint").publicKey;
    const { chains } = memoryStorage();
    const clock = { now: START };
    let isDown = false;
    let inner: Witness | undefined;
    const witness: Witness = {
      async cosign(note, size, proof) {
        if (isDown) throw new Error("down");
        inner ??= createWitness({
          ...{ chains, signer, name, origin, now: () => clock.now },
          keys: [noteKey(origin, NOTE_ED25519, log)],
        });
        return inner.cosign(note, size, proof);
      },
    };
    const witnesses = { of: [{ name, publicKey: signer.publicKey }] };
    const two = await askingHospitals(closing, {
      genesis: { cosignatures: { witnesses } },
      home: { cosigners: [witness] },
    });
    const forward = (ms: number): void => {
      clock.now += ms;
      two.clock.now += ms;
    };
    return { ...two, forward, setDown: (down: boolean) => (isDown = down) };
  }

  const requestTo = (two: Awaited<ReturnType<typeof cosigned>>): Promise<Uint8Array> =>
    createRequest({
      ...{ ...TREAT, ledger: two.home.id, custodian: two.home.member, now: two.clock.now },
      ...{ custodianKey: two.homeKeys.agreement(), signer: two.awayKeys.signer() },
      agreement: two.awayKeys.agreement(),
    });

  it("holds its home to the last cosignature, which the home renews", async () => {
    const two = await cosigned();
    const { home, forward, setDown } = two;
    expect(await home.disclose(await requestTo(two))).toMatchObject({ ok: true });
    setDown(true);
    forward(4 * MINUTE);
    expect(await home.disclose(await requestTo(two))).toMatchObject({ ok: true });
    forward(2 * MINUTE);
    const { size } = home.chain;
    await expect(home.disclose(await requestTo(two))).rejects.toMatchObject(STALE);
    expect(home.chain.size).toBe(size);
    setDown(false);
    expect(await home.disclose(await requestTo(two))).toMatchObject({ ok: true });
  });

  it("holds a copy to it too, however often its home answers", async () => {
    const two = await cosigned();
    const { away, forward, setDown } = two;
    await away.ensureSubject(MRN);
    await away.ask(away.member, TREAT);
    setDown(true);
    forward(6 * MINUTE);
    const { size } = away.chain;
    await expect(away.ask(away.member, TREAT)).rejects.toMatchObject(STALE);
    expect(away.chain.size).toBe(size);
    // The same head again, with a new cosignature.
    setDown(false);
    const published = two.peer.checkpoint;
    Object.assign(two.peer, {
      checkpoint: (how: CheckpointOptions) =>
        two.home.chain.size === size ? two.home.checkpoint() : published(how),
    });
    expect(await away.ask(away.member, TREAT)).toMatchObject({ count: 0 });
  });
});
