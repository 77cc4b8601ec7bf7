/*
 * A stand-in for Xen's tool libraries, for tests without Xen: the functions that the product calls, over domains that
 * live in a file next to this library, so that a test and a daemon in other processes see the same ones. Errors,
 * pause counts, the ring and the order of things are those of xen/common/vm_event.c, event_channel.c and domctl.c.
 *
 * The standin_ functions are the other side: a toolstack that makes domains, and guests whose vCPUs execute SMC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DOMAINS = 16, VCPUS = 12, PAGES = 512, FRAMES = 64, HANDLES = 64, PORTS = 64, PAGE = 4096 };
enum { SLOTS = 8, RING_HEADER = 64, RING_ENTRY = 400, VM_EVENT_VERSION = 7 };

typedef struct { /* vcpu_guest_context on arm64: public/arch-arm.h */
  uint32_t flags, pad;
  uint64_t x[31], pc, cpsr, spsr_el1;
  uint32_t spsr_32[4];
  uint64_t sp_el0, sp_el1, elr_el1, sctlr, ttbcr, ttbr0, ttbr1;
} context_t;
_Static_assert(sizeof(context_t) == 352, "arm64 context");

typedef struct {
  context_t context;
  bool initialised, down;
  int event_pauses; /* vm_event_pause_count */
  uint64_t traps, starts;
} vcpu_t;

typedef struct {
  bool used, dying, shut_down;
  uint32_t domid, reason, vcpus, pauses;
  uint8_t uuid[16];
  uint64_t cpu_time, unpauses;
  vcpu_t vcpu[VCPUS];
  uint64_t gfn[FRAMES];
  int32_t page[FRAMES]; /* 0: none; else index into pages */
  bool has_monitor_page;
  bool enabled, monitored; /* a ring is there; SMCs go to it */
  int32_t ring_page;
  uint32_t requests, responses, remote_port;
  int32_t room; /* pages it may still be given */
  uint64_t default_calls; /* SMCs that Xen answered itself */
} domain_t;

typedef struct { bool used; uint32_t domid, remote_port, handle; } port_t;

typedef struct {
  pthread_mutex_t lock;
  uint32_t ready, generation;
  domain_t domain[DOMAINS];
  port_t port[PORTS];
  uint8_t handle_used[HANDLES];
  uint8_t page_used[PAGES];
  int32_t mappings, handles_open;
  uint32_t calls; /* of the product, all together */
  int32_t fail_at, fail_errno, fail_on;
  uint32_t fail_domid;
  bool no_vm_event, deny;
} state_t;

enum { STATE_BYTES = (sizeof(state_t) + PAGE - 1) / PAGE * PAGE };

static state_t *state;
static int state_fd = -1;
static char base[400];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void attach(void) {
  Dl_info info;
  char path[512];
  dladdr((void *)attach, &info);
  snprintf(base, sizeof base, "%s", info.dli_fname);
  snprintf(path, sizeof path, "%s.state", base);
  state_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (state_fd < 0) { perror(path); abort(); }
  flock(state_fd, LOCK_EX);
  struct stat stat;
  fstat(state_fd, &stat);
  bool fresh = stat.st_size == 0;
  if (fresh && ftruncate(state_fd, STATE_BYTES + (off_t)PAGES * PAGE)) abort();
  state = mmap(NULL, STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
  if (state == MAP_FAILED) abort();
  if (fresh) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&state->lock, &kind);
    state->fail_at = -1;
    state->page_used[0] = 1;
  }
  flock(state_fd, LOCK_UN);
}

static void lock(void) {
  pthread_once(&once, attach);
  if (pthread_mutex_lock(&state->lock) == EOWNERDEAD) pthread_mutex_consistent(&state->lock);
}
static void unlock(void) { pthread_mutex_unlock(&state->lock); }

