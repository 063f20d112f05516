import { createHash } from "node:crypto";
import { decode, encode } from "@ipld/dag-cbor";
import type { CID } from "multiformats/cid";
import type { KeyStore } from "../../../../src/identity/key-store.ts";
import type { PersonModel, PublicFact } from "./facts.ts";
import type { CustodiansPlan } from "./plan.ts";
import type { Custodian, GotAnswer } from "./programs.ts";
import {
  pagesOf,
  shaOf,
  wholeFrames,
  type AskingWire,
  type Exchange,
  type SentAnswer,
} from "./wire.ts";

type Fields = Record<string, unknown>;
const hex = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString("hex");
const didOf = (keys: KeyStore): string => keys.signer().actor;

/** Removes the padding of docs/spec/envelope.md. */
function unpadded(padded: Uint8Array): Uint8Array {
  const length = Number(Buffer.from(padded).readBigUInt64BE(padded.length - 8));
  return padded.subarray(0, length);
}

/** Opens a message with whichever key opens it. */
async function opened(
  keys: KeyStore,
  message: Uint8Array,
  aad: Uint8Array,
): Promise<{ readonly bytes: Uint8Array; readonly key: string } | undefined> {
  for (const { use, key } of keys.list()) {
    if (use !== "agree") continue;
    const bytes = await keys
      .agreement(key)
      .unwrap(message, aad)
      .catch(() => undefined);
    if (bytes !== undefined) return { bytes: unpadded(bytes), key: hex(key) };
  }
  return undefined;
}

/** An answer that left a custodian, opened. */
interface OpenedAnswer extends SentAnswer {
  readonly requester: string;
  /** SHA-256 of the signed request. */
  readonly asked: string;
  /** Id of the agreement key that it is sealed to. */
  readonly recipient: string;
  readonly access: string;
  readonly entries: readonly string[];
}

export interface Judging {
  readonly plan: Pick<CustodiansPlan, "isCosigned" | "maxAge">;
  readonly ledger: CID;
  readonly custodians: ReadonlyMap<string, Pick<Custodian, "keys" | "answers">>;
  readonly wire: Pick<AskingWire, "sent" | "arrived" | "heard">;
  readonly models: ReadonlyMap<string, PersonModel>;
  readonly publicly: readonly PublicFact[];
  readonly problem: (what: string) => void;
}

/** Judges what custodians sent and members took for answers, by what is on the ledger. */
export async function judgeAnswers(setting: Judging): Promise<readonly OpenedAnswer[]> {
  const { wire, problem } = setting;
  const all: OpenedAnswer[] = [];
  for (const sent of wire.sent) {
    const answer = await openSent(setting, sent);
    if (answer === undefined) continue;
    all.push(answer);
    judgeSent(setting, answer);
  }
  const accessOf = new Map<string, string>();
  const askedOf = new Map<string, string>();
  for (const { asked, access } of all) {
    if ((accessOf.get(asked) ?? access) !== access)
      problem("an ask has two access entries in its answers");
    if ((askedOf.get(access) ?? asked) !== asked) problem("an access entry answers two asks");
    accessOf.set(asked, access);
    askedOf.set(access, asked);
  }
  for (const [name, { accesses }] of setting.models) {
    const asked = accesses.map((access) => access.asked);
    if (new Set(asked).size !== asked.length) problem("an ask has two access entries");
    if (asked.length > (wire.arrived.get(name)?.size ?? 0))
      problem("there are more access entries than asks");
  }
  for (const own of setting.custodians.values()) {
    for (const got of own.answers) judgeGot(setting, got, all);
  }
  return all;
}

async function openSent(
  { ledger, custodians, problem }: Judging,
  sent: SentAnswer,
): Promise<OpenedAnswer | undefined> {
  const own = custodians.get(sent.by)!;
  const custodian = didOf(own.keys);
  const ask = await opened(own.keys, sent.ask, encode(["healthledger/ask/1", ledger, custodian]));
  if (ask === undefined) {
    problem("an answer to what is no ask");
    return undefined;
  }
  const { request: signed } = decode<{ request?: Uint8Array }>(ask.bytes);
  // A message, such as a delivery, releases no record.
  if (signed === undefined) return undefined;
  const asked = createHash("sha256").update(signed).digest();
  const { requester } = decode<Fields>(decode<{ request: Uint8Array }>(signed).request);
  const asker = [...custodians.values()].find(({ keys }) => didOf(keys) === requester)!;
  const entries: string[] = [];
  let access: string | undefined;
  let recipient = "";
  let count = 0;
  let isLast = false;
  for (const [number, frame] of wholeFrames(sent.body).entries()) {
    const aad = (place: number): Uint8Array =>
      encode(["healthledger/answer/1", ledger, custodian, asked, place]);
    // Whether each is bound to its place is seen by what becomes of those that were moved.
    const page =
      (await opened(asker.keys, frame, aad(number))) ?? (await opened(asker.keys, frame, aad(0)));
    if (page === undefined) {
      problem("a page that its asker cannot open");
      return undefined;
    }
    recipient = page.key;
    const { page: bytes } = decode<{ page: Uint8Array }>(page.bytes);
    const { head, items, last } = decode<{
      head?: { access: Uint8Array; count: number };
      items: { entry: Uint8Array }[];
      last: boolean;
    }>(bytes);
    if (head !== undefined) ({ count } = head);
    if (head !== undefined) access = hex(head.access);
    entries.push(...items.map(({ entry }) => hex(entry)));
    isLast = last;
  }
  if (access === undefined) return undefined;
  if (sent.isWhole && (!isLast || count !== entries.length)) problem("an answer is incomplete");
  return {
    ...{ ...sent, access, entries, recipient },
    ...{ requester: requester as string, asked: asked.toString("hex") },
  };
}

