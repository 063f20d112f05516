// A process of its own for the flip sweeps, which a damaged file may end:
//   sweep-child.ts make <kind> <path>    makes a small ledger and prints what every call gives
//   sweep-child.ts look <kind> <path>…   prints the same of each damaged copy, a line a copy
// <kind> is lmdb, checked (LMDB with check) or sqlite.
import { mkdirSync } from "node:fs";
import type { RecordId } from "../../src/codec/ids.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { LedgerError } from "../../src/errors.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { alcoholDependence, foundWorld, MRN, observation, treatmentOnly } from "./hospital.ts";

const [mode, kind, ...paths] = process.argv.slice(2) as [string, string, ...string[]];
const OTHER = { ...MRN, value: "MRN-other" };

async function openStorage(path: string): Promise<FullStorage> {
  if (kind !== "sqlite") return lmdbStorage({ path, check: kind === "checked" });
  mkdirSync(path, { recursive: true });
  return (await import("../sqlite/subject.ts")).openAt(`${path}/ledger.db`);
}

async function make(path: string): Promise<void> {
  const storage = await openStorage(path);
  const world = await foundWorld(storage);
  const hl = await world.open({ signedHeads: "store" });
  const me = await hl.ensureSubject(MRN);
  const other = await hl.ensureSubject(OTHER);
  const ids: RecordId[] = [];
  for (let i = 0; i < 8; i++) ids.push((await hl.record(me, observation(`bp-${i}`))).id);
  await hl.record(me, alcoholDependence("f10"));
  await hl.amend(ids[1]!, observation("bp-1", "1.0"));
  for (let i = 0; i < 4; i++) await hl.record(other, observation(`o-${i}`));
  await hl.consent(me, treatmentOnly(world.patient), { signer: world.patient });
  const b = { signer: world.hospitalB.signer(), agreement: world.hospitalB.agreement() };
  await hl.request(b, { patient: MRN, purposes: ["TREAT"] });
  await hl.placeHold(other, "a case");
  await hl.erase(me, { records: [ids[7]!], reason: "asked" });
  await hl.close();
  await storage.close();
}

/** What a call gives, so that two answers can be compared; or the code of its typed error. */
async function tell(call: () => Promise<unknown>): Promise<string> {
  try {
    return `= ${toText(await call())}`;
  } catch (error) {
    if (error instanceof LedgerError) return `! ${error.code}`;
    return `? ${String((error as Error).stack ?? error)
      .replaceAll("\n", " ")
      .slice(0, 300)}`;
  }
}

function toText(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array ? toHex(part) : part,
  );
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

/** Every reading call of a ledger, by name. */
async function look(path: string): Promise<Record<string, string>> {
  const told: Record<string, string> = {};
  let storage: FullStorage | undefined;
  let hl: Ledger | undefined;
  told["open storage"] = await tell(async () => void (storage = await openStorage(path)));
  if (storage === undefined) return told;
  told["open"] = await tell(
    async () =>
      void (hl = await (
        await foundWorld(storage!)
      ).open({ compaction: "later", signedHeads: "store" })),
  );
  if (hl !== undefined) {
    const ledger = hl;
    told["verify"] = await tell(async () => {
      const { ok, ...rest } = await ledger.verify();
      return ok ? { ok, size: (rest as { size: number }).size } : { ok };
    });
    for (const who of [MRN, OTHER]) {
      const { value } = who;
      let me: Awaited<ReturnType<Ledger["findSubject"]>>;
      told[`find ${value}`] = await tell(async () => (me = await ledger.findSubject(who)));
      if (me === undefined) continue;
      const subject = me;
      let ids: RecordId[] = [];
      told[`records ${value}`] = await tell(async () => {
        const records = await ledger.records(subject);
        ids = records.map(({ record }) => record);
        return records.map(({ record, history }) => [record, history.length]);
      });
      for (const [i, id] of ids.entries()) {
        told[`read ${value} ${i}`] = await tell(() => ledger.read(id));
      }
      told[`directives ${value}`] = await tell(() => ledger.directives(subject));
      told[`audit ${value}`] = await tell(() => collect(ledger.audit(subject)));
    }
    told["reviews"] = await tell(() => collect(ledger.pendingReviews()));
    told["blobs"] = await tell(async () => (await ledger.verifyBlobs()).damaged.length);
    told["close"] = await tell(() => ledger.close());
  }
  await storage.close().catch(() => undefined);
  return told;
}

if (mode === "make") await make(paths[0]!);
for (const path of paths) {
  const told = await look(path);
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0);
