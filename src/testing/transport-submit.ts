import { decodeTransaction, type TransactionWithEntries } from "../block/transaction.ts";
import { decodeSessionRequest, encodeGivenToken } from "../transport/session-request.ts";
import { encodeOutcomes, readSubmitted } from "../transport/submission.ts";
import type { SubmitOutcome } from "../transport/types.ts";
import { check, checkCode, checkSame, pause, rejection } from "./kit.ts";
import {
  bodyOf,
  bytesOf,
  ok,
  serverDid,
  session,
  status,
  submitted,
  transportCase,
} from "./transport-scene.ts";
import type { Answer, TransportCase } from "./transport-subject.ts";

/** The transactions of a request. */
async function read(request: Request): Promise<readonly TransactionWithEntries[]> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  let at = 0;
  return readSubmitted(
    async (length) => (at === bytes.length ? undefined : bytes.slice(at, (at += length))),
    () => undefined,
  );
}

const seqOf = ({ tx }: TransactionWithEntries): number => decodeTransaction(tx).seq;

/** An outcome that tells which transaction it is of. */
const outcomeOf = (transaction: TransactionWithEntries): SubmitOutcome => {
  const seq = seqOf(transaction);
  return seq % 3 === 2
    ? { ok: false, reason: "key-not-in-force", entry: seq }
    : { ok: true, height: 100 + seq, transaction: seq };
};

const outcomes: Answer = async (request) => {
  const transactions = await read(request);
  return ok(encodeOutcomes(transactions, transactions.map(outcomeOf)));
};

const all = (from: number, count: number): Promise<TransactionWithEntries[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => submitted(from + i)));

/** Sequence numbers of what was handed in, request by request. */
const handedIn: number[][] = [];
const noting: Answer = async (request) => {
  check(request.method === "POST", "submits by another method than POST");
  const transactions = await read(request.clone());
  handedIn.push(transactions.map(seqOf));
  return outcomes(request);
};

