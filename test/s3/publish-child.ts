import { publishLedger } from "../../src/network/publish-ledger.ts";
import { bucketTarget, type BucketCalls } from "../../src/transport/bucket.ts";
import { startHome } from "../support/network.ts";
import { connect, type Access } from "./client.ts";

/**
 * Publishes a ledger of so many blocks, and ends with SIGKILL while its n-th write is under way.
 *
 * Arguments: how to reach the gateway, bucket, prefix, blocks, n.
 */
const [access, bucket, prefix, blocks, writes] = process.argv.slice(2) as string[];
const home = await startHome();
await home.grow(Number(blocks));
await home.source.look();
const client = connect(JSON.parse(access!) as Access) as unknown as BucketCalls;
let left = Number(writes);

function dying<T extends (...given: never[]) => Promise<unknown>>(call: T): T {
  return (async (...given: never[]) => {
    const result = call.apply(client, given);
    if (left-- > 0) return result;
    // Sometimes before the store has it, and sometimes after.
    await Promise.race([
      result.catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 3)),
    ]);
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => undefined);
  }) as T;
}
const target = bucketTarget({
  client: {
    getObject: client.getObject.bind(client),
    headObject: client.headObject.bind(client),
    putObject: dying(client.putObject),
    deleteObject: dying(client.deleteObject),
    createMultipartUpload: dying(client.createMultipartUpload),
    uploadPart: dying(client.uploadPart),
    completeMultipartUpload: dying(client.completeMultipartUpload),
    abortMultipartUpload: dying(client.abortMultipartUpload),
  },
  ...{ bucket: bucket!, prefix: prefix! },
});
await publishLedger(home.source, target, { state: ["sys/policy"] });
process.exit(0);
