import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { EntryId, RecordId } from "../../codec/ids.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { bySlices, giveTurn } from "../../loop/give-turn.ts";
import type { NobodyMark } from "../entries/manifest.ts";
import { copyOf, type SourceResource } from "../entries/source-names.ts";
import type { Subject } from "../entries/subjects.ts";
import type { FoldedRecord } from "./current-record.ts";
import type { Described } from "./describe-entry.ts";
import { describe } from "./describe-record.ts";
import { draftSteps } from "./draft.ts";
import { fileSent } from "./file-sent.ts";
import { saysMore } from "./known.ts";
import { nameParts, type KeptResource } from "./kept.ts";
import type { BundleTools, FilingProgress, Outcome, SentItem } from "./sent.ts";

/** A copy of a resource that names nobody, filed for a person or ended. */
export interface FiledCopy {
  readonly id: RecordId;
  readonly entry: EntryId;
  readonly place: EntryPlace;
  readonly labels: ResourceLabels | null;
  readonly subject: Subject;
  readonly resource: SourceResource;
  /** For a newer version: the entry that was the copy's newest until now. */
  readonly amends?: EntryId;
  /** Set if the resource was deleted at its source, and the copy has ended with it. */
  readonly ended?: true;
}

/** The names of what something about a person refers to. */
export interface Wanted {
  readonly subject: Subject;
  readonly names: Iterable<string>;
}

/** How copies are filed. */
export interface CopyProgress extends Pick<
  FilingProgress,
  "mix" | "fields" | "signal" | "hasWritten"
> {
  /** Set if nothing new refers to what is copied. */
  readonly isRenewal?: boolean;
}

/** Most copies that are looked up and filed together. */
const TOGETHER = 500;

/**
 * Files, for each person, the newest version of what the source's resources refer to that names nobody, and
 * of what that refers to in turn. What is on record of the person in that version is left as it is; what was
 * deleted at its source ends.
 *
 * @param mark - how a new copy is said to have been filed
 */
export async function serve(
  source: string,
  wanted: readonly Wanted[],
  how: CopyProgress,
  tools: BundleTools,
  mark: NobodyMark = "served",
): Promise<readonly FiledCopy[]> {
  const pairs = await pairsOf(source, wanted, tools);
  const filed: FiledCopy[] = [];
  const texts = new Map<FoldedRecord, Uint8Array>();
  for (let at = 0; at < pairs.length; at += TOGETHER) {
    const items = await outdated(pairs.slice(at, at + TOGETHER), mark, texts, how, tools);
    if (items.length === 0) continue;
    await fileSent(
      items,
      "collection",
      {
        ...how,
        hasWritten: () => how.hasWritten() || filed.length > 0,
        sealed: () => undefined,
        tell(outcomes) {
          for (const outcome of outcomes) {
            const copy = filedCopy(outcome);
            if (copy !== undefined) filed.push(copy);
          }
        },
      },
      tools,
    );
  }
  return filed;
}

/** A resource, and a person whom it serves. */
interface Pair {
  readonly subject: Subject;
  readonly kept: KeptResource;
}

