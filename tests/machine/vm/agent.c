/* The guest's side of rig.py: its first process, which loads the modules and then runs programs
 * for the host; where there is a systemd, that becomes the first process, and this one a service.
 *
 * One virtio-serial port carries frames in both directions, little endian:
 *   type(1) 0(1) id(2) len(4) payload(len)
 * host -> guest   X start program `id`: its arguments, each ended by a NUL
 *                 K send it a signal: 4 octets
 * guest -> host   R ready, O standard output, o standard error, Q ended: 4 octets, wait status
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PROGRAMS = 64, CHUNK = 16384 };

struct head {
    uint8_t type, zero;
    uint16_t id;
    uint32_t len;
};

static struct program {
    int used, id, out, err, ended, status;
    pid_t pid;
} programs[MAX_PROGRAMS];

static int port, child_pipe[2];

static void die(const char *what)
{
    printf("agent: %s: %s\n", what, strerror(errno));
    for (;;)
        pause();
}

static void write_all(const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len) {
        ssize_t n = write(port, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("write to the host");
        p += n;
        len -= n;
    }
}

static void tell(int type, int id, const void *data, uint32_t len)
{
    struct head h = { type, 0, id, len };
    write_all(&h, sizeof h);
    write_all(data, len);
}

static void load_modules(void)
{
    char path[256];
    FILE *list = fopen("/modules/order", "r");
    if (!list)
        die("/modules/order");
    while (fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
            printf("agent: module %s: %s\n", path, strerror(errno));
        close(fd);
    }
    fclose(list);
}

/* The one virtio port named "agent". */
static int open_port(void)
{
    for (int tries = 0; tries < 5000; tries++) {
        DIR *ports = opendir("/sys/class/virtio-ports");
        struct dirent *entry;
        while (ports && (entry = readdir(ports))) {
            char path[400], name[64] = "";
            snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
            FILE *f = fopen(path, "r");
            if (!f)
                continue;
            if (!fgets(name, sizeof name, f))
                name[0] = 0;
            fclose(f);
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
            int fd = strncmp(name, "agent", 5) ? -1 : open(path, O_RDWR | O_CLOEXEC);
            if (fd >= 0) {
                closedir(ports);
                return fd;
            }
        }
        if (ports)
            closedir(ports);
        usleep(2000);
    }
    die("no virtio port named agent");
    return -1;
}

