import { equalBytes } from "../../bytes/compare.ts";
import { fromHex, toHex } from "../../bytes/hex.ts";
import { toRecordId, type RecordId } from "../../codec/ids.ts";
import { inVersionOrder } from "../../fhir/version-order.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { ListedResource } from "../entries/source-names.ts";
import {
  MAX_BYTES_TOGETHER,
  MAX_FILED_TOGETHER,
  type Filed,
  type SealedEntry,
} from "../entries/filing.ts";
import type { Subject } from "../entries/subjects.ts";
import { exclusiveOfAll, personName, sharedOfAll } from "../turns.ts";
import type { FoldedRecord } from "./current-record.ts";
import type { Described } from "./describe-entry.ts";
import { fileAttached } from "./file-attached.ts";
import { saysMore } from "./known.ts";
import { changedMeanwhile, newestOf } from "./record-versions.ts";
import { sealSent } from "./seal-sent.ts";
import {
  isActing,
  isWriting,
  onlySent,
  outcomesOf,
  subjectOf,
  withoutSent,
  type Acting,
  type BundleTools,
  type FilingProgress,
  type SentItem,
  type Unit,
  type Writing,
} from "./sent.ts";
import { planSent, type Action, type PlannedRecord } from "./source-plan.ts";
import type { OnRecord } from "./sources.ts";

/** How often filing is tried again because other processes were faster. */
const TRIES = 20;
/** Versions of one resource that are filed in one transaction. */
const VERSIONS_TOGETHER = 200;

/**
 * Files what a source sent: new resources, newer versions, and deletions. Each resource is one record of
 * each person whom it is about, however often and in whatever order it is sent.
 *
 * @param type - `Bundle.type`
 */
export async function fileSent(
  sent: readonly SentItem[],
  type: string,
  how: FilingProgress,
  tools: BundleTools,
): Promise<void> {
  for (const units of inTransactions(unitsOf(sent, type))) {
    how.signal?.throwIfAborted();
    const name = `source ${units[0]!.resource.source}`;
    const file = () => tools.turns.exclusive(name, () => fileUnits(units, how, tools));
    await (how.hasWritten() ? afterWriting(file) : file());
    await tools.keepUp();
  }
}

function unitsOf(sent: readonly SentItem[], type: string): readonly Unit[] {
  const groups = new Map<string, SentItem[]>();
  for (const one of sent) {
    const { type: of, id, copy = null } = one.resource;
    const name = JSON.stringify([of, id, copy]);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [one]);
    else group.push(one);
  }
  return [...groups.values()].flatMap((group) => {
    const ordered = inVersionOrder(group, type);
    const units: Unit[] = [];
    for (let at = 0; at < ordered.length; at += VERSIONS_TOGETHER) {
      const some = ordered.slice(at, at + VERSIONS_TOGETHER);
      units.push({ resource: some[0]!.resource, sent: some });
    }
    return units;
  });
}

/** Divides units among transactions; versions of one resource that are in two units follow each other. */
function* inTransactions(units: readonly Unit[]): Generator<readonly Unit[]> {
  let some: Unit[] = [];
  let count = 0;
  let bytes = 0;
  for (const unit of units) {
    let entries = 0;
    let size = 0;
    for (const one of unit.sent) {
      // What was entered in error is recorded, and ended.
      entries += one.kind === "version" && one.isError ? 2 : 1;
      size += one.kind === "version" ? one.text.length : 0;
    }
    const last = some.at(-1)?.resource;
    const isNext = last !== undefined && isSame(last, unit.resource);
    const isFull = count + entries > MAX_FILED_TOGETHER || bytes + size > MAX_BYTES_TOGETHER;
    if (some.length > 0 && (isFull || isNext)) {
      yield some;
      [some, count, bytes] = [[], 0, 0];
    }
    some.push(unit);
    count += entries;
    bytes += size;
  }
  if (some.length > 0) yield some;
}

const isSame = (one: ListedResource, other: ListedResource): boolean =>
  one.type === other.type && one.id === other.id && one.copy === other.copy;

async function fileUnits(
  units: readonly Unit[],
  how: FilingProgress,
  tools: BundleTools,
): Promise<void> {
  let left = units;
  for (let tries = 0; left.length > 0; tries++) {
    if (tries === TRIES) throw changedMeanwhile();
    left = await tryUnits(left, how, tools);
  }
}

