/** The promise's value, or null when it takes longer than `ms`. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
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