/** Nothing is granted without its access entry, nor to whom it must not be, nor by what is too old. */
function judgeSent(setting: Judging, answer: OpenedAnswer): void {
  const { plan, wire, models, publicly, problem } = setting;
  const { by, access: id, sizes, waiting, entries } = answer;
  const model = models.get(by)!;
  const access = model.accesses.find((one) => one.id === id);
  const isThere = access !== undefined && (access.height < sizes[1] || waiting.has(id));
  if (!isThere) problem("an answer without a durable access entry");
  if (access === undefined) return;
  if (access.asked !== answer.asked || access.requester !== answer.requester)
    problem("an answer under the access entry of another ask");
  for (const entry of entries) {
    if (!access.permitted.has(entry) || access.withheld.has(entry))
      problem("a record is released of which the access entry does not say so");
  }
  // Whatever was released before, it is decided anew.
  if (entries.length > 0 && !isPermittedWithin(model, access.local, [sizes[0], sizes[2]]))
    problem("a record is released although nothing permits it any more");
  for (const { kind, height, fields } of publicly) {
    if (height >= sizes[0]) continue;
    const changes = kind === "member" ? (fields["changes"] as Fields[]) : [];
    if (changes.some(({ op, actor }) => op === "remove" && actor === answer.requester))
      problem("a member is answered that was removed");
    const isRetired =
      kind === "key" &&
      fields["op"] === "retire" &&
      shaOf(encode([fields["alg"], fields["pub"]])) === answer.recipient;
    if (isRetired) problem("an answer is sealed to a retired key");
  }
  const isCut = (name: string): boolean =>
    !(wire.heard.get(name) ?? []).some(
      (at) => at >= answer.at[0] - plan.maxAge - 1000 && at <= answer.at[1] + 1000,
    );
  // Times of cosignatures are whole seconds.
  const isStale = plan.isCosigned ? isCut(`${by} cosigned`) : by !== "home" && isCut(by);
  if (sizes[0] > 0 && isStale) problem("an answer by what is known since too long");
}

/** Whether at some size of the ledger between two, something that counts permits treatment. */
function isPermittedWithin(
  model: PersonModel,
  local: string | undefined,
  [from, to]: readonly [number, number],
  counts: (lineage: string) => boolean = () => true,
): boolean {
  for (let size = from; size <= to; size++) {
    if (model.permitting(local, size).some(counts)) return true;
  }
  return false;
}

/** What a member took for an answer is one, of its ask, whole, and says what was true. */
function judgeGot(
  { models, custodians, problem }: Judging,
  got: GotAnswer,
  all: readonly OpenedAnswer[],
): void {
  const model = models.get(got.from)!;
  const { patient, sizes, texts } = got;
  // Of an ask that was sent again, somebody in between may give pages of either answer, each at its place.
  const isSent = ({ ask, pages }: Exchange): boolean => {
    const toAsk = all.filter((one) => one.by === got.from && shaOf(one.ask) === ask);
    const sent = toAsk.map(({ body }) => pagesOf(body));
    return pages.length > 0 && pages.every((page, at) => sent.some((one) => one[at] === page));
  };
  if (!got.bodies.some(isSent))
    problem("an answer is opened that the custodian did not send to this ask");
  const access = model.accesses.find(({ id }) => id === got.access);
  if (access === undefined) return problem("an answer names no access entry");
  if (access.requester !== didOf(custodians.get(got.by)!.keys))
    problem("the custodian's entry names another asker");
  if (texts.length !== got.count) problem("an answer has another number of records than it says");
  if (got.permitted !== texts.length > 0) problem("a decision tells of what is withheld");

  const local = model.locals.get(patient);
  const { height } = access;
  if (local !== undefined && access.local !== local && texts.length > 0)
    problem("the access entry is about another person");
  const known = model.current(local, height);
  if (texts.some((text) => !known.includes(text)))
    problem("a record is released that was not current at the access entry");
  if (new Set(texts).size !== texts.length) problem("a record is released twice");
  // By ledger order: what was withdrawn below the access entry stays so until another permit.
  const since = [height, sizes[1]] as const;
  if (texts.length > 0 && !isPermittedWithin(model, local, since))
    problem("a withdrawal that was filed before the access entry is not heeded");
  if (texts.length > 0 && !isPermittedWithin(model, local, since, (one) => !got.withdrawn.has(one)))
    problem(
      "a withdrawal that was acknowledged, or shown as filed there, before the ask is not heeded",
    );
  const isQuiet = !model.changes(local).some((at) => at >= sizes[0] && at < sizes[1]);
  if (!isQuiet) return;
  const expected = model.permitting(local, height).length > 0 ? known : [];
  if (texts.join("\n") !== expected.join("\n"))
    problem("an answer is not what the model says at its place");
}
