import type { LedgerPeer } from "../transport/types.ts";
import { collect, pause } from "./kit.ts";
import { directTransport, type MakeTransport, type TransportSetting } from "./transport-subject.ts";

/** A transport with one fault, which the kit must notice. */
export interface TransportControl {
  readonly name: string;
  readonly make: MakeTransport;
  /** A part of the name of a case that must fail. */
  readonly fails: string;
}

const control = (
  name: string,
  fails: string,
  change: (peer: LedgerPeer, setting: TransportSetting) => LedgerPeer,
): TransportControl => ({
  name,
  fails,
  async make(setting) {
    const subject = await directTransport(setting);
    return { ...subject, peer: change(subject.peer, setting) };
  },
});

/** Gives up each rule of reading: a body is whatever arrives. */
const readAll = async ({ handler }: TransportSetting, path: string): Promise<Uint8Array> => {
  const response = await handler(new Request(`http://peer.invalid/ledger/${path}`));
  return new Uint8Array(await response.arrayBuffer());
};

/** Transports that each break a rule. */
export const transportControls: readonly TransportControl[] = [
  control("passes on bodies that were cut", "cut short", (peer) => ({
    ...peer,
    tile: (tile, options) =>
      peer.tile(tile, options).catch((error: { code?: string }) => {
        if (error.code === "ERR_TRANSPORT_MALFORMED") return new Uint8Array(32 * tile.width);
        throw error;
      }),
  })),
  control("ends a stream of blocks where it was cut", "cut short", (peer) => ({
    ...peer,
    async *blocks(bundle, options) {
      try {
        yield* peer.blocks(bundle, options);
      } catch (error) {
        if ((error as { code?: string }).code !== "ERR_TRANSPORT_MALFORMED") throw error;
      }
    },
  })),
  control("repeats the first answer", "repeats no older answer", (peer) => {
    let first: Promise<Uint8Array> | undefined;
    return { ...peer, checkpoint: (options) => (first ??= peer.checkpoint(options)) };
  }),
  control("mixes up two requests", "its own answer", (peer) => {
    let before: Promise<Uint8Array> | undefined;
    return {
      ...peer,
      tile(tile, options) {
        const mine = peer.tile(tile, options);
        const answer = before ?? mine;
        before = mine;
        mine.catch(() => undefined);
        void pause(50).then(() => (before = undefined));
        return answer;
      },
    };
  }),
  {
    name: "ignores deadlines",
    fails: "no answer begins",
    make: (setting) => directTransport({ ...setting, deadline: 2 ** 30 }),
  },
  {
    name: "accepts any pace",
    fails: "trickles",
    // On a busy machine a pause may be longer than the deadline, which is not what is to be noticed.
    make: (setting) => directTransport({ ...setting, leastRate: 1, deadline: 2 ** 30 }),
  },
  {
    name: "follows redirects",
    fails: "follows no redirect",
    make: (setting) =>
      directTransport({
        ...setting,
        async handler(request) {
          const response = await setting.handler(request);
          const location = response.headers.get("location");
          return location === null ? response : setting.handler(new Request(location));
        },
      }),
  },
  control("has no limit", "longer than what was asked for", (peer, setting) => ({
    ...peer,
    genesis: () => readAll(setting, "genesis"),
  })),
  control("ignores its signal", "signal aborts", (peer) => ({
    ...peer,
    policy: () => peer.policy(),
  })),
  control("reads all blocks before it gives one out", "reads no further", (peer) => ({
    ...peer,
    async *blocks(bundle, options) {
      yield* await collect(peer.blocks(bundle, options));
    },
  })),
  control("takes a refusal for an absence", "tells refusals apart", (peer) => ({
    ...peer,
    tile: (tile, options) =>
      peer.tile(tile, options).catch((error: { code?: string }) => {
        if (error.code === "ERR_TRANSPORT_REFUSED") return new Uint8Array(32 * tile.width);
        throw error;
      }),
  })),
  control("repeats the first outcome", "gives the new outcome", (peer) => {
    let first: ReturnType<LedgerPeer["submit"]> | undefined;
    return { ...peer, submit: (...given) => (first ??= peer.submit(...given)) };
  }),
  control("mixes up two submits", "its own outcomes", (peer) => {
    let before: ReturnType<LedgerPeer["submit"]> | undefined;
    return {
      ...peer,
      submit(...given) {
        const mine = peer.submit(...given);
        const answer = before ?? mine;
        before = mine;
        mine.catch(() => undefined);
        return answer;
      },
    };
  }),
  control("takes an answer that was cut for a refusal", "takes nothing for an outcome", (peer) => ({
    ...peer,
    submit: (transactions, options) =>
      peer.submit(transactions, options).catch((error: { code?: string }) => {
        if (error.code !== "ERR_TRANSPORT_MALFORMED") throw error;
        return transactions.map(() => ({ ok: false, reason: "malformed" }));
      }),
  })),
  control("turns the order round", "in order, and gives one outcome", (peer) => ({
    ...peer,
    submit: (transactions, options) => peer.submit(transactions.toReversed(), options),
  })),
  {
    name: "hands in again where a redirect points to",
    fails: "nowhere else",
    make: (setting) => directTransport(redirected(setting, () => true)),
  },
  {
    name: "takes its token where a redirect points to",
    fails: "to no other address",
    make: (setting) => directTransport(redirected(setting, (method) => method === "GET")),
  },
  {
    name: "asks for a session each time",
    fails: "with one token",
    async make(setting) {
      const { peer, ...subject } = await directTransport(setting);
      const fresh = async (): Promise<LedgerPeer> => (await directTransport(setting)).peer;
      return {
        ...subject,
        peer: { ...peer, policy: async (options) => (await fresh()).policy(options) },
      };
    },
  },
];

/** A `fetch` that follows redirects of some methods, with all that it was to send. */
function redirected(
  setting: TransportSetting,
  follows: (method: string) => boolean,
): TransportSetting {
  return {
    ...setting,
    async handler(request) {
      const again = request.clone();
      const response = await setting.handler(request);
      const location = response.headers.get("location");
      if (location === null || !follows(request.method)) return response;
      return setting.handler(new Request(location, again));
    },
  };
}
