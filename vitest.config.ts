import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Test files that replace modules, globals or timers: they must not share a worker's modules. */
const REPLACES = /\bvi\.(mock|doMock|stubGlobal|stubEnv|useFakeTimers|spyOn)\b/;
const alone = readdirSync("test", { recursive: true, encoding: "utf8" })
  .map((file) => join("test", file))
  .filter((file) => file.endsWith(".test.ts") && REPLACES.test(readFileSync(file, "utf8")));

export default defineConfig({
  resolve: { conditions: ["healthledger-source", "node", "default"] },
  ssr: { resolve: { conditions: ["healthledger-source", "node", "default"] } },
  test: {
    // one more than the default, which leaves a core of two idle
    maxWorkers: "100%",
    setupFiles: ["test/support/compare-bytes.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        // Loading src anew for each of hundreds of files would take a third of the time.
        test: {
          name: "shared",
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: ["**/node_modules/**", ...alone],
        },
      },
      { extends: true, test: { name: "alone", include: alone } },
    ],
  },
});
