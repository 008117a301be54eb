#!/bin/bash
# Sets a checkout up: system packages, .venv, the compiled core. Called by the Makefile; safe to repeat.
#   deploy/setup.sh demo    what running the program needs
#   deploy/setup.sh test    that, and what the tests need
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" # where ip and ethtool are for an ordinary user
cd "$(dirname "$0")/.."

purpose=${1:-demo}
venv=.venv
case $purpose in demo | test) ;; *) echo "usage: deploy/setup.sh demo|test" >&2; exit 2 ;; esac

say() { echo "setup: $*" >&2; }

# --- an interpreter that can build an extension and make a virtual environment

suits() { # PYTHON MODULE...: 3.11 or later, with its headers and these modules
    local python=$1
    shift
    "$python" - "$@" 2>/dev/null <<'PYTHON'
import importlib.util, pathlib, sys, sysconfig
headers = pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h"
modules = all(importlib.util.find_spec(name) for name in sys.argv[1:])
sys.exit(not (sys.version_info >= (3, 11) and headers.exists() and modules))
PYTHON
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local each
    for each in ${PYTHON:-} python3 /usr/bin/python3 python3.{14,13,12,11} /usr/bin/python3.{14,13,12,11}; do
        if suits "$each" venv ensurepip; then
            echo "$each"
            return 0
        fi
    done
    return 1
}

# --- system packages

packages=()
as_root=()
need() { # PACKAGE unless COMMAND... succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}
has() { command -v "$1"; }
has_file() { compgen -G "$1"; }
# Those of the running kernel, or of another one (sensor/bpf/headers.py).
has_kernel_headers() {
    [ -d "/lib/modules/$(uname -r)/build" ] || [ -e /sys/kernel/kheaders.tar.xz ] ||
        has_file '/usr/src/linux-headers-*-common'
}
has_header() { echo "#include <$1>" | gcc -E -x c -; }
links_with() { # COMPILER FLAGS...
    local compiler=$1 object verdict=0
    shift
    object=$(mktemp)
    echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n){return !d && n;}' |
        "$compiler" "$@" -x c - -o "$object" || verdict=1
    rm -f "$object"
    return $verdict
}

missing_packages() {
    packages=()
    need gcc has gcc
    need libc6-dev has_header stdlib.h
    need make has make
    need zlib1g-dev has_header zlib.h
    need libzstd-dev has_header zstd.h
    need libssl-dev has_header openssl/evp.h
    need libnghttp2-dev has_header nghttp2/nghttp2.h
    find_python >/dev/null || packages+=(python3-dev python3-venv)
    [ "$purpose" = test ] || return 0
    need libpcap-dev has_header pcap/pcap.h
    need tshark has tshark
    need tcpdump has tcpdump
    need ssldump has ssldump
    need iproute2 has ip
    need curl has curl
    need ethtool has ethtool
    need openssl has openssl
    need nginx has nginx
    need haproxy has haproxy
    need squid has squid
    need rsyslog has rsyslogd
    need rsyslog-gnutls has_file '/usr/lib/*/rsyslog/lmnsd_gtls.so'
    need rsyslog-relp has_file '/usr/lib/*/rsyslog/imrelp.so'
    need prometheus has promtool
    need nats-server has nats-server
    need nodejs has node
    need npm has npm
    need gnutls-bin has gnutls-cli
    need python3-bpfcc has_file '/usr/lib/python3/dist-packages/bcc'
    need "linux-headers-$(dpkg --print-architecture 2>/dev/null || echo generic)" has_kernel_headers
    need golang-go has go
    need golang-github-vmware-govmomi-dev test -d /usr/share/gocode/src/github.com/vmware/govmomi/simulator
    need clang has clang
    need libclang-rt-dev links_with clang -fsanitize=fuzzer,address,undefined
}

install_packages() {
    # --no-remove: rsyslog would replace another syslog daemon of this host
    local install=(apt-get install -y --no-remove --no-install-recommends "${packages[@]}")
    if ! has apt-get >/dev/null; then
        say "missing: ${packages[*]} (Debian names); install them and run this again"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! { has sudo && sudo -n true; } >/dev/null 2>&1; then
            say "system packages are missing; run this once, then try again:"
            say "  sudo apt-get update && sudo ${install[*]}"
            exit 1
        fi
        as_root=(sudo -n)
    fi
    say "installing ${packages[*]}"
    # tshark asks a question about dumpcap; noninteractive takes the default
    "${as_root[@]}" apt-get update -q >&2
    keep_services_down
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2
    let_services_be
}

