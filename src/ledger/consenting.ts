import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import type { Directive } from "../consent/model.ts";
import { ConsentError, InputError } from "../errors.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import type { Signer } from "../identity/signer.ts";
import { readOrSay, toAccess, type Access, type UnreadableAccess } from "./audit.ts";
import { reviewsLocal, type Catalogue, type CatalogueItem } from "./catalogue.ts";
import {
  decodeSignedDirective,
  encodeAttestedKey,
  signDirective,
  standingOf,
  type AttestedKey,
  type FiledConsents,
} from "./consents.ts";
import type { LedgerContext } from "./context.ts";
import { sealEntry, type Filing, type SealedEntry } from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import type { Subject, Subjects } from "./subjects.ts";
import { personName, type Turns } from "./turns.ts";
import { decodeDirective, directiveCid } from "../consent/directive.ts";
import type { CID } from "../codec/cid.ts";

export type ConsentOptions =
  | {
      /** Signs the directive here and now. */
      readonly grantor: Signer;
    }
  | {
      /** The directive as its grantor signed it elsewhere; see `signDirective`. */
      readonly signed: Uint8Array;
    };

/** A directive that is filed. */
export interface FiledDirective {
  /** Id of the consent entry, by which later directives name this one. */
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  readonly cid: CID;
  /** The signed directive, to be delivered to other custodians. */
  readonly signed: Uint8Array;
}

/** Files directives and the keys they are judged by. */
export interface Consenting {
  attest(subject: Subject, key: AttestedKey): Promise<Uint8Array>;
  consent(subject: Subject, directive: Directive, options: ConsentOptions): Promise<FiledDirective>;
  pendingReviews(): AsyncIterable<Access | UnreadableAccess>;
  reviewed(access: Uint8Array): Promise<void>;
}

/** Starts filing consents. */
export function createConsenting(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly readConsents: (items: readonly CatalogueItem[]) => Promise<FiledConsents>;
    readonly turns: Turns;
  },
): Consenting {
  const { now } = context;
  const { catalogue, filing, subjects, readConsents, turns } = options;

  async function sealAttestation(subject: Subject, key: AttestedKey): Promise<SealedEntry> {
    const manifest: Manifest = { v: 1, op: "attest", local: subject.local };
    const sealed = await sealEntry(context, {
      kind: "link",
      manifest,
      parts: [{ id: "content", bytes: encodeAttestedKey(key) }],
    });
    catalogue.remember(sealed.id, manifest);
    return sealed;
  }

  async function file(
    subject: Subject,
    directive: Directive,
    given: ConsentOptions,
  ): Promise<FiledDirective> {
    const signed = "signed" in given ? given.signed : await signDirective(directive, given.grantor);
    const parsed = decodeSignedDirective(signed);
    const cid = directiveCid(directive);
    if (!directiveCid(decodeDirective(parsed.directive)).equals(cid)) {
      throw new ConsentError("ERR_CONSENT_INVALID", "the signed directive is another one");
    }
    await catalogue.catchUp();
    // Keys alone: a directive that cannot be read must not keep others from being filed.
    const items = await catalogue.itemsOf(subject.local, ["erase", "link"]);
    const { keys } = await readConsents(items.filter(({ kind }) => kind === "link"));
    const entries: SealedEntry[] = [];
    let known: readonly AttestedKey[] = keys;
    if (keys.length === 0 && "grantor" in given && directive.grantor.capacity === "self") {
      // The first key that speaks for a person is attested by the custodian who lets him sign.
      const { actor, alg, publicKey } = given.grantor;
      const first: AttestedKey = { actor, alg, publicKey, capacity: "self" };
      entries.push(await sealAttestation(subject, first));
      known = [first];
    }
    const standing = standingOf(parsed, directive, known, now());
    if (standing !== "valid") {
      throw new ConsentError(
        "ERR_CONSENT_INVALID",
        `the directive would be void: ${standing.void}`,
      );
    }
    const { key } = await subjects.read(subject);
    const manifest: Manifest = { v: 1, op: "directive", local: subject.local };
    const sealed = await sealEntry(context, {
      kind: "consent",
      manifest,
      subjectKey: key,
      parts: [{ id: "content", bytes: signed }],
    });
    catalogue.remember(sealed.id, manifest);
    entries.push(sealed);
    const { id, place } = (await filing.file(entries)).at(-1)!;
    return { id, place, cid, signed };
  }

  return {
    attest: (subject, key) =>
      turns.shared(personName(subject), async () => {
        await subjects.read(subject);
        const [filed] = await filing.file([await sealAttestation(subject, key)]);
        return filed!.id;
      }),
    // One directive of a person after another: whose key is the first is asked only once.
    consent: (subject, directive, given) =>
      turns.shared(personName(subject), () =>
        turns.exclusive(`consents ${toHex(subject.local)}`, () => file(subject, directive, given)),
      ),
    async *pendingReviews() {
      for (const item of await pending()) {
        const content = await readOrSay(context, catalogue, item);
        const { id, recordedAt } = item;
        if (typeof content === "string") yield { id, recordedAt, unreadable: content };
        else if (content !== undefined) yield toAccess(item, content);
      }
    },
    reviewed: (access) =>
      turns.exclusive("reviews", async () => {
        const item = (await pending()).find(({ id }) => equalBytes(id, access));
        if (item === undefined) {
          throw new InputError("ERR_INPUT_INVALID", "there is no such access to review");
        }
        const { local } = item.manifest;
        const manifest: Manifest = { v: 1, op: "reviewed", local, replaces: access };
        const entry = await sealEntry(context, { kind: "link", manifest, parts: [] });
        catalogue.remember(entry.id, manifest);
        await filing.file([entry]);
      }),
  };

  /** Accesses that must be reviewed, less those that were. */
  async function pending(): Promise<CatalogueItem[]> {
    await catalogue.catchUp();
    const all = await catalogue.itemsOf(reviewsLocal(context), ["access", "erase", "link"]);
    const reviewed = new Set(
      all.flatMap(({ manifest: { op, replaces } }) =>
        op === "reviewed" && replaces !== undefined ? [toHex(replaces)] : [],
      ),
    );
    return all.filter(({ id, kind }) => kind === "access" && !reviewed.has(toHex(id)));
  }
}
