import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** A self-signed certificate for localhost, valid for a day: paths of the files, as a fixture's environment. */
export function certificate(directory: string): { KEY: string; CERT: string } {
  const files = { KEY: path.join(directory, 'key.pem'), CERT: path.join(directory, 'cert.pem') };
  const subject = ['-subj', '/CN=localhost', '-days', '1'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', ...kind, ...subject, '-keyout', files.KEY, '-out', files.CERT], { stdio: 'ignore' });
  return files;
}