static void start(int id, char *data, uint32_t len)
{
    int out[2], err[2], argc = 0;
    char *argv[256];
    struct program *p = NULL;
    for (int i = 0; i < MAX_PROGRAMS && !p; i++)
        if (!programs[i].used)
            p = &programs[i];
    for (uint32_t at = 0; at < len && argc < 255; at += strlen(data + at) + 1)
        argv[argc++] = data + at;
    argv[argc] = NULL;
    if (!p || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        die("cannot start one more program");
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        setsid();
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        execvp(argv[0], argv);
        dprintf(2, "agent: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    *p = (struct program){ .used = 1, .id = id, .pid = pid, .out = out[0], .err = err[0] };
}

static void from_host(const struct head *h, uint8_t *data)
{
    if (h->type == 'X')
        start(h->id, (char *)data, h->len);
    for (int i = 0; h->type == 'K' && i < MAX_PROGRAMS; i++)
        if (programs[i].used && programs[i].id == h->id && !programs[i].ended)
            kill(programs[i].pid, *(int32_t *)data);
}

static int forward(struct program *p, int *fd, int type)
{
    static uint8_t buf[CHUNK];
    ssize_t n = read(*fd, buf, sizeof buf);
    if (n < 0 && errno == EINTR)
        return 1;
    if (n <= 0) {
        close(*fd);
        *fd = -1;
        return 0;
    }
    tell(type, p->id, buf, n);
    return 1;
}

static void on_child(int signal)
{
    (void)signal;
    int saved = errno;
    if (write(child_pipe[1], "", 1) < 0) {}
    errno = saved;
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < MAX_PROGRAMS; i++)
            if (programs[i].used && programs[i].pid == pid) {
                programs[i].ended = 1;
                programs[i].status = status;
            }
}

/* A program is over when it has ended and its output is drained; a child of its that holds the
 * pipe open delays nothing. */
static void finish(struct program *p)
{
    for (int k = 0; k < 2; k++) {
        int *fd = k ? &p->err : &p->out;
        struct pollfd f = { *fd, POLLIN, 0 };
        while (*fd >= 0 && poll(&f, 1, 0) > 0 && forward(p, fd, k ? 'o' : 'O')) {}
        if (*fd >= 0)
            close(*fd);
    }
    tell('Q', p->id, &p->status, 4);
    p->used = 0;
}

static void serve(void)
{
    static uint8_t in[4 * CHUNK];
    size_t have = 0;
    for (;;) {
        struct pollfd fds[2 + 2 * MAX_PROGRAMS];
        int n = 0;
        fds[n++] = (struct pollfd){ port, POLLIN, 0 };
        fds[n++] = (struct pollfd){ child_pipe[0], POLLIN, 0 };
        for (int i = 0; i < MAX_PROGRAMS; i++) {
            fds[n++] = (struct pollfd){ programs[i].used ? programs[i].out : -1, POLLIN, 0 };
            fds[n++] = (struct pollfd){ programs[i].used ? programs[i].err : -1, POLLIN, 0 };
        }
        if (poll(fds, n, -1) < 0)
            continue;
        char rung[64];
        if (fds[1].revents && read(child_pipe[0], rung, sizeof rung) > 0)
            reap();
        for (int i = 0; i < MAX_PROGRAMS; i++) {
            if (!programs[i].used)
                continue;
            if (fds[2 + 2 * i].revents)
                forward(&programs[i], &programs[i].out, 'O');
            if (fds[3 + 2 * i].revents)
                forward(&programs[i], &programs[i].err, 'o');
            if (programs[i].ended)
                finish(&programs[i]);
        }
        if (fds[0].revents & POLLIN) {
            ssize_t got = read(port, in + have, sizeof in - have);
            if (got > 0)
                have += got;
            struct head h;
            while (have >= sizeof h) {
                memcpy(&h, in, sizeof h);
                size_t len = sizeof h + h.len;
                if (len > sizeof in)
                    die("frame too long");
                if (have < len)
                    break;
                from_host(&h, in + sizeof h);
                have -= len;
                memmove(in, in + len, have);
            }
        } else if (fds[0].revents & POLLHUP) {
            reboot(RB_POWER_OFF); /* the host has gone */
        }
    }
}

static void mount_at(const char *type, const char *path)
{
    mkdir(path, 0755);
    if (mount(type, path, type, 0, "") && errno != EBUSY)
        die(path);
}

/* Leaves all else to systemd, which starts this program again as a service. */
static void hand_over(char *const systemd[])
{
    /* A service's own view of the files is made by exchanging the root, which must not be the
     * kernel's first one for that. */
    if (mount("/", "/sysroot", NULL, MS_BIND, NULL) || chdir("/sysroot") ||
        mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
        die("/sysroot");
    execv(systemd[0], systemd);
    die(systemd[0]);
}

static void set_up_alone(void)
{
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    mount_at("devtmpfs", "/dev");
    mount_at("tmpfs", "/run");
    mkdir("/tmp", 01777);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; console >= 0 && fd < 3; fd++)
        dup2(console, fd);
}

int main(void)
{
    char *const systemd[] = { "/lib/systemd/systemd", NULL };
    int is_first = getpid() == 1, is_alone = access(systemd[0], X_OK);
    if (is_first && is_alone)
        set_up_alone();
    setvbuf(stdout, NULL, _IONBF, 0);
    if (is_first)
        load_modules();
    if (is_first && !is_alone)
        hand_over(systemd);
    setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
    setenv("HOME", "/tmp", 1);
    port = open_port();
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK))
        die("pipe");
    signal(SIGCHLD, on_child);
    tell('R', 0, "", 0);
    serve();
}
