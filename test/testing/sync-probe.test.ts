import { describe, expect, it } from "vitest";
import { syncsOfTrace, type SyncMarks, type SyncTrace } from "../../src/testing/sync-probe.ts";

const marks: SyncMarks = { acknowledged: "ack", begin: "begin", fresh: true };
const [BEGIN, ACK] = [
  'write(1<pipe:[7]>, "begin 0\\n", 8) = 8',
  'write(1<pipe:[7]>, "ack 0\\n", 6) = 6',
];
const OPEN = 'openat(AT_FDCWD</>, "/s/log", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 20</s/log>';
const FOLDER = "fsync(9</s>) = 0";
const WRITE = 'pwrite64(20</s/log>, "x", 1, 0) = 1';
const SYNC = "fdatasync(20</s/log>) = 0";

/** A trace as strace writes it: a thread where a line names none is 100. */
function look(lines: readonly string[], more: Partial<SyncTrace & SyncMarks> = {}) {
  const text = lines.map((line) => (/^\d/.test(line) ? line : `100  ${line}`)).join("\n");
  return syncsOfTrace({ text, ...more }, { ...marks, ...more });
}

const one = (lines: readonly string[], more: Partial<SyncTrace & SyncMarks> = {}) =>
  look([BEGIN, ...lines, ACK], more)[0];