static void changed(void) {
  __atomic_add_fetch(&state->generation, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &state->generation, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}
/* Gives the lock back until something changed, or ten milliseconds have passed: a process may be killed unnoticed. */
static void wait_change(void) {
  uint32_t seen = __atomic_load_n(&state->generation, __ATOMIC_SEQ_CST);
  struct timespec most = {0, 10000000};
  unlock();
  syscall(SYS_futex, &state->generation, FUTEX_WAIT, seen, &most, NULL, 0);
  lock();
}

static int fail(int error) { errno = error; return -1; }

static domain_t *find(uint32_t domid) {
  for (int i = 0; i < DOMAINS; i++)
    if (state->domain[i].used && state->domain[i].domid == domid) return &state->domain[i];
  return NULL;
}

static int new_page(void) {
  for (int i = 1; i < PAGES; i++)
    if (!state->page_used[i]) { state->page_used[i] = 1; return i; }
  return 0;
}
static void *map_page(int page) {
  void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, STATE_BYTES + (off_t)page * PAGE);
  return at == MAP_FAILED ? NULL : at;
}
static void clear_page(int page, int value) {
  void *at = map_page(page);
  memset(at, value, PAGE);
  munmap(at, PAGE);
}
static int *frame(domain_t *d, uint64_t gfn, bool make) {
  for (int i = 0; i < FRAMES; i++)
    if (d->page[i] && d->gfn[i] == gfn) return &d->page[i];
  if (make)
    for (int i = 0; i < FRAMES; i++)
      if (!d->page[i]) { d->gfn[i] = gfn; return &d->page[i]; }
  return NULL;
}

static void drop_ring(domain_t *d) {
  if (d->ring_page) state->page_used[d->ring_page] = 0;
  d->ring_page = 0;
  d->enabled = false;
}

static void kill_domain(domain_t *d) {
  drop_ring(d);
  for (int i = 0; i < FRAMES; i++)
    if (d->page[i]) { state->page_used[d->page[i]] = 0; d->page[i] = 0; }
  d->used = false;
  changed();
}

/* Every call of the product passes here: the place where a test has the domain die, or the call fail. */
static bool struck(void) {
  int at = (int)state->calls++;
  if (state->fail_at < 0 || at < state->fail_at || (at > state->fail_at && !state->fail_on)) return false;
  if (state->fail_errno == 0) {
    domain_t *d = find(state->fail_domid);
    if (d) kill_domain(d);
    return false;
  }
  errno = state->fail_errno;
  return true;
}
#define ENTER() do { lock(); if (struck()) { int e_ = errno; unlock(); errno = e_; return -1; } } while (0)
#define LEAVE(result) do { int r_ = (result), e_ = errno; unlock(); errno = e_; return r_; } while (0)

/* ---- libxenctrl ---- */

void *xc_interface_open(void *logger, void *dombuild, unsigned flags) {
  (void)logger, (void)dombuild, (void)flags;
  lock();
  bool deny = state->deny;
  if (!deny) state->handles_open++;
  unlock();
  if (deny) { errno = EACCES; return NULL; }
  return malloc(1);
}
int xc_interface_close(void *handle) { lock(); state->handles_open--; unlock(); free(handle); return 0; }

int xc_domain_getinfolist(void *handle, uint32_t first, unsigned count, uint8_t *to) {
  (void)handle;
  ENTER();
  domain_t *best = NULL;
  for (int i = 0; i < DOMAINS; i++) {
    domain_t *d = &state->domain[i];
    if (d->used && d->domid >= first && (!best || d->domid < best->domid)) best = d;
  }
  if (!best || count == 0) LEAVE(0);
  uint32_t online = 0;
  for (uint32_t i = 0; i < best->vcpus; i++) online += !best->vcpu[i].down;
  memset(to, 0, 120);
  *(uint16_t *)to = best->domid;
  *(uint32_t *)(to + 4) = (best->dying ? 1 : 0) | 2 | (best->shut_down ? 4 | best->reason << 16 : 0) | (best->pauses ? 8 : 0);
  *(uint64_t *)(to + 56) = best->cpu_time;
  *(uint32_t *)(to + 64) = online;
  *(uint32_t *)(to + 68) = best->vcpus - 1;
  memcpy(to + 76, best->uuid, 16);
  LEAVE(1);
}

int xc_vcpu_getinfo(void *handle, uint32_t domid, uint32_t vcpu, uint8_t *to) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (vcpu >= d->vcpus) LEAVE(fail(ENOENT));
  memset(to, 0, 24);
  *(uint32_t *)to = vcpu;
  to[4] = !d->vcpu[vcpu].down;
  LEAVE(0);
}

