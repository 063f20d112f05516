// What each thread of `nodeWorkers` runs.
import { parentPort, workerData } from "node:worker_threads";
import type { LabellerData } from "../ledger/workers.ts";
import { buffersOf, jobRunner, type Job } from "./job.ts";

const run = jobRunner(workerData as LabellerData);
const port = parentPort!;

port.on("message", ({ id, job }: { readonly id: number; readonly job: Job }) => {
  void run(id, job).then((answer) => port.postMessage(answer, [...buffersOf(answer)]));
});
