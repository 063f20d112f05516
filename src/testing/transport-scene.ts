import { signTransaction, type TransactionWithEntries } from "../block/transaction.ts";
import { CID } from "../codec/cid.ts";
import { memorySigner, type Signer } from "../identity/signer.ts";
import type { PeerSession } from "../transport/http.ts";
import {
  recordingHandler,
  type Answer,
  type TransportCase,
  type TransportFeature,
  type TransportSubject,
} from "./transport-subject.ts";

export { bodyOf, bundleOf, bytesOf } from "./transport-subject.ts";

/** Milliseconds: long enough for any answer in the kit, short enough to wait for. */
export const DEADLINE = 300;
const LEAST_RATE = 1000;

/** A transport, and what its other side was asked. */
export interface Scene extends TransportSubject {
  readonly asked: readonly string[];
}

const seeded = (byte: number): Signer =>
  memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(byte) });
const member = (): Signer => seeded(8);
/** The ledger of the kit: an id that no genesis record has. */
const ledger = (): CID => CID.parse("bafyreigaknpexyvxt76zgkitavbwx6ejgfheup5oybpm77f3pxzrvwpfdi");
/** The organisation that is asked. */
export const serverDid = (): string => seeded(9).actor;
/** As whom the kit asks. */
export const session = (): PeerSession => ({ ledger: ledger(), signer: member() });

/** Transactions that differ. */
export const submitted = (seq: number): Promise<TransactionWithEntries> =>
  signTransaction(member(), {
    ...{ ledger: ledger(), lane: 0, seq, time: 0, entries: [Uint8Array.of(seq & 255, seq >> 8)] },
  });

/** A case of the kit: what the other side answers, and what must come of it. */
export const transportCase = (
  name: string,
  answer: Answer,
  run: (scene: Scene) => Promise<void>,
  requires: readonly TransportFeature[] = [],
): TransportCase => ({
  name: `transport: ${name}`,
  requires,
  async run(make) {
    const { handler, asked } = recordingHandler(answer);
    const subject = await make({
      ...{ handler, deadline: DEADLINE, leastRate: LEAST_RATE, did: serverDid() },
      ...(requires.includes("session") ? { session: session() } : {}),
    });
    try {
      await run({ ...subject, asked });
    } finally {
      await subject.close();
    }
  },
});

export const ok = (body: Uint8Array | ReadableStream<Uint8Array>): Response =>
  new Response(body instanceof Uint8Array ? new Uint8Array(body) : body);
export const status = (code: number, headers: Record<string, string> = {}): Response =>
  new Response(null, { status: code, headers });

export const withSignal = (signal?: AbortSignal): { signal?: AbortSignal } =>
  signal === undefined ? {} : { signal };