/** What serves each of some persons, by the names of what they refer to. */
async function pairsOf(
  source: string,
  wanted: readonly Wanted[],
  { catalogue, kept }: BundleTools,
): Promise<readonly Pair[]> {
  interface Person {
    readonly subject: Subject;
    readonly names: Set<string>;
  }
  const people = new Map<string, Person>();
  for (const { subject, names } of wanted) {
    const local = toHex(subject.local);
    const person = people.get(local) ?? { subject, names: new Set<string>() };
    people.set(local, person);
    for (const name of names) if (nameParts(name) !== undefined) person.names.add(name);
  }
  const byName = new Map<string, KeptResource | undefined>();
  const all = (): Set<string> => new Set([...people.values()].flatMap(({ names }) => [...names]));
  let isMore = [...all()].length > 0;
  if (isMore) await catalogue.catchUp();
  // Round by round: what a kept resource refers to is known once it was found.
  while (isMore) {
    const unknown = [...all()].filter((name) => !byName.has(name));
    const found = await kept.named(source, unknown);
    for (const name of unknown) byName.set(name, found.get(name));
    isMore = false;
    for (const { names } of people.values()) {
      // A set yields what is added to it while it is read.
      for (const name of names) {
        const one = byName.get(name);
        if (one === undefined || one.record.retracted) continue;
        for (const next of one.record.head.manifest.refers ?? []) {
          if (nameParts(next) !== undefined) names.add(next);
        }
      }
      for (const name of names) if (!byName.has(name)) isMore = true;
    }
    await giveTurn();
  }
  return [...people.values()].flatMap(({ subject, names }) => {
    const meant = new Map<FoldedRecord, KeptResource>();
    for (const name of names) {
      const one = byName.get(name);
      if (one !== undefined) meant.set(one.record, one);
    }
    return Array.from(meant.values(), (one): Pair => ({ subject, kept: one }));
  });
}

/** What is to be filed so that each person has the newest version of what serves them. */
async function outdated(
  pairs: readonly Pair[],
  mark: NobodyMark,
  texts: Map<FoldedRecord, Uint8Array>,
  { fields, isRenewal = false }: CopyProgress,
  tools: BundleTools,
): Promise<readonly SentItem[]> {
  const { contents, sources } = tools;
  const resources = pairs.map(({ subject, kept }) => ({
    ...kept.resource,
    copy: copyOf(subject.local),
  }));
  const people = new Map(pairs.map(({ subject }) => [toHex(subject.local), subject]));
  const known = await sources.onRecord(resources, [...people.values()]);
  const erased = isRenewal ? await sources.wereErased(resources) : [];
  const items: SentItem[] = [];
  for (const [index, { subject, kept }] of pairs.entries()) {
    const { record, base } = kept;
    const { head, history } = record;
    const copies = [...known[index]!.byPerson.values()].flat();
    const copy = copies.findLast(({ retracted }) => !retracted);
    const common = { index, base, person: toHex(subject.local), resource: resources[index]! };
    if (record.retracted) {
      if (copy === undefined) continue;
      const end = history.findLast(({ manifest: { op } }) => op === "retract")?.manifest.ending;
      items.push({ kind: "deletion", stated: end ?? {}, ...common });
      continue;
    }
    const digest = toHex(head.manifest.source?.text ?? new Uint8Array());
    const own = copy?.head.manifest;
    // What was erased comes back with something new that refers to it, not because somebody asks.
    if (copies.length === 0 && erased[index] === true) continue;
    const isSame = own?.source?.text !== undefined && toHex(own.source.text) === digest;
    if (isSame && !saysMore({ labels: record.labels }, copy!)) continue;
    const text = texts.get(record) ?? (await contents.textOf(head));
    texts.set(record, text);
    const described = async (): Promise<Described> => {
      const { awaits: _, ...about } = describe(record);
      const manifest = { ...about, nobody: own?.nobody ?? mark };
      const content = { text, fields };
      const create = { op: "create", ...manifest } as const;
      return {
        manifest,
        draft: await bySlices(draftSteps(create, content, "resource")),
      };
    };
    const { versionId, lastUpdated } = head.manifest.resource ?? {};
    items.push({
      ...{ kind: "version", subject, digest, isError: false, ...common },
      stated: {
        ...(versionId === undefined ? {} : { versionId }),
        ...(lastUpdated === undefined ? {} : { lastUpdated }),
      },
      text,
      describe: described,
      labels: async () => record.labels,
    });
  }
  return items;
}

function filedCopy(outcome: Outcome): FiledCopy | undefined {
  if (outcome.does === "skip" || outcome.does === "know") return undefined;
  const { does, sent, record: id, entry, place, subject, labels, amends } = outcome;
  const { source, type, id: named } = sent.resource;
  return {
    ...{ id, entry, place, labels, subject, resource: { source, type, id: named } },
    ...(amends === undefined ? {} : { amends }),
    ...(does === "retract" && { ended: true }),
  };
}
