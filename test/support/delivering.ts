import { sha256 } from "#crypto";
import { makeKeyProof } from "../../src/chain/key-proof.ts";
import { checkpointOf } from "../../src/chain/make-receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import { TransportError } from "../../src/errors.ts";
import { openAsk } from "../../src/ledger/disclosure/ask-format.ts";
import { decodeDeliver, decodeDeliverReply } from "../../src/ledger/disclosure/delivery-format.ts";
import { sealMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { decodeMessage, decodeSignedMessage } from "../../src/ledger/disclosure/message.ts";
import { sendMessage } from "../../src/ledger/disclosure/send-ask.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import { askingHospitals, fill, patient, TREAT, type AskingHospitals } from "./asking.ts";
import { organisation } from "./founders.ts";
import { MRN, treatmentOnly } from "./hospital.ts";
import { START } from "./ledger.ts";
import { collect } from "./ward.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

export interface Delivering extends AskingHospitals {
  /** The person at the member elsewhere, which delivers. */
  readonly there: Subject;
  /** What stands between them. */
  readonly wire: { ask: CustodianPeer["ask"] };
  /** What a request at the home is answered with. */
  asked(purposes?: readonly string[]): Promise<string>;
}

/** Files, at the member elsewhere, a directive that the patient signed, or another grantor. */
export const consentAway = (
  { away, there }: Delivering,
  change: Partial<Directive> = {},
  signer = patient,
) => away.consent(there, treatmentOnly(signer, change), { signer });

/** Attests that a key is the person's own. */
export async function attest(hl: Ledger, subject: Subject, key = patient): Promise<void> {
  await hl.attest(subject, {
    ...{ actor: key.actor, capacity: "self", alg: "Ed25519", publicKey: key.publicKey, from: 0 },
  });
}

/** Two hospitals, of which the one elsewhere delivers to the home over `wire`. */
export async function delivering(closing: (() => Promise<void>)[]): Promise<Delivering> {
  const homeKeys = await organisation("home");
  const wire: { ask: CustodianPeer["ask"] } = {
    ask: () => {
      throw new TransportError("ERR_TRANSPORT_FAILED", "not there yet");
    },
  };
  const peer: CustodianPeer = {
    did: homeKeys.signer().actor,
    ask: (sealed, options) => wire.ask(sealed, options),
  };
  const two = await askingHospitals(closing, { away: { custodians: [peer] } });
  wire.ask = two.toHome.ask;
  await fill(two, 1);
  const there = await two.away.ensureSubject(MRN);
  await attest(two.away, there);
  return {
    ...{ ...two, there, wire },
    async asked(purposes = ["TREAT"]) {
      const what = { ...TREAT, purposes };
      const answer = await two.away.ask(two.home.member, what, { peer: two.toHome });
      return `${answer.decision.outcome} ${answer.count}`;
    },
  };
}

export const toHome = ({ home }: Delivering) => ({ to: [home.member] });
export const address = ({ home }: Delivering) => ({ ledger: home.id, custodian: home.member });

/** What the last ask held. */
export async function lastMessage(two: Delivering) {
  const sealed = two.toHome.proxy.asks.at(-1)!;
  const ask = (await openAsk(sealed, address(two), [two.homeKeys.agreement()]))!;
  const message = decodeMessage(decodeSignedMessage(ask.signed).message);
  return { sealed, ask, content: decodeDeliver(message.content) };
}

/** Hands over what the member elsewhere might have made up. */
export async function hand(two: Delivering, content: Uint8Array): Promise<string> {
  const to = {
    ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), now: () => START },
    ...{ custodianKey: two.homeKeys.agreement(), signer: two.awayKeys.signer() },
    agreement: two.awayKeys.agreement(),
  };
  const [reply] = await collect(await sendMessage(to, {}, { kind: "deliver", content }));
  return decodeDeliverReply(reply!.content).status;
}

/** A recipient, or who has its keys, that replies whatever it likes. */
export function lying(two: Delivering, reply: Uint8Array): CustodianPeer["ask"] {
  return async function* (sealed) {
    const { home, homeKeys, awayKeys } = two;
    const { signed, checkpoint } = (await openAsk(sealed, address(two), [homeKeys.agreement()]))!;
    const note = await home.checkpoint();
    const [seen, size] = [checkpointOf(checkpoint!).size, checkpointOf(note).size];
    const head = {
      key: await makeKeyProof(home.chain, homeKeys.signer().key, { checkpoint: note }),
      ...(seen < size ? { consistency: await home.chain.proveConsistency(seen, size) } : {}),
    };
    const page = { ask: sha256(signed), page: 0, last: true, head, content: reply };
    const how = { padding: "stepped", random, signer: homeKeys.signer() } as const;
    yield await sealMessagePage(page, address(two), awayKeys.agreement(), how);
  };
}
