#!/bin/sh
# Makes a fresh clone ready: packages, native parts, dist/. Does only what is missing or out of date.
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "test/setup.sh: $*" >&2
	exit 3
}

command -v node >/dev/null || fail 'Node.js 20.19 or newer is needed'
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
	fail "Node.js 20.19 or newer is needed; this is $(node --version)"

# better-sqlite3 and lz4 are compiled where no prebuilt one fits, and the native parts always are.
missing=
for tool in gcc g++ make python3; do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
	[ -x test/vm/need.sh ] && test/vm/need.sh gcc g++ make python3 libc6-dev ||
		fail "missing:$missing; on Debian, as root: apt-get install gcc g++ make python3 libc6-dev"
fi

# npm's own mark is there before anything is compiled.
compiled() {
	node -e 'new (require("better-sqlite3"))(":memory:"); require("lz4")' 2>/dev/null
}
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ] || ! compiled; then
	echo 'installing packages (compiling better-sqlite3 takes about two minutes)…' >&2
	# Not `npm ci`: the lock file has no entries for other platforms' optional packages, and ci insists on them.
	npm install --no-save --ignore-scripts --no-audit --no-fund >&2 || fail 'npm install failed'
	# Node's own headers, if they are installed beside it: else node-gyp fetches them from nodejs.org.
	prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
	if [ -e "$prefix/include/node/node.h" ]; then export npm_config_nodedir="$prefix"; fi
	npm rebuild --no-audit --no-fund >&2 || fail 'a package could not be compiled'
	touch node_modules/.package-lock.json
fi

make -s -C native >&2 || fail 'the native parts do not compile'
if [ ! -e dist/cli.js ] || [ -n "$(find cli.ts schema recorder traces replayer -name '*.ts' -newer dist/cli.js -print -quit)" ]; then
	rm -f dist/cli.js
	npm run -s build:ts >&2 || fail 'the TypeScript parts do not compile'
	touch dist/cli.js
fi