/** Files units once; returns what is to be tried again, since something changed meanwhile. */
async function tryUnits(
  units: readonly Unit[],
  how: FilingProgress,
  tools: BundleTools,
): Promise<readonly Unit[]> {
  const { turns } = tools;
  const seen = await lookUp(units, tools);
  const planned = units.flatMap(({ sent }, i) => planSent(sent, seen.known[i]!, seen.isOne));
  const actions = await withNewLabels(planned, tools);
  const attached = actions.find((action) => isActing(action) && hasAttachments(action.on));
  if (attached !== undefined) return fileAttached(attached as Acting, units, how, tools);
  const described = await describeAll(actions, how);
  const bad = new Set(Array.from(described).flatMap(([sent, one]) => (one ? [] : [sent])));
  if (bad.size > 0) {
    how.tell(Array.from(bad, (sent) => ({ does: "skip", sent, why: "it cannot be sealed" })));
    return withoutSent(units, bad);
  }
  const writing = actions.filter(isWriting);
  const acting = writing.filter(isActing);
  const changed = acting.flatMap(({ on }) => on.record ?? []);
  const people = acting.map(({ on }) => personName(subjectOf(on)));
  const names = changed.map(({ record }) => `record ${record}`);
  const written = await sharedOfAll(turns, people, () =>
    exclusiveOfAll(turns, names, async () => {
      if (writing.length === 0) return { sealed: [], places: [], isAlone: true };
      const { known, height } = changed.length === 0 ? seen : await lookUp(units, tools);
      if (!areUnchanged(changed, known)) return undefined;
      const sealed = await sealSent(writing, described, how, tools);
      const places = await fileAll(writing, sealed, how, tools);
      return { sealed, places, isAlone: places.every(({ place }) => place.height === height) };
    }),
  );
  if (written === undefined) return units;
  const { sealed, places, isAlone } = written;
  const lost = isAlone ? NOBODY : await afterWriting(() => settle(writing, places, units, tools));
  const isLost = (action: Action<SentItem>): boolean => "on" in action && lost.has(action.on);
  how.tell(outcomesOf(actions, writing, sealed, places).filter((_, i) => !isLost(actions[i]!)));
  return onlySent(units, new Set(actions.filter(isLost).map(({ sent }) => sent)));
}

const NOBODY: ReadonlySet<PlannedRecord> = new Set();

async function lookUp(units: readonly Unit[], { catalogue, sources }: BundleTools): Promise<Seen> {
  const people = new Map<string, Subject>();
  for (const { sent } of units) {
    for (const one of sent) if (one.kind === "version") people.set(one.person, one.subject);
  }
  await catalogue.catchUp();
  // Before reading: what others file during it counts as filed since.
  const height = catalogue.height();
  const resources = units.map(({ resource }) => resource);
  // A deletion may be about anybody: what is lost is not taken for what is not on record.
  const isOpen = units.some(({ sent }) => sent.some(({ person }) => person === undefined));
  const known = await sources.onRecord(resources, isOpen ? undefined : [...people.values()]);
  const joined = new Map<string, ReadonlySet<string>>();
  for (const [i, { sent }] of units.entries()) {
    for (const { person } of sent) {
      const isOthers = [...known[i]!.byPerson.keys()].some((other) => other !== person);
      if (person === undefined || !isOthers || joined.has(person)) continue;
      const local = fromHex(person);
      const { personsWith } = await catalogue.joinedWith(local);
      joined.set(person, new Set(personsWith(local).map(toHex)));
    }
  }
  const isOne = (one: string, person: string): boolean =>
    one === person || joined.get(person)?.has(one) === true;
  return { known, height, isOne };
}

/** What is on record of some resources. */
interface Seen {
  readonly known: readonly OnRecord[];
  readonly height: number;
  /** Whether a person is the one whom something sent is about, or joined with them. */
  readonly isOne: (one: string, person: string) => boolean;
}

const hasAttachments = ({ record }: PlannedRecord): boolean =>
  (record?.head.manifest.attachments ?? []).length > 0;

