import { decode } from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import { openVault } from "../../../../src/ledger/vault/vault.ts";
import { openEnvelope } from "../../../../src/envelope/open.ts";
import type { KeyStore } from "../../../../src/identity/key-store.ts";
import type { FullStorage } from "../../../../src/storage/types.ts";
import { entriesIn, entryIdOf, type History } from "../oracle.ts";

type Fields = Record<string, unknown>;
const hex = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString("hex");

/** An entry of a custodian, opened by its own keys, with what the specification says that it means. */
export interface Fact {
  readonly id: string;
  readonly height: number;
  readonly op: string;
  /** Local id of the person. */
  readonly local: string;
  /** The entry that it follows. */
  readonly replaces: string | undefined;
  /** The entry of another custodian, which delivered it. */
  readonly origin: string | undefined;
  readonly content: Uint8Array | undefined;
}

/** What the entries of all say that is not sealed. */
export interface PublicFact {
  readonly author: string;
  readonly height: number;
  readonly kind: string;
  readonly fields: Fields;
}

export function publicFacts({ blocks }: Pick<History, "blocks">): PublicFact[] {
  return blocks.flatMap((block, height) =>
    entriesIn(block).map(({ author, bytes }) => {
      const fields = decode<Fields>(bytes);
      return { author, height, kind: fields["kind"] as string, fields };
    }),
  );
}

/** Opens all entries of a custodian that are on the ledger, in its order. */
export async function factsOf(
  { keys, storage }: { readonly keys: KeyStore; readonly storage: FullStorage },
  ledger: CID,
  { blocks }: Pick<History, "blocks">,
): Promise<Fact[]> {
  const signer = keys.signer();
  const found = blocks.flatMap((block, height) =>
    entriesIn(block)
      .filter(({ author }) => author === signer.actor)
      .map(({ bytes }) => ({ bytes, height, fields: decode<Fields>(bytes) }))
      .filter(({ fields }) => fields["body"] instanceof CID || CID.asCID(fields["body"]) !== null),
  );
  if (found.length === 0) return [];
  const vault = await openVault({
    ...{ storage, keys, ledger, actor: signer.actor, readOnly: true },
    random: (length) => new Uint8Array(length),
    hasFiled: async () => true,
  });
  const facts: Fact[] = [];
  for (const { bytes, height, fields } of found) {
    const envelope = CID.asCID(fields["body"])!;
    const cek = await vault.get(vault.name("cek", envelope.bytes));
    const header = await storage.blobs.get(envelope);
    if (cek === undefined || header === undefined) throw new Error("an entry is without its key");
    const { parts } = await openEnvelope({
      ...{
        envelope,
        header,
        keys: { cek },
        author: { alg: "Ed25519", publicKey: signer.publicKey },
      },
      context: { ledger, author: signer.actor, kind: fields["kind"] as string },
      read: (cid) => storage.blobs.get(cid),
    });
    const manifest = decode<Fields>(parts.get("manifest")!);
    facts.push({
      ...{ id: entryIdOf(ledger, signer.actor, bytes), height, op: manifest["op"] as string },
      local: hex(manifest["local"]),
      replaces: manifest["replaces"] === undefined ? undefined : hex(manifest["replaces"]),
      origin: manifest["origin"] === undefined ? undefined : hex(manifest["origin"]),
      content: parts.get("content"),
    });
  }
  return facts;
}

/** What a custodian knows of persons, by docs/spec/disclosure.md alone; persons by their local ids. */
export interface PersonModel {
  /** Local ids by the numbers that they have; the first entry that names a number says whose it is. */
  readonly locals: ReadonlyMap<string, string>;
  /** Texts of a person's records that are current below a height, in the order in which they came. */
  current(local: string | undefined, below: number): readonly string[];
  /** Lineages that permit treatment by entries below a height. */
  permitting(local: string | undefined, below: number): readonly string[];
  /** Heights of entries that change what is permitted, or current, or whose it is. */
  changes(local: string | undefined): readonly number[];
  readonly accesses: readonly AccessFact[];
}

export interface AccessFact {
  readonly id: string;
  readonly height: number;
  readonly local: string;
  readonly asked: string;
  readonly requester: string;
  /** Entries whose release it says was permitted. */
  readonly permitted: ReadonlySet<string>;
  /** Of those, entries of which a difference says that they were not released. */
  readonly withheld: ReadonlySet<string>;
}

/** What may change a decision about anybody. */
const FOR_ALL = ["identify", "attest", "witnesses"];

interface Version {
  readonly height: number;
  readonly text: string;
}

export function modelOf(facts: readonly Fact[]): PersonModel {
  const locals = new Map<string, string>();
  const records: { readonly local: string; readonly versions: Version[] }[] = [];
  const byId = new Map<string, (typeof records)[number]>();
  const directives: {
    readonly local: string;
    readonly height: number;
    readonly lineage: string;
    readonly mode: string;
    readonly isHeld: boolean;
  }[] = [];
  const accesses: (AccessFact & { readonly withheld: Set<string> })[] = [];
  for (const { id, height, op, local, replaces, content } of facts) {
    if (op === "identify") {
      const { identifiers } = decode<{ identifiers: { value: string }[] }>(content!);
      for (const { value } of identifiers) if (!locals.has(value)) locals.set(value, local);
    } else if (op === "create" || op === "amend") {
      const version = { height, text: Buffer.from(content!).toString("utf8") };
      const record = op === "amend" ? byId.get(replaces!)! : { local, versions: [] };
      if (op === "create") records.push(record);
      record.versions.push(version);
      byId.set(id, record);
    } else if (op === "directive" || op === "held") {
      const { directive } = decode<{ directive: Uint8Array }>(content!);
      const { lineage, mode } = decode<{ lineage: string; mode: string }>(directive);
      directives.push({ local, height, lineage, mode, isHeld: op === "held" });
    } else if (op === "access" || op === "difference") {
      const access = decode<{
        asked: Uint8Array;
        requester: string;
        items: { entry: Uint8Array; outcome: string }[];
      }>(content!);
      const { asked, requester, items } = access;
      const entries = items
        .filter(({ outcome }) => op === "difference" || outcome === "permit")
        .map(({ entry }) => hex(entry));
      if (op === "difference") {
        const first = accesses.find((one) => one.id === replaces);
        for (const entry of entries) first?.withheld.add(entry);
        continue;
      }
      accesses.push({
        ...{ id, height, local, requester, asked: hex(asked) },
        ...{ permitted: new Set(entries), withheld: new Set() },
      });
    }
  }
  return {
    ...{ locals, accesses },
    current: (whose, below) =>
      records
        .filter(({ local }) => local === whose)
        .flatMap(({ versions }) => versions.findLast(({ height }) => height < below)?.text ?? []),
    permitting(whose, below) {
      const known = directives.filter(({ local, height }) => local === whose && height < below);
      // One that is held withholds what it withdraws, if that counts; what is filed behind one is contested.
      const ended = new Set(known.flatMap((one) => (one.mode === "revoke" ? [one.lineage] : [])));
      return known.flatMap(({ mode, lineage, isHeld }) =>
        mode === "replace" && !isHeld && !ended.has(lineage) ? [lineage] : [],
      );
    },
    changes: (whose) => [
      ...records
        .filter(({ local }) => local === whose)
        .flatMap(({ versions }) => versions.map(({ height }) => height)),
      ...directives.flatMap(({ local, height }) => (local === whose ? [height] : [])),
      ...facts.flatMap(({ op, height }) => (FOR_ALL.includes(op) ? [height] : [])),
    ],
  };
}
