/**
 * Reads what `strace -f` saw of a process that writes a line holding `marker` after every
 * acknowledged write, and counts the syncs before each. An adapter that claims
 * `durability: "power"` must have at least one before every line: no test of what can be read back
 * notices one that is missing.
 *
 * What counts is an `fsync`, `fdatasync` or `msync(MS_SYNC)` that returned without error, and a
 * write through a file opened with `O_SYNC` or `O_DSYNC`. `sync_file_range` does not count: it
 * leaves the disk's own cache and the file's size alone.
 *
 * @param trace - the output of strace, with at least the calls {@link SYNC_CALLS}
 * @param begin - part of a line that is written before each call; syncs that began before it do not
 *   count. Without it all since the last acknowledgement do
 * @returns number of syncs before each acknowledgement
 */
export function syncsPerAcknowledgement(trace: string, marker: string, begin?: string): number[] {
  const counts: number[] = [];
  let syncs = 0;
  /** Processes and threads in a sync that began since the last mark. */
  let under = new Set<string>();
  const synchronous = new Set<string>();
  for (const line of trace.split("\n")) {
    const thread = /^(?:\[pid +)?(\d+)/.exec(line)?.[1] ?? "";
    const failed = !/ = \d+( |$)/.test(line);
    const writes = /\bp?writev?(?:64)?\((\d+)/.exec(line);
    if (writes !== null && line.includes(marker)) {
      counts.push(syncs);
      syncs = 0;
      under = new Set();
    } else if (writes !== null && begin !== undefined && line.includes(begin)) {
      syncs = 0;
      under = new Set();
    } else if (writes !== null && synchronous.has(writes[1]!)) {
      if (!failed) syncs++;
      else if (line.includes("unfinished")) under.add(thread);
    } else if (/\b(fsync|fdatasync|msync)\(/.test(line) && !line.includes("MS_ASYNC")) {
      if (!failed) syncs++;
      else if (line.includes("unfinished")) under.add(thread);
    } else if (/\b(fsync|fdatasync|msync|p?writev?(64)?) resumed/.test(line)) {
      if (under.delete(thread) && !failed) syncs++;
    } else if (/\bopen(at)?\(/.test(line)) {
      const file = / = (\d+)$/.exec(line)?.[1];
      if (file === undefined) continue;
      if (/\bO_D?SYNC\b/.test(line)) synchronous.add(file);
      else synchronous.delete(file);
    }
  }
  return counts;
}

/** The system calls that {@link syncsPerAcknowledgement} wants to see, as `strace -e` takes them. */
export const SYNC_CALLS: string =
  "trace=fsync,fdatasync,msync,open,openat,write,writev,pwrite64,pwritev";