/** Whether nothing was filed about some records since they were looked up. */
function areUnchanged(records: readonly FoldedRecord[], now: readonly OnRecord[]): boolean {
  const newest = new Map<RecordId, Uint8Array>();
  for (const one of recordsOf(now)) newest.set(one.record, newestOf(one));
  return records.every((one) => {
    const last = newest.get(one.record);
    return last !== undefined && equalBytes(last, newestOf(one));
  });
}

const recordsOf = (known: readonly OnRecord[]): readonly FoldedRecord[] =>
  known.flatMap(({ byPerson }) => [...byPerson.values()].flat());

async function describeAll(
  actions: readonly Action<SentItem>[],
  { ahead }: FilingProgress,
): Promise<ReadonlyMap<SentItem, Described | undefined>> {
  const described = new Map<SentItem, Described | undefined>();
  const wanted = actions.flatMap(({ does, sent }) =>
    (does === "create" || does === "amend") && sent.kind === "version" ? [sent] : [],
  );
  ahead?.(wanted);
  for (const sent of wanted) {
    described.set(sent, await sent.describe());
    await giveTurn();
  }
  return described;
}

/**
 * Amends records whose text is on record where what the text came with, such as a label of its bundle, says
 * more than the record: a refusal may cover what it says.
 */
async function withNewLabels(
  actions: readonly Action<SentItem>[],
  { described }: Pick<BundleTools, "described">,
): Promise<readonly Action<SentItem>[]> {
  const changed = new Set<PlannedRecord>();
  const all: Action<SentItem>[] = [];
  for (const action of actions) {
    if (isActing(action)) changed.add(action.on);
    all.push((await labelled(action)) ?? action);
  }
  return all;

  async function labelled(action: Action<SentItem>): Promise<Action<SentItem> | undefined> {
    const { does, sent } = action;
    if (does !== "know" || action.as !== "recorded" || sent.kind !== "version") return undefined;
    const { on } = action;
    if (on.record === undefined || on.record.retracted || changed.has(on)) return undefined;
    const labels = await sent.labels();
    await giveTurn();
    if (labels === undefined || !saysMore({ labels }, on.record)) return undefined;
    const about = await sent.describe();
    if (about === undefined) return undefined;
    // What the custodian decided about the labels stays: it may have taken some away.
    const living = { ...on.record, subject: subjectOf(on) };
    if (!saysMore(await described.corrected(living, about.manifest), on.record)) return undefined;
    changed.add(on);
    return { does: "amend", sent, on, byArrival: false };
  }
}

/** Files sealed entries in one transaction or, to mix them with others, in one for each resource. */
async function fileAll(
  writing: readonly Writing[],
  sealed: readonly SealedEntry[],
  { mix }: FilingProgress,
  { filing }: BundleTools,
): Promise<readonly Filed[]> {
  if (!mix) return filing.fileAlone(sealed);
  const groups: SealedEntry[][] = [];
  for (const [i, one] of sealed.entries()) {
    const before = writing[i - 1]?.sent.resource;
    if (before !== undefined && isSame(before, writing[i]!.sent.resource)) groups.at(-1)!.push(one);
    else groups.push([one]);
  }
  return (await Promise.all(groups.map((group) => filing.fileAlone(group)))).flat();
}

/**
 * Looks at what others filed in between. A second record of a resource is retracted, and what followed an
 * erased entry is destroyed.
 *
 * @returns the records whose versions are to be filed again
 */
async function settle(
  writing: readonly Writing[],
  places: readonly Filed[],
  units: readonly Unit[],
  tools: BundleTools,
): Promise<ReadonlySet<PlannedRecord>> {
  const { catalogue, versions } = tools;
  const { known } = await lookUp(units, tools);
  const all = new Map(recordsOf(known).map((one) => [one.record, one]));
  const lost = new Set<PlannedRecord>();
  for (const [i, action] of writing.entries()) {
    if (action.does === "remember") continue;
    const { on } = action;
    const subject = subjectOf(on);
    const { id } = places[i]!;
    if (on.record === undefined) {
      const own = all.get(toRecordId(id));
      if (action.does !== "create" || own?.repeats === undefined) continue;
      await versions.appendVersion({ ...own, subject }, { op: "retract", reason: "filed twice" });
      lost.add(on);
    } else if ((await catalogue.find(newestOf(on.record))).status === "erased") {
      await tools.abandon(subject, [id]);
      lost.add(on);
    }
  }
  return lost;
}
