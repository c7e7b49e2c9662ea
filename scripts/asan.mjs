// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer beside the normal build and runs its tests on it.
// Needs `npm run build` and `tsc -p test` to have run. The exit status is that of the tests.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = dirname(import.meta.dirname ?? dirname(fileURLToPath(import.meta.url)));
const compiler = process.env.CXX ?? 'g++';
// Where node-gyp looks, too: what nodedir says, else beside the binary.
const nodeDirectory = process.env.npm_config_nodedir ?? dirname(dirname(process.execPath));
// node-gyp-build takes MOTYA_PREBUILD for the package's directory, and looks for build/Release in it.
const home = join(root, 'build', 'asan');
const binary = join(home, 'build', 'Release', 'motya.node');

mkdirSync(dirname(binary), { recursive: true });
const sources = readdirSync(join(root, 'native')).filter((name) => name.endsWith('.cc'));
const built = spawnSync(
  compiler,
  [
    ...['-std=c++17', '-fno-exceptions', '-fPIC', '-shared', '-O1', '-g', '-fno-omit-frame-pointer'],
    ...['-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
    ...['-DNAPI_VERSION=8', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', '-DNODE_GYP_MODULE_NAME=motya'],
    ...['-isystem', join(nodeDirectory, 'include', 'node'), '-isystem', require('node-addon-api').include_dir],
    ...['-o', binary, ...sources.map((name) => join(root, 'native', name))],
  ],
  { stdio: 'inherit' },
);
if (built.status !== 0) {
  process.exitCode = built.status ?? 1;
} else {
  const library = (name) => execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  const tests = readdirSync(join(root, 'dist-test', 'base', 'native'))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(root, 'dist-test', 'base', 'native', name));
  const env = {
    ...process.env,
    MOTYA_PREBUILD: home,
    // Node itself is not instrumented, so the runtimes must be there before it.
    LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
    // Node does not free everything at its end; leaks of ours are fds, which the tests count.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  process.exitCode =
    spawnSync(process.execPath, ['--test', '--test-timeout=120000', ...tests], { cwd: root, stdio: 'inherit', env })
      .status ?? 1;
}
