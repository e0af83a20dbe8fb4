complete -c serialshark -l config -d 'Read options from this TOML file. Keys: port, or ports = [...], and the names of the long options. Options on the command line override the file' -r -F
complete -c serialshark -s p -l protocol -d 'Protocol on the line [default: mstp]' -r -f -a "mstp\t'BACnet MS/TP on RS-485'
modbus\t'Modbus RTU on RS-485 or RS-232'
modbus-ascii\t'Modbus ASCII on RS-485 or RS-232'
dnp3\t'DNP3 of power and water plants'
iec101\t'IEC 60870-5-101, -102, -103 of power plants'
profibus\t'PROFIBUS DP telegrams on RS-485'
mbus\t'Wired M-Bus of meters'
dlms\t'DLMS/COSEM in HDLC of smart meters'
p1\t'P1 telegrams of smart meters (DSMR)'
ebus\t'eBUS of heating systems'
knx\t'KNX TP1 telegrams of buildings'
lin\t'LIN bus of vehicles'
dmx\t'DMX512, and RDM on the same line'
rdm\t'RDM on lines of DMX512'
ppp\t'PPP in HDLC-like framing, as modems speak it'
slip\t'IP over a serial line (SLIP)'
kiss\t'AX.25 packet radio from a KISS TNC'
h4\t'Bluetooth HCI over a UART (H4), between host and controller'
cmux\t'the multiplexer of mobile network modules (3GPP 27.010, basic option)'
slcan\t'CAN frames as text from an slcan adapter'
zwave\t'Z-Wave Serial API, between a host and its controller'
at\t'AT commands of modems and modules'
nmea\t'NMEA 0183 sentences of navigation instruments'
riot\t'IEEE 802.15.4 from RIOT\'s sniffer application'
pinoccio\t'IEEE 802.15.4 from At256rfr2Sniffer or a Pinoccio Scout'
sensniff\t'IEEE 802.15.4 from Contiki-NG\'s sensniff, or an older one'
nrf\t'IEEE 802.15.4 from Nordic\'s nRF Sniffer for 802.15.4'
zephyr\t'IEEE 802.15.4 from the sniffer of Zephyr\'s samples'
spinel\t'IEEE 802.15.4 from OpenThread\'s radio co-processor'
ti\t'IEEE 802.15.4 from TI\'s SmartRF Packet Sniffer 2, as of LaunchPads and CatSniffer'
sonoff\t'IEEE 802.15.4 from the sniffer for the SONOFF Dongle Plus-E'
esp\t'IEEE 802.15.4 from the sniffer of esp-rs for ESP32-C6 and ESP32-H2'
blueluna\t'IEEE 802.15.4 from blueluna\'s ieee802154-sniffer'
kirale\t'IEEE 802.15.4 from Kirale\'s KTDG dongle'
zniffer\t'Z-Wave from a Zniffer (Silicon Labs\' sniffer firmware)'
raw\t'a framing of your own: packets by pause, delimiter or length'
auto\t'Find out the protocol by listening, at any usual rate'"
complete -c serialshark -s b -l baud -d 'Bits per second, any rate; auto: tries the usual rates and formats until there are packets [default: mstp 38400, modbus 19200, modbus-ascii 19200, dnp3 9600, iec101 9600, profibus 1500000, mbus 2400, dlms 9600, p1 115200, ebus 2400, knx 19200, lin 19200, dmx 250000, rdm 250000, ppp 115200, slip 115200, kiss 9600, h4 115200, cmux 115200, slcan 115200, zwave 115200, at 115200, nmea 4800, riot 115200, pinoccio 115200, sensniff 460800, nrf 115200, zephyr 115200, spinel 115200, ti 921600, sonoff 1000000, esp 115200, blueluna 250000, kirale 115200, zniffer 230400, raw 115200, and auto on a serial port without -b and --line]' -r
complete -c serialshark -l line -d 'Data bits, parity and stop bits of the line, such as 8E1 or 7O2 [default: 8N1, modbus 8E1, modbus-ascii 7E1, iec101 8E1, profibus 8E1, mbus 8E1, knx 8E1, dmx 8N2, rdm 8N2]' -r
complete -c serialshark -l channel -d 'Radio channel: 11 to 26 (riot, pinoccio, sensniff, nrf, zephyr, spinel, ti, sonoff, esp, blueluna, kirale), 0 to 10 below 1 GHz (riot); or several, to listen on one after the other: 11,15,20 or 11-26' -r
complete -c serialshark -l dwell -d 'How long to listen on each of several channels, such as 500ms, 5s or 1m [default: 5s]' -r
complete -c serialshark -l interface -d 'Network interface of the sniffer to use, by the number that its ifconfig shows (riot) [default: the first IEEE 802.15.4 radio]' -r
complete -c serialshark -l dtr -d 'Set the port\'s DTR line; keep leaves it as the kernel sets it, which is on [default: off for mstp, modbus, modbus-ascii, dnp3, iec101, profibus, mbus, ebus, knx, lin, dmx, rdm, zephyr, esp, raw, else keep]' -r -f -a "on\t'Switched on'
off\t'Switched off'
keep\t'As the kernel sets it'"
complete -c serialshark -l rts -d 'Set the port\'s RTS line, like --dtr. With off, an RS-485 adapter does not drive the bus' -r -f -a "on\t'Switched on'
off\t'Switched off'
keep\t'As the kernel sets it'"
complete -c serialshark -l init -d 'Start command to send instead of the default (pinoccio). Escapes: \\r \\n' -r
complete -c serialshark -l gap -d 'A pause that is longer ends a packet: 35bit (bit times), 10ms, 500us. Over USB, two packets less than some 20 ms apart may come as one [default without another rule: 10ms] (raw)' -r
complete -c serialshark -l delimiter -d 'These bytes end a packet, such as 0d0a; with --gap a pause does so as well (raw)' -r
complete -c serialshark -l length-field -d 'Where a packet says its length: offset from 0, size in bytes (1 to 4), be or le, and what to add to get the length of the whole packet: 2,2,be,4 (raw)' -r
complete -c serialshark -l start -d 'A packet starts with these bytes, such as aa55 (raw)' -r
complete -c serialshark -l check -d 'Check sequence that begins END bytes before the packet\'s end and covers what is before it, from byte FROM on: crc16-modbus@-2, crc16-ccitt-false@1..-3,le, xor8@-1. Names: crc8, crc8-maxim, crc16-arc, crc16-ccitt-false, crc16-dnp, crc16-kermit, crc16-modbus, crc16-x25, crc16-xmodem, crc32, crc32c, crc32-mpeg2, lrc8, sum8, xor8 (raw)' -r
complete -c serialshark -l max-length -d 'Length of the longest packet in bytes; longer ones are cut [default: 2048] (raw)' -r
complete -c serialshark -l dissector -d 'Wireshark\'s dissector for the packets, by its filter name, such as mbrtu [default: data] (raw)' -r
complete -c serialshark -l link-type -d 'Link type of the packets, a number such as 147 (USER0), in place of --dissector (raw)' -r
complete -c serialshark -l wireshark -d 'Start Wireshark (or PROGRAM, as PROGRAM -k -i FIFO) and show the packets there; end when it ends. Without Wireshark or a screen, packets are printed instead' -r
complete -c serialshark -l fifo -d 'Write to each reader of this FIFO, which is made if missing. May be repeated' -r -F
complete -c serialshark -l pipe -d 'On Windows: write to each reader of this named pipe, \\\\.\\pipe\\NAME. May be repeated' -r
complete -c serialshark -l tcp -d 'Serve readers at this TCP address; without ADDR only from this machine. May be repeated' -r
complete -c serialshark -l http -d 'Serve a page on the line, its figures and captures by HTTP at this address; without ADDR only from this machine' -r
complete -c serialshark -l http-token -d 'Ask HTTP clients for the token in this file (Authorization: Bearer, or ?token=)' -r -F
complete -c serialshark -l unix -d 'Serve readers at this Unix socket. May be repeated' -r -F
complete -c serialshark -s w -l write -d 'Write to this file, or to standard output with -. May be repeated' -r -F
complete -c serialshark -s C -l rotate-size -d 'Start a new file before this one exceeds SIZE million bytes; with a suffix: 500k, 10M, 1G (powers of 1000). Adds number and time to the name: name_00001_20261123190000.pcapng' -r
complete -c serialshark -s G -l rotate-seconds -d 'Start a new file with the first packet after N seconds. Names as with -C, or from strftime(3) conversions in FILE: trunk_%Y%m%d_%H.pcapng' -r
complete -c serialshark -s W -l rotate-files -d 'Keep N files and delete older ones, also from earlier runs (with -C or -G). When the disk is full, the oldest files are deleted; when none is left, packets are dropped until there is room' -r
complete -c serialshark -s z -l postrotate-command -d 'Run COMMAND FILE, at the lowest priority, when the next file has begun (with -C or -G)' -r
complete -c serialshark -l format -d 'Capture format; pcapng shows damage, drops and comments in Wireshark, pcap cannot [default: by file extension, else pcap, or pcapng with several ports]' -r -f -a "pcap\t'Classic pcap 2.4, microseconds'
pcapng\t'pcapng, nanoseconds'"
complete -c serialshark -l history -d 'Send each new reader the packets of the last SECONDS first' -r
complete -c serialshark -l history-size -d 'Memory for --history, in MiB' -r
complete -c serialshark -s B -l buffer-size -d 'Memory for packets that wait for a slow reader, in MiB for each reader; when it is full, packets are dropped for that reader' -r
complete -c serialshark -l group -d 'Group of new FIFOs, sockets and files, by name or number [default: under sudo the group of the user who typed it]' -r
complete -c serialshark -l mode -d 'Permissions of new FIFOs, sockets and files, in octal, such as 0660; the umask is ignored' -r
complete -c serialshark -l record -d 'Store the raw bytes and their times in this file; read it later as PORT to get the same packets. If it exists, a number is added to the name' -r -F
complete -c serialshark -l report-every -d 'Every DURATION, such as 1h, 15m or 30s, write a report on that time, as JSON like that of report --json, and as a page beside it (.html). Log lines say when a finding appears and when it is over' -r
complete -c serialshark -l report -d 'The file that --report-every replaces [default: serialshark-report.json beside the first file of -w, else in the working directory]' -r -F
complete -c serialshark -l mqtt -d 'Tell an MQTT broker of the line, mqtt://[USER@]HOST[:PORT]/PREFIX, or mqtts:// for TLS: the report and its chief figures at PREFIX/report, PREFIX/grade and so on, findings at PREFIX/findings. {port} in it is the port\'s short name, for several ports: SITE/{port}' -r
complete -c serialshark -l mqtt-password-file -d 'The file with the password of USER in --mqtt' -r -F
complete -c serialshark -l mqtt-ca -d 'Certificates (PEM) of the authorities that the broker\'s certificate is checked against, instead of those of the system' -r -F
complete -c serialshark -l nats -d 'Store the packets on a NATS server with JetStream, nats://[USER@]HOST[:PORT]/SITE.TRUNK; to read them anywhere: serialshark nats://HOST/SITE.TRUNK. {port} in it is the port\'s short name, so that each of several ports is a trunk: SITE.{port}' -r
complete -c serialshark -l nats-keep -d 'Where --nats makes a stream: keep packets for so long, and of so much size: 7d,10G [default: 7d,1G]' -r
complete -c serialshark -l nats-spool -d 'Keep packets for --nats in files in DIR until the server has stored them, so that none is lost while it is away' -r -F
complete -c serialshark -l since -d 'Of nats://HOST/SITE.TRUNK: begin so long ago (30m, 2h, 7d), and go on with what comes' -r
complete -c serialshark -l from -d 'Of nats://HOST/SITE.TRUNK: begin at this time: 10:15, "2026-11-28 10:15:00" (local time), 2026-11-28T10:15:00Z' -r
complete -c serialshark -l to -d 'Of nats://HOST/SITE.TRUNK: end at this time' -r
complete -c serialshark -l nats-creds -d 'Credentials file for the NATS server, as nsc makes it' -r -F
complete -c serialshark -l nats-password-file -d 'The file with the password of USER in nats://USER@HOST' -r -F
complete -c serialshark -l nats-ca -d 'Certificates (PEM) of the authorities that the NATS server\'s certificate is checked against, instead of those of the system' -r -F
complete -c serialshark -s c -l count -d 'End after this many packets' -r
complete -c serialshark -l log-file -d 'Also append log lines, with their times, to this file' -r -F
complete -c serialshark -s D -l list-interfaces -d 'List the serial ports, like the command ports'
complete -c serialshark -l compress -d 'Compress each file with gzip when the next one has begun (with -C or -G); Wireshark reads them'
complete -c serialshark -l force -d 'Overwrite capture files and recordings that exist'
complete -c serialshark -l replay-paced -d 'Replay a file in real time instead of as fast as possible'
complete -c serialshark -s t -l time -d 'Time style of printed packets, as in tcpdump: -t none, -tt seconds since 1970, -ttt since the previous line, -tttt date and time, -ttttt since the first line'
complete -c serialshark -s x -l hex -d 'Print the bytes of each packet in hex'
complete -c serialshark -l no-tokens -d 'Do not print MS/TP tokens and polls for masters'
complete -c serialshark -l mqtt-discovery -d 'Tell Home Assistant which figures there are, so that it shows them'
complete -c serialshark -l wait -d 'Wait for a port that is missing or in use at the start, instead of failing. A port that disappears later is always waited for, unless --once is given'
complete -c serialshark -l same-adapter -d 'When a port disappears, wait for the same adapter (same serial number, or same USB socket) and do not use a different one with the same port name'
complete -c serialshark -l once -d 'Exit with status 1 when the port disappears, after closing all streams cleanly'
complete -c serialshark -s v -l verbose -d 'More log output (-vv for trace); RUST_LOG also works'
complete -c serialshark -s q -l quiet -d 'Less log output: warnings only (-qq: errors only)'
complete -c serialshark -s h -l help -d 'Print help (see more with \'--help\')'
complete -c serialshark -n __fish_is_first_token -a capture -d 'Capture ports; the default without a command'
complete -c serialshark -n __fish_is_first_token -a ports -d 'List the serial ports of this machine without opening them'
complete -c serialshark -n "__fish_seen_subcommand_from ports" -l json
complete -c serialshark -n __fish_is_first_token -a protocols -d 'List the protocols that serialshark reads, or describe one'
complete -c serialshark -n "__fish_seen_subcommand_from protocols" -l json
complete -c serialshark -n __fish_is_first_token -a detect -d 'Find out which protocol is spoken on a port, and at which rate'
complete -c serialshark -n "__fish_seen_subcommand_from detect" -l timeout
complete -c serialshark -n "__fish_seen_subcommand_from detect" -l json
complete -c serialshark -n __fish_is_first_token -a survey -d 'Listen on one radio channel after the other, and say what is on each'
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l protocol
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l baud
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l line
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l channel
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l dwell
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l interface
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l dtr
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l rts
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l init
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l gap
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l delimiter
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l length-field
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l start
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l check
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l max-length
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l dissector
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l link-type
complete -c serialshark -n "__fish_seen_subcommand_from survey" -l json
complete -c serialshark -n __fish_is_first_token -a check-config -d 'Check configuration files and print what they ask for'
complete -c serialshark -n __fish_is_first_token -a report -d 'Say what is wrong with a captured line, and what to do'
complete -c serialshark -n "__fish_seen_subcommand_from report" -l json
complete -c serialshark -n "__fish_seen_subcommand_from report" -l html
complete -c serialshark -n "__fish_seen_subcommand_from report" -l baseline
complete -c serialshark -n "__fish_seen_subcommand_from report" -l fail-on
complete -c serialshark -n "__fish_seen_subcommand_from report" -l baud
complete -c serialshark -n "__fish_seen_subcommand_from report" -l latency
complete -c serialshark -n "__fish_seen_subcommand_from report" -l protocol
complete -c serialshark -n "__fish_seen_subcommand_from report" -l since
complete -c serialshark -n "__fish_seen_subcommand_from report" -l from
complete -c serialshark -n "__fish_seen_subcommand_from report" -l to
complete -c serialshark -n "__fish_seen_subcommand_from report" -l nats-creds
complete -c serialshark -n "__fish_seen_subcommand_from report" -l nats-password-file
complete -c serialshark -n "__fish_seen_subcommand_from report" -l nats-ca
complete -c serialshark -n __fish_is_first_token -a top -d 'Show the state of a line live in the terminal, while it is captured'
complete -c serialshark -n "__fish_seen_subcommand_from top" -l list-interfaces
complete -c serialshark -n "__fish_seen_subcommand_from top" -l config
complete -c serialshark -n "__fish_seen_subcommand_from top" -l protocol
complete -c serialshark -n "__fish_seen_subcommand_from top" -l baud
complete -c serialshark -n "__fish_seen_subcommand_from top" -l line
complete -c serialshark -n "__fish_seen_subcommand_from top" -l channel
complete -c serialshark -n "__fish_seen_subcommand_from top" -l dwell
complete -c serialshark -n "__fish_seen_subcommand_from top" -l interface
complete -c serialshark -n "__fish_seen_subcommand_from top" -l dtr
complete -c serialshark -n "__fish_seen_subcommand_from top" -l rts
complete -c serialshark -n "__fish_seen_subcommand_from top" -l init
complete -c serialshark -n "__fish_seen_subcommand_from top" -l gap
complete -c serialshark -n "__fish_seen_subcommand_from top" -l delimiter
complete -c serialshark -n "__fish_seen_subcommand_from top" -l length-field
complete -c serialshark -n "__fish_seen_subcommand_from top" -l start
complete -c serialshark -n "__fish_seen_subcommand_from top" -l check
complete -c serialshark -n "__fish_seen_subcommand_from top" -l max-length
complete -c serialshark -n "__fish_seen_subcommand_from top" -l dissector
complete -c serialshark -n "__fish_seen_subcommand_from top" -l link-type
complete -c serialshark -n "__fish_seen_subcommand_from top" -l wireshark
complete -c serialshark -n "__fish_seen_subcommand_from top" -l fifo
complete -c serialshark -n "__fish_seen_subcommand_from top" -l pipe
complete -c serialshark -n "__fish_seen_subcommand_from top" -l tcp
complete -c serialshark -n "__fish_seen_subcommand_from top" -l http
complete -c serialshark -n "__fish_seen_subcommand_from top" -l http-token
complete -c serialshark -n "__fish_seen_subcommand_from top" -l unix
complete -c serialshark -n "__fish_seen_subcommand_from top" -l write
complete -c serialshark -n "__fish_seen_subcommand_from top" -l rotate-size
complete -c serialshark -n "__fish_seen_subcommand_from top" -l rotate-seconds
complete -c serialshark -n "__fish_seen_subcommand_from top" -l rotate-files
complete -c serialshark -n "__fish_seen_subcommand_from top" -l postrotate-command
complete -c serialshark -n "__fish_seen_subcommand_from top" -l compress
complete -c serialshark -n "__fish_seen_subcommand_from top" -l format
complete -c serialshark -n "__fish_seen_subcommand_from top" -l history
complete -c serialshark -n "__fish_seen_subcommand_from top" -l history-size
complete -c serialshark -n "__fish_seen_subcommand_from top" -l buffer-size
complete -c serialshark -n "__fish_seen_subcommand_from top" -l force
complete -c serialshark -n "__fish_seen_subcommand_from top" -l group
complete -c serialshark -n "__fish_seen_subcommand_from top" -l mode
complete -c serialshark -n "__fish_seen_subcommand_from top" -l record
complete -c serialshark -n "__fish_seen_subcommand_from top" -l replay-paced
complete -c serialshark -n "__fish_seen_subcommand_from top" -l time
complete -c serialshark -n "__fish_seen_subcommand_from top" -l hex
complete -c serialshark -n "__fish_seen_subcommand_from top" -l no-tokens
complete -c serialshark -n "__fish_seen_subcommand_from top" -l report-every
complete -c serialshark -n "__fish_seen_subcommand_from top" -l report
complete -c serialshark -n "__fish_seen_subcommand_from top" -l mqtt
complete -c serialshark -n "__fish_seen_subcommand_from top" -l mqtt-password-file
complete -c serialshark -n "__fish_seen_subcommand_from top" -l mqtt-ca
complete -c serialshark -n "__fish_seen_subcommand_from top" -l mqtt-discovery
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats-keep
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats-spool
complete -c serialshark -n "__fish_seen_subcommand_from top" -l since
complete -c serialshark -n "__fish_seen_subcommand_from top" -l from
complete -c serialshark -n "__fish_seen_subcommand_from top" -l to
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats-creds
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats-password-file
complete -c serialshark -n "__fish_seen_subcommand_from top" -l nats-ca
complete -c serialshark -n "__fish_seen_subcommand_from top" -l count
complete -c serialshark -n "__fish_seen_subcommand_from top" -l wait
complete -c serialshark -n "__fish_seen_subcommand_from top" -l same-adapter
complete -c serialshark -n "__fish_seen_subcommand_from top" -l once
complete -c serialshark -n "__fish_seen_subcommand_from top" -l log-file
complete -c serialshark -n "__fish_seen_subcommand_from top" -l verbose
complete -c serialshark -n "__fish_seen_subcommand_from top" -l quiet
complete -c serialshark -n __fish_is_first_token -a fleet -d 'Serve one page on all lines that a NATS server keeps, those with trouble first'
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l list-interfaces
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l config
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l protocol
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l baud
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l line
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l channel
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l dwell
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l interface
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l dtr
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l rts
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l init
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l gap
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l delimiter
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l length-field
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l start
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l check
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l max-length
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l dissector
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l link-type
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l wireshark
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l fifo
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l pipe
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l tcp
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l http
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l http-token
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l unix
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l write
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l rotate-size
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l rotate-seconds
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l rotate-files
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l postrotate-command
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l compress
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l format
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l history
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l history-size
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l buffer-size
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l force
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l group
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l mode
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l record
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l replay-paced
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l time
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l hex
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l no-tokens
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l report-every
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l report
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l mqtt
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l mqtt-password-file
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l mqtt-ca
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l mqtt-discovery
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats-keep
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats-spool
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l since
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l from
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l to
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats-creds
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats-password-file
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l nats-ca
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l count
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l wait
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l same-adapter
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l once
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l log-file
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l verbose
complete -c serialshark -n "__fish_seen_subcommand_from fleet" -l quiet
complete -c serialshark -n __fish_is_first_token -a extcap -d 'Add the ports to the interface list of Wireshark and tshark, or remove them'
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l install
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l uninstall
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l nats
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l nats-creds
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l nats-password-file
complete -c serialshark -n "__fish_seen_subcommand_from extcap" -l nats-ca
complete -c serialshark -n __fish_is_first_token -a service -d 'On Windows: capture for as long as the machine runs, as a service'
