/**
 * Reads what `strace -f -e trace=fsync,fdatasync,msync,write` saw of a process that writes a line
 * holding `marker` after every acknowledged write, and counts the flushes before each. An adapter
 * that claims `durability: "power"` must have at least one before every line: no test of what can
 * be read back notices a flush that is missing.
 *
 * A flush counts once it returned without error.
 *
 * @param trace - the output of strace
 * @returns number of flushes before each acknowledgement, since the one before it
 */
export function syncsPerAcknowledgement(trace: string, marker: string): number[] {
  const counts: number[] = [];
  let syncs = 0;
  for (const line of trace.split("\n")) {
    if (/\b(fsync|fdatasync|msync)(\(| resumed).*= 0\s*$/.test(line)) syncs++;
    else if (/\bwritev?\(/.test(line) && line.includes(marker)) {
      counts.push(syncs);
      syncs = 0;
    }
  }
  return counts;
}
