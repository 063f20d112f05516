import { check, checkCode, checkSame, collect, pause, rejection, within } from "./kit.ts";
import { submitCases } from "./transport-submit.ts";
import {
  bodyOf,
  bundleOf,
  bytesOf,
  DEADLINE,
  ok,
  status,
  submitted,
  transportCase,
  withSignal,
  type Scene,
} from "./transport-scene.ts";
import type { TransportCase } from "./transport-subject.ts";

export {
  directTransport,
  type MakeTransport,
  type TransportCase,
  type TransportFeature,
  type TransportSetting,
  type TransportSubject,
} from "./transport-subject.ts";

const NOTE = new TextEncoder().encode("log.example\n0\n");

/** The last part of the path below the mount. */
const pathOf = (request: Request): string =>
  new URL(request.url).pathname.replace(/^.*?\/(?=genesis|checkpoint|policy|tile|state)/, "");

const tile = (index: number, width = 256) => ({ level: 0, index, width });

/** Every call of a peer, for rules that hold for all of them. */
const CALLS: readonly (readonly [
  name: string,
  call: (scene: Scene, signal?: AbortSignal) => Promise<unknown>,
])[] = [
  ["genesis", ({ peer }, signal) => peer.genesis(withSignal(signal))],
  ["checkpoint", ({ peer }, signal) => peer.checkpoint(withSignal(signal))],
  ["policy", ({ peer }, signal) => peer.policy(withSignal(signal))],
  ["tile", ({ peer }, signal) => peer.tile(tile(0, 2), withSignal(signal))],
  ["headers", ({ peer }, signal) => peer.headers({ index: 0, width: 2 }, withSignal(signal))],
  [
    "blocks",
    ({ peer }, signal) => collect(peer.blocks({ index: 0, width: 2 }, withSignal(signal))),
  ],
  ["state", ({ peer }, signal) => peer.state("sys/policy", withSignal(signal))],
  ["submit", async ({ peer }, signal) => peer.submit([await submitted(0)], withSignal(signal))],
];
/** Those for which the other side does not wait until something is durable. */
const READS = CALLS.filter(([name]) => name !== "submit");

function* endless(piece: Uint8Array): Iterable<Uint8Array> {
  // Not without end, so that a peer without a bound fails and does not fill the memory.
  for (let sent = 0; sent < 40 * 1024 * 1024; sent += piece.length) yield piece;
}

/**
 * The conformance kit for transports: whatever the other side does, an answer is the one to its
 * request, whole and in time, or it is an error.
 */
