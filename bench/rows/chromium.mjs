// @ts-check
import { chromiumRow, whereChromiumIs } from "../lib/chromium.mjs";

const NOTE =
  "in a page of headless Chromium; the floor is bare noble, as ours is; WebCrypto seals with AES-GCM";

const NATIVE_NOTE = "in a page of headless Chromium, by WebCrypto; the floor is bare WebCrypto";

/** @param {string} name @param {string} unit @param {string} work */
const nativeRow = (name, unit, work) =>
  chromiumRow(
    `chromium/aes-gcm/${name}`,
    unit,
    "envelope-page.mjs",
    `aes-gcm ${work}`,
    NATIVE_NOTE,
  );

/** @param {string} name @param {string} unit @param {string} work */
const row = (name, unit, work) =>
  chromiumRow(`chromium/${name}`, unit, "envelope-page.mjs", work, NOTE);

export const rows = whereChromiumIs("chromium/*", [
  row("seal-1k-1", "envelopes/s", "seal/1k-1"),
  row("open-1k-1", "envelopes/s", "open/1k-1"),
  row("seal-16m-10", "envelopes/s", "seal/16m-10"),
  row("open-16m-10", "envelopes/s", "open/16m-10"),
  row("rewrap", "grants/s", "grant/rewrap"),
  row("grant-collection", "wraps/s", "grant/collection"),
  row("stream-seal-64m", "MB/s", "stream/seal-1g"),
  row("stream-open-64m", "MB/s", "stream/open-1g"),
  row("range-64m-end", "ranges/s", "range/1g-end"),
  nativeRow("seal-16m-10", "envelopes/s", "seal/16m-10"),
  nativeRow("open-16m-10", "envelopes/s", "open/16m-10"),
  nativeRow("stream-seal-64m", "MB/s", "stream/seal-1g"),
  nativeRow("stream-open-64m", "MB/s", "stream/open-1g"),
  nativeRow("range-64m-end", "ranges/s", "range/1g-end"),
]);
