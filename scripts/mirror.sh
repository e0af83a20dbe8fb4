#!/usr/bin/env bash
# Where this machine gets the packages of a Debian release from.
#
#   scripts/mirror.sh bookworm
set -euo pipefail
apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="${1:?name the release}" '$1 == release { print $2; exit }'
