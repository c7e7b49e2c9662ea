// Clients in a process of their own: Fleet's, or with `still` as many connections as it says, which ask when they are told to.
import { ClientConnection, Fleet, Tally } from '../../dist-test/e2e/moves/clients/index.js';

const { port, still, ...habits } = JSON.parse(process.argv[2]);

/** Connections that are opened at once. */
const AT_ONCE = 100;

class Still {
  #tally = new Tally();
  #connections = [];
  #asked = 0;

  async open() {
    while (this.#connections.length < still) {
      const count = Math.min(AT_ONCE, still - this.#connections.length);
      const begun = Array.from({ length: count }, (_, index) =>
        ClientConnection.connect({ port, host: '127.0.0.1' }, `still-${this.#connections.length + index}`, this.#tally),
      );
      this.#connections.push(...(await Promise.all(begun)));
    }
    return this.ask();
  }

  /** One request on each. */
  async ask() {
    this.#asked += 1;
    for (let at = 0; at < this.#connections.length; at += AT_ONCE) {
      const some = this.#connections.slice(at, at + AT_ONCE);
      await Promise.all(some.map((connection) => connection.ask({ id: `${connection.name}.${this.#asked}` })));
    }
    return this.report();
  }

  report() {
    return { ...this.#tally.report(), generations: this.#connections.map(({ generation }) => generation) };
  }

  stop() {
    for (const connection of this.#connections) connection.leave();
    return this.report();
  }
}

const clients = still === undefined ? new Fleet({ port, ...habits, reconnect: true }) : new Still();
process.on('message', async (question) => {
  process.send(await clients[question]());
  if (question === 'stop') process.disconnect();
});
