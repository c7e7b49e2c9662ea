// Writes docs/reference/commands.md from the commands themselves (dist/cli/commands) and the parts in scripts/docs, and
// docs/reference/errors.md from the catalogue of error codes. `--check`: only says which file is not what would be written. Run
// `npm run build` first.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { ERRORS, RESULTS } from '../dist/base/error-catalog.js';
import { usageOf } from '../dist/cli/command.js';
import { commands } from '../dist/cli/commands/index.js';
import { EXIT_STATUSES } from '../dist/cli/exit-status.js';
import { placeholderOf } from '../dist/config/setting-values.js';

const part = (name) => readFileSync(new URL(`docs/${name}.md`, import.meta.url), 'utf8').trimEnd();

/** Text for a cell: no bar may end it, and what looks like a placeholder is no HTML. */
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** `--log-level error|warn|info|debug` */
function flagCell(name, flag) {
  if (flag.type === 'boolean') return `\`--${name}\``;
  const value = flag.isPath ? 'FILE' : (flag.placeholder ?? placeholderOf(name, flag.setting));
  return `\`--${name}${flag.requiresArg ? ` ${value}` : `[=${value}]`}\``.replaceAll('|', '\\|');
}

function flagsTable(flags) {
  const rows = Object.entries(flags)
    .filter(([, { hidden }]) => hidden !== true)
    .map(([name, flag]) => {
      const fallback = flag.defaultDescription ?? (flag.type === 'boolean' ? 'no' : '');
      const variable = flag.variable === undefined ? '' : `\`${flag.variable}\``;
      return `| ${flagCell(name, flag)} | ${variable} | ${cell(fallback)} | ${cell(coded(flag.description))} |`;
    });
  return ['| flag | variable | default | |', '|---|---|---|---|', ...rows].join('\n');
}

/** Flags, variables and files as code. */
const coded = (text) =>
  text.replace(/(?<![\w`/.])(--[a-z][a-z-]*|motya\.yaml|MOTYA_[A-Z_*]+|package\.json|\w+\.js)(?![\w`])/g, '`$1`');

const start = commands.find(({ name }) => name === 'start');
/** Shared flags beyond which a command's table would be that of `start` once more. */
const MOST_SHARED = 5;

/** The flags of a command's own table, and a line about those that it has from `start`. */
function flagsText(command) {
  const { flags = {} } = command;
  const [own, shared] = [false, true].map((isShared) =>
    Object.keys(flags).filter((name) => (command !== start && Object.hasOwn(start.flags, name)) === isShared),
  );
  if (shared.length <= MOST_SHARED) return Object.keys(flags).length === 0 ? [] : [flagsTable(flags)];
  const left = Object.keys(start.flags)
    .filter((name) => !shared.includes(name) && start.flags[name].hidden !== true)
    .map((name) => `\`--${name}\``);
  return [
    flagsTable(Object.fromEntries(own.map((name) => [name, flags[name]]))),
    `And the flags of [motya start](#motya-start)${left.length === 0 ? '' : `, but not ${left.join(', ')}`}.`,
  ];
}

const anchorOf = (name) => `#motya-${name.replaceAll(' ', '-')}`;

function section(command, parents = []) {
  const { summary, details = [], positionals = {}, examples, exits, subcommands = [] } = command;
  const words = [...parents, usageOf(command)].join(' ');
  const rest = command.takesProgramArguments ? ' [-- arguments of the program]' : '';
  const statuses = exits
    .map((name) => EXIT_STATUSES[name][0])
    .sort((a, b) => a - b)
    .join(', ');
  const blocks = [
    `## motya ${[...parents, command.name].join(' ')}`,
    `\`\`\`\nmotya ${words} [flags]${rest}\n\`\`\``,
    `${summary}.`,
    ...details.map(coded),
    ...Object.entries(positionals).map(([name, { description }]) => coded(`\`${name}\`: ${description}`)),
    ...flagsText(command),
    ['```sh', ...examples.map(([line, effect]) => `${line}\n    # ${effect}`), '```'].join('\n'),
    `Ends with ${statuses} (see [exit statuses](errors.md#exit-statuses)).`,
  ];
  return [blocks.join('\n\n'), ...subcommands.map((inner) => section(inner, [...parents, command.name]))].join('\n\n');
}

function overview(all, parents = []) {
  return all.flatMap((command) => {
    const name = [...parents, command.name].join(' ');
    return [
      `| [\`motya ${name}\`](${anchorOf(name)}) | ${command.summary} |`,
      ...overview(command.subcommands ?? [], [...parents, command.name]),
    ];
  });
}

function commandsPage() {
  return [
    '<!-- Written by `npm run docs` from src/cli/commands and scripts/docs; edit those. -->',
    '# Commands',
    ['| command | |', '|---|---|', ...overview(commands)].join('\n'),
    '`motya <command> --help` shows the same in the terminal; `motya --version` the version. What the settings mean is in\n[settings.md](settings.md).',
    ...commands.map((command) => section(command)),
    part('instances'),
    part('files'),
  ].join('\n\n');
}

const table = (head, rows) => [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows].join('\n');

function errorsPage() {
  const codes = Object.entries(ERRORS).map(([code, { classes, meaning, remedy }]) => {
    const names = classes.map((name) => `\`${name}\``).join(', ') || '–';
    return `| \`${code}\` | ${names} | ${cell(meaning)} | ${cell(remedy)} |`;
  });
  const results = Object.entries(RESULTS).map(([code, meaning]) => `| \`${code}\` | ${cell(meaning)} |`);
  const statuses = Object.values(EXIT_STATUSES).map(([status, meaning]) => `| ${status} | ${cell(meaning)} |`);
  return [
    '<!-- Written by `npm run docs` from src/base/error-catalog.ts and src/cli/exit-status.ts; edit those. -->',
    '# Errors',
    part('errors'),
    '## Error codes',
    table(['code', 'class', 'meaning', 'what to do'], codes),
    '## Result codes',
    'What was asked for has happened.',
    table(['code', 'meaning'], results),
    '## Exit statuses',
    table(['status', 'meaning'], statuses),
  ].join('\n\n');
}

for (const [name, page] of Object.entries({ 'commands.md': commandsPage, 'errors.md': errorsPage })) {
  const file = new URL(`../docs/reference/${name}`, import.meta.url);
  const text = `${page()}\n`;
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`docs/reference/${name} is not what its sources make of it: npm run docs`);
    process.exitCode = 1;
  }
}
