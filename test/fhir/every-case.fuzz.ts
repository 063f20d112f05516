// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./consent/dialects.test.ts");
await import("./consent/pcf-literal.test.ts");
await import("./hostile-json.test.ts");
await import("./json-text.test.ts");
