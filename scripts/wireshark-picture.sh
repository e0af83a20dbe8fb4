#!/bin/sh
# Makes the picture for the README, tests/data/wireshark.png: Wireshark on the FIFO of a
# simulated trunk, with the answer to a ReadProperty selected.
#
#     scripts/wireshark-picture.sh [path of serialshark]
#
# Debian: apt-get install xvfb openbox xdotool imagemagick wireshark tshark fonts-dejavu-core
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
serialshark=$(realpath "${1:-$top/target/release/serialshark}")
picture=$top/tests/data/wireshark.png
fifo=/tmp/sharkfin # as in the README
answer='bacapp.type == 3 && bacapp.confirmed_service == 12 && frame.number > 30'

dir=$(mktemp -d)
pids=
end() {
    for pid in $pids; do # the last first
        kill "$pid" && wait "$pid" || :
    done 2>/dev/null
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' INT TERM

# Tries a command until it succeeds.
until_true() {
    tries=300
    until "$@" >"$dir/out" 2>"$dir/err"; do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "in vain: $*" >&2
            cat "$dir"/*.log >&2
            exit 1
        fi
        sleep 0.2
    done
}

# A display and a home of its own: nothing of the user's is in the picture.
mkdir -p "$dir/home/.config/wireshark" "$dir/captures"
cat >"$dir/home/.config/wireshark/preferences" <<'END'
gui.ask_unsaved: FALSE
capture.auto_scroll: FALSE
END
cat >"$dir/home/.config/wireshark/recent" <<'END'
gui.geometry_main_upper_pane: 260
gui.geometry_main_lower_pane: 715
column.width: %m, 60, %t, 90, %s, 80, %d, 90, %p, 120, %L, 60, %i, 740
END
cat >"$dir/home/.config/wireshark/recent_common" <<'END'
gui.geometry_main_maximized: TRUE
privs.warn_if_elevated: FALSE
END
unset WAYLAND_DISPLAY XAUTHORITY XDG_CONFIG_HOME DBUS_SESSION_BUS_ADDRESS
export HOME="$dir/home" XDG_RUNTIME_DIR="$dir" TMPDIR="$dir/captures" LC_ALL=C.UTF-8
export QT_QPA_PLATFORM=xcb QT_FONT_DPI=96

Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$dir/display" 2>"$dir/Xvfb.log" &
pids="$! $pids"
until_true test -s "$dir/display"
DISPLAY=:$(cat "$dir/display")
export DISPLAY

openbox >"$dir/openbox.log" 2>&1 &
pids="$! $pids"
"$serialshark" sim:mstp --fifo $fifo 2>"$dir/serialshark.log" &
pids="$! $pids"
until_true grep -q 'waiting for a reader' "$dir/serialshark.log"
wireshark -k -i $fifo 2>"$dir/wireshark.log" &
pids="$! $pids"

until_true xdotool search --onlyvisible --name '^Capturing from '
window=$(tail -n 1 "$dir/out")
xdotool windowactivate --sync "$window"

# The packet to be shown, as soon as there is one.
the_answer() {
    tshark -r "$dir"/captures/*.pcapng -Y "$answer" -T fields -e frame.number | grep .
}
until_true the_answer
number=$(head -n 1 "$dir/out")

# Nothing tells when the window has been drawn anew.
xdotool key ctrl+g
sleep 1
xdotool type "$number"
xdotool key Return
sleep 1
xdotool mousemove 300 380 click 1 mousemove 1000 600 # the frame, first in the packet's details
sleep 1
xdotool key Down Down Down Right Up Right Up Right # open APDU, NPDU, MS/TP
xdotool key End Up                                 # the value, before the closing tag
sleep 2

import -window root "$dir/root.png"
convert "$dir/root.png" -strip +dither -colors 96 -define png:compression-level=9 "PNG8:$picture"
ls -l "$picture"