# Tests run nginx, HAProxy and squid in namespaces; on this host neither is to take a port, now or at the next boot.
# policy-rc.d is what every package asks before it starts a service (101: do not), with systemd or without.
# The packages enable them all the same, which is undone.
policy=/usr/sbin/policy-rc.d
keep_services_down() {
    [ ! -e $policy ] || return 0
    trap remove_policy EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin $policy
}
remove_policy() {
    trap - EXIT
    "${as_root[@]}" rm -f $policy
}
let_services_be() {
    local service
    [ -z "$(trap -p EXIT)" ] || remove_policy
    has systemctl >/dev/null || return 0
    for service in nginx haproxy squid prometheus rsyslog nats-server; do
        if [[ " ${packages[*]} " == *" $service "* ]]; then
            "${as_root[@]}" systemctl --quiet disable $service >&2
        fi
    done
}

missing_packages
if [ ${#packages[@]} -gt 0 ]; then
    install_packages
    missing_packages
    if [ ${#packages[@]} -gt 0 ]; then
        say "still missing after installation: ${packages[*]}"
        new_enough python3 || say "python3 here is $(python3 -V 2>&1); 3.11 or later is needed (set PYTHON=...)"
        exit 1
    fi
fi

# --- the virtual environment, the dependencies, the core

if ! suits "$venv/bin/python" pip; then
    python=$(find_python)
    say "making $venv with $("$python" -V) ($python)"
    "$python" -m venv --clear "$venv"
fi

extras=""
[ "$purpose" = demo ] || extras="[dev]"
pip=("$venv/bin/python" -m pip --disable-pip-version-check -qq)
# The backend is installed once, so that a rebuild of the core needs no network.
"$venv/bin/python" - <<'PYTHON' || "${pip[@]}" install "setuptools==80.9.0" wheel
import importlib.metadata, sys
sys.exit(importlib.metadata.version("setuptools") != "80.9.0")
PYTHON
say "building the core"
"${pip[@]}" install --no-build-isolation --editable ".$extras"
"$venv/bin/python" -c 'import sensor._core' || { say "the core was built but does not load"; exit 1; }

# --- a receiver of the tests that cannot be installed beside rsyslog: unpacked, its libraries with it

unpack_syslog_ng() {
    local into=$venv/syslog-ng debs wanted=() package
    [ ! -d "$into" ] && ! has syslog-ng >/dev/null || return 0
    has apt-get >/dev/null || { say "syslog-ng is not there: its tests are skipped"; return 0; }
    say "unpacking syslog-ng"
    for package in syslog-ng-core $(apt-cache depends syslog-ng-core | awk '/^ *Depends: [a-z]/ {print $2}'); do
        dpkg-query -s "$package" >/dev/null 2>&1 || wanted+=("$package")
    done
    debs=$(mktemp -d)
    (cd "$debs" && apt-get download -q "${wanted[@]}" >&2)
    for package in "$debs"/*.deb; do
        dpkg -x "$package" "$debs/root"
    done
    mv "$debs/root" "$into"
    rm -r "$debs"
}
[ "$purpose" = demo ] || unpack_syslog_ng

# --- a receiver of the tests that npm has

install_fluent() {
    local from=tests/exporters/receivers/fluent into=$venv/fluent
    [ ! -e "$into/.ready" ] || ! cmp -s "$from/package-lock.json" "$into/package-lock.json" || return 0
    say "installing the Fluent server of the tests"
    mkdir -p "$into"
    cp "$from"/package{,-lock}.json "$into/"
    if (cd "$into" && npm ci --ignore-scripts --no-audit --no-fund --silent >&2); then
        touch "$into/.ready"
    else
        say "npm does not install it: its tests are skipped"
    fi
}
[ "$purpose" = demo ] || install_fluent

touch "$venv/.ready-demo"
[ "$purpose" = demo ] || touch "$venv/.ready-test"
