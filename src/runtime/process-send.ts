/**
 * Programs that were written for other managers say `process.send('ready')`. Where Node has no real IPC channel, that means
 * {@link ready}; every other message is taken and ignored.
 */
export function offerProcessSend(ready: () => void): void {
  if (process.send !== undefined) return;
  const send = (message: unknown, ...rest: unknown[]): boolean => {
    if (message === 'ready') ready();
    const callback = rest.find((argument) => typeof argument === 'function');
    if (callback !== undefined) process.nextTick(callback as () => void, null);
    return true;
  };
  Object.assign(process, { send, connected: true, disconnect: () => {} });
}
