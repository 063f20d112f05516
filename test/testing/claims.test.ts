import { describe, expect, it } from "vitest";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage, StorageCaps } from "../../src/storage/types.ts";
import { runKit } from "../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../src/testing/memory-subject.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import {
  storageCases,
  type MakeStorage,
  type StorageFeature,
  type StorageSubject,
} from "../../src/testing/storage-kit.ts";

const claims = storageCases.filter(({ name }) => name.startsWith("caps: all that is claimed"));
const some = [...claims, ...processCases()];

function claiming(claimed: Partial<StorageCaps>, more: Partial<StorageSubject> = {}): MakeStorage {
  return async () => ({
    async open() {
      const storage: FullStorage = memoryStorage();
      const caps = { ...storage.chains.caps, ...claimed };
      const { chains, blobs, state } = storage;
      return {
        ...storage,
        chains: { ...chains, caps },
        blobs: { ...blobs, caps },
        state: { ...state, caps },
      };
    },
    async dispose() {},
    ...more,
  });
}

const never = (): never => {
  throw new Error("not to be started here");
};

/** What the case on claims says of a subject; the process cases themselves cannot pass here. */
async function said(
  make: MakeStorage,
  features: readonly StorageFeature[] = ALL_FEATURES,
  cases = some,
): Promise<string> {
  const results = await runKit(cases, make, { features });
  const result = results.find(({ name }) => name === claims[0]!.name)!;
  return result.outcome === "failed" ? String(result.error) : result.outcome;
}

describe("the case on claims", () => {
  it("is one of the kit's", () => expect(claims).toHaveLength(1));

  it("passes memory, which claims nothing that takes more than one process", async () => {
    expect(await said(claiming({}))).toBe("passed");
  });

  it.each<[Partial<StorageCaps>, string]>([
    [{ multiProcess: true }, "caps.multiProcess: the subject has no startProcess"],
    [{ durability: "process" }, 'caps.durability \\"process\\": the subject has no startProcess'],
    [{ durability: "power" }, 'caps.durability \\"power\\": the subject has no startTraced'],
    [{ durability: "quorum" }, 'caps.durability \\"quorum\\": the subject has no startTraced'],
  ])("fails %o of a subject that stages nothing", async (caps, message) => {
    expect(await said(claiming(caps))).toContain(message);
    // Without runKit too.
    await expect(claims[0]!.run(claiming(caps))).rejects.toThrow(message);
  });

  it("fails what is staged and not offered, or offered with no case in the run", async () => {
    const make = claiming({ durability: "process" }, { startProcess: never });
    expect(await said(make)).toContain('\\"kill\\" is not offered');
    const features: StorageFeature[] = [...ALL_FEATURES, "kill"];
    expect(await said(make, features, claims)).toContain('no case that requires \\"kill\\"');
    expect(await said(make, features)).toBe("passed");
  });

  it("fails tail, stores and commits that are there and not offered", async () => {
    for (const feature of ["tail", "chains", "blobs", "state", "commit", "compact"] as const) {
      const features = ALL_FEATURES.filter((one) => one !== feature);
      expect(await said(claiming({}), features)).toContain(`\\"${feature}\\" is not offered`);
    }
  });

  it("passes what the subject says in so many words that it does not try", async () => {
    const caps = { durability: "power", multiProcess: true } as const;
    const all = claiming(caps, { notTried: ["kill", "processes", "traced"] });
    expect(await said(all)).toBe("passed");
    const fewer = claiming(caps, { notTried: ["kill", "traced"] });
    expect(await said(fewer)).toContain("caps.multiProcess");
  });
});

describe("runKit", () => {
  it("says of each case that it skipped what it lacked", async () => {
    const results = await runKit(processCases(), claiming({}), { features: ["kill"] });
    const skipped = results.flatMap((one) => (one.outcome === "skipped" ? [one.lacks] : []));
    expect(skipped).toEqual([
      ["processes"],
      ["processes"],
      ["processes", "chains", "tail"],
      ["processes"],
      ["small"],
      ["traced"],
      ["traced"],
    ]);
  });
});
