/* A plugin for libhdf5 (filter 480, unregistered) that leaves bytes as they are when a file is written, and
 * when it is read does what the first parameter of the dataset says. Compiled by test_fallback.py. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDENTITY, CRASH, SPIN, SLEEP, EAT, SHORT, EXPLORE, SILENCE, QUIT, MEMORY, ENVIRONMENT };

/* Changes the first byte where something can be had that should not be. */
static int explore(void) {
    int found = open("/etc/passwd", O_RDONLY) >= 0 || open("/tmp/tarn-odd-filter", O_CREAT | O_WRONLY, 0600) >= 0;
    if (kill(getppid(), 0) == 0) found |= 2;
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)0);
        _exit(7);
    }
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0) found |= 4;
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    /* Nobody listens there: refused by the kernel's rules is EACCES, by the peer ECONNREFUSED. */
    extern int *__errno_location(void);
    if (tcp >= 0 && connect(tcp, (struct sockaddr *)&to, sizeof to) < 0 && *__errno_location() != 13) found |= 8;
    return found;
}

static size_t filter(unsigned flags, size_t count, const unsigned parameters[], size_t bytes, size_t *size, void **buffer) {
    if (!(flags & 0x100) || count == 0) return bytes;
    switch (parameters[0]) {
    case CRASH: *(volatile int *)8 = 1; break;
    case SPIN: for (volatile unsigned i = 0;; i++) {} break;
    case SLEEP: for (;;) sleep(1000); break;
    case EAT:
        for (;;) {
            char *more = malloc(64 << 20);
            if (!more) return 0;
            memset(more, 1, 64 << 20);
        }
        break;
    case SHORT: return bytes / 2;
    case EXPLORE: *(unsigned char *)*buffer = (unsigned char)explore(); break;
    case SILENCE: close(0); for (int fd = 3; fd < 64; fd++) close(fd); break;
    case QUIT: _exit(3);
    case MEMORY: {
        /* What it keeps of the chunk before this one. */
        static unsigned char kept;
        unsigned char *values = *buffer;
        unsigned char first = values[0];
        values[0] = kept;
        kept = first;
        break;
    }
    case ENVIRONMENT: *(unsigned char *)*buffer = getenv("TARN_SECRET") || getenv("HOME") ? 1 : 0; break;
    default: break;
    }
    (void)size;
    return bytes;
}

static const struct {
    int version, id;
    unsigned encodes, decodes;
    const char *name;
    void *can_apply, *set_local;
    size_t (*filter)(unsigned, size_t, const unsigned[], size_t, size_t *, void **);
} class = {1, 480, 1, 1, "odd", 0, 0, filter};

int H5PLget_plugin_type(void) { return 0; }
const void *H5PLget_plugin_info(void) { return &class; }