export const transportCases: readonly TransportCase[] = [
  transportCase(
    "asks for what it was asked for, below its address",
    () => status(404),
    async (scene) => {
      const { peer, asked } = scene;
      for (const [, call] of CALLS) await rejection(call(scene), "nothing is there");
      await rejection(peer.checkpoint({ after: 70_000, wait: 1 }), "nothing is there");
      await rejection(peer.tile({ level: 2, index: 1_234_067, width: 256 }), "nothing is there");
      await rejection(peer.headers({ index: 1000, width: 256 }), "nothing is there");
      await rejection(peer.state("sys/member/did:key:z6Mk"), "nothing is there");
      checkSame(
        asked.map((path) => decodeURIComponent(path)),
        [
          ...["genesis", "checkpoint", "policy", "tile/0/000.p/2", "tile/entries/000.p/2"],
          ...["tile/blocks/000.p/2", "state/sys/policy", "submit"],
          "checkpoint?after=70000&wait=1",
          ...["tile/2/x001/x234/067", "tile/entries/x001/000", "state/sys/member/did:key:z6Mk"],
        ],
        "requests",
      );
    },
  ),
  transportCase(
    "gives an answer as the other side gave it",
    (request) => {
      const path = pathOf(request);
      if (path === "checkpoint") return ok(new Uint8Array(NOTE));
      if (path.startsWith("tile/entries/"))
        return ok(bundleOf([bytesOf(3, 1), bytesOf(300, 2)], 2));
      if (path.startsWith("tile/blocks/"))
        return ok(bundleOf([bytesOf(1, 3), bytesOf(70_000, 4)], 4));
      if (path.startsWith("tile/")) return ok(bytesOf(64, 5));
      return ok(bytesOf(path.length, 6));
    },
    async ({ peer }) => {
      checkSame(await peer.checkpoint(), NOTE, "checkpoint");
      checkSame(await peer.genesis(), bytesOf(7, 6), "genesis");
      checkSame(await peer.policy(), bytesOf(6, 6), "policy");
      checkSame(await peer.state("sys/policy"), bytesOf(16, 6), "state");
      checkSame(await peer.tile(tile(0, 2)), bytesOf(64, 5), "tile");
      const bundle = { index: 0, width: 2 };
      checkSame(await peer.headers(bundle), [bytesOf(3, 1), bytesOf(300, 2)], "headers");
      checkSame(await collect(peer.blocks(bundle)), [bytesOf(1, 3), bytesOf(70_000, 4)], "blocks");
    },
  ),
  transportCase(
    "gives each of many requests at once its own answer",
    async (request) => {
      const index = Number(pathOf(request).slice(-3));
      await pause((index * 7) % 20);
      return ok(bytesOf(8192, index));
    },
    async ({ peer }) => {
      const numbers = Array.from({ length: 40 }, (_, i) => i);
      const tiles = await Promise.all(numbers.map((index) => peer.tile(tile(index))));
      for (const index of numbers) checkSame(tiles[index], bytesOf(8192, index), `tile ${index}`);
    },
  ),
  (() => {
    let asked = 0;
    return transportCase(
      "asks again each time, and repeats no older answer",
      () => ok(bytesOf(9, asked++)),
      async ({ peer }) => {
        asked = 0;
        for (let i = 0; i < 3; i++)
          checkSame(await peer.checkpoint(), bytesOf(9, i), `answer ${i}`);
      },
    );
  })(),
  transportCase(
    "takes no answer of another length than was asked for",
    (request) => {
      const path = pathOf(request);
      if (path.startsWith("tile/entries/")) return ok(bundleOf([bytesOf(3, 1)], 2));
      if (path.startsWith("tile/blocks/")) return ok(bundleOf([bytesOf(3, 1)], 4));
      return ok(bytesOf(Number(path.slice(-1)) === 2 ? 63 : 65, 5));
    },
    async ({ peer }) => {
      await rejection(peer.tile(tile(0, 2)), "a tile that is one byte short");
      await rejection(peer.tile(tile(0, 3)), "a tile that is a hash short");
      await rejection(peer.tile(tile(0, 1)), "a tile that is too long");
      await rejection(peer.headers({ index: 0, width: 2 }), "one header of two");
      await rejection(collect(peer.blocks({ index: 0, width: 2 })), "one block of two");
    },
  ),
  transportCase(
    "takes no answer that is cut short",
    (request) => {
      const path = pathOf(request);
      const kind = path.startsWith("tile/blocks/") ? 4 : 2;
      const whole = path.startsWith("tile/0")
        ? bytesOf(64, 1)
        : bundleOf([bytesOf(9, 1), bytesOf(9, 2)], kind);
      return ok(bodyOf([whole.slice(0, -3)]).stream);
    },
    async ({ peer }) => {
      const bundle = { index: 0, width: 2 };
      await checkCode(peer.tile(tile(0, 2)), "ERR_TRANSPORT_MALFORMED", "tile");
      await checkCode(peer.headers(bundle), "ERR_TRANSPORT_MALFORMED", "headers");
      await checkCode(collect(peer.blocks(bundle)), "ERR_TRANSPORT_MALFORMED", "blocks");
    },
  ),
  transportCase(
    "takes no answer whose connection breaks",
    () => ok(bodyOf([bytesOf(10, 1)], { breaks: true }).stream),
    async (scene) => {
      for (const [name, call] of CALLS) {
        await checkCode(call(scene), "ERR_TRANSPORT_MALFORMED", name);
      }
    },
  ),
  transportCase(
    "stops reading an answer that is longer than what was asked for",
    () => ok(bodyOf(endless(bytesOf(256 * 1024, 0xff))).stream),
    async (scene) => {
      for (const [name, call] of CALLS) {
        const isTaken = await call(scene).then(
          () => true,
          () => false,
        );
        check(!isTaken, `${name}: took an endless answer`);
      }
    },
  ),
  transportCase(
    "allocates nothing for a length beyond the limit",
    () => ok(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3)),
    async ({ peer }) => {
      const bundle = { index: 0, width: 1 };
      await checkCode(peer.headers(bundle), "ERR_TRANSPORT_MALFORMED", "headers");
      await checkCode(collect(peer.blocks(bundle)), "ERR_TRANSPORT_MALFORMED", "blocks");
    },
  ),
  transportCase(
    "gives up when no answer begins",
    () => new Promise(() => undefined),
    async (scene) => {
      for (const [name, call] of READS) {
        const error = within(rejection(call(scene), name), `${name}: giving up`, 10 * DEADLINE);
        checkSame(((await error) as { code?: unknown }).code, "ERR_TRANSPORT_TIMEOUT", name);
      }
    },
  ),
  transportCase(
    "gives up on an answer that trickles",
    () => ok(bodyOf(endless(bytesOf(1, 1)), { delay: 20 }).stream),
    async ({ peer }) => {
      const call = checkCode(peer.genesis(), "ERR_TRANSPORT_TIMEOUT", "one byte every 20 ms");
      await within(call, "giving up", 10 * DEADLINE);
    },
  ),
  transportCase(
    "waits longer for a checkpoint for which the other side may wait",
    async () => {
      await pause(2 * DEADLINE);
      return ok(new Uint8Array(NOTE));
    },
    async ({ peer }) => {
      checkSame(await peer.checkpoint({ after: 1, wait: 1 }), NOTE, "checkpoint");
      await checkCode(peer.checkpoint({ after: 1, wait: 0 }), "ERR_TRANSPORT_TIMEOUT", "no wait");
    },
  ),
  transportCase(
    "follows no redirect",
    (request) =>
      pathOf(request) === "genesis" || new URL(request.url).pathname.endsWith("/inward")
        ? ok(bytesOf(7, 7))
        : status(302, { location: new URL("inward", request.url).href }),
    async (scene) => {
      for (const [name, call] of CALLS.slice(1)) {
        await checkCode(call(scene), "ERR_TRANSPORT_REDIRECT", name);
      }
      check(!scene.asked.some((path) => path.endsWith("inward")), "the other address was asked");
    },
  ),
  transportCase(
    "tells refusals apart",
    (request) => {
      const width = Number(pathOf(request).split("/").at(-1));
      const codes = [404, 401, 403, 429, 503, 500, 204, 206];
      return status(codes[width - 1]!, width === 4 ? { "retry-after": "7" } : {});
    },
    async ({ peer }) => {
      const codes = [
        "NOT_FOUND",
        "REFUSED",
        "REFUSED",
        "BUSY",
        "BUSY",
        "FAILED",
        "FAILED",
        "FAILED",
      ];
      for (const [i, code] of codes.entries()) {
        await checkCode(peer.tile(tile(0, i + 1)), `ERR_TRANSPORT_${code}`, `answer ${i}`);
      }
      const busy = await rejection(peer.tile(tile(0, 4)), "429");
      checkSame((busy as { retryAfter?: unknown }).retryAfter, 7000, "when to ask again");
    },
  ),
  transportCase(
    "ends when its signal aborts, and asks nothing if it is aborted already",
    () => new Promise(() => undefined),
    async (scene) => {
      for (const [name, call] of CALLS) {
        const reason = new Error("enough");
        const aborting = new AbortController();
        const ended = rejection(call(scene, aborting.signal), name);
        await pause(20);
        aborting.abort(reason);
        check((await within(ended, name, DEADLINE)) === reason, `${name}: not the signal's reason`);
      }
      const { length } = scene.asked;
      for (const [name, call] of CALLS) {
        const reason = new Error("enough");
        const error = await rejection(call(scene, AbortSignal.abort(reason)), name);
        check(error === reason, `${name}: not the signal's reason`);
      }
      checkSame(scene.asked.length, length, "requests");
    },
  ),
  (() => {
    let body: ReturnType<typeof bodyOf>;
    return transportCase(
      "gives out blocks as they come, and reads no further than they are wanted",
      () => {
        const block = bundleOf([bytesOf(100_000, 1)], 4);
        body = bodyOf(Array.from({ length: 256 }, () => block));
        return ok(body.stream);
      },
      async ({ peer }) => {
        const blocks = await collect(peer.blocks({ index: 0, width: 256 }), 2);
        checkSame(blocks.length, 2, "blocks");
        check(body.sent() < 100, `read ${body.sent()} of 256 blocks for two`);
      },
    );
  })(),
  ...submitCases,
];
