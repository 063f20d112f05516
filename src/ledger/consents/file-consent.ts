import { toHex } from "../../bytes/hex.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { directiveCid } from "../../consent/model/directive.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { SnapshotDirective } from "../../consent/model/snapshot.ts";
import type { PartContent } from "../../envelope/seal.ts";
import { ConsentError, InputError } from "../../errors.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { isObject } from "../../fhir/resource.ts";
import type { Signer } from "../../identity/signer.ts";
import { afterWriting } from "../../storage/settle.ts";
import { encodeAttestedKey, type AttestedKey } from "./attested-key.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { strangersLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import { decodeFiledForm, type ConsentReader } from "./read-consents.ts";
import type { LedgerContext } from "../context.ts";
import { checkedWitness, sealableEvidence, type WitnessOptions } from "./evidence.ts";
import { checkedMembers, entitledField } from "../entries/entitlements.ts";
import { sealEntry, type Filing, type SealedEntry } from "../entries/filing.ts";
import {
  CURABLE,
  identifierIn,
  ownerFinder,
  wouldBeVoid,
  type DirectiveToFile,
} from "./find-owner.ts";
import { findHeld } from "./held.ts";
import { encodeIdentifiers, type PersonIdentifier } from "../index/rows.ts";
import type { Manifest } from "../entries/manifest.ts";
import { commitToPerson, signDirective } from "./signed-directive.ts";
import { ownIdentifier, type Subject, type Subjects } from "../entries/subjects.ts";
import { personName, type Turns } from "../turns.ts";
import { entryPlaceOf, isUnreadable } from "./unreadable-directives.ts";
import { witnessDirective } from "./witnessed-directive.ts";
import { encodeWitnesses, witnessesLocal } from "./witnesses.ts";

/** How it is shown that a person gave a directive, and who else may have it. */
export type ConsentOptions = ConsentWay & {
  /** did:keys of the custodians that may pull the directive from here. Default: none. */
  readonly custodians?: readonly string[];
};

/** How it is shown that a person gave a directive: exactly one of three ways. */
export type ConsentWay =
  | {
      /** Signs the directive here and now, as its grantor: the patient, or a guardian. */
      readonly signer: Signer;
    }
  | {
      /** The directive as its grantor signed it elsewhere; see `signDirective`. */
      readonly signed: Uint8Array;
      /** The 32 bytes under which it commits to the person. */
      readonly salt: Uint8Array;
    }
  | {
      /** This custodian took it down and attests it in its own name: for persons without keys. */
      readonly witness: WitnessOptions;
    };

/** A filed directive. */
export interface FiledDirective {
  /** Names the consent entry, by which later directives name this one. */
  readonly id: EntryId;
  readonly place: EntryPlace;
  readonly cid: CID;
  /** The directive, signed by its grantor or its witness, to be delivered to other custodians. */
  readonly signed: Uint8Array;
  /** Delivered with it: 32 bytes with which a party that knows the person can tell that it is about them. */
  readonly salt: Uint8Array;
}

/** A delivered directive that is kept and permits nothing; what it refuses counts once it is vouched for. */
export interface HeldDirective {
  /** Names the link entry that keeps it. */
  readonly id: EntryId;
  readonly cid: CID;
  /** did:key of the organisation that witnessed it, if its grantor did not sign. */
  readonly by?: string;
}

/** The outcome of receiving a directive from another custodian. */
export type ReceivedDirective =
  ({ readonly status: "filed" } & FiledDirective) | ({ readonly status: "held" } & HeldDirective);

/** The parts of a directive that are delivered; see {@link FiledDirective}. */
export interface DeliveredDirective extends Pick<FiledDirective, "signed" | "salt"> {
  /** The entry of the custodian that delivered it: its later directives name that as their predecessor. */
  readonly alias?: EntryId;
}

/** A directive that another custodian delivered and whose entry is proved. */
export interface ProvedDelivery extends Required<DeliveredDirective> {
  /** That custodian's earlier directives of the lineage: without them, this one does not count. */
  readonly after: readonly EntryId[];
  /** The identifier that it commits to. */
  readonly identifier: PersonIdentifier;
}

