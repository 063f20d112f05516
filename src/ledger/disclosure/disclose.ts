import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { ChainError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import {
  checkRequest,
  recheckRequester,
  type CheckContext,
  type RequestRefusal,
  type RequestToJudge,
} from "./check-request.ts";
import type { LedgerContext } from "../context.ts";
import type { Filing } from "../entries/filing.ts";
import {
  isPermitted,
  decideRecords,
  readDeciding,
  requireReadableConsents,
  versionName,
  type JudgeContext,
  type Judgement,
} from "./decide-records.ts";
import { currentRecords, type FoldedRecord } from "../records/current-record.ts";
import { askedAmong } from "./asked-for.ts";
import { fileAccesses, fileDifferences, type FiledAccess } from "./file-access.ts";
import { recordedRelease } from "./recorded-release.ts";
import { releaseAdmitted, type Released, type ReleasedItem } from "./release.ts";
import type { AnsweringEntry, Replays } from "./replays.ts";
import type { DisclosureRequest } from "./request.ts";
import { lostEntry } from "../entries/own-envelope.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { findByAlias, isAlias } from "../persons/aliases.ts";
import { personName, type Turns } from "../turns.ts";
import { laterDecision, uniteDecisions, denialWithoutReasons } from "./released-decision.ts";

export type { RequestRefusal } from "./check-request.ts";
export type { ReleasedItem } from "./release.ts";

const isSamePlace = (a: EntryPlace, b: EntryPlace): boolean =>
  a.height === b.height && a.transaction === b.transaction && a.entry === b.entry;

/** A custodian's answer to a request. */
export interface DisclosureAnswer {
  /** The access entry that every grant is bound to. */
  readonly access: EntryId;
  /**
   * A decision that tells nothing about withheld records: if nothing is released, it is a bare `deny`,
   * whatever the reason.
   */
  readonly decision: Decision;
  readonly items: readonly ReleasedItem[];
}

export type DisclosureResult =
  | { readonly ok: true; readonly answer: DisclosureAnswer }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** The dependencies for disclosing. */
export interface DiscloseContext extends JudgeContext, CheckContext {
  readonly filing: Filing;
  readonly subjects: Subjects;
  readonly turns: Turns;
  readonly replays: Replays;
  /** Files the newest versions of what records refer to that name nobody. */
  readonly freshen: (records: readonly FoldedRecord[]) => Promise<readonly unknown[]>;
}

/**
 * Answers a signed request: verifies it, finds the person, decides, records the access, decides again with
 * the entries that landed in between, and only then releases keys for exactly what both decisions permit.
 *
 * A failure before the access entry is durable releases nothing; a later failure never loses the entry. A
 * request about an unknown person is answered and recorded like one about a person without records.
 *
 * @throws {StorageError} `ERR_STORAGE_MISSING` when a consent on the ledger does not open here
 */
export async function disclose(
  context: DiscloseContext,
  bytes: Uint8Array,
): Promise<DisclosureResult> {
  const checked = await checkRequest(context, bytes);
  return checked.ok ? discloseChecked(context, checked, "once") : checked;
}

/** Discloses as {@link disclose} does, for a request that is checked already. */
export async function discloseChecked(
  context: DiscloseContext,
  checked: RequestToJudge,
  often: "once" | "again",
): Promise<DisclosureResult> {
  const { subjects, replays, turns } = context;
  const { sealed, replayName, request } = checked;
  // From here until the access entry is durable, the request's id counts as used.
  const id = toHex(replayName);
  const inFlight = inFlightOf(context);
  if (inFlight.has(id)) {
    if (often === "once") return { ok: false, reason: "replayed" };
    throw new ChainError("ERR_CHAIN_BUSY", "the same request is being answered");
  }
  inFlight.add(id);
  try {
    await requireReadableConsents(context);
    const earlier = await replays.answered(replayName, request.time);
    if (earlier !== undefined && (often === "once" || earlier === "unknown")) {
      return { ok: false, reason: "replayed" };
    }
    const subject = isAlias(sealed.patient)
      ? await findByAlias(context, sealed.patient, request.requester)
      : await subjects.find(sealed.patient);
    if (earlier === undefined) await freshenAsked(context, request, subject);
    const work = (): Promise<DisclosureResult> =>
      earlier === undefined
        ? answerRequest(context, checked, subject, often)
        : repeatAnswer(context, checked, subject, earlier);
    return subject === undefined ? await work() : await turns.shared(personName(subject), work);
  } finally {
    inFlight.delete(id);
  }
}

/** Has the newest version on record of what goes out with the records that a request asks for. */
async function freshenAsked(
  { catalogue, freshen }: DiscloseContext,
  { query }: DisclosureRequest,
  subject: Subject | undefined,
): Promise<void> {
  const { records } = await readDeciding(catalogue, subject);
  const asked = askedAmong(currentRecords(records), query).filter(({ retracted }) => !retracted);
  if ((await freshen(asked)).length > 0) await catalogue.catchUp();
}

/** Decides, records, decides again and releases, for a checked request. */
async function answerRequest(
  context: DiscloseContext,
  checked: RequestToJudge,
  subject: Subject | undefined,
  often: "once" | "again",
): Promise<DisclosureResult> {
  const { request, asked, sealed, replayName } = checked;
  const first = await decideRecords(context, checked, subject, context.now());
  const what = { request, asked, sealed, subject, judgement: first };
  const accesses = await fileAccesses(context, { ...what, answers: replayName });
  return afterWriting(() => answerAgain(context, checked, subject, { first, accesses, often }));
}

/** Decides again after the access entry, and releases what both decisions permit. */
async function answerAgain(
  context: DiscloseContext,
  checked: RequestToJudge,
  subject: Subject | undefined,
  {
    first,
    accesses,
    often,
  }: {
    readonly first: Judgement;
    readonly accesses: readonly FiledAccess[];
    readonly often: "once" | "again";
  },
): Promise<DisclosureResult> {
  const { request, asked: hash, sealed, replayName } = checked;
  const { now } = context;
  const { id: access, place } = accesses[0]!;
  await requireReadableConsents(context);
  const earlier = await context.replays.answered(replayName, request.time);
  const asked = first.decided.filter(isPermitted);
  if (earlier === undefined || earlier === "unknown" || !isSamePlace(earlier, place)) {
    // Another process of this member answered the same request first: nothing is released under this entry.
    if (asked.length > 0) {
      const decided = asked.map((one) => laterDecision(one, first, true));
      const what = { request, asked: hash, sealed, subject, judgement: { ...first, decided } };
      await fileDifferences(context, what, accesses);
    }
    return often === "again" && typeof earlier === "object"
      ? repeatAnswer(context, checked, subject, earlier)
      : { ok: false, reason: "replayed" };
  }
  const second = await decideRecords(context, checked, subject, now());
  const recipient = await recheckRequester(context, checked);
  const still = new Map(
    second.decided.filter(isPermitted).map((one) => [versionName(one.record), one.decision]),
  );
  const admitted = asked.flatMap(({ record, decision }) => {
    const later = still.get(versionName(record));
    return later === undefined ? [] : [{ record, decisions: [decision, later] }];
  });
  const { items, decisions, lost } =
    recipient === undefined
      ? NOTHING_RELEASED
      : await releaseAdmitted(context, admitted, access, request, recipient);
  // The same ask again fails alike, or gets them once the store has them: to withhold them would hide the loss.
  const due = often === "again" ? lost.map(({ record }) => record) : [];
  if (items.length + due.length < asked.length) {
    const released = new Set([...items.map(({ record }) => record), ...due]);
    const decided = asked
      .filter(({ record }) => !released.has(record.record))
      .map((one) => laterDecision(one, second, recipient !== undefined));
    const judgement = { ...second, decided };
    await fileDifferences(context, { request, asked: hash, sealed, subject, judgement }, accesses);
  }
  if (lost.length > 0) throw lostEntry("record", lost[0]!.head.id);
  return answerWith(access, items, decisions, second.asOf);
}

const NOTHING_RELEASED: Released = { items: [], decisions: [], lost: [] };

function answerWith(
  access: Uint8Array,
  items: readonly ReleasedItem[],
  decisions: readonly Decision[],
  asOf: number,
): DisclosureResult {
  const decision = uniteDecisions(decisions) ?? denialWithoutReasons(asOf);
  return { ok: true, answer: { access: toEntryId(access), decision, items } };
}

/**
 * Answers a request that was answered before, under the same access entry: decides anew, and releases what that
 * entry says was released and the new decision permits. What it no longer permits is not filed as withheld, since
 * the first answer may have arrived.
 */
async function repeatAnswer(
  context: DiscloseContext,
  checked: RequestToJudge,
  subject: Subject | undefined,
  earlier: AnsweringEntry,
): Promise<DisclosureResult> {
  const { request, asked } = checked;
  const second = await decideRecords(context, checked, subject, context.now());
  const persons = second.decided.map(({ record }) => record.head.manifest.local);
  const recorded = await recordedRelease(context, earlier.id, asked, persons);
  // The id was used for another request, or nobody knows for which.
  if (recorded === undefined) return { ok: false, reason: "replayed" };
  const recipient = await recheckRequester(context, checked);
  const admitted = second.decided.filter(isPermitted).flatMap(({ record, decision }) => {
    const before = recorded.get(versionName(record));
    return before === undefined ? [] : [{ record, decisions: [before, decision] }];
  });
  const { items, decisions, lost } =
    recipient === undefined
      ? NOTHING_RELEASED
      : await releaseAdmitted(context, admitted, earlier.id, request, recipient);
  if (lost.length > 0) throw lostEntry("record", lost[0]!.head.id);
  return answerWith(earlier.id, items, decisions, second.asOf);
}

/** Names of the requests that are being answered. */
const inFlightByVault = new WeakMap<LedgerContext["vault"], Set<string>>();

function inFlightOf({ vault }: LedgerContext): Set<string> {
  let inFlight = inFlightByVault.get(vault);
  if (inFlight === undefined) {
    inFlight = new Set();
    inFlightByVault.set(vault, inFlight);
  }
  return inFlight;
}
