import { toHex } from "../../bytes/hex.ts";
import type { TransactionWithEntries } from "../../block/transaction.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { ChainError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import { findAsked } from "./asked-person.ts";
import {
  recheckRequester,
  type CheckContext,
  type RequestRefusal,
  type RequestToJudge,
} from "./check-request.ts";
import type { LedgerContext } from "../context.ts";
import type { KeptAccess, KeptEntries } from "../elsewhere/kept-entries.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Filing } from "../entries/filing.ts";
import {
  isPermitted,
  decideRecords,
  permittedRecords,
  readDeciding,
  requireReadableConsents,
  versionName,
  type JudgeContext,
  type Judgement,
} from "./decide-records.ts";
import { currentRecords, type FoldedRecord } from "../records/current-record.ts";
import { askedAmong } from "./asked-for.ts";
import { admitEmergency, keptError, type Emergency } from "./emergency.ts";
import { fileAccesses, fileDifferences, type FiledAccess } from "./file-access.ts";
import { accessesAbout, recordedRelease } from "./recorded-release.ts";
import { releaseAdmitted, type Released, type ReleasedItem } from "./release.ts";
import type { AnsweringEntry, Replays } from "./replays.ts";
import type { DisclosureRequest } from "./request.ts";
import { lostEntry } from "../entries/own-envelope.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
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
  /**
   * Set if the access entry is not on the ledger yet: the transaction that holds it, signed by the custodian, whose
   * outbox keeps it until it is recorded. See `whileCutOff` of {@link BreakGlassOptions}.
   */
  readonly pending?: TransactionWithEntries;
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
  /** What is kept in the outbox, if there is one. */
  readonly kept?: KeptEntries | undefined;
  /** Files the newest versions of what records refer to that name nobody. */
  readonly freshen: (records: readonly FoldedRecord[]) => Promise<readonly unknown[]>;
}

/** How a checked request is answered. */
export interface Answering {
  /** Whether the same request gets the same answer again. */
  readonly often: "once" | "again";
  /** Set if it declares an emergency, and such are decided while this member is cut off. */
  readonly emergency?: Emergency;
}

/**
 * Answers a checked request: finds the person, decides, records the access, decides again with the entries that
 * landed in between, and only then releases keys for exactly what both decisions permit.
 *
 * A failure before the access entry is durable releases nothing; a later failure never loses the entry. A
 * request about an unknown person is answered and recorded like one about a person without records.
 *
 * @throws {StorageError} `ERR_STORAGE_MISSING` when a consent on the ledger does not open here
 * @throws {ChainError} `ERR_CHAIN_PENDING` when the request's access entry is kept in the outbox
 */
