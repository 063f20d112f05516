import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** Suites that take minutes: `*.crash.ts` and `*.fuzz.ts`, beside the tests of the same subject. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({
    test: {
      include: ["test/**/*.{crash,fuzz}.ts"],
      exclude: configDefaults.exclude,
      testTimeout: 1_800_000,
      fileParallelism: false,
    },
  }),
);
