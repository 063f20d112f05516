import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["healthledger-source", "node", "default"] },
  ssr: { resolve: { conditions: ["healthledger-source", "node", "default"] } },
  test: {
    include: ["test/**/*.test.ts"],
    // one more than the default, which leaves a core of two idle
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