export async function discloseChecked(
  context: DiscloseContext,
  checked: RequestToJudge,
  how: Answering,
): Promise<DisclosureResult> {
  const { replays, turns } = context;
  const { replayName, request } = checked;
  const { often, emergency } = how;
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
    // The outbox first: what leaves it is on the ledger by then.
    const earlier =
      (await context.kept?.answering(replayName)) ??
      (await replays.answered(replayName, request.time));
    if (earlier !== undefined && (often === "once" || earlier === "unknown")) {
      return { ok: false, reason: "replayed" };
    }
    const subject = await findAsked(context, checked);
    // What it would file must not hold an emergency up.
    if (earlier === undefined && emergency === undefined) {
      await freshenAsked(context, request, subject);
    }
    const work = (): Promise<DisclosureResult> =>
      earlier === undefined
        ? answerRequest(context, checked, subject, how)
        : repeatAnswer(context, checked, subject, earlier, emergency);
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
  how: Answering,
): Promise<DisclosureResult> {
  const { request, asked, sealed, replayName } = checked;
  const first = await decideRecords(context, checked, subject, context.now());
  await context.kept?.assertNoneEnds(permittedRecords(first), "unawaited");
  const patience = await admitEmergency(context, how.emergency, first, subject);
  const what = { request, asked, sealed, subject, judgement: first };
  const accesses = await fileAccesses(context, { ...what, answers: replayName }, patience);
  const begun = { ...how, first, accesses, patience };
  return afterWriting(() => answerAgain(context, checked, subject, begun));
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
    emergency,
    patience,
  }: Answering & {
    readonly first: Judgement;
    readonly accesses: readonly FiledAccess[];
    readonly patience: number | undefined;
  },
): Promise<DisclosureResult> {
  const { request, asked: hash, sealed, replayName } = checked;
  const { now } = context;
  const { id: access, place } = accesses[0]!;
  const asked = first.decided.filter(isPermitted);
  const fileWithheld = (judgement: Judgement): Promise<void> => {
    const what = { request, asked: hash, sealed, subject, judgement };
    return fileDifferences(context, what, accesses, patience);
  };
  const allOf = (stands: boolean): Judgement => ({
    ...first,
    decided: asked.map((one) => laterDecision(one, first, stands)),
  });
  /** An entry of which nobody gets the records must not say that they were released. */
  async function untilReleased<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      // Otherwise the same ask again gets them, once it is over.
      const isLast = often === "once" || place === undefined;
      // The first error tells why.
      if (isLast && asked.length > 0) await fileWithheld(allOf(false)).catch(() => undefined);
      throw error;
    }
  }
  await untilReleased(() => requireReadableConsents(context));
  // Only one process of a member has the outbox, so nobody else answers what is kept in it.
  const earlier = place && (await context.replays.answered(replayName, request.time));
  const isFirst = typeof earlier === "object" && isSamePlace(earlier, place!);
  if (place !== undefined && !isFirst) {
    // Another process of this member answered the same request first: nothing is released under this entry.
    if (asked.length > 0) await fileWithheld(allOf(true));
    return often === "again" && typeof earlier === "object"
      ? repeatAnswer(context, checked, subject, earlier, emergency)
      : { ok: false, reason: "replayed" };
  }
  const second = await untilReleased(async () => {
    const judged = await decideRecords(context, checked, subject, now());
    if (place === undefined) await admitEmergency(context, emergency, judged, subject);
    return judged;
  });
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
    await fileWithheld({ ...second, decided });
  }
  if (lost.length > 0) throw lostEntry("record", lost[0]!.head.id);
  const kept = place === undefined ? await context.kept?.answering(replayName) : undefined;
  return answerWith(access, items, decisions, second.asOf, kept);
}

const NOTHING_RELEASED: Released = { items: [], decisions: [], lost: [] };

function answerWith(
  access: Uint8Array,
  items: readonly ReleasedItem[],
  decisions: readonly Decision[],
  asOf: number,
  kept: KeptAccess | undefined,
): DisclosureResult {
  const decision = uniteDecisions(decisions) ?? denialWithoutReasons(asOf);
  const answer = { access: toEntryId(access), decision, items };
  return { ok: true, answer: { ...answer, ...(kept && { pending: kept.signed }) } };
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
  earlier: AnsweringEntry | KeptAccess,
  emergency: Emergency | undefined,
): Promise<DisclosureResult> {
  const { catalogue } = context;
  const { request, asked } = checked;
  const second = await decideRecords(context, checked, subject, context.now());
  await context.kept?.assertNoneEnds(permittedRecords(second), "unawaited");
  await admitEmergency(context, emergency, second, subject);
  const kept = "signed" in earlier ? earlier : undefined;
  if (kept !== undefined && (emergency === undefined || !second.opensGlass)) throw keptError();
  const first = kept?.item ?? (await presentItem(context, (earlier as AnsweringEntry).id));
  const persons = second.decided.map(({ record }) => record.head.manifest.local);
  const recorded = first && [
    ...(await accessesAbout(catalogue, [first.manifest.local, ...persons])),
    ...((await context.kept?.accesses()) ?? []).map(({ item }) => item),
  ];
  const released = recorded && (await recordedRelease(context, first, asked, recorded));
  // The id was used for another request, or nobody knows for which.
  if (first === undefined || released === undefined) return { ok: false, reason: "replayed" };
  const recipient = await recheckRequester(context, checked);
  const admitted = second.decided.filter(isPermitted).flatMap(({ record, decision }) => {
    const before = released.get(versionName(record));
    return before === undefined ? [] : [{ record, decisions: [before, decision] }];
  });
  const { items, decisions, lost } =
    recipient === undefined
      ? NOTHING_RELEASED
      : await releaseAdmitted(context, admitted, first.id, request, recipient);
  if (lost.length > 0) throw lostEntry("record", lost[0]!.head.id);
  return answerWith(first.id, items, decisions, second.asOf, kept);
}

async function presentItem(
  { catalogue }: DiscloseContext,
  id: Uint8Array,
): Promise<CatalogueItem | undefined> {
  const found = await catalogue.find(id);
  return found.status === "present" ? found.item : undefined;
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