int xc_domain_pause(void *handle, uint32_t domid) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  d->pauses++;
  LEAVE(0);
}
int xc_domain_unpause(void *handle, uint32_t domid) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (!d->pauses) LEAVE(fail(EINVAL));
  d->pauses--;
  d->unpauses++;
  if (!d->pauses) d->cpu_time += 1000;
  changed();
  LEAVE(0);
}
int xc_domain_destroy(void *handle, uint32_t domid) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  kill_domain(d);
  LEAVE(0);
}
int xc_domain_shutdown(void *handle, uint32_t domid, int reason) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (!d->shut_down) { d->shut_down = true; d->reason = reason; }
  changed();
  LEAVE(0);
}

static bool guest_psr(uint64_t psr) { return (psr & 0x1f) == 5 || (psr & 0x1f) == 4 || (psr & 0x1f) == 0 || (psr & 0x10); }

int xc_vcpu_getcontext(void *handle, uint32_t domid, uint32_t vcpu, context_t *to) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (vcpu >= d->vcpus) LEAVE(fail(EINVAL));
  if (!d->vcpu[vcpu].initialised) LEAVE(fail(ENODATA));
  *to = d->vcpu[vcpu].context;
  to->flags = d->vcpu[vcpu].down ? 0 : 1;
  LEAVE(0);
}
int xc_vcpu_setcontext(void *handle, uint32_t domid, uint32_t vcpu, const context_t *from) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (vcpu >= d->vcpus) LEAVE(fail(EINVAL));
  if (!guest_psr(from->cpsr)) LEAVE(fail(EINVAL));
  vcpu_t *v = &d->vcpu[vcpu];
  v->context = *from;
  v->initialised = true;
  if (v->down && (from->flags & 1)) v->starts++;
  v->down = !(from->flags & 1);
  changed();
  LEAVE(0);
}

int xc_domain_populate_physmap_exact(void *handle, uint32_t domid, unsigned long count, unsigned order, unsigned flags, uint64_t *gfn) {
  (void)handle, (void)flags;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (count != 1 || order != 0) LEAVE(fail(EINVAL));
  if (d->room <= 0) LEAVE(fail(ENOMEM));
  int *at = frame(d, *gfn, true), page = new_page();
  if (!at || !page) LEAVE(fail(ENOMEM));
  if (*at) state->page_used[*at] = 0;
  *at = page;
  d->room--;
  clear_page(page, 0xa5);
  LEAVE(0);
}
int xc_domain_cacheflush(void *handle, uint32_t domid, uint64_t first, uint64_t count) {
  (void)handle, (void)first, (void)count;
  ENTER();
  LEAVE(find(domid) ? 0 : fail(ESRCH));
}

void *xc_monitor_enable(void *handle, uint32_t domid, uint32_t *port) {
  (void)handle;
  lock();
  void *ring = NULL;
  int error = 0;
  if (struck()) error = errno;
  domain_t *d = find(domid);
  if (error) ;
  else if (!d) error = ESRCH;
  else if (state->no_vm_event || !d->has_monitor_page) error = EOPNOTSUPP;
  else if (d->enabled) error = EBUSY;
  else {
    d->ring_page = new_page();
    clear_page(d->ring_page, 0xa5);
    ring = map_page(d->ring_page);
    state->mappings++;
    d->enabled = true;
    d->requests = d->responses = 0;
    *port = ++d->remote_port + domid * 1000;
  }
  unlock();
  errno = error;
  return ring;
}
int xc_monitor_disable(void *handle, uint32_t domid) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (state->no_vm_event) LEAVE(fail(EOPNOTSUPP));
  if (!d->enabled) LEAVE(fail(EINVAL));
  int waiting = 0;
  for (uint32_t i = 0; i < d->vcpus; i++) waiting += d->vcpu[i].event_pauses > 0;
  if (waiting > SLOTS) LEAVE(fail(EBUSY)); /* somebody is on the wait queue */
  drop_ring(d);
  changed();
  LEAVE(0);
}
int xc_monitor_get_capabilities(void *handle, uint32_t domid, uint32_t *capabilities) {
  (void)handle;
  ENTER();
  if (!find(domid)) LEAVE(fail(ESRCH));
  if (state->no_vm_event) LEAVE(fail(EOPNOTSUPP));
  *capabilities = 0x90;
  LEAVE(0);
}
int xc_monitor_privileged_call(void *handle, uint32_t domid, bool on) {
  (void)handle;
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (d->monitored == on) LEAVE(fail(EEXIST));
  d->monitored = on;
  changed();
  LEAVE(0);
}

