// Programs that know nothing of the emulator, on it: all pairs of states of both protocols by real ioctls and region
// writes, and the open points of the protocols with what comes out.
// timeout: 300

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { type MigState, migrationFlags, migStates } from '../../schema/features.ts';
import type { Precedence } from '../../schema/states-v1.ts';
import { make } from '../make.ts';
import { vfioRr } from '../play/run.ts';

const program = (name: string): string => `test/emulator/programs/build/${name}`;
const reference = <T>(name: string): T =>
  (JSON.parse(readFileSync(new URL(`./${name}-pairs.json`, import.meta.url), 'utf8')) as { pairs: T }).pairs;

/** Lines of what the program prints when these devices answer it. */
async function played(devices: readonly string[], command: readonly string[], options: readonly string[] = []) {
  const emulate = devices.flatMap((d) => ['--emulate', d]);
  const ran = await vfioRr(['play', ...emulate, ...options, '--', ...command], 100);
  is(ran.code, 0, `${ran.out}${ran.err}`);
  return ran.out.split('\n').filter(Boolean);
}
const uuid = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;
const bdf = (n: number): string => `0000:00:0${n}.0`;

const test = suite('played');
test.before(() => {
  make('test/emulator/programs');
});

type V2 = [number, MigState, MigState, MigState[] | null, boolean, boolean][];
const { STOP_COPY, P2P, PRE_COPY } = migrationFlags;
const withFlags: readonly (readonly [string, number])[] = [
  ['v2-stop-copy', STOP_COPY],
  ['v2-p2p', STOP_COPY | P2P],
  ['v2-pre-copy', STOP_COPY | PRE_COPY],
  ['v2-full', STOP_COPY | P2P | PRE_COPY],
];
for (const [profile, flags] of withFlags)
  test(`every pair of v2 states on ${profile}`, async () => {
    const lines = (await played([`${profile}:${bdf(4)}`], [program('v2-states'), bdf(4)])).filter((l) =>
      /^\d+ \d+ /.test(l),
    );
    const pairs = reference<V2>('v2').filter(([f]) => f === flags);
    // A device that lacks a state is never in it.
    const states = new Set(lines.map((l) => Number(l.split(' ')[0])));
    const expected = pairs
      .filter(([, from]) => states.has(migStates[from]))
      .map(([, from, to, path, fd]) => {
        const there = path === null ? from : to;
        const answer = [path === null ? 'EINVAL' : '0', migStates[to], fd ? 1 : -1, migStates[there]];
        return [migStates[from], migStates[to], ...answer].join(' ');
      });
    equal([...lines].sort(), expected.sort());
    is(states.size, 4 + (flags & P2P ? 1 : 0) + (flags & PRE_COPY ? 1 : 0) + (flags === 7 ? 1 : 0));
  });

type V1 = [Precedence, number, number, number[], boolean][];
for (const precedence of ['v2', 'v3', 'reply', 'derived'] as const)
  test(`every change of v1 states under ${precedence}`, async () => {
    const device = `v1-ndma,precedence=${precedence}:${uuid(1)}`;
    const lines = (await played([device], [program('v1-states'), uuid(1)])).slice(1, -1);
    const expected = reference<V1>('v1')
      .filter(([p]) => p === precedence)
      .map(([, from, to, passed]) => `${from} ${to} 0 ${passed.at(-1) ?? from}`);
    is(expected.length, 90);
    equal([...lines].sort(), expected.sort());
  });

const outcomeOf = (lines: readonly string[]): string | undefined =>
  lines.find((l) => l.startsWith('outcome: '))?.slice('outcome: '.length);

test('RESUMING to SAVING under each order, buffer and strictness', async () => {
  const outcomes: Record<string, string | undefined> = {};
  for (const precedence of ['v2', 'v3', 'reply', 'derived'])
    for (const buffer of ['shared', 'separate'])
      for (const intermediate of ['ignored', 'checked']) {
        const options = `precedence=${precedence},buffer=${buffer},intermediate=${intermediate}`;
        const devices = [`v1-edu:${uuid(1)}`, `v1-edu,${options}:${uuid(2)}`];
        const lines = await played(devices, [program('v1-resume-save'), uuid(1), uuid(2)]);
        outcomes[`${precedence} ${buffer} ${intermediate}`] = outcomeOf(lines);
      }
  const lost = 'the data is lost';
  for (const order of ['v2', 'v3']) {
    is(outcomes[`${order} shared ignored`], lost);
    is(outcomes[`${order} separate ignored`], 'right');
    for (const buffer of ['shared', 'separate']) is(outcomes[`${order} ${buffer} checked`], 'ERROR');
  }
  for (const [what, outcome] of Object.entries(outcomes)) if (!/^v[23] /.test(what)) is(outcome, 'right', what);
});

test('a peer that is stopped first is written to, unless the writer knows NDMA and is brought to it', async () => {
  const peers = async (profile: string, ...more: string[]) =>
    outcomeOf(
      await played(
        [`${profile}:${uuid(1)}`, `${profile}:${uuid(2)}`],
        [program('peer-dma'), uuid(1), uuid(2), ...more],
      ),
    );
  is(await peers('v1-edu'), 'the stopped peer was written to');
  is(await peers('v1-edu', 'ndma'), 'the stopped peer was written to', 'NDMA is refused');
  is(await peers('v1-ndma', 'ndma'), 'the stopped peer is left alone');
  is(await peers('v1-noop', 'ndma'), 'the stopped peer was written to', 'NDMA changes nothing');
});

test('two containers: mappings are asymmetric, memory is counted twice, groups move as a whole', async () => {
  const devices = [`v2-full:${bdf(4)}@1`, `v2-full:${bdf(5)}@2`, `v2-full:${bdf(6)}@2`];
  const command = [program('containers'), bdf(4), bdf(5), bdf(6)];
  const lines = await played(devices, command);
  ok(lines.includes('A writes to B: arrives'));
  ok(lines.includes('B writes to A, whose memory its container lacks: does not arrive'));
  ok(lines.includes('second container: map the same memory, counted again = 0'));
  // 16 pages are mapped twice, and 16 of B's memory once.
  const short = await played(devices, command, ['--memlock', String(31 * 4096)]).catch(() => null);
  is(short, null, 'with room for 31 pages the program fails');
});

test('a container of pinned memory is all dirty; a device knows the page; an mdev’s container knows it too', async () => {
  const pages = async (device: string, name: string) =>
    (await played([device], [program('dirty-scope'), name])).filter((l) => l.includes('dirty pages'));
  equal(
    await pages(`v2-full:${bdf(4)}`, bdf(4)),
    ['0xffff', '0x8', '0xffff', '0'].map((p) => `  dirty pages: ${p}`),
  );
  equal(
    await pages(`v1-edu:${uuid(1)}`, uuid(1)),
    ['0x8', '0'].map((p) => `  dirty pages: ${p}`),
  );
});
test.run();
