import http from 'node:http';

/** The body of a GET on a connection of its own. */
export function get(port, path = '/') {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve(body));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

/** Whether a server answers there. */
export const answers = (port) =>
  get(port).then(
    () => true,
    () => false,
  );
