import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectMap,
  expectNoLostText,
  expectOneOf,
  expectString,
  expectVersion,
} from "../../codec/shape.ts";
import { bytesKey } from "../../bytes/bytes-key.ts";
import { toHex } from "../../bytes/hex.ts";
import { entryIdBytes, parseEntryId, toEntryId, type EntryId } from "../../codec/ids.ts";
import { RecordError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import { openParts } from "../consents/read-consents.ts";
import {
  keyLocal,
  proposalsAbout,
  proposalsLocal,
  type CatalogueItem,
} from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { sealEntry, type Filing, type SealedEntry } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { MergeProposal, PersonIdentifier, Subject, Subjects } from "../entries/subjects.ts";
import { assertReason } from "../records/reason.ts";
import { personName, sharedOfAll, type Turns } from "../turns.ts";

/** A proposal as it is found. */
export interface Suggestion extends MergeProposal {
  /** If it is about one person: the numbers that were nobody's, and may be the person's. */
  readonly numbers?: readonly PersonIdentifier[];
}

/** A proposal that nobody has decided about yet. */
export interface OpenProposal extends MergeProposal {
  /** Names the link entry that it is. */
  readonly id: EntryId;
  /** When it was filed, in ms since 1970. */
  readonly recordedAt: number;
}

/** Why a proposal is dismissed. */
export interface DismissOptions {
  /** In the custodian's words, sealed; at most 4,096 characters. */
  readonly reason: string;
}

/** Proposals about persons who may be one: filed once, and open until people decide. */
export interface Proposals {
  /** Files what was not proposed before, for the same reason; durable before this resolves. */
  file(found: readonly Suggestion[]): Promise<void>;
  open(): AsyncIterable<OpenProposal>;
  /** Whether a proposal about a person, or about one joined with them, is open. */
  isOpenAbout(subject: Subject): Promise<boolean>;
  dismiss(proposal: EntryId, options: DismissOptions): Promise<void>;
}

/** Proposals that are filed in one transaction. */
const TOGETHER = 200;
/** Most numbers that a proposal keeps. */
const MAX_NUMBERS = 64;
const ELEMENTS = ["Patient.link", "Patient.id"] as const;

interface Content {
  readonly because: MergeProposal["because"];
  readonly numbers: readonly PersonIdentifier[];
}

const plain = ({ system, value }: PersonIdentifier): PersonIdentifier => ({ system, value });

const encodeContent = ({ because, numbers = [] }: Suggestion): Uint8Array =>
  encode({
    v: 1,
    because: typeof because === "string" ? because : plain(because),
    numbers: numbers.slice(0, MAX_NUMBERS).map(plain),
  });

function decodeContent(bytes: Uint8Array): Content {
  const map = expectMap(decode(bytes), "proposal", ["v", "because", "numbers"]);
  expectVersion(map["v"], "proposal");
  expectNoLostText(map, "proposal");
  const identifier = (value: unknown): PersonIdentifier => {
    const fields = expectMap(value, "proposal", ["system", "value"]);
    return {
      system: expectString(fields["system"], "proposal.system"),
      value: expectString(fields["value"], "proposal.value"),
    };
  };
  const { because } = map;
  return {
    because:
      typeof because === "string"
        ? expectOneOf(because, "proposal.because", ELEMENTS)
        : identifier(because),
    numbers: expectArray(map["numbers"], "proposal.numbers", MAX_NUMBERS).map(identifier),
  };
}

/** Opens the proposals. */
export function openProposals(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Pick<Subjects, "areOne">;
    readonly turns: Turns;
  },
): Proposals {
  const { vault } = context;
  const { catalogue, filing, subjects, turns } = options;

  /**
   * The name of what is proposed and why: the same twice is one proposal. Whoever has other numbers than a
   * single person is told from others by them.
   */
  function keyOf({ subjects: people, because, numbers = [] }: Suggestion): Uint8Array {
    const written = ({ system, value }: PersonIdentifier): string =>
      JSON.stringify([system, value]);
    const why =
      typeof because === "string"
        ? because
        : [written(because), ...numbers.map(written).sort()].join();
    return vault.name(
      "proposal",
      people
        .map(({ local }) => toHex(local))
        .sort()
        .join(),
      why,
    );
  }

  async function seal(manifest: Manifest, content?: Uint8Array): Promise<SealedEntry> {
    const parts = content === undefined ? [] : [{ id: "content", bytes: content }];
    const sealed = await sealEntry(context, { kind: "link", manifest, parts });
    catalogue.remember(sealed);
    return sealed;
  }

  /** The proposals in a list that are not dismissed, of persons who are not joined, each once. */
  async function* pendingIn(list: Uint8Array): AsyncIterable<CatalogueItem & { key: Uint8Array }> {
    await catalogue.catchUp();
    const items = await catalogue.itemsOf(list, ["link", "erase"]);
    const keyed = items.flatMap((item) => {
      const { idempotency: key } = item.manifest;
      return key === undefined ? [] : [{ ...item, key }];
    });
    const done = new Set(
      keyed.flatMap(({ key, manifest: { op } }) => (op === "dismiss" ? [bytesKey(key)] : [])),
    );
    for (const item of keyed) {
      const key = bytesKey(item.key);
      if (item.manifest.op !== "propose" || done.has(key)) continue;
      done.add(key);
      const people = peopleOf(item);
      const [first, second] = people;
      if (!(await areKnown(people))) continue;
      if (second === undefined ? await isSettled(item) : await subjects.areOne(first!, second)) {
        continue;
      }
      yield item;
    }
  }

  /** Whether nobody of these was forgotten. */
  async function areKnown(people: readonly Subject[]): Promise<boolean> {
    for (const { local } of people) {
      const known = await catalogue.subject(local);
      if (known === undefined) return false;
      known.key.fill(0);
    }
    return true;
  }

  /** Whether a proposal about one person is settled: none of the numbers is nobody's any more. */
  async function isSettled(item: CatalogueItem): Promise<boolean> {
    const content = await contentOf(item);
    for (const one of content?.numbers ?? []) {
      if ((await catalogue.personWith(one)) === undefined) return false;
    }
    return content === undefined || content.numbers.length > 0;
  }

  /** What a proposal says; `undefined` if it was erased meanwhile. */
  async function contentOf(item: CatalogueItem): Promise<Content | undefined> {
    const parts = await openParts(context, catalogue, item, ["content"]);
    return parts && decodeContent(parts.get("content")!);
  }

  async function fileSome(some: readonly Suggestion[]): Promise<void> {
    await catalogue.catchUp();
    const entries: SealedEntry[] = [];
    for (const suggestion of some) {
      const idempotency = keyOf(suggestion);
      const before = await catalogue.itemsOf(keyLocal(idempotency), ["link", "erase"]);
      if (before.length > 0 || !(await areKnown(suggestion.subjects))) continue;
      const [{ local }, other] = suggestion.subjects as [Subject, Subject?];
      const manifest: Manifest = {
        ...{ v: 1, op: "propose", local, idempotency },
        ...(other === undefined ? {} : { other: other.local }),
      };
      entries.push(await seal(manifest, encodeContent(suggestion)));
    }
    if (entries.length > 0) await filing.file(entries);
  }

  return {
    file: (found) =>
      turns.exclusive("proposals", async () => {
        const fresh = [...new Map(found.map((one) => [bytesKey(keyOf(one)), one])).values()];
        for (let at = 0; at < fresh.length; at += TOGETHER) {
          const some = fresh.slice(at, at + TOGETHER);
          const people = some.flatMap((one) => one.subjects.map(personName));
          // Nobody is forgotten meanwhile: the entry tells a number of theirs.
          await sharedOfAll(turns, people, () => fileSome(some));
        }
      }),
    async *open() {
      for await (const item of pendingIn(proposalsLocal(context))) {
        const content = await contentOf(item);
        if (content === undefined) continue;
        const { recordedAt } = item;
        const { because } = content;
        yield { id: toEntryId(item.id), recordedAt, subjects: peopleOf(item), because };
      }
    },
    async isOpenAbout({ local }) {
      const joined = await catalogue.joinedWith(local);
      for (const one of joined.personsWith(local)) {
        for await (const _ of pendingIn(proposalsAbout(context, one))) return true;
      }
      return false;
    },
    dismiss: (proposal, { reason }) =>
      turns.exclusive("proposals", async () => {
        assertReason(reason);
        const replaces = parseEntryId(proposal);
        await catalogue.catchUp();
        const found = await catalogue.find(entryIdBytes(replaces));
        const isHere = found.status === "present" && found.item.manifest.op === "propose";
        // All would have to be read again for each that is dismissed. What is lost stops the list of all.
        const list = isHere
          ? proposalsAbout(context, found.item.manifest.local)
          : proposalsLocal(context);
        for await (const { id, key, manifest } of pendingIn(list)) {
          if (toEntryId(id) !== replaces) continue;
          const { local, other } = manifest;
          const entry = await seal({
            ...{ v: 1, op: "dismiss", local, replaces, reason, idempotency: key },
            ...(other === undefined ? {} : { other }),
          });
          await filing.file([entry]);
          return;
        }
        throw new RecordError("ERR_RECORD_NOT_FOUND", "no such proposal is open");
      }),
  };
}

const peopleOf = ({ manifest: { local, other } }: CatalogueItem): readonly Subject[] =>
  [local, ...(other === undefined ? [] : [other])].map((one) => ({ local: one.slice() }));
