import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import { mutantPlugin } from "./test/network/simulation/mutant-plugin.ts";
import base from "./vitest.config.ts";

const { projects: _, ...test } = base.test ?? {};

/** Suites that take minutes or need a component of their own, beside the tests of the same subject. */
export default mergeConfig(
  { ...base, test },
  defineConfig({
    plugins: [mutantPlugin(import.meta.dirname)],
    test: {
      include: [
        "test/**/*.{cedar,examples,places,scripts,vectors,crash,fuzz,sqlite,postgres,s3,mounts,go,nginx,browser}.ts",
      ],
      exclude: configDefaults.exclude,
      // a unit test's file that a `.fuzz.ts` imports does everything here: see test/support/share.ts
      env: { HEALTHLEDGER_WHOLE: "1" },
      testTimeout: 1_800_000,
      // Most start servers, or measure; suites of computing alone run two files at once.
      fileParallelism: false,
    },
  }),
);
