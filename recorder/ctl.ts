// `ctl`: speaks to a recording under way.

import type { CommandModule } from 'yargs';
import { TraceError } from '../schema/errors.ts';
import type { Io } from '../traces/io.ts';
import { ask, type Command, commands, type Owner, recorders } from './control.ts';
import type { Status } from './session.ts';
import { size } from './summary.ts';

/** The recorder that is meant. */
async function choose(owner: Owner, pid: number | undefined): Promise<number> {
  const all = await recorders(owner);
  if (pid !== undefined) {
    if (all.includes(pid)) return pid;
    throw new TraceError('USAGE', `process ${pid} is no recorder of this user; there are: ${all.join(', ') || 'none'}`);
  }
  const [only, ...more] = all;
  if (only === undefined)
    throw new TraceError('USAGE', 'nothing is being recorded by this user; vfio-rr record starts a recording');
  if (more.length > 0)
    throw new TraceError('USAGE', `several recordings are under way: name one with --pid (${all.join(', ')})`);
  return only;
}

function statusText(pid: number, s: Status): string {
  const state = { ON: 'recording', PAUSED: 'stopped (ctl start goes on)', OFF: 'ended' }[s.recording];
  const lost = Object.entries(s.lost).map(([name, n]) => `${n} ${name.replace(/^lost_/, '')}`);
  const window = s.window && `  window ${s.window.keep}, holds ${(s.window.heldNs / 1e9).toFixed(1)} s\n`;
  const dumps = s.dumps.map((d) => `  dump ${d.path}: ${d.reason}, ${d.calls ?? 'unfinished'} calls\n`);
  return [
    `${pid}: ${s.program} into ${s.trace}: ${state}\n`,
    s.window ? '' : `  ${s.events} events in the trace\n`,
    window ?? '',
    `  ring ${size(s.ringUsed)} of ${size(s.ringQuota)}; lost: ${lost.join(', ') || 'nothing'}\n`,
    ...dumps,
  ].join('');
}

export function ctlCommand(io: Io, uid: number): CommandModule {
  return {
    command: 'ctl <command> [text]',
    describe: 'Speak to a recording under way: status, start, stop, mark TEXT, dump',
    builder: (y) =>
      y
        .positional('command', {
          choices: commands,
          describe: 'stop: leave out accesses and polls until start; dump: write the window of record --keep now',
          demandOption: true,
        })
        .positional('text', { type: 'string', describe: 'Of a mark' })
        .option('pid', {
          type: 'number',
          describe: 'Process id of the recorder, if there are several',
          requiresArg: true,
        })
        .option('json', { type: 'boolean', default: false, describe: 'As JSON' })
        .example('$0 ctl mark "migration begins"', 'a line of its own in show, a row in the table mark')
        .example('$0 ctl dump', 'prints the name of the dump when it is finished'),
    handler: async (argv) => {
      const command = argv.command as Command;
      const text = argv.text === undefined ? undefined : String(argv.text);
      if ((command === 'mark') !== (text !== undefined && text !== ''))
        throw new TraceError('USAGE', 'a mark has a text, and nothing else has one: vfio-rr ctl mark TEXT');
      const owner = { uid, env: io.env };
      const pid = await choose(owner, argv.pid as number | undefined);
      const reply = await ask(owner, pid, { command, ...(text === undefined ? {} : { text }) });
      if (!reply.ok) throw new TraceError('USAGE', reply.error);
      if (argv.json) io.out(`${JSON.stringify({ pid, ...(reply.status ?? reply.dump ?? {}) })}\n`);
      else if (reply.status) io.out(statusText(pid, reply.status));
      else if (reply.dump) io.out(`${reply.dump.path}\n`);
      if (command === 'dump' && !reply.dump)
        throw new TraceError('HOST', 'no dump was made; the recorder has said why on its standard error');
      io.exit(0);
    },
  };
}