/* ---- libxenevtchn: a handle is a FIFO next to this library ---- */

typedef struct { int fd; uint32_t index; } channel_t;

static void handle_path(char *to, size_t size, uint32_t index) { snprintf(to, size, "%s.events.%u", base, index); }

void *xenevtchn_open(void *logger, unsigned flags) {
  (void)logger, (void)flags;
  lock();
  char path[512];
  channel_t *channel = malloc(sizeof *channel);
  for (uint32_t i = 0; i < HANDLES; i++) {
    if (state->handle_used[i]) {
      /* Its process may have been killed: then nobody holds the file's lock. */
      handle_path(path, sizeof path, i);
      int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
      bool dead = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;
      if (fd >= 0) close(fd);
      if (!dead) continue;
      for (int p = 0; p < PORTS; p++)
        if (state->port[p].used && state->port[p].handle == i) state->port[p].used = false;
      unlink(path);
    }
    state->handle_used[i] = 1;
    state->handles_open++;
    handle_path(path, sizeof path, i);
    unlink(path);
    mkfifo(path, 0600);
    channel->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    channel->index = i;
    flock(channel->fd, LOCK_EX | LOCK_NB);
    unlock();
    return channel;
  }
  unlock();
  free(channel);
  errno = EMFILE;
  return NULL;
}
int xenevtchn_close(channel_t *channel) {
  char path[512];
  lock();
  for (int p = 0; p < PORTS; p++)
    if (state->port[p].used && state->port[p].handle == channel->index) state->port[p].used = false;
  state->handle_used[channel->index] = 0;
  state->handles_open--;
  handle_path(path, sizeof path, channel->index);
  unlink(path);
  close(channel->fd);
  unlock();
  free(channel);
  return 0;
}
int xenevtchn_fd(channel_t *channel) { return channel->fd; }

int xenevtchn_bind_interdomain(channel_t *channel, uint32_t domid, uint32_t remote) {
  ENTER();
  domain_t *d = find(domid);
  if (!d) LEAVE(fail(ESRCH));
  if (!d->enabled || remote != d->remote_port + domid * 1000) LEAVE(fail(EINVAL));
  int vacant = -1;
  for (int p = 0; p < PORTS; p++) {
    if (state->port[p].used && state->port[p].domid == domid && state->port[p].remote_port == remote) {
      char path[512];
      handle_path(path, sizeof path, state->port[p].handle);
      int fd = state->port[p].handle == channel->index ? -1 : open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
      bool dead = state->port[p].handle != channel->index && (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0);
      if (fd >= 0) close(fd);
      if (!dead) LEAVE(fail(EINVAL));
      state->port[p].used = false;
    }
    if (!state->port[p].used && vacant < 0) vacant = p;
  }
  if (vacant < 0) LEAVE(fail(ENOSPC));
  state->port[vacant] = (port_t){true, domid, remote, channel->index};
  LEAVE(vacant);
}
int xenevtchn_unbind(channel_t *channel, uint32_t port) {
  (void)channel;
  lock();
  state->port[port].used = false;
  unlock();
  return 0;
}
int xenevtchn_pending(channel_t *channel) {
  uint32_t port;
  return read(channel->fd, &port, sizeof port) == sizeof port ? (int)port : -1;
}
int xenevtchn_unmask(channel_t *channel, uint32_t port) { (void)channel, (void)port; return 0; }

