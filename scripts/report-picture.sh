#!/bin/sh
# Makes the picture of a report for the README, tests/data/report.png: the page on a simulated trunk
# that loses its token, its beginning and its plots side by side. It takes two minutes.
#
#     scripts/report-picture.sh [path of serialshark]
#
# Debian: apt-get install chromium imagemagick fonts-dejavu-core
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
serialshark=$(realpath "${1:-$top/target/release/serialshark}")
picture=$top/tests/data/report.png
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

# As long as a grade needs, and somewhat longer.
timeout --signal=INT 100 "$serialshark" sim:mstp,fault=lost-token -w trunk.pcapng -q || :
TZ=UTC "$serialshark" report trunk.pcapng --html page.html >/dev/null

cat >both.html <<'END'
<!DOCTYPE html><style>body { margin: 0; display: flex } iframe { border: 0; width: 600px; height: 1010px }</style>
<iframe src="page.html"></iframe><iframe src="page.html#ring"></iframe>
END
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$dir/profile" \
    --allow-file-access-from-files --window-size=1200,1010 --screenshot=root.png \
    "file://$dir/both.html" 2>chromium.log || { cat chromium.log >&2; exit 1; }
convert root.png -strip +dither -colors 96 -define png:compression-level=9 "PNG8:$picture"
ls -l "$picture"
