// @ts-check
import { chromiumRow, whereChromiumIs } from "../lib/chromium.mjs";

/** @param {string} what @param {string} unit */
const row = (what, unit) =>
  chromiumRow(`storage/indexeddb/${what}`, unit, "indexeddb-page.mjs", what);

export const rows = whereChromiumIs("storage/indexeddb/*", [
  row("append-1", "records/s"),
  row("append-100", "records/s"),
  row("append-1000", "records/s"),
  row("get", "reads/s"),
  row("scan", "records/s"),
]);
