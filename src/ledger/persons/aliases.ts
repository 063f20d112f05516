import { equalBytes } from "../../bytes/compare.ts";
import { fromHex, toHex } from "../../bytes/hex.ts";
import { memberKey } from "../../chain/state.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { expectBytes, expectMap, expectString, expectVersion } from "../../codec/shape.ts";
import { InputError, RecordError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { LedgerContext } from "../context.ts";
import { aliasLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { sealEntry, type Filing } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import { openOwn } from "../entries/own-envelope.ts";
import { ALIAS_SYSTEM, type Subject, type Subjects } from "../entries/subjects.ts";
import type { PersonIdentifier } from "../index/rows.ts";
import { personName, type Turns } from "../turns.ts";

/** The member that an alias is agreed with. */
export interface AliasOptions {
  /** Its did. */
  readonly with: string;
}

/** The calls about names of a person that two members agree on. */
export interface AliasCalls {
  /**
   * A random name of a person, for this member and one other: the one in force, or a new one. It resolves once it
   * is durable. Hand it to the other member, which accepts it for its own subject; from then on each asks the other by
   * it. For nobody else it names anybody.
   *
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT`, and `ERR_INPUT_INVALID` unless `with` is another member
   * @example
   * const alias = await hl.alias(patient, { with: hospitalB });
   * // At hospital B: await hl.acceptAlias(theirPatient, alias, { with: hospitalA });
   */
  alias(subject: Subject, options: AliasOptions): Promise<PersonIdentifier>;
  /**
   * Takes over a name of a person that another member made. Accepting it again is harmless.
   *
   * @throws {InputError} as {@link alias} does, and `ERR_INPUT_INVALID` unless it is an alias
   * @throws {RecordError} `ERR_RECORD_CONFLICT` when it names another person here: the two may be one, and are then
   *   to be merged first
   */
  acceptAlias(subject: Subject, alias: PersonIdentifier, options: AliasOptions): Promise<void>;
  /**
   * Ends an alias here: requests by it are then answered as those about somebody unknown. It can be accepted again.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` unless it is an alias
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND` when it names nobody
   */
  withdrawAlias(alias: PersonIdentifier, options: AliasOptions): Promise<void>;
}

const VALUE = /^[0-9a-f]{32}$/;

/** Whether an identifier is written as an alias: it then names somebody for one member alone. */
export const isAlias = ({ system }: PersonIdentifier): boolean => system === ALIAS_SYSTEM;

/** The custodian's name of an alias and the member that it is for, which an index without a key does not show. */
const nameOf = (
  { vault }: Pick<LedgerContext, "vault">,
  { value }: PersonIdentifier,
  member: string,
): Uint8Array => vault.name("alias", member, value);

/**
 * The person whom an alias names if the member that it is for uses it; `undefined` for everybody else.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when an entry is lost that may have made or ended it
 */
export async function findByAlias(
  context: Pick<LedgerContext, "vault"> & { readonly catalogue: Catalogue },
  alias: PersonIdentifier,
  member: string,
): Promise<Subject | undefined> {
  if (!VALUE.test(alias.value)) return undefined;
  await context.catalogue.catchUp();
  const found = await inForce(context, nameOf(context, alias, member));
  return found && { local: found.manifest.local };
}

/** The entry by which an alias names somebody: the first that was not withdrawn. */
async function inForce(
  { catalogue }: { readonly catalogue: Catalogue },
  name: Uint8Array,
): Promise<CatalogueItem | undefined> {
  const [items] = await catalogue.listed([aliasLocal(name)], []);
  // One that does not open may have made it, or ended it.
  await catalogue.assertComplete();
  const ours = items!.filter(({ manifest: { alias } }) => alias && equalBytes(alias, name));
  const ended = new Set(
    ours.flatMap(({ manifest: { op, replaces } }) => (op === "unalias" ? [replaces] : [])),
  );
  return ours.find(({ id, manifest: { op } }) => op === "alias" && !ended.has(toEntryId(id)));
}

/** Makes the calls. */
export function aliasCalls(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly turns: Turns;
  },
): AliasCalls {
  const { chain, signer, random } = context;
  const { catalogue, filing, subjects, turns } = options;
  const reading = { ...context, catalogue };

  async function checkedMember({ with: member }: AliasOptions): Promise<string> {
    if (typeof member === "string" && member !== signer.actor) {
      await chain.refresh();
      await chain.state.load([memberKey(member)]);
      if (chain.state.member(member) !== undefined) return member;
    }
    throw new InputError(
      "ERR_INPUT_INVALID",
      "an alias is agreed with another member of the ledger",
    );
  }

  async function file(manifest: Manifest, content?: Uint8Array): Promise<void> {
    const parts = content === undefined ? [] : [{ id: "content", bytes: content }];
    const sealed = await sealEntry(context, { kind: "link", manifest, parts });
    catalogue.remember(sealed);
    await filing.file([sealed]);
  }

  /** Files an alias of a person, unless it is theirs already. */
  async function give({ local }: Subject, alias: PersonIdentifier, member: string): Promise<void> {
    const name = nameOf(context, alias, member);
    const isTheirs = async (): Promise<boolean> => {
      const found = await findByAlias(reading, alias, member);
      if (found === undefined) return false;
      if (await subjects.areOne(found, { local })) return true;
      throw new RecordError("ERR_RECORD_CONFLICT", "this alias names another person here");
    };
    if (await isTheirs()) return;
    await file({ v: 1, op: "alias", local, alias: name }, encodeAlias(alias, member));
    // Another process may have accepted it for somebody else first.
    await afterWriting(isTheirs);
  }

  /** An alias in force that a person has with a member. */
  async function known({ local }: Subject, member: string): Promise<PersonIdentifier | undefined> {
    await catalogue.catchUp();
    for (const item of await catalogue.itemsOf(local, ["link"])) {
      const { kind, envelope, place, manifest } = item;
      if (manifest.op !== "alias") continue;
      const current = await inForce(reading, manifest.alias!);
      if (current === undefined || !equalBytes(current.id, item.id)) continue;
      const what = { kind, envelope, height: place.height, parts: ["content"] };
      const content = (await openOwn(context, what))?.get("content");
      const said = content && decodeAlias(content);
      if (said?.member === member) return said.alias;
    }
    return undefined;
  }

  /** Runs work about a known person, who cannot be forgotten meanwhile. */
  const about = <T>(subject: Subject, work: () => Promise<T>): Promise<T> =>
    turns.shared(personName(subject), () =>
      turns.exclusive("aliases", async () => {
        (await subjects.read(subject)).key.fill(0);
        return work();
      }),
    );

  return {
    async alias(subject, given) {
      const member = await checkedMember(given);
      return about(subject, async () => {
        const before = await known(subject, member);
        if (before !== undefined) return before;
        const alias = { system: ALIAS_SYSTEM, value: toHex(random(16)) };
        await give(subject, alias, member);
        return alias;
      });
    },
    async acceptAlias(subject, alias, given) {
      const member = await checkedMember(given);
      const own = checkedAlias(alias);
      return about(subject, () => give(subject, own, member));
    },
    async withdrawAlias(alias, { with: member }) {
      const name = nameOf(context, checkedAlias(alias), String(member));
      return turns.exclusive("aliases", async () => {
        await catalogue.catchUp();
        const found = await inForce(reading, name);
        if (found === undefined) {
          throw new RecordError("ERR_RECORD_NOT_FOUND", "this alias names nobody here");
        }
        const { local } = found.manifest;
        const replaces: EntryId = toEntryId(found.id);
        await file({ v: 1, op: "unalias", local, alias: name, replaces });
      });
    },
  };
}

function checkedAlias(alias: PersonIdentifier): PersonIdentifier {
  const { system, value } = alias ?? {};
  if (system === ALIAS_SYSTEM && typeof value === "string" && VALUE.test(value)) {
    return { system, value };
  }
  throw new InputError(
    "ERR_INPUT_INVALID",
    `an alias has the system ${ALIAS_SYSTEM} and 32 hexadecimal digits`,
  );
}

/** Writes the content of an entry that gives an alias. */
export const encodeAlias = ({ value }: PersonIdentifier, member: string): Uint8Array =>
  encode({ v: 1, with: member, value: fromHex(value) });

function decodeAlias(bytes: Uint8Array): {
  readonly alias: PersonIdentifier;
  readonly member: string;
} {
  const map = expectMap(decode(bytes), "alias", ["v", "with", "value"]);
  expectVersion(map["v"], "alias");
  const value = toHex(expectBytes(map["value"], "alias.value", 16));
  return {
    alias: { system: ALIAS_SYSTEM, value },
    member: expectString(map["with"], "alias.with", 256),
  };
}
