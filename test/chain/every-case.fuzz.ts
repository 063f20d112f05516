// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./export.test.ts");
await import("./ingest.test.ts");
await import("./opening.test.ts");
