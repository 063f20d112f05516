import { describe, expect, it } from "vitest";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import { ALL_FEATURES, memorySubjects } from "../../src/testing/memory-subject.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";

describe("memoryStorage", () => {
  it.each(storageCases)("$name", ({ requires = [], run }) => {
    expect(ALL_FEATURES).toEqual(expect.arrayContaining([...requires]));
    return run(memorySubjects());
  });

  it("promises nothing beyond its process", () => {
    expect(memoryStorage().chains.caps).toMatchObject({ durability: "none", multiProcess: false });
  });

  it("copies Buffers, whose slice would be a view", async () => {
    const { chains } = memoryStorage();
    const record = Buffer.from("record");
    await chains.append("a", { size: 0, hash: null }, [record]);
    record.fill(0);
    for await (const item of chains.read("a", { from: 0 })) {
      expect(Buffer.from(item.record).toString()).toBe("record");
    }
  });

  it("leaves what is shared in place when one handle is closed", async () => {
    const data = memoryData();
    const one = memoryStorage({ data });
    const two = memoryStorage({ data });
    await one.state.batch([{ key: Buffer.from("k"), value: Buffer.from("v") }]);
    await one.close();
    expect(await two.state.get(Buffer.from("k"))).toEqual(new Uint8Array([118]));
  });
});
