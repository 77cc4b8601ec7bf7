/*
 * Stands between an unmodified xenstored or oxenstored and the hypervisor it does not have: preloaded, it answers the
 * library calls that these daemons make of libxenctrl, libxenevtchn and libxengnttab. Nothing of the store itself is here.
 *
 * Its world is the directory $SHIM_DIR:
 *   domains/N   domain N exists while this file does; an `s` in it: shut down, `c`: crashed, `d`: dying
 *   pages/N     the page that domain N shares with the daemon
 *   bell        a FIFO of 32-bit event channel ports: 1 is VIRQ_DOM_EXC, 1000 + N the ring of domain N
 *   run/socket  where the daemon's socket goes, whatever path it was built with
 * and $SHIM_ROOT, the tree that the daemon's packages were unpacked to.
 *
 * Build: cc -shared -fPIC -O2 -o shim.so shim.c -ldl
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096
#define VIRQ_PORT 1
#define RING_PORT 1000

/* What callers get for a library handle: they pass it back, and one library looks at its first words. */
static uint64_t handle[64];

static int next_open(const char *path, int flags, mode_t mode)
{
    static int (*next)(const char *, int, ...);
    if (next == NULL)
        next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    return next(path, flags, mode);
}

static const char *in_world(char *to, size_t size, const char *name, unsigned id)
{
    const char *world = getenv("SHIM_DIR");
    if (strchr(name, '%') != NULL) {
        char leaf[64];
        snprintf(leaf, sizeof leaf, name, id);
        snprintf(to, size, "%s/%s", world, leaf);
    } else
        snprintf(to, size, "%s/%s", world, name);
    return to;
}

