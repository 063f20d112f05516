// A process of its own for the process cases: serve.ts <access as JSON> <prefix>
import { s3Storage } from "../../src/storage/s3.ts";
import { serveOnStdio } from "../../src/testing/node.ts";
import { BUCKET, connect, type Access } from "./client.ts";

const [access, prefix] = process.argv.slice(2) as [string, string];

await serveOnStdio(() =>
  s3Storage({
    client: connect(JSON.parse(access) as Access),
    bucket: BUCKET,
    prefix,
    pollInterval: 10,
    probe: false,
  }),
);
