import { randomBytes } from "#crypto";
import { entryIdBytes, toEntryId, type EntryId } from "../../src/codec/ids.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { sealEnvelope, type PartContent } from "../../src/envelope/seal.ts";
import { memoryOf } from "../../src/identity/signed-heads.ts";
import { openCatalogue } from "../../src/ledger/entries/catalogue.ts";
import type { LedgerContext } from "../../src/ledger/context.ts";
import { entryOf } from "../../src/ledger/entries/filing.ts";
import type { Manifest } from "../../src/ledger/entries/manifest.ts";
import { openVault, type Vault } from "../../src/ledger/vault/vault.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { START } from "./ledger.ts";
import type { Ward } from "./ward.ts";

/** The vault of the ward's custodian, opened a second time. */
export const secondVault = (w: Ward, storage: FullStorage): Promise<Vault> =>
  openVault({
    hasFiled: async () => false,
    ...{ storage, keys: w.hospitalA, ledger: w.hl.id, actor: w.hl.member },
    random: randomBytes,
  });

/** What a custodian's own code works with, over the ward's store. */
export async function contextOf(w: Ward): Promise<LedgerContext> {
  const storage = w.storage as FullStorage;
  const chain = await openChain({ storage, genesis: w.genesis });
  const signer = w.hospitalA.signer();
  const vault = await openVault({
    ...{ storage, keys: w.hospitalA, ledger: chain.ledger, actor: signer.actor },
    random: randomBytes,
    hasFiled: async () => true,
  });
  const own = {
    now: () => START,
    random: randomBytes,
    suite: "chacha",
    padding: "stepped",
    auditors: [],
  } as const;
  const memory = memoryOf("store", chain.ledger);
  return { chain, storage, vault, keys: w.hospitalA, signer, memory, ...own };
}

/** Files an entry about the patient as an earlier version of the library wrote it; returns its id. */
export async function fileAs(
  w: Ward,
  kind: "access" | "consent" | "record" | "link",
  content: Uint8Array,
  manifest: Partial<Manifest> = {},
  more: readonly PartContent[] = [],
): Promise<EntryId> {
  const context = await contextOf(w);
  const { chain, signer, random } = context;
  const catalogue = openCatalogue(context, {
    carryOut: async () => undefined,
    assertCarriedOut: () => undefined,
  });
  await catalogue.catchUp();
  const { key } = (await catalogue.subject(w.me.local))!;
  const op = { access: "access", consent: "directive", record: "create", link: "attest" } as const;
  const { replaces, ...rest } = manifest;
  const follows = replaces === undefined ? {} : { replaces: entryIdBytes(replaces) };
  const encoded = encode({ v: 1, op: op[kind], local: w.me.local, ...rest, ...follows });
  const sealed = await sealEnvelope({
    context: { ledger: chain.ledger, author: signer.actor, kind },
    parts: [{ id: "manifest", bytes: encoded }, { id: "content", bytes: content }, ...more],
    ...{ signer, random, suite: "chacha" },
  });
  const about = kind === "link" ? { kind } : { kind, subjectKey: key };
  const { id, entry, state } = entryOf(
    context,
    { ...about, encoded, manifest: { v: 1, op: op[kind], local: w.me.local } },
    sealed,
    [],
  );
  await w.storage.blobs!.put([{ cid: sealed.cid, bytes: sealed.header }, ...sealed.blocks]);
  await w.storage.state!.batch(state);
  await w.write(w.hospitalA, [entry]);
  return toEntryId(id);
}
