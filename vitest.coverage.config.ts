import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** The unit tests, and which lines of `src` they reach; the report is in `coverage/`. */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      // Instrumented code is slower.
      testTimeout: 180_000,
      coverage: {
        enabled: true,
        provider: "v8",
        include: ["src/**/*.ts"],
        reporter: ["text-summary", "json-summary", "html"],
        // Suites of their own cover these, against the real server, engine, browser or processes.
        exclude: [
          "src/storage/{indexeddb,postgres,sqlite}{.ts,/**}",
          "src/testing/{child-process,log-store,process-controls}.ts",
          "src/testing/storage-{child,files,peers,processes,steps,syncs}.ts",
        ],
        // A point below the last measurement: new code comes with its tests.
        thresholds: { statements: 95, branches: 92, functions: 96, lines: 97 },
      },
    },
  }),
);
