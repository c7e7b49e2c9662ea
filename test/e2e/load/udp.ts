import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { whoAnswered } from './http1.js';
import { pause, type Run, think } from './run.js';
import { Failure } from './tally.js';

/** Numbered datagrams; the server answers each with JSON that says who it is and has the datagram's text as `echo`. */
export async function udpClient(run: Run): Promise<void> {
  const address = run.nextAddress();
  const socket = createSocket(isIPv6(address.host) ? 'udp6' : 'udp4');
  /** Number of each datagram that has no answer yet → when it was sent. */
  const pending = new Map<number, number>();
  socket.on('message', (bytes) => {
    try {
      const text = bytes.toString();
      const number = Number((JSON.parse(text) as { echo?: unknown }).echo);
      const begun = pending.get(number);
      // An answer to one that was counted as lost, or the second one to the same datagram.
      if (begun === undefined) throw new Failure('wrong', 'in-flight', `answer to no open datagram: ${text}`);
      pending.delete(number);
      run.tally.answer('udp', { who: whoAnswered(run, text), begun });
    } catch (error) {
      run.tally.fail('udp', error);
    }
  });
  // A refusal (ICMP) is an error of the connected socket; the datagram that it answers is found lost below.
  socket.on('error', () => {});
  socket.connect(address.port, address.host);
  await once(socket, 'connect');

  const countLost = () => {
    for (const [number, begun] of pending) {
      if (run.tally.now() - begun <= run.limitMs) break;
      pending.delete(number);
      run.tally.fail('udp', new Failure('lost', 'in-flight', `no answer to datagram ${number} in ${run.limitMs} ms`));
    }
  };
  for (let number = 0; !run.stop.aborted; number++) {
    pending.set(number, run.tally.now());
    run.tally.datagramsSent += 1;
    socket.send(String(number), () => {});
    await think(run);
    countLost();
  }
  const drained = { ...run, stop: new AbortController().signal };
  while (pending.size > 0) {
    await pause(drained, 5);
    countLost();
  }
  socket.close();
  await once(socket, 'close');
}
