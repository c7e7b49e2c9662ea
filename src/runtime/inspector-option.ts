import { nameOf } from '../base/os/node-options.js';

/** Where `--inspect` and its like open the port of the inspector. */
export interface InspectorOption {
  readonly host: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  /** The program does not begin before a debugger is attached. */
  readonly waits: boolean;
}

/** As node reads these words, first those of NODE_OPTIONS and then those of the command line; null: the inspector stays closed. */
export function inspectorIn(words: readonly string[]): InspectorOption | null {
  let [host, port] = ['127.0.0.1', 9229];
  let isOpen = false;
  let waits = false;
  for (const [at, word] of words.entries()) {
    const [, no, what] =
      /^--(no-)?(inspect|inspect-brk|inspect-wait|inspect-port|debug-port)$/.exec(nameOf(word)) ?? [];
    if (what === undefined) continue;
    const isPort = what.endsWith('-port');
    isOpen = isPort ? isOpen : no === undefined;
    waits = isPort ? waits : isOpen && (waits || what !== 'inspect');
    const inNextWord = isPort ? words[at + 1] : undefined;
    const address = addressIn(/=(.*)/s.exec(word)?.[1] ?? inNextWord ?? '');
    host = address.host || host;
    port = address.port ?? port;
  }
  return isOpen ? { host, port, waits } : null;
}

const ADDRESS = /^(?:\[(?<six>.*)\]|(?<name>[^:]*))(?::(?<port>\d+))?$/;

/** `9230`, `localhost`, `localhost:9230`, `[::1]:9230`. */
function addressIn(text: string): { host: string; port: number | null } {
  if (/^\d+$/.test(text)) return { host: '', port: Number(text) };
  const { six, name, port } = ADDRESS.exec(text)?.groups ?? {};
  return { host: six ?? name ?? '', port: port === undefined ? null : Number(port) };
}
