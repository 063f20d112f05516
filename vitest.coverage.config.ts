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
      },
    },
  }),
);
