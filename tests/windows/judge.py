"""Runs the program for Windows under Wine, with a pseudo-terminal as COM5, and judges what comes.

    python3 judge.py DIRECTORY LINUX_PROGRAM [quick]

DIRECTORY has serialshark.exe, read_pipe.exe and wireshark.exe; WINEPREFIX is set up, and its COM5 is
DIRECTORY/com5. `quick` leaves out what takes long and what others show nearly as well.
"""

import os
import sys
import time

import capture
import console
import recipes
import servers
import service
import wireshark
import wrong

# The first of each file are those of the quick run.
QUICK = [
    capture.a_port_is_read_at_its_rate_and_ctrl_c_ends_it_with_a_trailer,
    capture.a_reader_of_the_pipe_may_come_again_and_again,
    capture.that_a_reader_leaves_is_seen_on_a_quiet_line,
    capture.a_replay_is_that_of_linux_octet_for_octet,
    service.a_service_is_installed_started_stopped_and_removed,
    wireshark.an_extcap_ends_with_its_pipe_on_a_quiet_line_too,
    servers.a_page_its_figures_and_captures_are_served_over_http,
    wrong.what_is_wrong_is_said_in_a_line,
]
MORE = [
    capture.two_readers_at_once_and_a_stalled_one_hurts_nobody,
    capture.tcp_serves_and_is_read,
    capture.files_rotate_and_the_oldest_goes,
    capture.a_file_may_be_read_and_renamed_while_it_is_written,
    capture.standard_input_and_output_are_octets_as_they_are,
    capture.a_port_that_goes_is_waited_for_and_read_again,
    capture.a_port_in_use_is_waited_for,
    capture.a_rate_that_the_driver_does_not_take_is_told,
    servers.a_client_that_does_not_read_hurts_nobody,
    servers.a_broker_is_told,
    console.a_live_line_is_shown_and_taken_back,
    console.top_takes_the_console_and_gives_it_back,
    console.commands_say_what_they_say_on_linux,
    wireshark.it_is_started_on_a_pipe_and_both_end_together,
    wireshark.it_is_found_where_it_is_installed,
    wireshark.a_pipe_of_another_program_is_not_taken,
    wireshark.the_program_is_copied_to_where_wireshark_looks,
    recipes.the_readmes_recipes_for_windows_work,
    wrong.long_paths_and_names_in_other_letters_are_written,
]


def main():
    os.chdir(sys.argv[1])
    for test in QUICK + ([] if "quick" in sys.argv[3:] else MORE):
        begin = time.monotonic()
        test()
        print(f"windows: {test.__name__} ... ok, {time.monotonic() - begin:.1f} s", flush=True)


main()
