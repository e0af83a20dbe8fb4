/* Copies a named pipe to standard output, opened as dumpcap does it: for reading, and again for half a
   minute as long as it is busy. With a second argument it reads nothing for so many seconds. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

int main(int argc, char **argv)
{
    static char buffer[4096];
    DWORD length, written;
    HANDLE pipe, out = GetStdHandle(STD_OUTPUT_HANDLE);
    if (argc < 2)
        return 2;
    do
        pipe = CreateFileA(argv[1], GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    while (pipe == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY
           && WaitNamedPipeA(argv[1], 30000));
    if (pipe == INVALID_HANDLE_VALUE) {
        fprintf(stderr, "read_pipe: error %lu\n", GetLastError());
        return 1;
    }
    if (argc > 2)
        Sleep(atoi(argv[2]) * 1000);
    while (ReadFile(pipe, buffer, sizeof buffer, &length, NULL) && length > 0)
        if (!WriteFile(out, buffer, length, &written, NULL) || written < length)
            break;
    return 0;
}
