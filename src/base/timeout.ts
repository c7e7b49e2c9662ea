/**
 * Calls `strike` after `ms`, unless what it returns is called before. After a time in which this process did not run, its timers
 * come first: what has come meanwhile is read before the timeout strikes (Node polls between the two immediates).
 */
export function timeout(ms: number, strike: () => void): () => void {
  let isOver = false;
  const late = (): void => {
    if (!isOver) strike();
  };
  const timer = setTimeout(() => setImmediate(() => setImmediate(late)), ms);
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** The promise's value, or null when it takes longer than `ms`. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let inTime = (): void => {};
  const late = new Promise<null>((resolve) => {
    inTime = timeout(ms, () => resolve(null));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    inTime();
  }
}

/** Whether the promise resolves within `ms`. */
export async function isDone(ms: number, promise: Promise<unknown>): Promise<boolean> {
  return (
    (await within(
      ms,
      promise.then(() => true),
    )) !== null
  );
}