describe("syncsOfTrace", () => {
  it("takes a sync after the write for one", () => {
    expect(one([WRITE, SYNC])).toEqual({ syncs: 1, unsynced: [] });
    expect(one([WRITE, "fsync(20</s/log>) = 0"])).toEqual({ syncs: 1, unsynced: [] });
    expect(one([WRITE, "syncfs(9</s>) = 0"])).toEqual({ syncs: 1, unsynced: [] });
  });

  it.each<[string, string[]]>([
    ["none", [WRITE]],
    ["one before", [SYNC, WRITE]],
    ["one in the middle", [WRITE, SYNC, WRITE]],
    ["one of another file", [WRITE, "fsync(21</s/other>) = 0"]],
    ["one that failed", [WRITE, "fsync(20</s/log>) = -1 EIO (Input/output error)"]],
    ["a range of it", [WRITE, "sync_file_range(20</s/log>, 0, 1, SYNC_FILE_RANGE_WRITE) = 0"]],
    [
      "one that began before the write had ended",
      [
        '101  pwrite64(20</s/log>, "x", 1, 0 <unfinished ...>',
        "102  fdatasync(20</s/log> <unfinished ...>",
        "101  <... pwrite64 resumed>) = 1",
        "102  <... fdatasync resumed>) = 0",
      ],
    ],
    ["one that has not ended", [WRITE, "102  fdatasync(20</s/log> <unfinished ...>"]],
  ])("tells where a write is followed by no sync: %s", (_, lines) => {
    expect(one(lines)?.unsynced).toEqual(["/s/log"]);
  });

  it("counts those only that began with the call", () => {
    const [first, second] = look([BEGIN, WRITE, SYNC, ACK, SYNC, BEGIN, ACK]);
    expect([first!.syncs, second!.syncs]).toEqual([1, 0]);
    // And a sync of what was written before the call is not one of what it should write.
    expect(look([WRITE, SYNC, BEGIN, ACK])[0]!.syncs).toBe(0);
    expect(
      look([
        "102  fdatasync(20</s/log> <unfinished ...>",
        BEGIN,
        "102  <... fdatasync resumed>) = 0",
        ACK,
      ])[0]!.syncs,
    ).toBe(0);
  });

  it("takes a sync whose end is on a line of its own", () => {
    const lines = [
      WRITE,
      "102  fdatasync(20</s/log> <unfinished ...>",
      "102  <... fdatasync resumed>) = 0",
    ];
    expect(one(lines)).toEqual({ syncs: 1, unsynced: [] });
  });

  it("takes a write through O_DSYNC for synced, and no other of the file", () => {
    const sync = 'openat(AT_FDCWD</>, "/s/log", O_WRONLY|O_DSYNC) = 21</s/log>';
    const meta = 'pwrite64(21</s/log>, "x", 1, 0) = 1';
    expect(one([sync, meta])).toEqual({ syncs: 1, unsynced: [] });
    expect(one([sync, WRITE, meta])?.unsynced).toEqual(["/s/log"]);
    const again = 'openat(AT_FDCWD</>, "/s/log", O_WRONLY) = 21</s/log>';
    expect(one([sync, again, meta])?.unsynced).toEqual(["/s/log"]);
    expect(one(['pwritev2(20</s/log>, [{iov_base="x", iov_len=1}], 1, 0, RWF_DSYNC) = 1'])).toEqual(
      { syncs: 1, unsynced: [] },
    );
  });

  it("wants the folder of a new file synced, and of a new folder the one that holds it", () => {
    expect(one([OPEN, WRITE, SYNC])?.unsynced).toEqual(["/s"]);
    expect(one([OPEN, WRITE, SYNC, FOLDER])?.unsynced).toEqual([]);
    expect(one([FOLDER, OPEN, WRITE, SYNC])?.unsynced).toEqual(["/s"]);
    expect(one(['mkdir("/s/new", 0700) = 0', "fsync(9</s/new>) = 0"])?.unsynced).toEqual(["/s"]);
    expect(one(['mkdir("/s", 0700) = -1 EEXIST (File exists)'])?.unsynced).toEqual([]);
  });

  it("does not take what was there for new", () => {
    expect(one([OPEN, WRITE, SYNC], { fresh: false })?.unsynced).toEqual([]);
    expect(one([OPEN, FOLDER, OPEN, WRITE, SYNC])?.unsynced).toEqual([]);
    const mine = OPEN.replace("O_CREAT", "O_CREAT|O_EXCL");
    expect(one([mine, WRITE, SYNC], { fresh: false })?.unsynced).toEqual(["/s"]);
  });

  it("follows what is renamed, and wants the folder synced after", () => {
    const [made, write, sync] = [OPEN, WRITE, SYNC].map((line) =>
      line.replaceAll("/s/log", "/s/tmp"),
    );
    const rename = 'rename("/s/tmp", "/s/log") = 0';
    expect(one([made!, write!, FOLDER, rename, FOLDER])?.unsynced).toEqual(["/s/log"]);
    expect(one([made!, write!, sync!, FOLDER, rename])?.unsynced).toEqual(["/s"]);
    expect(one([made!, write!, sync!, rename, FOLDER])?.unsynced).toEqual([]);
    expect(one([made!, write!, rename, SYNC, FOLDER])?.unsynced).toEqual([]);
  });

  it("follows a folder that is renamed, and paths that are relative", () => {
    const lines = [
      'mkdir("/s/half", 0700) = 0',
      'openat(AT_FDCWD</s>, "half/a", O_RDWR|O_CREAT, 0600) = 20</s/half/a>',
      'write(20</s/half/a>, "x", 1) = 1',
      'rename("half", "whole") = 0',
      "fsync(9</s>) = 0",
    ];
    expect(one(lines)?.unsynced.toSorted()).toEqual(["/s/whole", "/s/whole/a"]);
    const synced = ["fsync(20</s/whole/a>) = 0", "fsync(9</s/whole>) = 0"];
    expect(one([...lines, ...synced])?.unsynced).toEqual([]);
  });

  it("lets go of what was removed", () => {
    expect(one([WRITE, 'unlink("/s/log") = 0'])?.unsynced).toEqual([]);
    expect(one(['write(20</s/log>(deleted), "x", 1) = 1'])?.unsynced).toEqual([]);
  });

  it("finds the file of a mapping that is synced", () => {
    const map =
      "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 20</s/log>, 0) = 0x7f0000000000";
    expect(one([map, WRITE, "msync(0x7f0000001000, 4096, MS_SYNC) = 0"])).toEqual({
      syncs: 1,
      unsynced: [],
    });
    expect(one([map, WRITE, "msync(0x7f0000001000, 4096, MS_ASYNC) = 0"])).toEqual({
      syncs: 0,
      unsynced: ["/s/log"],
    });
    expect(one([map, WRITE, "msync(0x7f0000002000, 4096, MS_SYNC) = 0"])?.syncs).toBe(0);
  });

  it("looks at the files of the store alone, without those that may go", () => {
    const other = 'write(22</t/cache>, "x", 1) = 1';
    expect(one([other])?.unsynced).toEqual(["/t/cache"]);
    expect(one([other, WRITE, "fsync(22</t/cache>) = 0"], { store: "/s" })).toEqual({
      syncs: 0,
      unsynced: ["/s/log"],
    });
    const transient = (path: string) => path.endsWith("log");
    expect(one([OPEN, WRITE], { transient })?.unsynced).toEqual([]);
    expect(
      one(['write(3</dev/null>, "x", 1) = 1', 'write(4<socket:[8]>, "x", 1) = 1'])?.unsynced,
    ).toEqual([]);
  });

  it("wants the folders above a new store synced", () => {
    const lines = [
      'mkdir("/r/new", 0700) = 0',
      'mkdir("/r/new/store", 0700) = 0',
      'mkdir("/q/x", 0700) = 0',
    ];
    expect(one(lines, { store: "/r/new/store" })?.unsynced).toEqual(["/r", "/r/new"]);
  });

  it("takes a file that is cut for changed, unless nothing is left of it", () => {
    expect(one(["ftruncate(20</s/log>, 12) = 0"])?.unsynced).toEqual(["/s/log"]);
    expect(one(["ftruncate(20</s/log>, 0) = 0"])?.unsynced).toEqual([]);
    expect(one([WRITE, "ftruncate(20</s/log>, 0) = 0"])?.unsynced).toEqual(["/s/log"]);
  });
});