/** Files directives, and the keys that they are judged by. */
export interface Consenting {
  attest(subject: Subject, key: AttestedKey): Promise<EntryId>;
  consent(subject: Subject, directive: Directive, options: ConsentOptions): Promise<FiledDirective>;
  receive(subject: Subject, delivered: DeliveredDirective): Promise<ReceivedDirective>;
  /**
   * Files a directive that its grantor signed and a person handed in, once, however often they do.
   *
   * @throws {ConsentError} `ERR_CONSENT_INVALID` as `consent` does, and for one that nobody signed
   */
  takeIn(subject: Subject, delivered: DeliveredDirective): Promise<EntryId>;
  /** Receives what is proved; holds what is about nobody known here. */
  takeDelivery(delivery: ProvedDelivery): Promise<ReceivedDirective>;
  trustWitnesses(witnesses: readonly string[]): Promise<EntryId>;
}

const counts = ({ standing }: SnapshotDirective): boolean => standing === "valid";

/**
 * Whether a directive has its place now: all of these entries of the custodian that delivers are filed here, or it
 * ends what came before, which it does from wherever it stands.
 */
const hasItsPlace = (
  { mode }: Directive,
  after: readonly EntryId[],
  filed: readonly SnapshotDirective[],
): boolean =>
  mode === "suspend" ||
  mode === "revoke" ||
  after.every((id) => filed.some(({ aliases = [] }) => aliases.includes(id)));

const WAYS = ["signer", "signed", "witness"] as const;

/** Refuses options that give none or several of the ways: none takes precedence over another. */
function assertOneWay(given: ConsentWay): void {
  const said = WAYS.filter((way) => isObject(given) && way in given);
  if (said.length === 1 && isObject((given as Readonly<Record<string, unknown>>)[said[0]!])) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    "a directive needs exactly one of signer, signed (with salt) and witness",
  );
}

