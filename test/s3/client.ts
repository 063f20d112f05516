import { createRequire } from "node:module";
import type { S3Calls } from "../../src/storage/s3.ts";

/** What the suite does with the client beside what the adapter does. */
export interface SuiteClient extends S3Calls {
  createBucket(input: { Bucket: string }): Promise<unknown>;
  putBucketVersioning(input: {
    Bucket: string;
    VersioningConfiguration: { Status: "Enabled" | "Suspended" };
  }): Promise<unknown>;
  destroy(): void;
}

export interface Access {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Tries that the client makes by itself. */
  readonly maxAttempts?: number;
}

/** Opens the real client, which stands in this folder's own `node_modules`. */
export function connect({ endpoint, maxAttempts = 3, ...credentials }: Access): SuiteClient {
  const require = createRequire(import.meta.url);
  const { S3 } = require("@aws-sdk/client-s3") as { S3: new (options: unknown) => SuiteClient };
  const region = "us-east-1";
  return new S3({ endpoint, region, forcePathStyle: true, maxAttempts, credentials });
}

export const BUCKET = "healthledger";
