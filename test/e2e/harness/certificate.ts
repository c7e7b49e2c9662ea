import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Makes a key and a self-signed certificate for localhost in `dir`; returns the variables that the TLS fixtures read. */
export async function makeCertificate(dir: string): Promise<{ TLS_KEY: string; TLS_CERT: string }> {
  const key = join(dir, 'key.pem');
  const cert = join(dir, 'cert.pem');
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-days', '2'];
  await promisify(execFile)('openssl', [...request, ...subject, '-keyout', key, '-out', cert]);
  return { TLS_KEY: key, TLS_CERT: cert };
}
