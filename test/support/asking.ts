import { concatBytes } from "../../src/bytes/concat.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import type { CreateGenesisOptions } from "../../src/ledger/create-genesis.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import {
  custodianHandler,
  type CustodianHandlerOptions,
} from "../../src/network/custodian-handler.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { CustodianPeer } from "../../src/transport/types.ts";
import { twoHospitals, type TwoHospitals } from "./elsewhere.ts";
import { MRN, observation, treatmentOnly } from "./hospital.ts";
import { bytesFor } from "./ledger.ts";
import { serve } from "./serve.ts";

/** What stands between two organisations: sees all bytes, and may change them. */
export interface Proxy {
  /** Bodies of asks, as they came. */
  readonly asks: Uint8Array[];
  /** Bodies of answers, as they left. */
  readonly answers: Uint8Array[];
  readonly statuses: number[];
  /** Takes the place of the ask that is passed on. */
  change: (ask: Uint8Array) => Uint8Array;
  /** Takes the place of the frames of an answer. */
  swap: (frames: readonly Uint8Array[]) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
}

/** Two hospitals that ask each other over HTTP on loopback, through a proxy. */
export interface AskingHospitals extends TwoHospitals {
  readonly away: Ledger;
  /** The person at the home. */
  readonly me: Subject;
  readonly toHome: CustodianPeer & { readonly proxy: Proxy };
  readonly toAway: CustodianPeer & { readonly proxy: Proxy };
  permit(change?: Partial<Directive>): Promise<unknown>;
  /** Errors that the handlers told of. */
  readonly errors: unknown[];
}

export const patient = memorySigner({ alg: "Ed25519", secret: bytesFor("patient") });
export const TREAT = { patient: MRN, purposes: ["TREAT"] } as const;

/** @param closing - what the test must close, in order of opening */
export async function askingHospitals(
  closing: (() => Promise<void>)[],
  options: {
    readonly genesis?: Partial<CreateGenesisOptions>;
    readonly home?: Partial<OpenLedgerOptions>;
    readonly away?: Partial<OpenLedgerOptions>;
    readonly handler?: Partial<CustodianHandlerOptions>;
  } = {},
): Promise<AskingHospitals> {
  const two = await twoHospitals({
    genesis: options.genesis ?? {},
    home: options.home ?? {},
  });
  closing.push(() => two.close());
  const away = await two.open(options.away);
  closing.push(() => away.close());
  const errors: unknown[] = [];
  const peerTo = (ledger: Ledger) =>
    peerThrough(closing, ledger, {
      ...{ onError: (error: unknown) => errors.push(error), ...options.handler },
    });
  const me = await two.home.ensureSubject(MRN);
  await two.home.attest(me, {
    ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
    from: 0,
  });
  return {
    ...{ ...two, away, me, errors },
    toHome: await peerTo(two.home),
    toAway: await peerTo(away),
    permit: (change = {}) =>
      two.home.consent(me, treatmentOnly(patient, change), { signer: patient }),
  };
}

/** Serves a custodian over HTTP on loopback, and asks it through a proxy. */
export async function peerThrough(
  closing: (() => Promise<void>)[],
  ledger: Ledger,
  options: Partial<CustodianHandlerOptions> = {},
): Promise<CustodianPeer & { readonly proxy: Proxy }> {
  const served = await serve(custodianHandler({ ledger, path: "/ledger", ...options }));
  closing.push(() => served.close());
  const proxy: Proxy = {
    ...{ asks: [], answers: [], statuses: [] },
    change: (bytes) => bytes,
    swap: (frames) => frames,
  };
  const peer = httpPeer({
    ...{ url: `${served.url}/ledger`, did: ledger.member },
    async fetch(url, init) {
      const asked = new Uint8Array(init.body as Uint8Array<ArrayBuffer>);
      proxy.asks.push(asked);
      const body = proxy.change(asked) as Uint8Array<ArrayBuffer>;
      const response = await fetch(url, { ...init, body });
      proxy.statuses.push(response.status);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 200) return new Response(null, response);
      proxy.answers.push(bytes);
      return new Response(framesToBody(await proxy.swap(framesOf(bytes))));
    },
  });
  return Object.assign(peer, { proxy });
}

/** The frames of a body. */
export function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
    frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

function framesToBody(frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes(
    ...frames.flatMap((frame) => {
      const prefix = new Uint8Array(4);
      new DataView(prefix.buffer).setUint32(0, frame.length);
      return [prefix, frame];
    }),
  ) as Uint8Array<ArrayBuffer>;
}

/** A record whose ciphertext fills a quarter of a page. */
export const longObservation = (id: string): string =>
  `{"resourceType":"Observation","id":"${id}","status":"final",` +
  `"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},` +
  `"valueQuantity":{"value":107.50,"unit":"mmHg"}${" ".repeat(900_000)}}`;

/** Records so many observations about the person at the home. */
export async function fill({ home, me }: AskingHospitals, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await home.record(me, observation(`bp-${i}`));
}
