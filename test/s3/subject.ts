import { fileURLToPath } from "node:url";
import { s3Storage, type S3Storage, type S3StorageOptions } from "../../src/storage/s3.ts";
import { spawnStorage } from "../../src/testing/node.ts";
import type { MakeStorage } from "../../src/testing/storage-kit.ts";
import { BUCKET, connect, type Access, type SuiteClient } from "./client.ts";

const SERVE = fileURLToPath(new URL("./serve.ts", import.meta.url));
const execArgv = ["--conditions=healthledger-source", "--import", "tsx", "--no-warnings"];

let prefixes = 0;

/** A prefix that nothing stands under yet. */
export function freshPrefix(): string {
  return `${process.pid}-${++prefixes}`;
}

export function openS3(
  client: SuiteClient,
  prefix: string,
  options: Partial<S3StorageOptions> = {},
): Promise<S3Storage> {
  return s3Storage({ client, bucket: BUCKET, prefix, pollInterval: 10, ...options });
}

/** Makes stores for the kit, each below a prefix of its own. */
export function s3Subjects(access: () => Access): MakeStorage {
  return async () => {
    const prefix = freshPrefix();
    const ends: (() => unknown)[] = [];
    return {
      // What the server syncs is for it to say.
      notTried: ["traced"],
      async open(limits) {
        const client = connect(access());
        const storage = await openS3(client, prefix, limits);
        ends.push(() => client.destroy(), storage.close);
        return storage;
      },
      async startProcess() {
        const args = [JSON.stringify(access()), prefix];
        const started = spawnStorage(SERVE, { args, execArgv });
        ends.push(() => started.kill());
        return started;
      },
      async dispose() {
        for (const end of ends.reverse()) await end();
      },
    };
  };
}
