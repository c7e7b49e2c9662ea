import { it } from 'node:test';
import { Fleet } from './clients/index.js';
import { allAt, moveStage } from './stage.js';

it('requests that begin while hundreds of connections move are read by one process, whole', async (test) => {
  const stage = await moveStage(test);
  // Most of them are about to send the next piece at any moment: what was idle a turn ago is not.
  const fleet = new Fleet({ port: stage.port, pieces: 150, upload: 50, idle: 100 });
  try {
    await allAt(fleet, 1);
    await allAt(fleet, await stage.deploy());
    await stage.formerOnesEnd();
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
});
