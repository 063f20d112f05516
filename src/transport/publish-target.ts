/** A place with files that others read, such as a static host's folder. */
export interface PublishTarget {
  /**
   * Writes a file, in place of one that is there. It is seen whole or not at all, and is durable once this has
   * resolved.
   *
   * @param path - parts of lower-case letters, digits and dots, joined by slashes; below `state/` also of
   *   capitals, colons and hyphens
   * @param bytes - read to its end before this resolves
   */
  put(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Reads a file of at most `most` bytes. */
  get(path: string, most: number): Promise<Uint8Array | undefined>;
  has(path: string): Promise<boolean>;
  /** Removes a file if it is there. */
  delete(path: string): Promise<void>;
}
