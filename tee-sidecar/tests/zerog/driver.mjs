// Carries out commands, one JSON object a line: {"id", "command", …} -> {"id", "result" | "error"}.
// Commands may overlap. It ends when its input does.
import readline from 'node:readline';
import * as contracts from './contracts.mjs';
import * as client from './client.mjs';
import * as openai from './openai.mjs';
import { deploy } from './deploy.mjs';

const commands = { deploy, ...contracts, ...client, ...openai };
const out = process.stdout;

// The SDK reports on the console; answers have the output for themselves.
for (const name of ['log', 'info', 'warn', 'debug']) console[name] = console.error;

const readable = (_, value) => (typeof value === 'bigint' ? value.toString() : value);
const answer = (id, what) => out.write(`${JSON.stringify({ id, ...what }, readable)}\n`);

async function carryOut({ id, command, ...asked }) {
  try {
    if (!Object.hasOwn(commands, command)) throw new Error(`no command ${command}`);
    answer(id, { result: (await commands[command](asked)) ?? null });
  } catch (error) {
    answer(id, { error: String(error?.message ?? error) });
  }
}

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => void carryOut(JSON.parse(line)));
lines.on('close', () => process.exit(0));
