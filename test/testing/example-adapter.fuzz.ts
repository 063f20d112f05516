import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type { FullStorage, Head } from "../../src/storage/types.ts";
import { bundleExample } from "../support/bundle-example.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("the example adapter", () => {
  it("loses no acknowledged line to one flipped bit, wherever it is", async () => {
    const folder = await mkdtemp(join(root, "node_modules", ".example-"));
    try {
      const { fileStorage } = (await import(
        pathToFileURL(await bundleExample("file-storage", folder)).href
      )) as { fileStorage: (options: { path: string }) => Promise<FullStorage> };
      const path = join(folder, "store");
      const storage = await fileStorage({ path });
      let head: Head = { size: 0, hash: null };
      for (let i = 1; i <= 5; i++) {
        head = await storage.chains.append("c", head, [new Uint8Array(8).fill(i)]);
      }
      await storage.close();
      const whole = await readFile(path);
      for (let at = 0; at < whole.length; at++) {
        const damaged = Buffer.from(whole);
        damaged[at]! ^= 1 << (at % 8);
        await writeFile(path, damaged);
        const outcome = await fileStorage({ path }).then(
          async (opened) => {
            const { size } = await opened.chains.head("c");
            await opened.close();
            return size;
          },
          (error: { code: string }) => error.code,
        );
        // The end of the last line alone cannot be told from one that was being written.
        const mayBeHalf = damaged.at(-1) !== 10 || damaged.subarray(-150).includes(0);
        expect(mayBeHalf ? [4, 5, "ERR_STORAGE_CORRUPT"] : [5, "ERR_STORAGE_CORRUPT"]).toContain(
          outcome,
        );
        if (outcome === "ERR_STORAGE_CORRUPT") expect(await readFile(path)).toEqual(damaged);
      }
      // A last line that was only begun is cut off.
      await writeFile(path, whole.subarray(0, -20));
      const again = await fileStorage({ path });
      expect(await again.chains.head("c")).toMatchObject({ size: 4 });
      await again.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("has fewer than 170 lines", async () => {
    const text = await readFile(join(root, "examples/file-storage.mjs"), "utf8");
    expect(text.split("\n").length - 1).toBeLessThan(170);
  });
});
