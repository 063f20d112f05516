import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { answerRelayed, type AnswerRelayedOptions } from "../../src/network/answer-relayed.ts";
import { relayHandler, type RelayHandlerOptions } from "../../src/network/relay-handler.ts";
import { sleep } from "../../src/storage/sleep.ts";
import { httpPeer, MAX_WAIT } from "../../src/transport/http.ts";
import { toBase64Url } from "../../src/bytes/base64.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { decodeGivenToken, signSessionRequest } from "../../src/transport/session-request.ts";
import { askingHospitals, patient } from "./asking.ts";
import { MRN, observation, treatmentOnly } from "./hospital.ts";

type Closing = (() => Promise<void>)[];

/** What the relay saw: everything that it was sent, and paths. */
export interface Seen {
  readonly bytes: Uint8Array[];
  readonly paths: string[];
  /** Takes the place of a request's body; ends the connection where it throws. */
  change: (body: AsyncIterable<Uint8Array>, path: string) => AsyncIterable<Uint8Array>;
}

/** A handler on loopback whose requests and answers are streamed. */
async function serveStreams(
  closing: Closing,
  handler: (request: Request) => Promise<Response>,
  seen: Seen,
): Promise<string> {
  async function* watched(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const piece of body) {
      seen.bytes.push(Uint8Array.from(piece));
      yield piece;
    }
  }
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const ending = new AbortController();
      outgoing.on("close", () => ending.abort());
      const { method = "GET", url = "", headers } = incoming;
      seen.paths.push(url, JSON.stringify({ ...headers, authorization: "" }));
      const sent = seen.change(watched(incoming), url);
      const body = Readable.toWeb(Readable.from(sent)) as ReadableStream<Uint8Array>;
      const request = new Request(`http://127.0.0.1${url}`, {
        ...{ method, headers: headers as Record<string, string>, signal: ending.signal },
        ...(method === "POST" ? { body, duplex: "half" } : {}),
      } as RequestInit);
      const response = await handler(request);
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.flushHeaders();
      for await (const part of response.body ?? []) {
        if (!outgoing.write(part)) await once(outgoing, "drain");
      }
      outgoing.end();
    })().catch(() => outgoing.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ledger`;
}

/** The member elsewhere has no address; the home, which it asks, relays for it. */
export async function relayed(
  closing: Closing,
  options: Partial<RelayHandlerOptions> = {},
  answering: Partial<AnswerRelayedOptions> | "nobody" = {},
  hospitals: Parameters<typeof askingHospitals>[1] = {},
) {
  const two = await askingHospitals(closing, hospitals);
  const { home, away, source } = two;
  const errors: unknown[] = [];
  const seen: Seen = { bytes: [], paths: [], change: (body) => body };
  const now = () => two.clock.now;
  let waiting = 0;
  const handler = relayHandler({
    ...{ source, sessions: { did: home.member, now }, path: "/ledger" },
    onError: (error) => errors.push(error),
    ...options,
    sleep(ms, signal) {
      if (ms === MAX_WAIT * 1000) waiting++;
      return (options.sleep ?? sleep)(ms, signal);
    },
  });
  const url = await serveStreams(closing, handler, seen);
  const me = await away.ensureSubject(MRN);
  await away.attest(me, {
    ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
    from: 0,
  });
  await away.consent(me, treatmentOnly(patient), { signer: patient });
  await away.record(me, observation("bp-relayed"));
  const stopping = new AbortController();
  const session = { ledger: away.id, signer: two.awayKeys.signer(), now };
  const begin = (more: Partial<AnswerRelayedOptions> = {}) => {
    waiting = 0;
    const running = answerRelayed({
      ...{ ledger: away, url, relay: home.member, session, signal: stopping.signal },
      onError: (error) => errors.push(error),
      ...more,
    });
    closing.push(async () => {
      stopping.abort();
      await running;
    });
    return running;
  };
  if (answering !== "nobody") begin(answering);
  const peer = httpPeer({ url: `${url}/relay/${away.member}`, did: away.member });
  /** Waits until the member waits for an ask. */
  const there = async () => {
    while (waiting === 0) await sleep(5);
  };
  /** A token of the relay. */
  const tokenOf = async (signer: Signer) => {
    const id = crypto.getRandomValues(new Uint8Array(16));
    const time = now();
    const request = { ledger: home.id, to: home.member, id, time, expires: time + 30_000 };
    const body = await signSessionRequest(signer, request);
    const given = await handler(posted(`${url}/relay/session`, body as Uint8Array<ArrayBuffer>));
    const { token } = decodeGivenToken(new Uint8Array(await given.arrayBuffer()));
    return { authorization: `Bearer ${toBase64Url(token)}` };
  };
  const theirs = `${url}/relay/${away.member}`;
  /** Sends what nobody can open as an ask. */
  const asks = (body: BodyInit = "x", signal?: AbortSignal) =>
    handler(posted(`${theirs}/ask`, body, {}, signal));
  return {
    ...two,
    tokenOf,
    theirs,
    asks,
    patientHere: me,
    handler,
    url,
    seen,
    errors,
    peer,
    begin,
    there,
    stopping,
  };
}

/** Sleeps a fiftieth of what is asked. */
export const fast = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms / 50, signal);

export const isPoll = (url: string): boolean => url.includes("?wait=");

/** An ask or a reply, as a handler gets it. */
export const posted = (url: string, body: BodyInit, headers = {}, signal?: AbortSignal): Request =>
  new Request(url, {
    ...{ method: "POST", body, headers, duplex: "half" },
    ...(signal === undefined ? {} : { signal }),
  } as RequestInit);
