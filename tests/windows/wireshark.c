/* Stands in for Wireshark.

     wireshark -k -i PIPE                         as --wireshark starts it: copies the pipe to standard
                                                  output, to its end, or as many octets as the variable
                                                  OCTETS says: then its window is closed
     wireshark PROGRAM INTERFACE OCTETS OPTION... as the host of an extcap: makes the pipe, has the program
                                                  capture into it, copies so many octets, and stops as
                                                  Wireshark does: closes the pipe, and sends nothing. Ends
                                                  with the program's exit code, or 99 if it does not end
*/
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

static int copy(HANDLE pipe, long octets)
{
    static char buffer[4096];
    DWORD length, written;
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    while (octets != 0 && ReadFile(pipe, buffer, sizeof buffer, &length, NULL) && length > 0) {
        if (!WriteFile(out, buffer, length, &written, NULL) || written < length)
            return 1;
        octets = octets < 0 ? octets : octets > (long)length ? octets - (long)length : 0;
    }
    return octets > 0;
}

static int view(const wchar_t *name)
{
    const char *octets = getenv("OCTETS");
    HANDLE pipe = CreateFileW(name, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE)
        return 1;
    copy(pipe, octets ? atol(octets) : -1);
    return 0;
}

static int capture(int argc, wchar_t **argv)
{
    static wchar_t command[4096];
    const wchar_t *name = L"\\\\.\\pipe\\wireshark_extcap_serialshark_20261128";
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION program;
    DWORD code = 99;
    HANDLE pipe = CreateNamedPipeW(name, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE | PIPE_WAIT, 1, 65536,
                                   65536, 300, NULL);
    if (pipe == INVALID_HANDLE_VALUE)
        return 98;
    swprintf(command, 4096, L"\"%ls\" --capture --extcap-interface %ls --fifo %ls", argv[1], argv[2],
             name);
    for (int i = 4; i < argc; i++) {
        wcscat(command, L" ");
        wcscat(command, argv[i]);
    }
    if (!CreateProcessW(argv[1], command, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL, &start,
                        &program))
        return 97;
    if (!ConnectNamedPipe(pipe, NULL) && GetLastError() != ERROR_PIPE_CONNECTED)
        return 96;
    copy(pipe, wcstol(argv[3], NULL, 10));
    CloseHandle(pipe);
    if (WaitForSingleObject(program.hProcess, 10000) == WAIT_OBJECT_0)
        GetExitCodeProcess(program.hProcess, &code);
    TerminateProcess(program.hProcess, 1);
    return (int)code;
}

int wmain(int argc, wchar_t **argv)
{
    if (argc == 4 && !wcscmp(argv[1], L"-k"))
        return view(argv[3]);
    return argc > 3 ? capture(argc, argv) : 2;
}
