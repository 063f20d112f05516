// All cases of what these files do a share of among the unit tests (test/support/share.ts).
await import("./doubt.test.ts");
await import("./evaluate.test.ts");
await import("./partial/residual.test.ts");
await import("./partial/residual-pcf.test.ts");
await import("./partial/residual-permission.test.ts");
await import("./partial/residual-search.test.ts");
await import("./partial/residual-terms.test.ts");
await import("./whole.test.ts");
