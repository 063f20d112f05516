import { sha256 } from "#crypto";
import { equalBytes } from "../../bytes/compare.ts";
import { assertPositive } from "../../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { toHex } from "../../bytes/hex.ts";
import { isCustom, type Entry, type ErasureClass } from "../../block/entry.ts";
import type { Trust } from "../../chain/trust.ts";
import type { CID } from "../../codec/cid.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Directive } from "../../consent/model/model.ts";
import { decodeGrant } from "../../envelope/grant-record.ts";
import { openGrant } from "../../envelope/grant.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { openEnvelope } from "../../envelope/open.ts";
import { EncodingError, InputError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { PersonIdentifier } from "../entries/subjects.ts";
import { decodeFiledForm } from "../consents/read-consents.ts";
import { decodeErasure } from "../erasure/erasure-entry.ts";
import { decodeAccess } from "./access.ts";
import type { AskAddress } from "./ask-format.ts";
import { toAccess, type Access } from "./audit.ts";
import { proveEntry } from "./prove-entry.ts";
import {
  decodePullPage,
  encodePull,
  ENTITLED_PART,
  PULL_LIMIT,
  type PulledItem,
  type PullPage,
} from "./pull-format.ts";
import type { SignedContent } from "./read-message-pages.ts";
import { signingKeyOf, wrong, type SignedBy } from "./read-replies.ts";
import { sendMessage, type AskerChecks, type SendOptions } from "./send-ask.ts";

/** What to pull. */
export interface PullOptions {
  /** The last entry that was pulled. Default: pull from the first on. */
  readonly after?: { readonly number: number; readonly entry: EntryId };
  /** Most entries to pull. Default: all. */
  readonly limit?: number;
}

/** An entry that a custodian filed for this member, by its number: 1 and on, without gaps. */
export interface PulledEntry {
  readonly number: number;
  /** Names the entry. */
  readonly entry: EntryId;
}

/** An entry that was pulled, verified and opened. */
export type Pulled = PulledEntry &
  (
    | {
        /** It was erased; nothing is left but its number. */
        readonly kind: "erased";
        /** Names the entry that erased it, by the custodian's word. */
        readonly by: EntryId;
      }
    | ({
        /** Latest time at which it was on the ledger, in ms since 1970. */
        readonly recordedAt: number;
        /** Offline proof that it is on the ledger; see `verifyReceipt`. */
        readonly receipt: Uint8Array;
      } & PulledContent)
  );

/** What a pulled entry says. */
export type PulledContent =
  | {
      /**
       * An access: who asked for what, and what was answered. Or, with the same request, a difference: what of it was
       * not released after all, because something changed in between.
       */
      readonly kind: "access" | "difference";
      /** Id of the request, in hexadecimal. */
      readonly request: string;
      readonly access: Access;
    }
  | {
      readonly kind: "consent";
      /** Names the directive. */
      readonly cid: CID;
      readonly directive: Directive;
      /** The directive, signed by its grantor or its witness; nothing of that is verified here. */
      readonly signed: Uint8Array;
    }
  | {
      readonly kind: "erase";
      readonly class: ErasureClass;
      /** The entries that were erased. */
      readonly erased: readonly EntryId[];
      readonly reason: string;
    };

/** Most bytes of ciphertext that wait for their entry. */
const MOST_WAITING: number = 64 * 1024 * 1024;

/** Options of {@link pullFromCustodian}. */
export interface PullFromCustodianOptions extends PullOptions, SendOptions {
  /** Who pulls what is filed about themselves, by keys that the custodian attested; absent: a member pulls. */
  readonly patient?: PersonIdentifier;
}

const OPTIONS: OptionsOf<PullFromCustodianOptions> = {
  ...{ after: true, limit: true, peer: true, trust: true, custodianKey: true, signer: true },
  ...{ agreement: true, now: true, lifetime: true, padding: true, maxBytes: true, random: true },
  ...{ sleep: true, signal: true, patient: true },
};

/**
 * Pulls what a custodian filed for this member with nothing but trust in the ledger: for members that have no copy of
 * it, such as an auditor. Members with a ledger call `pull` of it.
 *
 * @throws by the iteration, as `pull`
 * @example
 * const peer = httpPeer({ url: "https://hospital-a.example/ledger", did: custodian });
 * const pulled = pullFromCustodian({
 *   ...{ peer, trust: trustFromGenesis(genesis), custodianKey: hospital.agreement() },
 *   ...{ signer: clinic.signer(), agreement: clinic.agreement() },
 * });
 * for await (const { number, kind } of pulled) console.log(number, kind);
 */
export function pullFromCustodian({
  after,
  limit,
  patient,
  ...to
}: PullFromCustodianOptions): AsyncIterable<Pulled> {
  const what = {
    ...(after === undefined ? {} : { after }),
    ...(limit === undefined ? {} : { limit }),
    ...(patient === undefined ? {} : { patient }),
  };
  assertOptions({ ...to, ...what }, OPTIONS, "pullFromCustodian");
  return pullEntries(to, {}, what);
}

/**
 * Pulls entries, in as many messages as it takes; yields each once it is verified and opened.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when the reply leaves out a number, has an
 *   entry twice, or is not the custodian's
 * @throws {InputError} `ERR_INPUT_INVALID` when `after` names no entry with that number
 * @throws {TransportError} as `askCustodian`
 */
export async function* pullEntries(
  to: SendOptions,
  checks: AskerChecks,
  {
    after,
    limit = Infinity,
    patient,
  }: Pick<PullFromCustodianOptions, keyof PullOptions | "patient">,
): AsyncIterable<Pulled> {
  if (limit !== Infinity) assertPositive(limit, "limit");
  const seen = new Set<EntryId>();
  let last = after && { number: after.number, entry: entryIdBytes(after.entry) };
  for (let left = limit; left > 0;) {
    const most = Math.min(left, PULL_LIMIT);
    const content = encodePull({ limit: most, ...(last === undefined ? {} : { after: last }) });
    const about = patient === undefined ? {} : { about: patient };
    const pages = await sendMessage(to, checks, { kind: "pull", content, ...about });
    const first: number = last?.number ?? 0;
    let end = first;
    for await (const { item, newest, open } of readItems(pages, to, first + most)) {
      end = newest;
      if (item === undefined) continue;
      if (item.number !== (last?.number ?? 0) + 1) throw wrong("it leaves out a number");
      const entry = toEntryId(item.entry);
      if (seen.has(entry)) throw wrong("it has an entry twice");
      seen.add(entry);
      last = { number: item.number, entry: item.entry };
      yield await open();
    }
    const got = (last?.number ?? 0) - first;
    if (got < most && first + got !== end) throw wrong("it ends before its last number");
    if (got < most) return;
    left -= got;
  }
}

/** An item of a reply, or where a page has none, what that says of the newest number. */
interface ReadItem {
  readonly item?: PulledItem;
  readonly newest: number;
  readonly open: () => Promise<Pulled>;
}

/** @param most - highest number that was asked for */
async function* readItems(
  pages: AsyncIterable<SignedContent>,
  { trust, agreement, peer }: SendOptions,
  most: number,
): AsyncIterable<ReadItem> {
  const waiting = new Map<string, Uint8Array>();
  let newest: number | undefined;
  for await (const { content, signer, key } of pages) {
    const page = expectPage(content);
    if (page.moved) {
      throw new InputError(
        "ERR_INPUT_INVALID",
        "`after` names no entry with that number: pull all",
      );
    }
    newest ??= page.last;
    if (page.last !== newest) throw wrong("its pages are of two replies");
    for (const blob of page.blobs) waiting.set(toHex(sha256(blob)), blob);
    if (sizeOf(waiting) > MOST_WAITING) throw wrong("an entry is too large");
    /** Each block is of one entry, and is read once. */
    const read = async (cid: CID): Promise<Uint8Array | undefined> => {
      const name = toHex(cid.multihash.digest);
      const block = waiting.get(name);
      waiting.delete(name);
      return block;
    };
    const opening = {
      trust,
      agreement,
      ledger: trust.ledger,
      custodian: peer.did,
      read,
      signer,
      key,
    };
    if (page.items.length === 0)
      yield { newest, open: () => Promise.reject(wrong("it has no item")) };
    for (const item of page.items) {
      if (item.number > Math.min(newest, most))
        throw wrong("it has a number that was not asked for");
      yield { item, newest, open: () => openItem(item, opening) };
    }
  }
}

const sizeOf = (blobs: ReadonlyMap<string, Uint8Array>): number =>
  [...blobs.values()].reduce((sum, { length }) => sum + length, 0);

function expectPage(bytes: Uint8Array): PullPage {
  try {
    return decodePullPage(bytes);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a page is malformed");
    throw error;
  }
}

/** What an item is opened with. */
interface Opening extends AskAddress, SignedBy {
  readonly trust: Trust;
  readonly agreement: KeyAgreement;
  readonly read: (cid: CID) => Promise<Uint8Array | undefined>;
}

async function openItem(item: PulledItem, opening: Opening): Promise<Pulled> {
  const named = { number: item.number, entry: toEntryId(item.entry) };
  if (item.erasedBy !== undefined) {
    return { ...named, kind: "erased", by: toEntryId(item.erasedBy) };
  }
  const { receipt, header, grant } = item;
  const { ledger, custodian, agreement, read, signer, key } = opening;
  const { proved, stateOf } = proveEntry(receipt, opening);
  const { decoded, author: by, id, height, time: recordedAt } = proved;
  if (id !== named.entry || by !== custodian || isCustom(decoded) || !isPulled(decoded)) {
    throw wrong("an entry is not the one that its receipt proves");
  }
  const { kind, body: envelope } = decoded;
  const signedBy = decodeSignedHeader(header).key;
  const author = signingKeyOf(stateOf(signedBy, item.key).value, custodian, height);
  if (author === undefined) throw wrong("an entry is signed by a key that was not in force");
  if (!equalBytes(decodeGrant(grant).key, key)) throw wrong("a grant is signed by another key");
  const grantor = { actor: custodian, ...signer };
  const keys = await openGrant({ grant, agreement, envelope, basis: item.entry, grantor });
  try {
    const { parts } = await openEnvelope({
      ...{ envelope, header, keys, read, author, parts: [ENTITLED_PART] },
      context: { ledger, author: custodian, kind },
    });
    const content = parts.get(ENTITLED_PART)!;
    const said = readContent(kind, content, { id: item.entry, recordedAt });
    return { ...named, recordedAt, receipt, ...said };
  } finally {
    wipeKeys(keys);
  }
}

type PulledKind = "access" | "consent" | "erase";

const isPulled = (
  entry: Entry,
): entry is Entry & { readonly kind: PulledKind; readonly body: CID } =>
  entry.kind === "access" || entry.kind === "consent" || entry.kind === "erase";

function readContent(
  kind: PulledKind,
  content: Uint8Array,
  item: { readonly id: Uint8Array; readonly recordedAt: number },
): PulledContent {
  try {
    if (kind === "access") {
      const said = decodeAccess(content);
      const isDifference = said.difference === true;
      const access = toAccess(item, said, isDifference ? said : undefined);
      return { kind: isDifference ? "difference" : "access", request: toHex(said.request), access };
    }
    if (kind === "consent") {
      const { cid, directive } = decodeFiledForm(content);
      return { kind, cid, directive, signed: content };
    }
    const { class: what, targets, reason } = decodeErasure(content);
    return { kind, class: what, erased: targets.map(toEntryId), reason };
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("an entry's content is malformed");
    throw error;
  }
}
