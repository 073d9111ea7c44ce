// node --import ./test/sanitized.mjs: loads the extension that is built under ASan and UBSan in place of the plain one.
// libasan and libubsan are preloaded, since Node itself is not built so.

import Database from 'better-sqlite3';

const load = Database.prototype.loadExtension;
Database.prototype.loadExtension = function (path, ...rest) {
  const sanitized = path.replace('native/build/', 'native/build/address-undefined/');
  if (sanitized === path) throw new Error(`${path} is not where rings.so is built`);
  return load.call(this, sanitized, ...rest);
};
