complete -c serialshark -l config -d 'Read options from this TOML file: port, or ports = [...], and the long options\' names. An option on the command line comes in place of the file\'s' -r -F
complete -c serialshark -s p -l protocol -d 'What is spoken on the line [default: mstp]' -r -f -a "mstp\t'BACnet MS/TP on RS-485'
riot\t'IEEE 802.15.4 from RIOT\'s sniffer application'
pinoccio\t'IEEE 802.15.4 from At256rfr2Sniffer or a Pinoccio Scout'"
complete -c serialshark -s b -l baud -d 'Bits per second, any rate [default: mstp 38400, riot 115200, pinoccio 115200]' -r
complete -c serialshark -l fifo -d 'Feed the readers of this FIFO; made if missing. May be repeated' -r -F
complete -c serialshark -l tcp -d 'Serve readers of this TCP address; without ADDR only those of this machine. May be repeated' -r
complete -c serialshark -l unix -d 'Serve readers of this Unix socket. May be repeated' -r -F
complete -c serialshark -s w -l write -d 'Write to this file, or to standard output with -. May be repeated' -r -F
complete -c serialshark -s C -l rotate-size -d 'Begin the next file before this one exceeds SIZE millions of octets; 500k, 10M and 1G are thousands, millions and thousand millions. Adds number and time to the name: name_00001_20261123190000.pcapng' -r
complete -c serialshark -s G -l rotate-seconds -d 'Begin the next file with the first packet after this many seconds. Names as with -C' -r
complete -c serialshark -s W -l rotate-files -d 'Keep this many files, delete older ones, those of earlier runs too (with -C or -G); fewer if the disk is full. When none is left to delete packets are dropped until there is room' -r
complete -c serialshark -l format -d 'Capture format; pcapng shows damage, drops and comments in Wireshark, pcap cannot [default: by file extension, else pcap, or pcapng with several ports]' -r -f -a "pcap\t'Classic pcap 2.4, microseconds'
pcapng\t'pcapng, nanoseconds'"
complete -c serialshark -l history -d 'Give each new reader the last seconds first: what happened just before you looked' -r
complete -c serialshark -l history-size -d 'Memory that --history may take, in MiB' -r
complete -c serialshark -s B -l buffer-size -d 'Memory that packets may take while they wait for a slow reader, in MiB for each reader' -r
complete -c serialshark -l channel -d 'Radio channel: 11 to 26 (riot, pinoccio), 0 to 10 below 1 GHz (riot)' -r
complete -c serialshark -l interface -d 'Number of the sniffer\'s network interface that is its radio, as its ifconfig lists them (riot) [default: the first IEEE 802.15.4 radio]' -r
complete -c serialshark -l dtr -d 'Set DTR of the port: keep it as the kernel has it, which raises it [default: off for mstp, else keep]' -r -f -a "on\t'Raised'
off\t'Dropped'
keep\t'Left alone'"
complete -c serialshark -l rts -d 'Set RTS of the port, as --dtr. With off an RS-485 adapter never drives the bus' -r -f -a "on\t'Raised'
off\t'Dropped'
keep\t'Left alone'"
complete -c serialshark -l init -d 'Text that starts the sniffer, in place of the protocol\'s own (pinoccio); \\r and \\n are known' -r
complete -c serialshark -l record -d 'Store the octets and their times in this file, which as PORT gives the same packets again' -r -F
complete -c serialshark -s c -l count -d 'End after this many packets' -r
complete -c serialshark -l log-file -d 'Add log lines to this file as well, with their times' -r -F
complete -c serialshark -l force -d 'Overwrite capture files and recordings that exist'
complete -c serialshark -l replay-paced -d 'Replay a file in real time; without, as fast as possible'
complete -c serialshark -s t -l time -d 'Times of printed packets, as tcpdump has them: -t none, -tt seconds since 1970, -ttt since the line before, -tttt date and time, -ttttt since the first line'
complete -c serialshark -s x -l hex -d 'Print the bytes of each packet in hex'
complete -c serialshark -l no-tokens -d 'Print no packets that only keep the network going: tokens and polls for masters of MS/TP'
complete -c serialshark -l wait -d 'Wait for a port that is missing at the start, or in use; without, that is an error. One that vanishes later is waited for anyway'
complete -c serialshark -l same-adapter -d 'When a port vanishes, wait for the same adapter (by serial number, or where it is plugged in) and do not go on with another one of that name'
complete -c serialshark -l once -d 'End when a port vanishes, with exit status 1 as tcpdump has it, and all streams complete'
complete -c serialshark -s v -l verbose -d 'Say more on stderr; twice: still more. RUST_LOG is heard too'
complete -c serialshark -s q -l quiet -d 'Say less on stderr: warnings only; twice: errors only'
complete -c serialshark -s h -l help -d 'Print help (see more with \'--help\')'
complete -c serialshark -s V -l version -d 'Print version'
complete -c serialshark -n __fish_is_first_token -a ports -d 'The ports of this machine, and who has them'
complete -c serialshark -n __fish_is_first_token -a check-config -d 'What a file for --config says'
complete -c serialshark -n __fish_is_first_token -a extcap -d 'Ports in Wireshark\'s interface list'
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l install
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l uninstall
