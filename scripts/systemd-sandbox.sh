#!/usr/bin/env bash
# A real systemd for tests, in throw-away namespaces of this machine; its own PID 1 is not touched. Needs root.
#
#   systemd-sandbox.sh check ROOT             0, or one line that says what is missing for `boot`
#   systemd-sandbox.sh tree DIR               a Debian 13 root file system in DIR (30 s, 200 MB), unless it is there
#   systemd-sandbox.sh boot ROOT [SRC:DST]…   boots from ROOT (/ is this machine's own), which is only read, with SRC bound
#                                             read-only to DST; prints `PID CGROUP` once it is up; lives until stdin ends
#   systemd-sandbox.sh enter PID CGROUP CMD…  runs CMD inside, as root, in a cgroup that is no unit's
#
# A fixture, not a security boundary: what runs inside is root on this machine.
set -euo pipefail

SELF=$(readlink -f "$0")
NAME=motya-systemd
# Namespaces do not keep root from these: the machine's clock, power, kernel, devices and audit.
CAPS=-sys_time,-sys_boot,-sys_module,-sys_rawio,-mknod,-mac_admin,-mac_override,-syslog,-wake_alarm,-block_suspend,-audit_control,-audit_read,-sys_pacct,-sys_tty_config
TREE_PACKAGES=systemd,systemd-sysv,dbus,libnss-systemd,procps,libstdc++6
# In a tree: what it was made of.
LIST=etc/sandbox-packages

fail() {
  echo "systemd-sandbox: $*" >&2
  exit 1
}

# Our own place in the unified hierarchy, on a hybrid machine too.
cgroup_base() {
  local mount
  mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
  [ -n "$mount" ] && echo "$mount$(awk -F: '$1 == 0 { print $3 == "/" ? "" : $3 }' /proc/self/cgroup)"
}

check() {
  local root=$1 base tool
  [ "$(id -u)" = 0 ] || { echo 'root'; return 1; }
  for tool in unshare nsenter setpriv ip awk; do
    command -v $tool >/dev/null || { echo "$tool: apt-get install util-linux iproute2"; return 1; }
  done
  base=$(cgroup_base) && [ -n "$base" ] || { echo 'a cgroup2 mount'; return 1; }
  [ -w "$base/cgroup.procs" ] && [ -z "$(awk -v m="${base}" '$2 == m && $4 ~ /^ro/' /proc/self/mounts)" ] ||
    { echo "a writable $base"; return 1; }
  unshare --mount --pid --fork --uts --ipc --net --cgroup true 2>/dev/null || { echo 'the right to make namespaces'; return 1; }
  [ -x "$root/lib/systemd/systemd" ] || { echo "systemd in $root: apt-get install systemd dbus libnss-systemd"; return 1; }
}

tree() {
  local dir=$1 mirror
  is_built() { [ "$(cat "$dir/$LIST" 2>/dev/null)" = "$TREE_PACKAGES" ]; }
  is_built && return
  command -v mmdebstrap >/dev/null || fail 'mmdebstrap for its tree: apt-get install mmdebstrap'
  mkdir -p "$(dirname "$dir")"
  # Test files may ask for it at the same time.
  exec 9>"$dir.lock"
  flock 9
  is_built && return
  rm -rf "$dir.building" "$dir"
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n1 || true)
  timeout 300 mmdebstrap --quiet --variant=minbase --include="$TREE_PACKAGES" trixie "$dir.building" "${mirror:-http://deb.debian.org/debian}" >&2
  echo "$TREE_PACKAGES" >"$dir.building/$LIST"
  mv "$dir.building" "$dir"
}

