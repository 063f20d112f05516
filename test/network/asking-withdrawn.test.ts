import { afterEach, describe, expect, it } from "vitest";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import { sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import {
  askingHospitals,
  longObservation,
  patient,
  peerThrough,
  TREAT,
  type AskingHospitals,
} from "../support/asking.ts";
import { codeOf, until } from "../support/elsewhere.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** Six records that need more than one page. */
async function long() {
  const two = await askingHospitals(closing);
  await two.permit();
  const ids = [];
  for (let i = 0; i < 6; i++) {
    ids.push((await two.home.record(two.me, longObservation(`long-${i}`))).id);
  }
  return { ...two, ids };
}

/** The pages of an answer by a custodian, one after the other. */
async function answering(two: AskingHospitals, hl = two.home) {
  const [keys, asker] =
    hl === two.home ? [two.homeKeys, two.awayKeys] : [two.awayKeys, two.homeKeys];
  const address = { ledger: hl.id, custodian: hl.member };
  const to = keys.agreement();
  const signed = await createRequest({
    ...{ ...TREAT, ...address, now: two.clock.now, custodianKey: to },
    ...{ signer: asker.signer(), agreement: asker.agreement() },
  });
  const ask = { kind: "request", signed, from: {} } as const;
  const sealed = sealAsk(ask, address, to, { padding: "stepped", random });
  const pages = (await hl.answerAsk(sealed))[Symbol.asyncIterator]();
  expect((await pages.next()).done).toBe(false);
  return () => codeOf(pages.next());
}

const REFUSED = "ERR_CONSENT_REQUEST";

describe("an answer that is on its way", () => {
  const changes: Record<string, [(two: Awaited<ReturnType<typeof long>>) => unknown, string]> = {
    "a withdrawal is filed": [
      ({ home, me }) => home.consent(me, revoking(patient), { signer: patient }),
      REFUSED,
    ],
    "a refusal is filed": [
      ({ home, me }) => {
        const root = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
        const refusal = treatmentOnly(patient, { lineage: "refusal", root });
        return home.consent(me, refusal, { signer: patient });
      },
      REFUSED,
    ],
    "a record that is not sent is retracted": [
      ({ home, ids }) => home.retract(ids[5]!, "wrong"),
      REFUSED,
    ],
    "a record that was sent is retracted": [
      ({ home, ids }) => home.retract(ids[0]!, "wrong"),
      "resolved",
    ],
    "another record is added": [({ home, me }) => home.record(me, observation("new")), "resolved"],
    "somebody else comes": [
      ({ home }) => home.ensureSubject({ ...MRN, value: "another" }),
      "resolved",
    ],
  };
  for (const [what, [change, outcome]] of Object.entries(changes)) {
    it(`${outcome === REFUSED ? "breaks off" : "goes on"} if ${what}`, async () => {
      const two = await long();
      const next = await answering(two);
      await change(two);
      expect(await next()).toBe(outcome);
    });
  }

  it("breaks off if a withdrawal waits in the custodian's own outbox", async () => {
    const two = await askingHospitals(closing);
    const { away, peer } = two;
    const me = await away.ensureSubject(MRN);
    await away.attest(me, {
      ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
      from: 0,
    });
    await away.consent(me, treatmentOnly(patient), { signer: patient });
    for (let i = 0; i < 6; i++) await away.record(me, longObservation(`long-${i}`));
    const next = await answering(two, away);
    peer.isDown = true;
    const filing = codeOf(away.consent(me, revoking(patient), { signer: patient }));
    await until(two, async () => (await away.outbox()).length === 1);
    expect(await next()).toBe("ERR_CHAIN_PENDING");
    await filing;
  });

  it("counts as none, and the asker gets what is permitted then", async () => {
    const two = await long();
    const { home, me } = two;
    let asks = 0;
    const withdrawing: Pick<Ledger, "answerAsk"> = {
      async answerAsk(sealed, options) {
        asks += 1;
        const pages = await home.answerAsk(sealed, options);
        return (async function* () {
          for await (const page of pages) {
            yield page;
            if (asks === 1) await home.consent(me, revoking(patient), { signer: patient });
          }
        })();
      },
    };
    const peer = await peerThrough(closing, { ...home, ...withdrawing });
    const answer = await two.away.ask(home.member, TREAT, { peer });
    expect(asks).toBe(2);
    expect(answer).toMatchObject({ count: 0, decision: { outcome: "deny", reasons: [] } });
  });
});
