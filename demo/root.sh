# shellcheck shell=bash
# The root of another Debian, put together in a private mount namespace: its programs and settings, the host's files. Sourced in
# such a namespace by demo/guix-daemon and demo/store-daemon; knows nothing of stores.
#
# Programs come from ROOT, which stays untouched. All else is the host's, at the host's paths, so that a path means the same on both
# sides: a daemon in there can follow root links of an agent out here. /proc and /run are left empty: the first is for the caller
# to mount, and through the second programs would ask the host's name services.

# assemble_root ROOT NEW: NEW is an empty directory, and becomes the root of what `enter_root NEW` makes.
assemble_root() {
  local root=$1 new=$2 entry
  mount -t tmpfs -o mode=755,size=1m root "$new"
  mount --make-unbindable "$new" # else what is bound into it from above would hold it again
  for entry in "$root"/*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$new"; fi
  done
  for entry in etc usr; do
    mkdir "$new/$entry"
    mount --bind "$root/$entry" "$new/$entry"
    mount -o remount,bind,ro "$new/$entry"
  done
  mkdir "$new/proc" "$new/run" "$new/var" "$new/var/log"
  ln -s ../run "$new/var/run"
  lend_directories / "$new"
  lend_directories /var "$new/var"
}

# lend_directories FROM INTO: binds every directory of FROM that INTO does not have.
lend_directories() {
  local entry name
  for entry in "${1%/}"/*; do
    name=${entry##*/}
    if [ -L "$entry" ] || [ ! -d "$entry" ] || [ -e "$2/$name" ] || [ -L "$2/$name" ]; then continue; fi
    mkdir "$2/$name"
    mount --rbind "$entry" "$2/$name"
  done
}

# overlay_settings NEW ETC: the users and groups of ETC instead of ROOT's; and how names of hosts are found, where ETC says that.
overlay_settings() {
  local name
  for name in passwd group nsswitch.conf; do
    if [ -e "$2/$name" ]; then mount --bind "$2/$name" "$1/etc/$name"; fi
  done
}

# enter_root NEW: from here on, NEW is /.
enter_root() {
  mkdir "$1/.old"
  cd "$1" || return
  pivot_root . .old
  cd /
  umount --lazy /.old
  rmdir /.old
}
