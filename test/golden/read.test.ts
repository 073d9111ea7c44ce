// Every golden trace, whatever its version, is read to its end: all events, every structure decoded by name.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FORMAT_VERSION } from '../../schema/trace.ts';
import { eventObject, jsonLine } from '../../traces/format/json.ts';
import { eventLine } from '../../traces/format/line.ts';
import { Names } from '../../traces/names.ts';
import { deviceStates } from '../../traces/states.ts';
import { openTrace } from '../../traces/trace.ts';

const golden = fileURLToPath(new URL('../../traces/golden', import.meta.url));
const traces = readdirSync(golden, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.vrr'))
  .map((name) => join(golden, name));

const test = suite('golden traces');

test('there are some of every format version', () => {
  const folders = new Set(traces.map((path) => relative(golden, path).split('/')[0]));
  for (let version = 1; version <= FORMAT_VERSION; version++) assert.ok(folders.has(`v${version}`), `v${version}`);
});

test('each is small and its provenance is written down', () => {
  const readme = readFileSync(join(golden, 'README.md'), 'utf8');
  for (const path of traces) {
    assert.ok(statSync(path).size < 200_000, path);
    assert.ok(readme.includes(`\`${relative(golden, path).split('/').at(-1)}\``), path);
  }
});

for (const path of traces)
  test(relative(golden, path), () => {
    const trace = openTrace(path);
    try {
      assert.is(`v${trace.version}`, relative(golden, path).split('/')[0]);
      const names = new Names(trace);
      let count = 0;
      for (const event of trace.events()) {
        count++;
        assert.is(event.id, count);
        assert.match(eventLine(event, names), /\S/);
        assert.ok(JSON.parse(jsonLine(eventObject(event, names))));
        if (event.op === 'ioctl' && (event.ret ?? 0) >= 0)
          assert.ok(event.call, `event ${event.id}: an unknown request`);
      }
      assert.ok(count > 20, `${count} events`);
      const shell = spawnSync('sqlite3', ['-readonly', path, 'SELECT count(*) FROM event; PRAGMA integrity_check'], {
        encoding: 'utf8',
      });
      if (!shell.error) assert.is(shell.stdout.trim(), `${count}\nok`);
    } finally {
      trace.close();
    }
  });

for (const path of traces.filter((name) => /mtty-/.test(name)))
  test(`${relative(golden, path)} goes through every migration state`, () => {
    const trace = openTrace(path);
    try {
      const states = deviceStates(trace).flatMap((device) => device.stays.map((stay) => stay.to));
      for (const state of ['RUNNING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P', 'STOP_COPY', 'STOP', 'RESUMING'])
        assert.ok(states.includes(state), state);
    } finally {
      trace.close();
    }
  });

test.run();
