// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./disclosure/encoded-answer.test.ts");
await import("./entries/record-book.test.ts");
await import("./guards.test.ts");
await import("./persons/fold-links.test.ts");
await import("./privacy.test.ts");
await import("./records/feed-refusals.test.ts");
