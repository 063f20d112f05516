import { check, checkSame } from "./kit.ts";
import { capsOf, peerOf, withSubject } from "./storage-peers.ts";
import { headOfSteps, kindsOf, stepOf, takeStep, type StepKind } from "./storage-steps.ts";
import type { MakeStorage, StorageCase, StorageSubject } from "./storage-subject.ts";
import { syncsOfTrace } from "./sync-probe.ts";

/** Cases for what a process syncs before it acknowledges, as the system sees it. */
export const syncCases: readonly StorageCase[] = [
  {
    name: "sync: every acknowledgement comes after a sync of what was written",
    requires: ["traced"],
    run: (make) => traced(make, false),
  },
  {
    name: "sync: a new store, its files and folders, before the first acknowledgement",
    requires: ["traced"],
    run: (make) => traced(make, true),
  },
];

/** Whether a store promises to survive a loss of power, and its kinds of steps. */
async function promised(
  subject: StorageSubject,
): Promise<{ power: boolean; durability: string; kinds: StepKind[]; compacts: boolean }> {
  const storage = await subject.open();
  const { durability } = capsOf(storage);
  const kinds = kindsOf(storage);
  // So that the next process finds some data.
  await takeStep(storage, stepOf(kinds, "before", 0), await headOfSteps(storage));
  await storage.close();
  const power = durability === "power" || durability === "quorum";
  return { power, durability, kinds, compacts: storage.compact !== undefined };
}

async function traced(make: MakeStorage, fresh: boolean): Promise<void> {
  await withSubject(make, async (one) => {
    const { power, durability, kinds, compacts } = await promised(one);
    if (!power) return;
    const look = async (subject: StorageSubject): Promise<void> => {
      check(subject.startTraced, "the subject claims to be traced and starts nothing");
      const process = await subject.startTraced();
      const peer = peerOf(process);
      await peer.until(() => peer.said("ready") > 0, "opening");
      const count = 3 * kinds.length;
      peer.ask({ do: "write", kinds, writer: "own", from: 0, count });
      await peer.until(() => peer.said("done own") > 0, "steps");
      const names = Array.from({ length: count }, (_, i): string => kinds[i % kinds.length]!);
      if (compacts) {
        peer.ask({ do: "compact" });
        await peer.until(() => peer.said("ack own compact") > 0, "compaction");
        names.push("compact");
      }
      peer.ask({ do: "close" });
      await process.ended;
      const trace = { ...process, text: await process.trace() };
      const marks = { acknowledged: "ack own ", begin: "begin own ", fresh };
      const found = syncsOfTrace(trace, marks);
      checkSame(found.length, names.length, "acknowledgements in the trace");
      const without = found.flatMap(({ syncs }, i) =>
        syncs === 0 && names[i] !== "compact" ? [names[i]] : [],
      );
      checkSame(without, [], `calls acknowledged without a sync (durability ${durability})`);
      const unsynced = found.flatMap(({ unsynced }, i) => unsynced.map((p) => `${names[i]}: ${p}`));
      checkSame([...new Set(unsynced)], [], "not synced since it was changed, when acknowledged");
    };
    await (fresh ? withSubject(make, look) : look(one));
  });
}
