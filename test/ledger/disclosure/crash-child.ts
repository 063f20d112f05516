// Works on a hospital's store in a folder until it is killed, by itself or by who started it.
import { fileURLToPath } from "node:url";
import { parseRecordId } from "../../../src/codec/ids.ts";
import type { FhirResource } from "../../../src/fhir/resource.ts";
import type { StorageAdapter } from "../../../src/storage/types.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN, observation } from "../../support/hospital.ts";
import { requesterOf } from "../../support/ward.ts";

export const CHILD: string = fileURLToPath(import.meta.url);

/** Where the child kills itself. */
export type Stop =
  | "before commit"
  | "after commit"
  | "before delete"
  | "after delete"
  | "before batch"
  | "after batch"
  | "before compact"
  | "after compact"
  | "never";

const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  for (;;);
};

function deadly(inner: StorageAdapter, stop: Stop): StorageAdapter {
  const around = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    if (stop === `before ${name}`) die();
    const result = await work();
    if (stop === `after ${name}`) die();
    return result;
  };
  return {
    ...inner,
    commit: (batch, options) =>
      batch.append?.chain.endsWith("/blocks") === true
        ? around("commit", () => inner.commit!(batch, options))
        : inner.commit!(batch, options),
    blobs: {
      ...inner.blobs!,
      delete: (cids) => around("delete", () => inner.blobs!.delete(cids)),
    },
    state: {
      ...inner.state!,
      batch: (changes, options) =>
        options?.sync === false
          ? inner.state!.batch(changes, options)
          : around("batch", () => inner.state!.batch(changes, options)),
    },
    compact: () => around("compact", () => inner.compact!()),
  };
}

/** A bundle of many observations of one patient. */
export function manyObservations(from: number, count: number): FhirResource {
  const reference = "urn:uuid:p1";
  const identifier = [MRN];
  return {
    resourceType: "Bundle",
    type: "collection",
    entry: [
      { fullUrl: reference, resource: { resourceType: "Patient", id: "p1", identifier } },
      ...Array.from({ length: count }, (_, i) => ({
        resource: {
          ...(JSON.parse(observation(`o-${from + i}`)) as object),
          subject: { reference },
          note: [{ text: "x".repeat(200) }],
        },
      })),
    ],
  };
}

const [path, scene, stop, id] = process.argv.slice(2);
if (process.argv[1] === CHILD) {
  const inner = await lmdbStorage({ path: path! });
  const world = await foundWorld(inner);
  const hl = await world.open({ storage: deadly(inner, stop as Stop), signedHeads: "store" });
  const me = await hl.ensureSubject(MRN);
  if (scene === "ask") {
    const answer = await hl.request(requesterOf(world.hospitalB), {
      patient: MRN,
      purposes: ["TREAT"],
    });
    process.stdout.write(`answered ${answer.count}\n`);
  } else if (scene === "erase") {
    process.stdout.write("ready\n");
    await hl.erase(me, { records: [parseRecordId(id!)], reason: "asked" });
    process.stdout.write("erased\n");
  } else {
    process.stdout.write("ready\n");
    // Beyond what an earlier process recorded: what is known is not recorded again.
    for (let at = 40 * (await hl.records(me)).length; ; at += 40) {
      const { recorded } = await hl.recordBundle(me, manyObservations(at, 40), {
        mix: at % 80 === 0,
      });
      process.stdout.write(`${recorded.map((one) => one.id).join(",")}\n`);
    }
  }
  process.exit(0);
}
