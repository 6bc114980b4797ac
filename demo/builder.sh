# The builder of every derivation in graph.nix: unpacks $src if there is one, and runs $script with the host's own compiler
# and tools, found in /usr/bin, and with the declared dependencies before them.
# shellcheck shell=sh disable=SC2154  # deps, src and script are the derivation's
set -eu

# A daemon gives its builders PATH=/path-not-set and lets them see /bin, /usr and /lib of the host, no more.
PATH=/usr/bin:/bin
CFLAGS=-O1
CPPFLAGS=
LDFLAGS=
for dependency in $deps; do
  PATH=$dependency/bin:$PATH
  CPPFLAGS="$CPPFLAGS -I$dependency/include"
  LDFLAGS="$LDFLAGS -L$dependency/lib -Wl,-rpath,$dependency/lib"
done
MAKEFLAGS="--silent --jobs=$NIX_BUILD_CORES"
LC_ALL=C
SOURCE_DATE_EPOCH=1
export PATH CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS LC_ALL SOURCE_DATE_EPOCH

if [ -n "$src" ]; then
  mkdir source
  tar --extract --file "$src" --directory source --strip-components=1 --no-same-owner
  cd source
fi

eval "$script"
