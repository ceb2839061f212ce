#!/usr/bin/env bash
# Installs the real registries, runtimes and tools that test/e2e runs against. Debian 12 or newer,
# as root or with sudo. Running it again does nothing when everything is there.
set -euo pipefail

# Debian keeps some of these in sbin, which is not on every user's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

commands=(docker-registry skopeo containerd ctr runc dockerd podman crun conmon fuse-overlayfs
  nginx prometheus promtool chromium wrk htpasswd ip nft openssl strace zstd)
packages=(docker-registry skopeo containerd runc docker.io podman netavark crun conmon fuse-overlayfs
  nginx-light prometheus chromium wrk apache2-utils iproute2 nftables openssl strace zstd
  ca-certificates)

missing() {
  local command
  for command in "${commands[@]}"; do
    command -v "$command" >/dev/null || printf ' %s' "$command"
  done
  [ -x /usr/lib/podman/netavark ] || command -v netavark >/dev/null || printf ' netavark'
}

fail() {
  echo "e2e:setup: $*" >&2
  exit 1
}

absent=$(missing)
if [ -z "$absent" ]; then
  echo 'e2e:setup: everything is installed'
  exit 0
fi
echo "e2e:setup: missing:$absent"

command -v apt-get >/dev/null || fail "needs apt-get (Debian); install by hand:$absent"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail 'needs root, or sudo'
  as_root=(sudo)
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}

# The tests start every service themselves, on ports of their own: a package's must not start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

apt update || fail 'apt-get update failed: is a Debian mirror reachable?'
apt install -y --no-install-recommends "${packages[@]}" || fail 'apt-get install failed, see above'

absent=$(missing)
[ -z "$absent" ] || fail "installed, but still missing:$absent"
echo 'e2e:setup: done'