/* The path a file really has here. */
static const char *moved(const char *path, char *to, size_t size)
{
    if (strncmp(path, "/usr/lib/xen-", 13) == 0 && getenv("SHIM_ROOT") != NULL) {
        snprintf(to, size, "%s%s", getenv("SHIM_ROOT"), path);
        return to;
    }
    if (strcmp(path, "/run/xenstored/socket") == 0 || strcmp(path, "/var/run/xenstored/socket") == 0)
        return in_world(to, size, "run/socket", 0);
    if (strstr(path, "/xsd_port") != NULL && strncmp(path, "/proc/", 6) == 0)
        return in_world(to, size, "port", 0);
    if (strstr(path, "/xsd_kva") != NULL && strncmp(path, "/proc/", 6) == 0)
        return in_world(to, size, "pages/0", 0);
    return path;
}

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        char to[512];                                           \
        mode_t mode = 0;                                        \
        va_list list;                                           \
        va_start(list, flags);                                  \
        if (flags & O_CREAT)                                    \
            mode = va_arg(list, mode_t);                        \
        va_end(list);                                           \
        return next_open(moved(path, to, sizeof to), flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPEN(__open_2)
OPEN(__open64_2)

int unlink(const char *path)
{
    char to[512];
    return unlinkat(AT_FDCWD, moved(path, to, sizeof to), 0);
}

int stat(const char *path, struct stat *to)
{
    char own[512];
    return fstatat(AT_FDCWD, moved(path, own, sizeof own), to, 0);
}
int stat64(const char *path, struct stat64 *to)
{
    char own[512];
    return fstatat64(AT_FDCWD, moved(path, own, sizeof own), to, 0);
}

/* OCaml's plugins are looked for in a folder and loaded by absolute path. */
DIR *opendir(const char *path)
{
    static DIR *(*next)(const char *);
    char to[512];
    if (next == NULL)
        next = (DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir");
    return next(moved(path, to, sizeof to));
}
void *dlopen(const char *path, int flags)
{
    static void *(*next)(const char *, int);
    char to[512];
    if (next == NULL)
        next = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return next(path == NULL ? NULL : moved(path, to, sizeof to), flags);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    char to[512];
    if (next == NULL)
        next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (address->sa_family != AF_UNIX)
        return next(fd, address, length);
    snprintf(own.sun_path, sizeof own.sun_path, "%s",
             moved(((const struct sockaddr_un *)address)->sun_path, to, sizeof to));
    return next(fd, (const struct sockaddr *)&own, sizeof own);
}

/* oxenstored asks for as many files as the kernel can have, which takes a privilege. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    (void)resource, (void)limit;
    return 0;
}
int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
    (void)resource, (void)limit;
    return 0;
}

/* ---- domains: libxenctrl ---- */

enum { DYING = 1, SHUT_DOWN = 2, CRASHED = 4 };

/* What is the matter with a domain, or -1 and ESRCH for none. */
static int state_of(uint32_t domid)
{
    char path[512], said[16] = "";
    int state = 0, fd = next_open(in_world(path, sizeof path, "domains/%u", domid), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        errno = ESRCH;
        return -1;
    }
    if (read(fd, said, sizeof said - 1) < 0)
        said[0] = 0;
    close(fd);
    for (const char *each = said; *each != 0; each++)
        state |= *each == 'd' ? DYING : *each == 's' ? SHUT_DOWN : *each == 'c' ? CRASHED | SHUT_DOWN : 0;
    return state;
}

void *xc_interface_open(void *logger, void *dombuild, unsigned flags)
{
    (void)logger, (void)dombuild, (void)flags;
    return handle;
}
int xc_interface_close(void *xch)
{
    (void)xch;
    return 0;
}
const void *xc_get_last_error(void *xch)
{
    static struct { int code; char message[1024]; } none;
    (void)xch;
    return &none;
}

/* xc_dominfo_t as 4.17 has it: domid, ssidref, then the bits dying, crashed, shutdown. */
int xc_domain_getinfo(void *xch, uint32_t first, unsigned count, uint32_t *to)
{
    int state = state_of(first);
    (void)xch, (void)count;
    if (state < 0)
        return 0;
    memset(to, 0, 12);
    to[0] = first;
    to[2] = (state & DYING ? 1 : 0) | (state & CRASHED ? 2 : 0) | (state & SHUT_DOWN ? 4 : 0);
    return 1;
}

/* struct xen_domctl_getdomaininfo: 16-bit domain, 16 bits of padding, flags with dying at 0, shutdown at 2, reason at 16. */
static int domain_info(uint32_t domid, uint32_t *to)
{
    int state = state_of(domid);
    if (state < 0)
        return -1;
    to[0] = domid & 0xffff;
    to[1] = (state & DYING ? 1u : 0) | (state & SHUT_DOWN ? 4u : 0) | (state & CRASHED ? 3u << 16 : 0);
    return 0;
}
int xc_domain_getinfo_single(void *xch, uint32_t domid, uint32_t *to)
{
    (void)xch;
    return domain_info(domid, to);
}
int xc_domain_getinfolist(void *xch, uint32_t first, unsigned count, uint32_t *to)
{
    (void)xch, (void)count;
    return domain_info(first, to) == 0 ? 1 : 0;
}

/* ---- the page that a domain shares: libxengnttab, or libxenctrl where a daemon maps by frame ---- */

static void *page_of(uint32_t domid)
{
    char path[512];
    int fd;
    void *page;
    if (state_of(domid) < 0)
        return NULL;
    fd = next_open(in_world(path, sizeof path, "pages/%u", domid), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, PAGE) != 0)
        return NULL;
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}
void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int protection, unsigned long frame)
{
    (void)xch, (void)size, (void)protection, (void)frame;
    return page_of(domid);
}
void *xengnttab_open(void *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return handle;
}
int xengnttab_close(void *gnttab)
{
    (void)gnttab;
    return 0;
}
int xengnttab_set_max_grants(void *gnttab, uint32_t count)
{
    (void)gnttab, (void)count;
    return 0;
}
void *xengnttab_map_grant_ref(void *gnttab, uint32_t domid, uint32_t reference, int protection)
{
    (void)gnttab, (void)reference, (void)protection;
    return page_of(domid);
}
int xengnttab_unmap(void *gnttab, void *at, uint32_t pages)
{
    (void)gnttab;
    return munmap(at, (size_t)pages * PAGE);
}

/* ---- event channels: libxenevtchn ---- */

static int bell = -1;

void *xenevtchn_open(void *logger, unsigned flags)
{
    char path[512];
    (void)logger, (void)flags;
    in_world(path, sizeof path, "bell", 0);
    bell = next_open(path, O_RDWR | O_CLOEXEC, 0); /* both ways, so that it never ends */
    return bell < 0 ? NULL : handle;
}
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
    (void)logger, (void)flags;
    bell = fd;
    return handle;
}
int xenevtchn_close(void *evtchn)
{
    (void)evtchn;
    return close(bell);
}
int xenevtchn_fd(void *evtchn)
{
    (void)evtchn;
    return bell;
}
int xenevtchn_pending(void *evtchn)
{
    uint32_t port;
    (void)evtchn;
    return read(bell, &port, sizeof port) == sizeof port ? (int)port : -1;
}
int xenevtchn_unmask(void *evtchn, uint32_t port)
{
    (void)evtchn, (void)port;
    return 0;
}
int xenevtchn_notify(void *evtchn, uint32_t port)
{
    (void)evtchn, (void)port;
    return 0;
}
int xenevtchn_unbind(void *evtchn, uint32_t port)
{
    (void)evtchn, (void)port;
    return 0;
}
int xenevtchn_bind_virq(void *evtchn, unsigned virq)
{
    (void)evtchn, (void)virq;
    return VIRQ_PORT;
}
int xenevtchn_bind_interdomain(void *evtchn, uint32_t domid, uint32_t port)
{
    (void)evtchn, (void)port;
    return RING_PORT + (int)domid;
}
