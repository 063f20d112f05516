// A process of its own for process-controls.crash.ts: log-child.ts <file> <flaws>
import { serveLogStore } from "../../src/testing/process-controls.ts";

await serveLogStore();
