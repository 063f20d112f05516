import { afterEach, describe, expect, it } from "vitest";
import { signDescription } from "../../src/chain/description.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import type { CreateGenesisOptions } from "../../src/ledger/create-genesis.ts";
import { signAttestation } from "../../src/ledger/disclosure/attestation.ts";
import { createRequest, type RequestOptions } from "../../src/ledger/disclosure/request.ts";
import { sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
import type { RecordId } from "../../src/codec/ids.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import {
  askingHospitals,
  longObservation,
  patient,
  peerThrough,
  TREAT,
  type AskingHospitals,
} from "../support/asking.ts";
import { away as AWAY, codeOf, until } from "../support/elsewhere.ts";
import { NONCE, organisation, WRITER } from "../support/founders.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** Six records that need more than one page. */
async function long(change: Partial<Directive> = {}, genesis: Partial<CreateGenesisOptions> = {}) {
  const two = await askingHospitals(closing, { genesis });
  await two.permit(change);
  const ids = [];
  for (let i = 0; i < 6; i++) {
    ids.push((await two.home.record(two.me, longObservation(`long-${i}`))).id);
  }
  return { ...two, ids };
}

/** The pages of an answer by a custodian, one after the other. */
async function answering(two: AskingHospitals, hl = two.home, what: Partial<RequestOptions> = {}) {
  const [keys, asker] =
    hl === two.home ? [two.homeKeys, two.awayKeys] : [two.awayKeys, two.homeKeys];
  const address = { ledger: hl.id, custodian: hl.member };
  const to = keys.agreement();
  const signed = await createRequest({
    ...{ ...TREAT, ...address, now: two.clock.now, custodianKey: to, ...what },
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
    "a record that is not sent is erased": [
      ({ home, me, ids }) => home.erase(me, { records: [ids[5]!], reason: "asked for" }),
      REFUSED,
    ],
    "the person is forgotten": [
      ({ home, me }) => home.erase(me, { all: true, forgetSubject: true, reason: "asked for" }),
      REFUSED,
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

  const PENDING = "ERR_CHAIN_PENDING";
  it.each<[string, string, (away: Ledger, me: Subject, ids: RecordId[]) => Promise<unknown>]>([
    [
      PENDING,
      "a withdrawal",
      (away, me) => away.consent(me, revoking(patient), { signer: patient }),
    ],
    [PENDING, "a retraction", (away, _, ids) => away.retract(ids[5]!, "wrong")],
    ["resolved", "a retraction of what was sent", (away, _, ids) => away.retract(ids[0]!, "wrong")],
    ["resolved", "a new record", (away, me) => away.record(me, observation("new"))],
  ])("is %s if there waits in the custodian's own outbox %s", async (outcome, _, write) => {
    const two = await askingHospitals(closing);
    const { away, peer } = two;
    const me = await away.ensureSubject(MRN);
    await away.attest(me, {
      ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
      from: 0,
    });
    await away.consent(me, treatmentOnly(patient), { signer: patient });
    const ids: RecordId[] = [];
    for (let i = 0; i < 6; i++) {
      ids.push((await away.record(me, longObservation(`long-${i}`))).id);
    }
    const next = await answering(two, away);
    peer.isDown = true;
    const filing = codeOf(write(away, me, ids));
    await until(two, async () => (await away.outbox()).length === 1);
    expect(await next()).toBe(outcome);
    await filing;
  });

  it("breaks off if the alias that it was asked by ends", async () => {
    const two = await long();
    const { home, away, me } = two;
    const own = { with: away.member };
    const alias = await home.alias(me, own);
    const next = await answering(two, home, { patient: alias });
    await home.withdrawAlias(alias, own);
    expect(await next()).toBe(REFUSED);
  });

  const ROLE = { id: "root", effect: "permit", combine: "deny-overrides" } as const;
  const ONCOLOGISTS = { root: { ...ROLE, when: { roles: ["oncologist"] } } };

  /** An answer to somebody whose role an institute attests, which is a member, too. */
  async function attested() {
    const keys = await organisation("institute");
    const names = { home: WRITER, away: AWAY, institute: AWAY };
    const members = await Promise.all(
      Object.entries(names).map(async ([name, roles]) =>
        signDescription(await organisation(name), { name, roles, for: NONCE }),
      ),
    );
    const two = await long(ONCOLOGISTS, { members, threshold: 1 });
    const { home, away, clock } = two;
    const fact = {
      ...{ ledger: home.id, requester: away.member, user: "dr-lee", role: "oncologist" },
      ...{ from: clock.now, to: clock.now + 10_000 },
    };
    const attestations = [await signAttestation(fact, keys.signer())];
    const next = await answering(two, home, { user: "dr-lee", attestations });
    return { ...two, institute: keys.signer().actor, next };
  }

  it("breaks off if the member is removed that attests a role it rests on", async () => {
    const { home, institute, next } = await attested();
    const proposal = await home.governance.propose({ members: [{ remove: institute }] });
    await home.governance.enact(proposal, [await home.governance.approve(proposal)]);
    expect(await next()).toBe(REFUSED);
  });

  it("breaks off if the role's time is over", async () => {
    const { clock, next } = await attested();
    clock.now += 10_001;
    expect(await next()).toBe(REFUSED);
  });

  it("breaks off if the permit's time is over, and goes on if only the request's is", async () => {
    const two = await long();
    const { clock, home } = two;
    const late = await answering(two);
    clock.now += 400_000;
    expect(await late()).toBe("resolved");
    const to = clock.now + 1000;
    const short = { ...treatmentOnly(patient).validity, to };
    await home.consent(two.me, revoking(patient), { signer: patient });
    await two.permit({ lineage: "short", validity: short });
    const next = await answering(two);
    clock.now = to + 1;
    expect(await next()).toBe(REFUSED);
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
