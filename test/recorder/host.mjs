// One process that holds several recorders, or recoveries, to be killed: JavaScript, because a compiler in front of it
// would cost more than all that it does. Its argument: {record: [[ms to wait, options], …], recover: [path, …]}.

import { record } from '../../dist/recorder/record.js';
import { recover } from '../../dist/recorder/recover.js';

const io = { onSignal: () => () => {}, onDump: () => () => {}, err: () => {} };
const work = JSON.parse(process.argv[2]);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Whoever is started from here is recorded, and not to be killed as we are.
for (const name of ['LD_PRELOAD', 'FUSE_WRITES', 'FUSE_US', 'FUSE_COUNT']) delete process.env[name];

await Promise.all([
  ...(work.record ?? []).map(async ([wait, options]) => {
    await sleep(wait);
    await record({ ...options, env: { ...process.env, ...options.env }, pid: process.pid }, io);
  }),
  ...(work.recover ?? []).map((from) => recover({ from, cwd: '/' }, io).catch(() => {})),
]);