const tokenIn = (request: Request): string | null => request.headers.get("authorization");
const bearer = (fill: number): string => {
  const text = String.fromCharCode(...bytesOf(32, fill));
  return `Bearer ${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
};
const isFor = (request: Request, name: string): boolean =>
  new URL(request.url).pathname.endsWith(`/${name}`);

/** Gives a token for a request, if the request is for this server and ledger. */
async function give(request: Request, fill: number): Promise<Response> {
  const body = new Uint8Array(await request.arrayBuffer());
  const { request: asked } = decodeSessionRequest(body);
  const { ledger, signer } = session();
  check(asked.to === serverDid(), "the request for a session is to another server");
  check(asked.ledger.equals(ledger), "the request for a session is for another ledger");
  check(asked.from === signer.actor, "the request for a session is of another member");
  check(asked.expires - asked.time <= 60_000, "the request for a session is good for too long");
  return ok(encodeGivenToken({ id: asked.id, token: bytesOf(32, fill), seconds: 600 }));
}

/** Cases about handing in transactions, and about asking as a member. */
export const submitCases: readonly TransportCase[] = [
  transportCase(
    "hands in transactions in order, and gives one outcome for each",
    noting,
    async ({ peer }) => {
      handedIn.length = 0;
      const transactions = await all(0, 7);
      checkSame(await peer.submit(transactions), transactions.map(outcomeOf), "outcomes");
      checkSame(handedIn.flat(), [0, 1, 2, 3, 4, 5, 6], "what was handed in");
      checkSame(await peer.submit([]), [], "outcomes of nothing");
    },
  ),
  transportCase(
    "gives each of many submits at once its own outcomes",
    async (request) => {
      const [first] = await read(request.clone());
      await pause((seqOf(first!) * 7) % 20);
      return outcomes(request);
    },
    async ({ peer }) => {
      const batches = await Promise.all([0, 10, 20, 30, 40].map((from) => all(from, 3)));
      const answers = await Promise.all(batches.map((batch) => peer.submit(batch)));
      for (const [i, batch] of batches.entries()) {
        checkSame(answers[i], batch.map(outcomeOf), `outcomes of submit ${i}`);
      }
    },
  ),
  (() => {
    let asked = 0;
    return transportCase(
      "hands in again what is submitted again, and gives the new outcome",
      async (request) => {
        const transactions = await read(request);
        const outcome: SubmitOutcome =
          asked++ === 0
            ? { ok: false, reason: "too-early" }
            : { ok: true, height: 5, transaction: 0 };
        return ok(encodeOutcomes(transactions, [outcome]));
      },
      async ({ peer }) => {
        asked = 0;
        const transactions = await all(0, 1);
        const [first] = await peer.submit(transactions);
        checkSame(first, { ok: false, reason: "too-early" }, "first outcome");
        const [second] = await peer.submit(transactions);
        checkSame(second, { ok: true, height: 5, transaction: 0 }, "second outcome");
      },
    );
  })(),
  (() => {
    let answers: Uint8Array[] = [];
    return transportCase(
      "takes nothing for an outcome that is cut, or of other transactions",
      () => ok(bodyOf([answers.shift()!]).stream),
      async ({ peer }) => {
        const transactions = await all(0, 2);
        const right = encodeOutcomes(transactions, transactions.map(outcomeOf));
        const wrong: Uint8Array[] = [];
        for (let length = 0; length < right.length; length += 9) wrong.push(right.slice(0, length));
        const others = await all(7, 2);
        wrong.push(
          encodeOutcomes(others, others.map(outcomeOf)),
          encodeOutcomes(transactions.slice(1), [{ ok: true, height: 1, transaction: 0 }]),
          encodeOutcomes(transactions.toReversed(), transactions.map(outcomeOf)),
          new Uint8Array([...right, 0]),
        );
        answers = [...wrong, right];
        for (const [i] of wrong.entries()) {
          await checkCode(peer.submit(transactions), "ERR_TRANSPORT_MALFORMED", `answer ${i}`);
        }
        checkSame(await peer.submit(transactions), transactions.map(outcomeOf), "outcomes");
      },
    );
  })(),
  transportCase(
    "hands transactions in nowhere else",
    (request) =>
      isFor(request, "elsewhere")
        ? outcomes(request)
        : status(307, { location: new URL("elsewhere", request.url).href }),
    async ({ peer, asked }) => {
      await checkCode(peer.submit(await all(0, 1)), "ERR_TRANSPORT_REDIRECT", "submit");
      check(!asked.some((path) => path.endsWith("elsewhere")), "the other address was asked");
    },
  ),
  (() => {
    let given: (string | null)[] = [];
    return transportCase(
      "asks with one token for all that is asked, but for the genesis record",
      async (request) => {
        if (isFor(request, "session")) return give(request, 1);
        given.push(tokenIn(request));
        return isFor(request, "submit") ? outcomes(request) : ok(bytesOf(3, 3));
      },
      async ({ peer, asked }) => {
        given = [];
        await Promise.all([peer.checkpoint(), peer.policy(), peer.submit(await all(0, 1))]);
        checkSame(given, [bearer(1), bearer(1), bearer(1)], "tokens");
        checkSame(asked.filter((path) => path === "session").length, 1, "requests for a session");
        await peer.genesis();
        checkSame(given.at(-1), null, "token with the request for the genesis record");
      },
      ["session"],
    );
  })(),
  (() => {
    let elsewhere: (string | null)[] = [];
    return transportCase(
      "sends its token to no other address",
      async (request) => {
        if (isFor(request, "session")) return give(request, 1);
        if (!isFor(request, "elsewhere")) {
          return status(307, { location: new URL("elsewhere", request.url).href });
        }
        elsewhere.push(tokenIn(request));
        return ok(bytesOf(3, 3));
      },
      async ({ peer }) => {
        elsewhere = [];
        await checkCode(peer.policy(), "ERR_TRANSPORT_REDIRECT", "policy");
        await checkCode(peer.submit(await all(0, 1)), "ERR_TRANSPORT_REDIRECT", "submit");
        checkSame(elsewhere, [], "tokens at another address");
      },
      ["session"],
    );
  })(),
  (() => {
    let good = 1;
    let sessions = 0;
    return transportCase(
      "gets one more token when its own is refused, and then gives up",
      async (request) => {
        if (isFor(request, "session")) return give(request, ++sessions);
        return tokenIn(request) === bearer(good) ? ok(bytesOf(3, 3)) : status(401);
      },
      async ({ peer }) => {
        [good, sessions] = [1, 0];
        checkSame(await peer.policy(), bytesOf(3, 3), "answer");
        good = 2;
        checkSame(await peer.policy(), bytesOf(3, 3), "answer after the first token ended");
        good = 99;
        await checkCode(peer.policy(), "ERR_TRANSPORT_REFUSED", "no token is good");
        checkSame(sessions, 3, "requests for a session");
      },
      ["session"],
    );
  })(),
  (() => {
    let first: Uint8Array | undefined;
    return transportCase(
      "takes no token that was given for another request",
      async (request) => {
        if (!isFor(request, "session")) return status(401);
        const given = await give(request, 1);
        first ??= new Uint8Array(await given.arrayBuffer());
        return ok(first);
      },
      async ({ peer }) => {
        first = undefined;
        await rejection(peer.policy(), "no token is good");
        const error = await rejection(peer.policy(), "the token of an older request");
        checkSame((error as { code?: unknown }).code, "ERR_TRANSPORT_MALFORMED", "an older token");
      },
      ["session"],
    );
  })(),
];
