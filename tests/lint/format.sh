#!/bin/bash
# Every C file is as clang-format 14 (Debian 12's) would write it; other versions differ in details, so they are not asked.
#
#   format.sh ROOT        status 1 and the places that differ; 77 (skipped) with another version
set -euo pipefail
cd "$1"
version=$(clang-format --version | sed -E 's/.*version ([0-9]+).*/\1/')
if [ "$version" != 14 ]; then
    echo "clang-format is version $version; the check needs 14"
    exit 77
fi
find src tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run --Werror