# PID 1 of the new namespaces, until it becomes systemd.
inner() {
  local cgroup=$1 root=$2 new=$3 dir unit
  shift 3
  mount --make-rprivate /
  mount -t tmpfs -o mode=755,size=1g "$NAME" "$new"
  mkdir "$new"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$new/upper,workdir=$new/work" "$new/root"
  new=$new/root
  mkdir -p "$new"/{proc,sys,dev,run,tmp}
  mount -t proc -o nosuid,noexec,nodev proc "$new/proc"
  mount --bind "$new/proc/sys" "$new/proc/sys"
  mount -o remount,bind,ro,nosuid,noexec,nodev "$new/proc/sys"
  [ ! -e "$new/proc/sysrq-trigger" ] || mount --bind /dev/null "$new/proc/sysrq-trigger"
  mount -t sysfs -o ro,nosuid,noexec,nodev sysfs "$new/sys"
  mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 "$new/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid,size=1m tmpfs "$new/dev"
  for dir in null zero full random urandom tty; do
    : >"$new/dev/$dir"
    mount --bind "/dev/$dir" "$new/dev/$dir"
  done
  mkdir "$new"/dev/{pts,shm}
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,nosuid,noexec devpts "$new/dev/pts"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/dev/shm"
  ln -s pts/ptmx "$new/dev/ptmx"
  ln -s /proc/self/fd "$new/dev/fd"
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$new/run"
  mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
  for dir; do
    if [ -d "${dir%%:*}" ]; then mkdir -p "$new${dir#*:}"; else mkdir -p "$(dirname "$new${dir#*:}")" && touch "$new${dir#*:}"; fi
    mount --bind "${dir%%:*}" "$new${dir#*:}"
    mount -o remount,bind,ro "$new${dir#*:}"
  done

  # Nothing of what the distribution would boot, but the journal, the directories of tmpfiles.d, and D-Bus, over which a unit's
  # processes may ask about it.
  local units=$new/etc/systemd/system
  mkdir -p "$units" "$new"/etc/systemd/{journald,system}.conf.d
  rm -rf "$units"/*.wants "$units"/*.requires "$new/var/log/journal" "$new/etc/machine-id"
  for unit in "$new"/{usr/lib,lib}/systemd/system/{sysinit,local-fs,basic,sockets,timers,multi-user}.target.wants/*; do
    [ -L "$unit" ] || [ -e "$unit" ] || continue
    unit=${unit##*/}
    case $unit in
    *.target | *.slice | systemd-journald.service | systemd-journald.socket | systemd-journald-dev-log.socket | systemd-tmpfiles-setup.service | dbus.socket | dbus.service) ;;
    *) ln -sfn /dev/null "$units/$unit" ;;
    esac
  done
  for unit in systemd-journald-audit.socket systemd-remount-fs.service systemd-logind.service tmp.mount; do
    ln -sfn /dev/null "$units/$unit"
  done
  : >"$new/etc/fstab"
  # Set: an empty one means a first boot with its presets.
  tr -d - </proc/sys/kernel/random/uuid >"$new/etc/machine-id"
  printf '[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToWall=no\nForwardToSyslog=no\nRateLimitIntervalSec=0\n' \
    >"$new/etc/systemd/journald.conf.d/$NAME.conf"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$new/etc/hosts"
  hostname sandbox
  ip link set lo up
  cd "$new"
  mkdir -p .old
  pivot_root . .old
  umount -l /.old
  exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no
}

remove_cgroup() {
  local _
  for _ in {1..100}; do
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ -d "$1" ] || return 0
    sleep 0.03
  done
  echo "systemd-sandbox: the cgroup $1 is still in use" >&2
}

boot() {
  local root=$1 base dir pid='' try
  shift
  base=$(cgroup_base)
  # What killed ones have left.
  for dir in "$base/$NAME".*; do
    if [ -d "$dir" ] && ! kill -0 "${dir##*.}" 2>/dev/null; then remove_cgroup "$dir"; fi
  done
  cgroup=$base/$NAME.$$
  home=$(mktemp -d)
  trap tear_down EXIT
  trap 'exit 1' INT TERM HUP
  mkdir "$cgroup" "$cgroup/enter"
  # If this script is killed, so are unshare and, by it, PID 1 with all that is inside.
  setpriv --pdeathsig KILL --bounding-set "$CAPS" --inh-caps "$CAPS" \
    unshare --mount --pid --fork --kill-child=KILL --uts --ipc --net -- \
    bash -c 'echo 0 >"$3/cgroup.procs" && exec unshare --cgroup -- bash "$@"' _ "$SELF" inner "$cgroup" "$root" "$home" "$@" \
    </dev/null >"$home.log" 2>&1 &
  holder=$!
  for try in {1..1500}; do
    kill -0 $holder 2>/dev/null || fail "it ended while it booted: $(cat "$home.log")"
    [ -n "$pid" ] || pid=$(cat "/proc/$holder/task/$holder/children" 2>/dev/null | cut -d' ' -f1)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] && [ -S "/proc/$pid/root/run/systemd/private" ]; then break; fi
    sleep 0.02
  done
  # `degraded`: something of the distribution failed that no test needs.
  ("$SELF" enter "$pid" "$cgroup" timeout 60 systemctl is-system-running --wait || true) | grep -qE '^(running|degraded)$' ||
    fail "it does not boot: $(cat "$home.log")"
  echo "$pid $cgroup"
  while read -r; do :; done
}

tear_down() {
  trap '' INT TERM HUP
  if [ -n "${holder:-}" ]; then
    kill -KILL "$holder" 2>/dev/null || true
    wait "$holder" 2>/dev/null || true
  fi
  remove_cgroup "$cgroup"
  rm -rf "$home.log"
  rmdir "$home"
}

enter() {
  local pid=$1 cgroup=$2
  shift 2
  echo $BASHPID >"$cgroup/enter/cgroup.procs"
  exec setpriv --bounding-set "$CAPS" --inh-caps "$CAPS" nsenter -t "$pid" -m -u -i -n -p -C -r --wd="/proc/$pid/root" -- "$@"
}

case ${1:-} in
check | tree | boot | enter | inner) "$@" ;;
*) fail 'check ROOT | tree DIR | boot ROOT [SRC:DST]… | enter PID CGROUP CMD…' ;;
esac