/* vm_event_resume: every response lets its vCPU go. */
int xenevtchn_notify(channel_t *channel, uint32_t port) {
  (void)channel;
  ENTER();
  if (!state->port[port].used) LEAVE(fail(EINVAL));
  domain_t *d = find(state->port[port].domid);
  if (!d || !d->enabled) LEAVE(fail(ESRCH));
  uint8_t *ring = map_page(d->ring_page);
  uint32_t produced = __atomic_load_n((uint32_t *)(ring + 8), __ATOMIC_SEQ_CST);
  while (d->responses != produced) {
    const uint32_t *entry = (uint32_t *)(ring + RING_HEADER + (d->responses++ % SLOTS) * RING_ENTRY);
    if (entry[0] != VM_EVENT_VERSION || entry[3] >= d->vcpus) continue;
    vcpu_t *v = &d->vcpu[entry[3]];
    if ((entry[1] & 1) && v->event_pauses) v->event_pauses--;
  }
  munmap(ring, PAGE);
  changed();
  LEAVE(0);
}

/* ---- libxenforeignmemory ---- */

void *xenforeignmemory_open(void *logger, unsigned flags) {
  (void)logger, (void)flags;
  lock();
  state->handles_open++;
  unlock();
  return malloc(1);
}
int xenforeignmemory_close(void *handle) { lock(); state->handles_open--; unlock(); free(handle); return 0; }

void *xenforeignmemory_map(void *handle, uint32_t domid, int protection, size_t count, const uint64_t *gfn, int *errors) {
  (void)handle, (void)protection;
  lock();
  void *at = NULL;
  int error = 0;
  if (struck()) error = errno;
  domain_t *d = find(domid);
  if (error) ;
  else if (!d) error = ESRCH;
  else if (count != 1) error = EINVAL;
  else {
    int *page = frame(d, *gfn, false);
    errors[0] = page ? 0 : -EINVAL;
    at = page ? map_page(*page) : mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    state->mappings++;
  }
  unlock();
  errno = error;
  return at;
}
int xenforeignmemory_unmap(void *handle, void *at, size_t count) {
  (void)handle;
  lock();
  state->mappings--;
  unlock();
  return munmap(at, count * PAGE);
}

/* ---- the other side: toolstack and guests ---- */

int standin_create(uint32_t domid, uint32_t vcpus, uint32_t uuid) {
  lock();
  for (int i = 0; i < DOMAINS; i++) {
    domain_t *d = &state->domain[i];
    if (d->used) continue;
    memset(d, 0, sizeof *d);
    d->used = true;
    d->domid = domid;
    d->vcpus = vcpus;
    d->pauses = 1; /* as xl create -p */
    d->room = 16;
    d->has_monitor_page = true;
    for (int b = 0; b < 16; b++) d->uuid[b] = (uint8_t)(uuid >> (8 * (b & 3))) + b;
    for (uint32_t v = 0; v < vcpus; v++) {
      d->vcpu[v].down = v != 0;
      d->vcpu[v].initialised = v == 0;
      d->vcpu[v].context.cpsr = 0x3c5;
      d->vcpu[v].context.sctlr = 0x00c50078;
    }
    unlock();
    return 0;
  }
  unlock();
  return -1;
}
int standin_destroy(uint32_t domid) { return xc_domain_destroy(NULL, domid); }
int standin_unpause(uint32_t domid) { return xc_domain_unpause(NULL, domid); }
void standin_set_x0(uint32_t domid, uint64_t x0, uint64_t cpsr) {
  lock();
  domain_t *d = find(domid);
  d->vcpu[0].context.x[0] = x0;
  d->vcpu[0].context.cpsr = cpsr;
  unlock();
}
void standin_set_up(uint32_t domid, uint32_t vcpu) {
  lock();
  domain_t *d = find(domid);
  d->vcpu[vcpu].down = false;
  d->vcpu[vcpu].initialised = true;
  unlock();
}
void standin_building(uint32_t domid) { lock(); find(domid)->vcpu[0].initialised = false; unlock(); }
void standin_without_monitor_page(uint32_t domid) { lock(); find(domid)->has_monitor_page = false; unlock(); }
void standin_without_vm_event(int on) { lock(); state->no_vm_event = on; unlock(); }
void standin_deny(int on) { lock(); state->deny = on; unlock(); }

