#!/bin/sh
# C sources against .clang-format. --write puts them right.
set -eu
cd "$(dirname "$0")/.."
files=$(find native test/clients -name '*.[ch]' -not -path '*/build/*' -not -path 'native/generated/*' -not -path 'native/uapi/*' -not -path 'native/vendor/*')
if [ "${1:-}" = --write ]; then
	npx clang-format -i $files
else
	npx clang-format --dry-run -Werror $files || {
		echo 'npm run format puts these right' >&2
		exit 1
	}
fi
