// Runs the server of the suite until standard input ends; says in one line of JSON how to reach it.
import { startRadosgw } from "./radosgw.ts";

const server = await startRadosgw();
const { endpoint, accessKeyId, secretAccessKey } = server;
process.stdout.write(`${JSON.stringify({ endpoint, accessKeyId, secretAccessKey })}\n`);
process.stdin.on("close", () => void server.stop().then(() => process.exit()));
process.stdin.resume();