/* Reads or writes guest memory, which becomes RAM when it is written. */
int standin_memory(uint32_t domid, uint64_t address, uint8_t *bytes, uint32_t length, int write) {
  lock();
  domain_t *d = find(domid);
  int result = d ? 0 : -1;
  for (uint32_t done = 0; result == 0 && done < length;) {
    uint64_t at = address + done;
    uint32_t offset = at % PAGE, part = PAGE - offset < length - done ? PAGE - offset : length - done;
    int *page = frame(d, at / PAGE, write);
    if (!page) { result = -1; break; }
    if (!*page) { *page = new_page(); clear_page(*page, 0); }
    uint8_t *memory = map_page(*page);
    if (write) memcpy(memory + offset, bytes + done, part);
    else memcpy(bytes + done, memory + offset, part);
    munmap(memory, PAGE);
    done += part;
  }
  unlock();
  return result;
}

/* At the n-th call of the product from now the domain dies (error 0), or the call fails, and with `on` all that follow.
 * -1: never. */
void standin_strike(int after, uint32_t domid, int error, int on) {
  lock();
  state->fail_at = after < 0 ? -1 : (int)state->calls + after;
  state->fail_domid = domid;
  state->fail_errno = error;
  state->fail_on = on;
  unlock();
}
/* [0] mappings [1] handles [2] calls [3] domain there [4] pauses [5] enabled [6] monitored [7] shutdown reason or -1
 * [8] SMCs that Xen itself answered [9] free page count [10] unpauses */
void standin_look(uint32_t domid, int64_t *to) {
  lock();
  domain_t *d = find(domid);
  int free_pages = 0;
  for (int i = 1; i < PAGES; i++) free_pages += !state->page_used[i];
  memset(to, 0, 11 * sizeof *to);
  to[0] = state->mappings;
  to[1] = state->handles_open;
  to[2] = state->calls;
  to[7] = -1;
  to[9] = free_pages;
  if (d) {
    to[3] = 1;
    to[4] = d->pauses;
    to[5] = d->enabled;
    to[6] = d->monitored;
    if (d->shut_down) to[7] = d->reason;
    to[8] = (int64_t)d->default_calls;
    to[10] = (int64_t)d->unpauses;
  }
  unlock();
}
/* [0] down [1] waits for the monitor [2] traps [3] starts, then pc, x0, sctlr, cpsr */
void standin_vcpu(uint32_t domid, uint32_t vcpu, int64_t *to) {
  lock();
  domain_t *d = find(domid);
  const vcpu_t *v = &d->vcpu[vcpu];
  to[0] = v->down;
  to[1] = v->event_pauses;
  to[2] = (int64_t)v->traps;
  to[3] = (int64_t)v->starts;
  to[4] = (int64_t)v->context.pc;
  to[5] = (int64_t)v->context.x[0];
  to[6] = (int64_t)v->context.sctlr;
  to[7] = (int64_t)v->context.cpsr;
  unlock();
}

static bool runs(const domain_t *d, const vcpu_t *v) {
  return !d->pauses && !d->shut_down && !v->event_pauses && !v->down;
}

