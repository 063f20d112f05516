import { decode, encode } from "@ipld/dag-cbor";
import { ledgerId } from "../../../../src/block/genesis.ts";
import { trustFromGenesis } from "../../../../src/chain/trust.ts";
import type { EntryId } from "../../../../src/codec/ids.ts";
import type { KeyAgreement } from "../../../../src/identity/agreement.ts";
import type { KeyStore } from "../../../../src/identity/key-store.ts";
import { openAsk } from "../../../../src/ledger/disclosure/ask-format.ts";
import { decodeDeliver, encodeDeliver } from "../../../../src/ledger/disclosure/delivery-format.ts";
import type { Delivery } from "../../../../src/ledger/disclosure/delivering.ts";
import { decodeMessage, decodeSignedMessage } from "../../../../src/ledger/disclosure/message.ts";
import { sendMessage } from "../../../../src/ledger/disclosure/send-ask.ts";
import type { Ledger } from "../../../../src/ledger/ledger.ts";
import type { SimulatedMachine } from "../../../../src/testing/simulate-network.ts";
import type { CustodianPeer } from "../../../../src/transport/types.ts";
import type { Custodian, CustodiansSetting, Done } from "./programs.ts";

/** What a custodian showed of a delivery, and how many blocks each custodian had then. */
export interface ShownDelivery extends Pick<Delivery, "consent" | "to" | "status" | "entry"> {
  readonly sizes: ReadonlyMap<string, number>;
}

const didOf = ({ keys }: Custodian): string => keys.signer().actor;

/** A peer that remembers what was sent to it last. */
export const remembering = (own: Custodian, peer: CustodianPeer): CustodianPeer => ({
  did: peer.did,
  ask(sealed, options) {
    own.asked.push({ to: peer.did, sealed });
    own.asked.splice(0, own.asked.length - 8);
    return peer.ask(sealed, options);
  },
});

/** Notes what a custodian shows of its deliveries. A withdrawal that is shown as filed binds from now on. */
export function noteShown(
  own: Custodian,
  shown: readonly Delivery[],
  { custodians, sizeOf }: Pick<CustodiansSetting, "custodians" | "sizeOf">,
): void {
  const sizes = new Map([...custodians.keys()].map((name) => [name, sizeOf(name)]));
  for (const { consent, to, status, entry } of shown) {
    own.shown.push({ consent, to, status, sizes, ...(entry === undefined ? {} : { entry }) });
    const done = own.done.find(({ id }) => id === consent);
    if (status !== "filed" || done?.what !== "withdrawal") continue;
    [...custodians.values()].find((one) => didOf(one) === to)!.ended.add(done.lineage);
  }
}

/** Delivers a directive to others, and looks what is known of all deliveries. */
export async function deliver(
  own: Custodian,
  hl: Ledger,
  { id, to }: { readonly id: string; readonly to: readonly Custodian[] },
  setting: CustodiansSetting,
): Promise<void> {
  noteShown(own, await hl.deliver(id as EntryId, { to: to.map(didOf) }), setting);
  noteShown(own, await hl.deliveries(), setting);
}

const agreements = (keys: KeyStore): KeyAgreement[] =>
  keys.list().flatMap(({ use, key }) => (use === "agree" ? [keys.agreement(key)] : []));

/**
 * Delivers to another custodian what was delivered there last, as if it were another entry of this one's: under an alias that
 * is not its own.
 */
export async function forge(
  { wallClock, sleep, random }: SimulatedMachine,
  own: Custodian,
  { at, to, peer }: { readonly at: Done; readonly to: Custodian; readonly peer: CustodianPeer },
  { genesis }: Pick<CustodiansSetting, "genesis">,
): Promise<void> {
  const address = { ledger: ledgerId(genesis), custodian: peer.did };
  for (const { sealed } of own.asked.filter((one) => one.to === peer.did).toReversed()) {
    const ask = await openAsk(sealed, address, agreements(to.keys));
    if (ask?.kind !== "message") continue;
    const { content } = decodeMessage(decodeSignedMessage(ask.signed).message);
    const shown = decode<object>(decodeDeliver(content).entry);
    const { height, transaction, entry } = at.place!;
    const forged = encode({ ...shown, place: [height, transaction, entry] });
    const how = {
      ...{ peer, trust: trustFromGenesis(genesis), signer: own.keys.signer() },
      ...{ custodianKey: agreements(to.keys).at(-1)!, agreement: agreements(own.keys).at(-1)! },
      ...{ now: wallClock, sleep, random },
    };
    const message = { kind: "deliver", content: encodeDeliver({ entry: forged, after: [] }) };
    await sendMessage(how, {}, message as { kind: "deliver"; content: Uint8Array });
    return;
  }
}
