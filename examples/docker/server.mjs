// A plain server, reachable from outside the container.
import { createServer } from 'node:http';

createServer((_request, response) => {
  response.end(`generation ${process.env.MOTYA_GENERATION ?? '-'}, pid ${process.pid}\n`);
}).listen(Number(process.env.PORT ?? 3000));