/* One SMC: x[0..7] in and out. 0; 1 when the vCPU went down or the domain shut down meanwhile; -1: the domain died. */
int standin_smc(uint32_t domid, uint32_t vcpu, uint64_t *x) {
  enum { PC = 0x40080000 };
  uint8_t uuid[16];
  lock();
  domain_t *d = find(domid);
  if (!d) { unlock(); return -1; }
  memcpy(uuid, d->uuid, 16);
#define ALIVE() ((d = find(domid)) != NULL && memcmp(d->uuid, uuid, 16) == 0)
  while (ALIVE() && !runs(d, &d->vcpu[vcpu])) wait_change();
  if (!ALIVE()) { unlock(); return -1; }
  memcpy(d->vcpu[vcpu].context.x, x, 8 * sizeof *x);
  d->vcpu[vcpu].context.pc = PC;
  d->cpu_time += 1000;
  uint64_t starts = d->vcpu[vcpu].starts;
  for (;;) {
    vcpu_t *v = &d->vcpu[vcpu];
    if (!d->monitored || !d->enabled) { /* Xen's own: nothing but PSCI, and that only in name */
      d->default_calls++;
      x[0] = (uint32_t)x[0] == 0x84000000 ? 0x10001 : UINT64_MAX;
      unlock();
      return 0;
    }
    if ((int32_t)(d->requests - d->responses) < SLOTS) {
      uint8_t *ring = map_page(d->ring_page);
      uint32_t *entry = (uint32_t *)(ring + RING_HEADER + (d->requests % SLOTS) * RING_ENTRY);
      memset(entry, 0, RING_ENTRY);
      entry[0] = VM_EVENT_VERSION;
      entry[1] = 1;
      entry[2] = 11;
      entry[3] = vcpu;
      *(uint64_t *)((uint8_t *)entry + 80) = PC;
      v->event_pauses++;
      v->traps++;
      __atomic_store_n((uint32_t *)ring, ++d->requests, __ATOMIC_SEQ_CST);
      munmap(ring, PAGE);
      for (int p = 0; p < PORTS; p++)
        if (state->port[p].used && state->port[p].domid == domid) {
          char path[512];
          uint32_t port = p;
          handle_path(path, sizeof path, state->port[p].handle);
          int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
          if (fd >= 0) { if (write(fd, &port, sizeof port) < 0) { /* full: it rings already */ } close(fd); }
        }
    }
    for (;;) {
      wait_change();
      if (!ALIVE()) { unlock(); return -1; }
      v = &d->vcpu[vcpu];
      if (d->shut_down || (v->down && !v->event_pauses) || v->starts != starts) { unlock(); return 1; }
      if (runs(d, v)) break;
    }
    if (v->context.pc == PC + 4) {
      memcpy(x, v->context.x, 8 * sizeof *x);
      unlock();
      return 0;
    }
    /* let go where it stood: the instruction traps again */
  }
}

/* A guest program: `count` times claims the area with a lock of its own, writes the frame, calls, looks at the answer.
 * The second word of the frame counts up from `first`, so that the other side can count too. Gives how many calls went
 * wrong: x0 not 0, channel not free, header not the frame's, or a status that is not `status`. */
int standin_program(uint32_t domid, uint32_t vcpu, uint64_t id, uint64_t address, const uint32_t *words, uint32_t length,
                    int count, uint32_t status, pthread_mutex_t *turn) {
  static pthread_mutex_t turns[DOMAINS];
  (void)turn;
  int wrong = 0;
  lock();
  domain_t *d = find(domid);
  int *page = d ? frame(d, address / PAGE, false) : NULL;
  uint8_t *memory = page ? map_page(*page) : NULL;
  int slot = d ? (int)(d - state->domain) : 0;
  unlock();
  if (!memory) return -1;
  volatile uint32_t *area = (uint32_t *)(memory + address % PAGE);
  for (int i = 0; i < count; i++) {
    uint64_t x[8] = {id};
    pthread_mutex_lock(&turns[slot]);
    area[1] = 0;
    area[5] = length;
    for (uint32_t w = 0; w < length / 4; w++) area[6 + w] = words[w];
    __sync_synchronize();
    int result = standin_smc(domid, vcpu, x);
    __sync_synchronize();
    bool good = result == 0 && x[0] == 0 && area[1] == 1 && area[6] == words[0] && area[7] == status;
    pthread_mutex_unlock(&turns[slot]);
    if (!good) wrong++;
    if (result < 0) { wrong += count - i - 1; break; }
  }
  munmap(memory, PAGE);
  return wrong;
}

/* A hostile guest program: rewrites the area as fast as it can, for `milliseconds`, whoever else uses it. */
int standin_rewriter(uint32_t domid, uint64_t address, int milliseconds) {
  lock();
  domain_t *d = find(domid);
  int *page = d ? frame(d, address / PAGE, false) : NULL;
  uint8_t *memory = page ? map_page(*page) : NULL;
  unlock();
  if (!memory) return -1;
  volatile uint32_t *area = (uint32_t *)(memory + address % PAGE);
  uint32_t random = 12345;
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  int writes = 0;
  do {
    for (int i = 0; i < 1000; i++, writes++) {
      random = random * 1664525 + 1013904223;
      area[random % 40] = (random >> 8) % 7 == 0 ? random : (random >> 16) % 64;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
  munmap(memory, PAGE);
  return writes;
}
