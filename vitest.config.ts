import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["healthledger-source", "node", "default"] },
  ssr: { resolve: { conditions: ["healthledger-source", "node", "default"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
