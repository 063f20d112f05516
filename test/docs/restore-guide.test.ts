import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../src/block/entry.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";

const page = readFileSync(new URL("../../docs/guide/restore.md", import.meta.url), "utf8");
const example = Array.from(page.matchAll(/^```js\n(.*?)^```$/gms), ([, body]) => body!).find(
  (body) => body.includes("giveUp"),
)!;

it("gives up what was lost, as docs/guide/restore.md shows, and everything else goes on", async () => {
  const w = await ward();
  const { entry, place } = await w.hl.record(w.me, observation("bp-1"));
  await w.hl.record(w.me, observation("bp-2"));
  await w.permit();
  await w.hl.close();
  const { block } = await w.hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  await w.storage.blobs!.delete([(decodeEntry(bytes) as SubjectEntry).body]);
  const said: string[] = [];
  const console = { log: (...words: readonly unknown[]) => said.push(words.join(" ")) };
  const { storage, genesis, hospitalA: keys, clock } = w;
  const run = new Function(
    "openLedger",
    "storage",
    "keys",
    "genesis",
    "console",
    `return (async () => {${example}})()`,
  ) as (...given: readonly unknown[]) => Promise<void>;
  const open = (options: object) =>
    openLedger({ ...(options as Parameters<typeof openLedger>[0]), now: () => clock.now });
  await run(open, storage, keys, genesis, console);
  expect(said).toEqual([`record ${entry}`, "1 blobs are missing, 0 damaged"]);
  const hl = await w.again();
  expect(await hl.lost()).toEqual([]);
  expect((await hl.records(w.me)).map(({ head }) => head.manifest.resource?.id)).toEqual(["bp-2"]);
  expect((await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(1);
});

it("lets a lost refusal be filed again before it is given up, as the page says", async () => {
  const w = await ward();
  await w.hl.record(w.me, observation("bp-1"));
  const deny = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
  const refusal = treatmentOnly(w.patient, { root: deny });
  const { id, place } = await w.hl.consent(w.me, refusal, { signer: w.patient });
  await w.hl.close();
  const { block } = await w.hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  await w.storage.blobs!.delete([(decodeEntry(bytes) as SubjectEntry).body]);
  const hl = await w.again({ repair: { index: true } });
  const ask = async () => (await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count;
  await expect(ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  const again = treatmentOnly(w.patient, { root: deny, predecessors: [id] });
  await hl.consent(w.me, again, { signer: w.patient });
  expect(await ask()).toBe(0);
  await hl.giveUp([id], { reason: "no backup" });
  expect(await ask()).toBe(0);
  expect((await hl.directives(w.me)).map(({ unreadable }) => unreadable ?? false)).toEqual([
    false,
    true,
  ]);
});
