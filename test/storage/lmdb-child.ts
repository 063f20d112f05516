// A process of its own for lmdb-process.crash.ts: lmdb-child.ts <mode> <path> <label> [count]
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { AppendConflict } from "../../src/storage/errors.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";

const [mode, path, label, limit = "Infinity"] = process.argv.slice(2) as [string, string, string];
const text = new TextEncoder();

const storage = await lmdbStorage({ path });

if (mode === "append") {
  let head = await storage.chains.head("a");
  for (let done = 0; done < Number(limit);) {
    const name = `${label} ${done}`;
    const blobs = Array.from({ length: 20 }, (_, i) => {
      const bytes = text.encode(`${name} blob ${i} ${"x".repeat(200)}`);
      return { cid: cidOf(bytes, RAW), bytes };
    });
    const records = [text.encode(name), text.encode(`${name} second`)];
    const state = [{ key: text.encode(`last ${label}`), value: text.encode(name) }];
    try {
      head = (await storage.commit({
        append: { chain: "a", expected: head, records },
        blobs,
        state,
      }))!;
      process.stdout.write(`ack ${done} ${head.size}\n`);
      done++;
    } catch (error) {
      if (!(error instanceof AppendConflict)) throw error;
      head = error.head;
    }
  }
} else {
  for (let done = 0; done < Number(limit); done++) {
    await storage.compact();
    process.stdout.write(`ack ${done} compacted\n`);
  }
}
await storage.close();
