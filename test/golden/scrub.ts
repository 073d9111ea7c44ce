// Takes out of a recording what only names the machine and the directory that it was made on, before it is kept for
// ever: host name, kernel command line, paths.
//
//   tsx test/golden/scrub.ts TRACE…

import Database from 'better-sqlite3';
import { Decoder, encode } from 'cbor-x';
import { codecs } from '../../schema/trace.ts';

const PLACE = '/usr/src/vfio-rr';
const kernel = (uname: string): string => `Linux ${/\d+\.\d+(\.\d+)?/.exec(uname)?.[0] ?? ''}`;

function scrub(path: string): void {
  const db = new Database(path);
  const meta = (key: string): string | undefined =>
    db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key) as string | undefined;
  const cwd = meta('cwd') ?? '';
  const inPlace = (text: string): string => (cwd && cwd !== '/' ? text.replaceAll(cwd, PLACE) : text);
  const set = db.prepare('UPDATE meta SET value = ? WHERE key = ?');
  for (const key of ['cwd', 'program', 'argv']) set.run(inPlace(meta(key) ?? ''), key);
  set.run(kernel(meta('uname') ?? ''), 'uname');
  set.run('', 'cmdline');
  for (const { id, exe } of db.prepare('SELECT id, exe FROM process').all() as { id: number; exe: string | null }[])
    db.prepare('UPDATE process SET exe = ? WHERE id = ?').run(exe === null ? null : inPlace(exe), id);
  const rows = db.prepare('SELECT id, data FROM payload WHERE codec = ?').all(codecs.RAW) as {
    id: number;
    data: Buffer;
  }[];
  for (const { id, data } of rows) {
    const text = data.toString('latin1');
    const bytes = Buffer.from(inPlace(text), 'latin1');
    if (inPlace(text) !== text)
      db.prepare('UPDATE payload SET data = ?, size = ?, hash = NULL WHERE id = ?').run(bytes, bytes.length, id);
  }
  const decoder = new Decoder({ mapsAsObjects: true, useRecords: false });
  for (const { key, cbor } of db.prepare('SELECT key, cbor FROM context').all() as { key: string; cbor: Buffer }[]) {
    const value = decoder.decode(cbor) as Record<string, unknown>;
    if (key === 'host') Object.assign(value, { uname: kernel(String(value.uname)), release: '', cmdline: '', cpu: '' });
    db.prepare('UPDATE context SET cbor = ? WHERE key = ?').run(encode(value), key);
  }
  db.exec('VACUUM');
  db.close();
}

for (const path of process.argv.slice(2)) scrub(path);
