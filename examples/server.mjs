// A plain server: it knows nothing of Motya.
import { createServer } from 'node:http';

createServer((_request, response) => {
  response.end(`generation ${process.env.MOTYA_GENERATION ?? '-'}, pid ${process.pid}\n`);
}).listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
