import type { EntryId } from "../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createAuthor, durablePlaceOf } from "../../src/chain/author.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import type { Signer } from "../../src/identity/signer.ts";
import type { Access, UnreadableAccess } from "../../src/ledger/disclosure/audit.ts";
import type { Answer, OpenedItem } from "../../src/ledger/disclosure/answer.ts";
import type { Ledger, OpenLedgerOptions, Requester } from "../../src/ledger/ledger.ts";
import { createRequest, type RequestOptions } from "../../src/ledger/disclosure/request.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { foundWorld, MRN, treatmentOnly, type World } from "./hospital.ts";
import { bytesFor } from "./ledger.ts";

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

export const opened = (answer: Answer): Promise<OpenedItem[]> => collect(answer.items());

/** Accesses, all of which can be read. */
export async function readable(
  source: AsyncIterable<Access | UnreadableAccess>,
): Promise<Access[]> {
  return (await collect(source)).map((access) => {
    if (access.unreadable !== undefined) throw new Error(access.unreadable);
    return access;
  });
}

/** The exact JSON of what was released. */
export const texts = async (answer: Answer): Promise<string[]> =>
  (await opened(answer)).map(({ text }) => bytesToUtf8(text!));

/** What happens around the next block that is committed; each trap springs once. */
export interface Traps {
  /** Before it is written. */
  before?: (() => Promise<void>) | undefined;
  /** When it is durable, before its author hears of it. */
  after?: (() => Promise<void>) | undefined;
}

/** A storage that lets things happen around its commits of blocks. */
export function trapped(inner: FullStorage): { storage: FullStorage; traps: Traps } {
  const traps: Traps = {};
  const spring = async (which: keyof Traps): Promise<void> => {
    const trap = traps[which];
    delete traps[which];
    await trap?.();
  };
  const storage: FullStorage = {
    ...inner,
    async commit(batch, options) {
      const isBlock = batch.append?.chain.endsWith("/blocks") === true;
      if (isBlock) await spring("before");
      const head = await inner.commit(batch, options);
      if (isBlock) await spring("after");
      return head;
    },
  };
  return { storage, traps };
}

/** Hospital A with one patient, and all that a test needs to attack it. */
export interface Ward extends World {
  readonly traps: Traps;
  readonly hl: Ledger;
  readonly me: Subject;
  /** Hospital B, and the institute. */
  readonly b: Requester;
  readonly c: Requester;
  ask(who?: Requester, what?: Partial<RequestOptions>): Promise<Answer>;
  /** A signed request of hospital B, as bytes; `fields` replace what it says. */
  request(fields?: Partial<Parameters<typeof createRequest>[0]>): Promise<Uint8Array>;
  permit(change?: Partial<Directive>): Promise<EntryId>;
  audit(): Promise<Access[]>;
  /** Hospital A again, as another process has it open. */
  again(options?: Partial<OpenLedgerOptions>): Promise<Ledger>;
  /** Writes raw entries in a member's name, as another process would. */
  write(keys: KeyStore, entries: readonly Uint8Array[]): Promise<void>;
}

export const requesterOf = (keys: KeyStore): Requester => ({
  signer: keys.signer(),
  agreement: keys.agreement(),
});

export async function ward(
  options: Partial<OpenLedgerOptions> & { readonly inner?: FullStorage } = {},
): Promise<Ward> {
  const { inner = memoryStorage(), ...rest } = options;
  const { storage, traps } = trapped(inner);
  const world = await foundWorld(storage);
  const hl = await world.open(rest);
  const me = await hl.ensureSubject(MRN);
  const b = requesterOf(world.hospitalB);
  const c = requesterOf(world.institute);
  let lanes = 1;
  let requests = 0;
  return {
    ...world,
    storage: inner,
    traps,
    hl,
    me,
    b,
    c,
    ask: (who = b, what = {}) => hl.request(who, { patient: MRN, purposes: ["TREAT"], ...what }),
    request: (fields = {}) =>
      createRequest({
        patient: MRN,
        purposes: ["TREAT"],
        ledger: hl.id,
        custodian: hl.member,
        custodianKey: world.hospitalA.agreement(),
        signer: b.signer,
        agreement: b.agreement,
        now: world.clock.now,
        random: (length) => bytesFor(`request ${requests++}`).slice(0, length),
        ...fields,
      }),
    async permit(change = {}) {
      const directive = treatmentOnly(world.patient, change);
      return (await hl.consent(me, directive, { signer: world.patient })).id;
    },
    audit: () => readable(hl.audit(me)),
    again: (more = {}) =>
      world.open({
        ...{ storage: inner, lane: lanes++, ...rest, ...more },
        policy: { ...rest.policy, ...more.policy },
      }),
    async write(keys, entries) {
      const signer = keys.signer();
      const chain = await openChain({ storage: inner, genesis: world.genesis });
      const sequencer = createSequencer({
        chain,
        storage: inner,
        signer: world.hospitalB.signer(),
        now: () => world.clock.now,
      });
      const lane = 100 + lanes++;
      const author = createAuthor({
        ledger: chain.ledger,
        sequencer,
        signer,
        lane,
        lastSeq: -1,
        now: () => world.clock.now,
      });
      await durablePlaceOf(author.write(entries));
      await sequencer.close();
      await chain.close();
    },
  };
}

/** A directive that ends a lineage's effect. */
export function revoking(patient: Signer, change: Partial<Directive> = {}): Directive {
  const { root: _root, ...rest } = treatmentOnly(patient, {
    mode: "revoke",
    default: "none",
    ...change,
  });
  return rest;
}
