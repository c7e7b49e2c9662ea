import type { Command } from '../command.js';

const command: Command = {
  name: 'schema',
  summary: 'Print the JSON Schema of motya.yaml, for editors',
  examples: [['motya schema > motya.schema.json', 'write it to a file']],
  exits: ['ok'],
  async run() {
    const { settingsJsonSchema } = await import('../../config/settings-schema.js');
    console.log(JSON.stringify(settingsJsonSchema(), null, 2));
  },
};
export default command;
