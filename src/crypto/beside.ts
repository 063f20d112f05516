let underWay = 0;

/** Counts work beside the main thread until it has ended. */
export function beside<T>(work: Promise<T>): Promise<T> {
  underWay++;
  const ended = (): void => void underWay--;
  work.then(ended, ended);
  return work;
}

/** Whether such work goes on: for tests, which must know when nothing goes on by itself. */
export const isWorkBeside = (): boolean => underWay > 0;
