/** Locations of blobs by the first eight bytes of their digests; several may share these. */
export interface RecentPlaces {
  readonly size: number;
  add(high: number, low: number, pack: number, slot: number): void;
  /** Position of the first location with these bytes, or −1. */
  first(high: number, low: number): number;
  /** Position of the next location with the same bytes, or −1. */
  next(position: number): number;
  pack(position: number): number;
  slot(position: number): number;
  clear(): void;
}

/** A hash table with linear probing: a `Map` would allocate an object or two per blob. */
export function recentPlaces(): RecentPlaces {
  let capacity = 1 << 12;
  let highs = new Uint32Array(capacity);
  let lows = new Uint32Array(capacity);
  let places = new Float64Array(capacity);
  let size = 0;

  function seek(position: number, high: number, low: number): number {
    for (; places[position] !== 0; position = (position + 1) & (capacity - 1)) {
      if (highs[position] === high && lows[position] === low) return position;
    }
    return -1;
  }

  function insert(high: number, low: number, place: number): void {
    let position = low & (capacity - 1);
    while (places[position] !== 0) position = (position + 1) & (capacity - 1);
    highs[position] = high;
    lows[position] = low;
    places[position] = place;
  }

  function grow(): void {
    const [oldHighs, oldLows, oldPlaces] = [highs, lows, places];
    capacity *= 2;
    highs = new Uint32Array(capacity);
    lows = new Uint32Array(capacity);
    places = new Float64Array(capacity);
    oldPlaces.forEach((place, i) => {
      if (place !== 0) insert(oldHighs[i]!, oldLows[i]!, place);
    });
  }

  return {
    get size() {
      return size;
    },
    add(high, low, pack, slot) {
      if (2 * ++size > capacity) grow();
      insert(high, low, pack * 65_536 + slot);
    },
    first: (high, low) => seek(low & (capacity - 1), high, low),
    next: (position) => seek((position + 1) & (capacity - 1), highs[position]!, lows[position]!),
    pack: (position) => Math.floor(places[position]! / 65_536),
    slot: (position) => places[position]! % 65_536,
    clear() {
      places.fill(0);
      size = 0;
    },
  };
}
