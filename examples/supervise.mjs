// A supervisor of your own, in place of `motya start`: node examples/supervise.mjs, then kill -QUIT its pid.
import { fileURLToPath } from 'node:url';
import { createLogger, handleSignals, logEvents, resolveSettings, Supervisor } from 'motya';

const settings = resolveSettings(
  {
    name: 'example',
    services: { web: { script: fileURLToPath(new URL('server.mjs', import.meta.url)), workers: 2 } },
    drainTimeout: '10s',
    // Root has to name the user that the workers run as.
    user: process.env.MOTYA_USER,
  },
  // An incumbent starts its successor as it was started itself, with MOTYA_UPGRADE set.
  { cwd: process.cwd(), env: process.env, source: null, upgrade: process.env.MOTYA_UPGRADE === 'true' },
);
const log = createLogger(settings.log);
const supervisor = new Supervisor(settings);
logEvents(supervisor, log);
handleSignals(supervisor, { reopenLogs: () => log.reopen() });

supervisor.on('serving', ({ generation, listeners }) => {
  console.log(`generation ${generation} serves ${listeners.join(', ')}; try: kill -QUIT ${process.pid}`);
});
supervisor.on('handedOver', ({ successor, gapMs }) => {
  console.log(`pid ${successor} took over, ${gapMs.toFixed(1)} ms from COMMIT to LIVE`);
});

await supervisor.start();
const { reason, forced } = await supervisor.ended;
console.log(`ended: ${reason}, ${forced} connections closed by force`);
process.exit();
