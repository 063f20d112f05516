import { expect, it, vi } from "vitest";
import { WorkerError } from "../../src/errors.ts";
import { nodeWorkers } from "../../src/workers/index.ts";
import { ward } from "../support/ward.ts";

it("a ledger is not opened with workers where the platform has no threads", async () => {
  vi.doMock("node:worker_threads", () => {
    throw new Error("no such module");
  });
  try {
    const error = (await ward({ workers: nodeWorkers() }).catch(
      (reason: unknown) => reason,
    )) as WorkerError;
    expect(error).toBeInstanceOf(WorkerError);
    expect(error.code).toBe("ERR_WORKER_UNSUPPORTED");
  } finally {
    vi.doUnmock("node:worker_threads");
  }
});
