import type { CommandModule } from 'yargs';

const command: CommandModule = {
  command: 'schema',
  describe: 'Print the JSON Schema of motya.yaml, for editors',
  handler: async () => {
    const { settingsJsonSchema } = await import('../config/schema.js');
    console.log(JSON.stringify(settingsJsonSchema(), null, 2));
  },
};
export default command;
