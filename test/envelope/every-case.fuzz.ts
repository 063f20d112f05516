// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./fuzz.test.ts");
await import("./padding.test.ts");
await import("./twins.test.ts");
