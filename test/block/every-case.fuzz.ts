// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./entry.test.ts");