/** Starts filing consents. */
export function createConsenting(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly readConsents: ConsentReader;
    readonly turns: Turns;
  },
): Consenting {
  const { chain, now, random, signer } = context;
  const { catalogue, filing, subjects, readConsents, turns } = options;
  const findOwner = ownerFinder(context, { catalogue, readConsents });

  async function sealLink(manifest: Manifest, content: Uint8Array): Promise<SealedEntry> {
    const parts = [{ id: "content", bytes: content }];
    const sealed = await sealEntry(context, { kind: "link", manifest, parts });
    catalogue.remember(sealed);
    return sealed;
  }

  const sealAttestation = ({ local }: Subject, key: AttestedKey): Promise<SealedEntry> =>
    sealLink({ v: 1, op: "attest", local }, encodeAttestedKey(key));

  /** Brings a directive into the form in which it is filed. */
  async function formOf(
    directive: Directive,
    given: ConsentWay,
    person: PersonIdentifier,
  ): Promise<DirectiveToFile> {
    const { ledger } = chain;
    assertOneWay(given);
    if ("signed" in given) {
      const form = decodeFiledForm(given.signed);
      if (form.kind === "signed" && form.cid.equals(directiveCid(directive))) return given;
      const what =
        form.kind === "signed"
          ? "the signature is for a different directive"
          : "the directive is witnessed, not signed: pass it to receive";
      throw new ConsentError("ERR_CONSENT_INVALID", what);
    }
    const salt = random(32);
    if ("signer" in given) {
      const { signer: firstKey } = given;
      const signed = await signDirective(directive, firstKey, { ledger, person, salt });
      return { signed, salt, firstKey };
    }
    const { user, form, takenAt } = checkedWitness(given.witness, now());
    const evidence = await sealableEvidence(given.witness.evidence ?? [], random);
    const signed = await witnessDirective(directive, signer, {
      ...{ ledger, about: commitToPerson(salt, person), user, form, takenAt },
      evidence: evidence.commitments,
    });
    return { signed, salt, evidence };
  }

  /**
   * Judges a directive as if it were filed now, and then files or holds it.
   *
   * @param delivered - if another custodian delivered it
   */
  async function file(
    subject: Subject,
    make: (person: PersonIdentifier) => Promise<DirectiveToFile>,
    {
      custodians = [],
      delivered,
    }: {
      readonly custodians?: readonly string[];
      readonly delivered?: Pick<ProvedDelivery, "after"> & { readonly alias: EntryId | undefined };
    } = {},
  ): Promise<ReceivedDirective> {
    await catalogue.catchUp();
    const people = (await subjects.readJoined(subject)).map(({ identifiers, ...person }) => ({
      ...person,
      identifiers: [...identifiers, ownIdentifier(person.local)],
    }));
    try {
      const { owner, toFile, first, kept, judged, why } = await findOwner(people, make);
      const { signed, salt, evidence } = toFile;
      const { cid, witness } = judged;
      const { local, identifiers, key: subjectKey } = owner;
      const alias = delivered?.alias ?? kept?.manifest.origin;
      const before = await filedOf(subject);
      const already = before.find(({ aliases = [] }) => alias && aliases.includes(alias));
      if (already !== undefined) {
        const place = entryPlaceOf(already.place);
        return { status: "filed", id: already.entry, place, cid, signed, salt };
      }
      const mayWait = delivered?.alias !== undefined && why !== undefined && CURABLE.includes(why);
      if (why !== undefined && !mayWait) throw wouldBeVoid(why);
      const entries: SealedEntry[] = [];
      for (const key of first) entries.push(await sealAttestation(owner, key));
      const about = identifierIn(identifiers, toFile)!;
      const parts = [
        { id: "content", bytes: signed },
        { id: "salt", bytes: salt },
        { id: "identifier", bytes: encodeIdentifiers([about]) },
      ];
      const placed = hasItsPlace(judged.directive, delivered?.after ?? [], before);
      if (mayWait || witness?.doubted === true || !placed) {
        const id = kept === undefined ? await hold(local, parts, alias) : toEntryId(kept.id);
        return { status: "held", id, cid, ...(witness === undefined ? {} : { by: witness.by }) };
      }
      const same = before.find((one) => counts(one) && one.cid.equals(cid));
      // With an alias it has an effect: later directives name that.
      if (same !== undefined && alias === undefined && !isNews(same, before)) {
        throw new ConsentError(
          "ERR_CONSENT_INVALID",
          "the directive was filed before, and another followed it in its lineage: " +
            "file it again with that one among its predecessors",
        );
      }
      const manifest: Manifest = {
        ...{ v: 1, op: "directive", local },
        ...(alias === undefined ? {} : { origin: alias }),
        ...(kept === undefined ? {} : { replaces: toEntryId(kept.id) }),
        ...(evidence === undefined || evidence.parts.length === 0
          ? {}
          : { attachments: evidence.mediaTypes }),
        ...entitledField(custodians),
      };
      const sealed = await sealEntry(context, {
        ...{ kind: "consent", manifest, subjectKey },
        parts: [...parts, ...(evidence?.parts ?? [])],
      });
      catalogue.remember(sealed);
      const { id, place } = (await filing.file([...entries, sealed])).at(-1)!;
      // The facts that it is judged by may have changed before it had its place.
      const all = await afterWriting(() => filedOf(subject));
      const filed = all.find(({ entry }) => entry === toEntryId(id));
      if (filed !== undefined && filed.standing !== "valid") {
        const why = `the directive was filed but is void: ${filed.standing.void}`;
        throw new ConsentError("ERR_CONSENT_INVALID", why);
      }
      return { status: "filed", id: toEntryId(id), place, cid, signed, salt };
    } finally {
      for (const { key } of people) key.fill(0);
    }
  }

  /** A person's readable directives, oldest first: an unreadable one must not block filing others. */
  async function filedOf({ local }: Subject): Promise<SnapshotDirective[]> {
    await catalogue.catchUp();
    const filed: SnapshotDirective[] = [];
    const before: CatalogueItem[] = [];
    for (const item of await catalogue.itemsOf(local, ["consent", "erase", "link"])) {
      if (item.kind === "link") before.push(item);
      if (item.kind !== "consent") continue;
      try {
        const { directives } = await readConsents([...before, item], chain.size - 1);
        for (const directive of directives) filed.push(directive);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
      }
    }
    return filed;
  }

  /**
   * Whether filing a directive again has any effect. A directive counts once, at its first place, unless
   * it is still doubted there or rests on another organisation's witness.
   */
  function isNews(same: SnapshotDirective, filed: readonly SnapshotDirective[]): boolean {
    const { witness, directive, cid } = same;
    const waits =
      witness !== undefined && (witness.doubted === true || witness.by !== signer.actor);
    if (waits && directive.mode !== "suspend") return true;
    return !filed.slice(filed.indexOf(same) + 1).some((one) => {
      return counts(one) && one.directive.lineage === directive.lineage && !one.cid.equals(cid);
    });
  }

  /** Keeps a delivered directive, so that it is not lost, without filing it as a directive. */
  async function hold(
    local: Uint8Array,
    parts: readonly PartContent[],
    alias: EntryId | undefined,
  ): Promise<EntryId> {
    const manifest: Manifest = {
      ...{ v: 1, op: "held", local },
      ...(alias === undefined ? {} : { origin: alias }),
    };
    const sealed = await sealEntry(context, { kind: "link", manifest, parts });
    catalogue.remember(sealed);
    const [filed] = await filing.file([sealed]);
    return toEntryId(filed!.id);
  }

  /** Files a person's directives one after another, so that only one of them attests the first key. */
  const inTurn = <T>(subject: Subject, work: () => Promise<T>): Promise<T> =>
    turns.shared(personName(subject), () =>
      turns.exclusive(`consents ${toHex(subject.local)}`, work),
    );

  return {
    attest: (subject, key) =>
      turns.shared(personName(subject), async () => {
        (await subjects.read(subject)).key.fill(0);
        const [filed] = await filing.file([await sealAttestation(subject, key)]);
        return toEntryId(filed!.id);
      }),
    consent: (subject, directive, given) =>
      inTurn(subject, async () => {
        const custodians = checkedMembers(given?.custodians ?? [], "custodians");
        const make = (person: PersonIdentifier) => formOf(directive, given, person);
        const filed = await file(subject, make, { custodians });
        if (filed.status === "held") throw wouldBeVoid("its witness's key is not trusted");
        const { status: _, ...rest } = filed;
        return rest;
      }),
    takeIn: (subject, { signed, salt }) =>
      inTurn(subject, async () => {
        const { kind, cid } = decodeFiledForm(signed);
        if (kind !== "signed") throw wouldBeVoid("its grantor did not sign it");
        const known = (await filedOf(subject)).find((one) => counts(one) && one.cid.equals(cid));
        return known?.entry ?? (await file(subject, async () => ({ signed, salt }))).id;
      }),
    receive: (subject, { signed, salt, alias }) =>
      inTurn(subject, () =>
        file(subject, async () => ({ signed, salt }), { delivered: { alias, after: [] } }),
      ),
    async takeDelivery({ signed, salt, identifier, alias, after }) {
      const subject = await subjects.find(identifier);
      if (subject !== undefined) {
        const delivered = { alias, after };
        const take = () => file(subject, async () => ({ signed, salt }), { delivered });
        return inTurn(subject, take);
      }
      return turns.exclusive("held about strangers", async () => {
        const { cid } = decodeFiledForm(signed);
        const local = strangersLocal(context);
        await catalogue.catchUp();
        const kept = await findHeld(context, catalogue, { local }, signed);
        if (kept !== undefined) return { status: "held", id: toEntryId(kept.id), cid };
        const parts = [
          { id: "content", bytes: signed },
          { id: "salt", bytes: salt },
          { id: "identifier", bytes: encodeIdentifiers([identifier]) },
        ];
        return { status: "held", id: await hold(local, parts, alias), cid };
      });
    },
    trustWitnesses: (witnesses) =>
      turns.exclusive("trusted witnesses", async () => {
        const content = encodeWitnesses(witnesses);
        const manifest: Manifest = { v: 1, op: "witnesses", local: witnessesLocal(context) };
        const [filed] = await filing.file([await sealLink(manifest, content)]);
        return toEntryId(filed!.id);
      }),
  };
}
