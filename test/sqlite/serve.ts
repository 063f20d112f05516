// A process of its own for the process cases: serve.ts <file> [unsynced]
import { serveOnStdio } from "../../src/testing/node.ts";
import type { Connection } from "./client.ts";
import { openAt } from "./subject.ts";

const [path, mode] = process.argv.slice(2) as [string, string?];

await serveOnStdio(async () => {
  let connection: Connection | undefined;
  const storage = await openAt(path, {}, (opened) => (connection = opened));
  // What the sync probe must notice.
  if (mode === "unsynced") connection!.exec("PRAGMA synchronous = OFF");
  return storage;
});
