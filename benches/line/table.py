#!/usr/bin/env python3
"""The table of benches/README.md, from the numbers that sharkbench.py, abreast.py and scaling.py wrote.

    table.py LINE.json ABREAST.json SCALING.json
"""

import datetime
import json
import platform
import statistics
import sys


def main():
    with open(sys.argv[1]) as file:
        line = json.load(file)
    with open(sys.argv[2]) as file:
        abreast = json.load(file)
    for program, percents in abreast.items():
        line[program] = line[program] + [{"abreast_percent": percent} for percent in percents]
    with open(sys.argv[3]) as file:
        scaling = json.load(file)

    def median(program, key):
        values = [run[key] for run in line[program] if run.get(key) is not None]
        return statistics.median(values) if values else None

    def ratio(key, to):
        """The median of the ratios of each run, and their range."""
        pairs = zip(line["serialshark"], line[to])
        ratios = [ours[key] / theirs[key] for ours, theirs in pairs if theirs.get(key) and key in ours]
        return "%.2f x %s (%.2f to %.2f)" % (
            statistics.median(ratios), to, min(ratios), max(ratios))

    def row(title, floor, model, ours, compared):
        cells = ["-" if cell is None else cell for cell in (floor, model, ours)]
        print("| %s | %s | %s | %s | %s |" % (title, *cells, compared))

    def figure(title, key, form, to):
        cells = [median(program, key) for program in ("floor", "model", "serialshark")]
        row(title, *(None if cell is None else form % cell for cell in cells), ratio(key, to))

    def ours(title, text):
        row(title, None, None, text, "")

    runs = sum("max_mb_per_s" in run for run in line["serialshark"])
    with open("/proc/cpuinfo") as file:
        cpu = next((row.split(":")[1].strip() for row in file if row.startswith("model name")), "")
    with open("/proc/cpuinfo") as file:
        cores = sum(row.startswith("processor") for row in file)
    print("%s; %s, %d cores, Linux %s; medians of %d runs" % (
        datetime.date.today(), cpu, cores, platform.release().split("-")[0], runs))
    print()
    print("| figure | floor | model | serialshark | compared in the same run |")
    print("|---|---|---|---|---|")
    figure("highest throughput without loss, MB/s", "max_mb_per_s", "%.0f", "model")
    loss = [median("serialshark", "loss_percent_" + rate) for rate in ("1M", "3M", "12M")]
    ours("loss at 1, 3, 12 Mbaud, %", "%g, %g, %g" % tuple(loss))
    figure("CPU per million frames at full speed, s", "max_cpu_s_per_mframe", "%.2f", "model")
    figure("CPU on a busy line at 115,200 baud, all three at once, %", "abreast_percent", "%.2f",
           "floor")
    figure("latency p50, us", "latency_p50_us", "%.0f", "model")
    figure("peak memory, kB", "peak_rss_kb", "%.0f", "model")
    ours("wake-ups a second, idle", "%g" % median("serialshark", "idle_wakeups_per_s"))
    sessions = [median("serialshark", key) for key in ("sessions_valid", "sessions")]
    ours("reader closed 20 times under traffic: valid streams", "%d of %d" % tuple(sessions))
    quiet = median("serialshark", "idle_reopen_valid")
    ours("closed and opened again on a quiet line", "valid" if quiet else "not valid")
    stall = [median("serialshark", key) for key in ("stall_lost", "stall_sent")]
    backlog = median("serialshark", "stall_max_backlog")
    ours("reader stalled for 10 s at 115,200 baud", "%d of %d frames lost, %d bytes left in the "
         "tty" % (*stall, backlog))
    unplug = [median("serialshark", key) for key in ("unplug_cpu_percent", "unplug_resumed")]
    ours("port unplugged", "%.2f %% CPU, %s" % (
        unplug[0], "resumes" if unplug[1] else "does not resume"))
    for title, text in scaling:
        ours(title, text)


main()
