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
    make: (setting) => directTransport({ ...setting, leastRate: 1 }),
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
];
