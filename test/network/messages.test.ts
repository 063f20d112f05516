import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { checkpointOf } from "../../src/chain/make-receipt.ts";
import { makeKeyProof } from "../../src/chain/key-proof.ts";
import { followCheckpoint, trustFromGenesis, type Trust } from "../../src/chain/trust.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { answerAsk, type AnsweringContext } from "../../src/ledger/disclosure/answer-ask.ts";
import { openAsk, sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
import { openMessagePage, sealMessagePage } from "../../src/ledger/disclosure/message-pages.ts";
import { signMessage, type Message } from "../../src/ledger/disclosure/message.ts";
import { sendMessage, type AskerChecks } from "../../src/ledger/disclosure/send-ask.ts";
import { MRN, observation } from "../support/hospital.ts";
import { codeOf, twoHospitals } from "../support/elsewhere.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { collect } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const how = { padding: "stepped", random } as const;
const REPLY = [Uint8Array.of(1, 2), Uint8Array.of(3)];

/** A home whose messages of kind `pull` are answered with the content and two more pages. */
async function answering() {
  const two = await twoHospitals();
  closing.push(() => two.close());
  await two.home.record(await two.home.ensureSubject(MRN), observation("bp-0"));
  const asked: string[] = [];
  const { chain, member } = two.home;
  const context = {
    ...{ chain, signer: two.homeKeys.signer(), keys: two.homeKeys, now: () => two.clock.now },
    ...{ ...how, maxRequestLifetime: 600_000, assertReady: async () => undefined },
    forks: { assertNone: async () => undefined },
    checkpoints: {
      async provable() {
        const note = await two.home.checkpoint();
        return { ...checkpointOf(note), note, policyPath: [] };
      },
    },
    answerers: {
      async *pull({ message }: { readonly message: Message }) {
        asked.push(message.from);
        yield message.content;
        yield* REPLY;
      },
    },
  } as unknown as AnsweringContext;
  const answer = (sealed: Uint8Array) => answerAsk(context, sealed, {});
  return { ...two, address: { ledger: two.home.id, custodian: member }, asked, answer };
}
type Answering = Awaited<ReturnType<typeof answering>>;

/** Sends a message, through somebody who may change the pages. */
async function send(
  { home, homeKeys, awayKeys, genesis, answer }: Answering,
  options: {
    readonly trust?: Trust;
    readonly checks?: AskerChecks;
    readonly swap?: (pages: Uint8Array[], sealed: Uint8Array) => Promise<Uint8Array[]>;
  } = {},
): Promise<Uint8Array[]> {
  const { trust = trustFromGenesis(genesis), checks = {}, swap } = options;
  const peer = {
    did: home.member,
    async *ask(sealed: Uint8Array) {
      const pages = await collect(await answer(sealed));
      yield* swap === undefined ? pages : await swap(pages, sealed);
    },
  };
  const keys = { signer: awayKeys.signer(), agreement: awayKeys.agreement() };
  const to = { peer, trust, custodianKey: homeKeys.agreement(), now: () => START, ...keys };
  const content = bytesFor("content");
  const sleep = async () => undefined;
  const pages = await sendMessage({ ...to, sleep }, checks, { kind: "pull", content });
  return (await collect(pages)).map((page) => page.content);
}

describe("a message to a custodian", () => {
  it("is answered in pages that trust in the ledger proves, with or without a root", async () => {
    const home = await answering();
    const base = trustFromGenesis(home.genesis);
    const followed = followCheckpoint(base, await home.home.checkpoint(), []);
    if (!followed.ok) throw new Error(followed.reason);
    await home.home.record(await home.home.ensureSubject(MRN), observation("bp-1"));
    for (const trust of [base, followed.trust]) {
      expect(await send(home, { trust })).toEqual([bytesFor("content"), ...REPLY]);
    }
    expect(home.asked).toEqual([home.awayKeys.signer().actor, home.awayKeys.signer().actor]);
  });

  it("is answered under a checkpoint that is compared with the asker's", async () => {
    const home = await answering();
    const checkpoint = await home.home.checkpoint();
    await home.home.record(await home.home.ensureSubject(MRN), observation("bp-1"));
    const seen: unknown[] = [];
    const onCheckpoint = async (note: Uint8Array, proof?: readonly Uint8Array[]) =>
      void seen.push(checkpointOf(note).size, proof?.length);
    await send(home, { checks: { checkpoint, onCheckpoint } });
    const { size } = home.home.chain;
    const proof = await home.home.chain.proveConsistency(checkpointOf(checkpoint).size, size);
    expect(seen).toEqual([size, proof.length]);
  });

  it("is refused for another custodian or ledger, by a stranger, altered, or at another time", async () => {
    const home = await answering();
    const { awayKeys, homeKeys, answer, address } = home;
    const message = {
      ...{ ledger: address.ledger, to: address.custodian, id: random(16), kind: "pull" as const },
      ...{ recipient: awayKeys.agreement().key, content: new Uint8Array(0) },
      ...{ time: START, expires: START + 300_000 },
    } satisfies Omit<Message, "v" | "from">;
    const signed = (change: Partial<Message> = {}, signer: Signer = awayKeys.signer()) =>
      signMessage({ ...message, ...change }, signer);
    const told = async (bytes: Uint8Array, kind: "message" | "request" = "message") => {
      const sealed = sealAsk({ kind, signed: bytes, from: {} }, address, homeKeys.agreement(), how);
      const refusal = await answer(sealed).then(collect, ({ code, message: why }) => [code, why]);
      return refusal[0] === "ERR_CONSENT_REQUEST" ? `${refusal[1]}`.split(": ")[1] : "answered";
    };
    expect(await told(await signed())).toBe("answered");
    const altered = await signed();
    altered[altered.length - 1]! ^= 1;
    const stranger = signerFor("stranger");
    const [week, away] = [7 * 24 * 3_600_000, awayKeys.signer()];
    const why: Record<string, Promise<string | undefined>> = {
      "other-custodian": told(await signed({ to: away.actor })),
      "other-ledger": told(await signed({ ledger: cidOf(bytesFor("other"), DAG_CBOR) })),
      "recipient-key": told(await signed({ recipient: homeKeys.agreement().key })),
      "bad-signature": told(altered),
      "unknown-requester": told(await signed({}, stranger)),
      malformed: told(await signed({ kind: "guess" as "pull" })),
      "not-answered": told(await signed({ kind: "blobs" })),
    };
    for (const [reason, refusal] of Object.entries(why)) expect(await refusal).toBe(reason);
    const borrowed = { ...homeKeys.signer(), actor: away.actor };
    expect(await told(await signed({}, borrowed)), "another member's key").toBe(
      "unknown-requester",
    );
    expect(await told(await signed(), "request"), "as a request").toBe("malformed");
    for (const when of [
      { time: START + week, expires: START + week + 1 },
      { time: START - 2, expires: START },
      { time: START, expires: START + 600_001 },
    ]) {
      expect(await told(await signed(when)), JSON.stringify(when)).toBe("stale");
    }
    expect(home.asked).toHaveLength(1);
  });
});

describe("the reply to a message", () => {
  it("is refused if a page is dropped, swapped, altered, or of another message", async () => {
    const home = await answering();
    const others: Uint8Array[][] = [];
    const codes: string[] = [];
    const changes: ((pages: Uint8Array[]) => Uint8Array[])[] = [
      (pages) => pages.slice(0, -1),
      (pages) => pages.slice(1),
      ([a, b, c]) => [a!, c!, b!],
      (pages) => [...pages, pages.at(-1)!],
      ([a, b, c]) => [a!, b!.map((byte, at) => (at === 99 ? byte ^ 1 : byte)), c!],
      () => others[0]!,
    ];
    for (const change of changes) {
      const swap = async (pages: Uint8Array[]) => {
        const changed = change(pages);
        others.push(pages);
        return changed;
      };
      codes.push(await codeOf(send(home, { swap })));
    }
    const DECRYPT = "ERR_ENVELOPE_DECRYPT";
    expect(codes).toEqual([
      ...["ERR_TRANSPORT_MALFORMED", DECRYPT, DECRYPT, "ERR_ENVELOPE_INVALID", DECRYPT, DECRYPT],
    ]);
  });

  it("is refused from whoever lacks a key of the custodian in force, whatever its proof", async () => {
    const home = await answering();
    const { address, homeKeys, awayKeys, home: hl } = home;
    const proofOf = async (key: Uint8Array) => {
      const checkpoint = await hl.checkpoint();
      return makeKeyProof(hl.chain, key, { checkpoint });
    };
    const theirs = awayKeys.signer();
    const forge = (signer: Signer, proof?: Uint8Array) =>
      send(home, {
        async swap([first], sealed) {
          const { signed } = (await openAsk(sealed, address, [homeKeys.agreement()]))!;
          const mine = awayKeys.agreement();
          const { content } = await openMessagePage(first!, address, sha256(signed), 0, mine);
          const head = proof === undefined ? content.head! : { ...content.head, key: proof };
          const page = { ...content, head, content: bytesFor("lie"), last: true };
          return [await sealMessagePage(page, address, mine, { ...how, signer })];
        },
      });
    expect(await forge(homeKeys.signer())).toEqual([bytesFor("lie")]);
    const proof = await proofOf(theirs.key);
    const attempts = [
      forge(theirs),
      forge(theirs, proof),
      forge({ ...theirs, key: homeKeys.signer().key }),
      forge(homeKeys.signer("checkpoint")),
      forge(homeKeys.signer(), proof),
      forge(homeKeys.signer(), Uint8Array.of(1)),
    ];
    for (const attempt of attempts) expect(await codeOf(attempt)).toBe("ERR_ENVELOPE_INVALID");
  });
});
