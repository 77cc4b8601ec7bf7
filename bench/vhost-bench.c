// The C half of the vhost-user benchmark: `driver` acts as VMM and guest driver and measures round trips and throughput;
// `echo` is the baseline, a back end that copies each command out, answers SUCCESS, and does nothing else.
//   vhost-bench echo PATH
//   vhost-bench driver PATH COUNT DEPTH HEADER PAYLOAD_WORD...
// The driver keeps DEPTH commands in the ring and prints nanoseconds: p50 and p99 of a batch's way, and wall time per
// command. Every answer's header and status is checked.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RING = 256, MEMORY = 1 << 20, BUFFERS = 0x20000, STRIDE = 512, BUSY = -6 };
#define GUEST 0x140000000ull
#define USER 0x7f0000000000ull
enum {
  GET_FEATURES = 1, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR, SET_VRING_BASE,
  GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
  GET_QUEUE_NUM, SET_VRING_ENABLE
};
#define FEATURES 0x170000001ull // VERSION_1, EVENT_IDX, INDIRECT_DESC, protocol features, P2A

struct region { uint64_t gpa, size, user, offset; };
struct message {
  uint32_t request, flags, size;
  union {
    uint64_t number;
    struct { uint32_t index, value; } state;
    struct { uint32_t index, flags; uint64_t desc, used, avail, log; } address;
    struct { uint32_t count, padding; struct region region[8]; } table;
  };
} __attribute__((packed));
struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };
struct used_element { uint32_t id, length; };

// A ring of RING entries in shared memory; offsets of the driver's own choice.
enum { AVAIL = RING * 16, USED = AVAIL + 1024 };
static void die(const char *what) { perror(what); exit(1); }
static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static int stream(const char *path, struct sockaddr_un *name) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  memset(name, 0, sizeof *name);
  name->sun_family = AF_UNIX;
  strncpy(name->sun_path, path, sizeof name->sun_path - 1);
  return fd;
}

// ---- the echo ----

struct ring {
  unsigned size, next, used, signalled;
  uint64_t desc, avail, user_used;
  int kick, call, on;
};
static struct { struct region at; uint8_t *map; } memory[8];
static unsigned regions;
static void *of_guest(uint64_t gpa, uint64_t length) {
  for (unsigned i = 0; i < regions; i++)
    if (gpa >= memory[i].at.gpa && gpa + length <= memory[i].at.gpa + memory[i].at.size)
      return memory[i].map + memory[i].at.offset + (gpa - memory[i].at.gpa);
  return 0;
}
static void *of_user(uint64_t user) {
  for (unsigned i = 0; i < regions; i++)
    if (user >= memory[i].at.user && user < memory[i].at.user + memory[i].at.size)
      return memory[i].map + memory[i].at.offset + (user - memory[i].at.user);
  return 0;
}

static void serve(struct ring *q) {
  struct descriptor *table = of_user(q->desc);
  uint16_t *avail = of_user(q->avail), *used = of_user(q->user_used);
  struct used_element *elements = (void *)(used + 2);
  unsigned old = q->used;
  for (;;) {
    uint16_t index = __atomic_load_n(avail + 1, __ATOMIC_ACQUIRE);
    if (index == (uint16_t)q->next) {
      __atomic_store_n(used + 2 + q->size * 4, (uint16_t)q->next, __ATOMIC_RELAXED);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      if (__atomic_load_n(avail + 1, __ATOMIC_ACQUIRE) == (uint16_t)q->next) break;
      continue;
    }
    uint16_t head = avail[2 + q->next % q->size];
    q->next++;
    struct descriptor *d = table + head;
    if (d->flags & 4) d = of_guest(d->address, d->length);
    if (!d) die("descriptor");
    struct descriptor *base = (table[head].flags & 4) ? d : table;
    uint32_t copy[32] = {0};
    uint32_t length = d->length < sizeof copy ? d->length : sizeof copy;
    void *from = of_guest(d->address, d->length);
    if (!from) die("request");
    memcpy(copy, from, length);
    struct descriptor *w = base + d->next;
    uint32_t *to = of_guest(w->address, w->length);
    if (!to || w->length < 8) die("response");
    to[0] = copy[0];
    to[1] = 0; // SUCCESS
    elements[q->used % q->size] = (struct used_element){head, 8};
    q->used++;
    __atomic_store_n(used + 1, (uint16_t)q->used, __ATOMIC_RELEASE);
  }
  if (q->used == old) return;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint16_t event = *(volatile uint16_t *)(avail + 2 + q->size);
  uint64_t one = 1;
  if ((uint16_t)(q->used - event - 1) < (uint16_t)(q->used - old) && write(q->call, &one, 8) != 8) die("call");
}

static int receive(int fd, struct message *m, int *fds, unsigned *count) {
  char control[CMSG_SPACE(8 * sizeof(int))];
  struct iovec part = {m, 12};
  struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *count = 0;
  if (recvmsg(fd, &h, 0) != 12) return 0;
  struct cmsghdr *c = CMSG_FIRSTHDR(&h);
  if (c) {
    *count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), *count * sizeof(int));
  }
  if (m->size > sizeof *m - 12) die("a message too long");
  return m->size == 0 || recv(fd, (char *)m + 12, m->size, MSG_WAITALL) == (ssize_t)m->size;
}

static void echo(const char *path) {
  struct sockaddr_un name;
  int listener = stream(path, &name);
  unlink(path);
  if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 1)) die(path);
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) die("accept");
    struct ring q[2] = {{.kick = -1, .call = -1}, {.kick = -1, .call = -1}};
    int poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = 2}, got[4];
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
    for (int alive = 1; alive;) {
      int ready = epoll_wait(poll, got, 4, -1);
      for (int i = 0; i < ready && alive; i++) {
        if (got[i].data.u32 < 2) {
          // An edge for each kick; the count is not read.
          if (got[i].data.u32 == 0 && q[0].on) serve(&q[0]);
          continue;
        }
        struct message m;
        int fds[8];
        unsigned count;
        if (!receive(fd, &m, fds, &count)) { alive = 0; break; }
        struct ring *ring = &q[m.state.index & 1];
        int reply = 0;
        switch (m.request) {
          case GET_FEATURES: m.number = FEATURES; reply = 8; break;
          case GET_PROTOCOL_FEATURES: m.number = 0x8009; reply = 8; break;
          case GET_QUEUE_NUM: m.number = 2; reply = 8; break;
          case GET_VRING_BASE: m.state.value = ring->next; ring->on = 0; reply = 8; break;
          case SET_MEM_TABLE:
            for (regions = 0; regions < m.table.count; regions++) {
              memory[regions].at = m.table.region[regions];
              memory[regions].map = mmap(0, memory[regions].at.size + memory[regions].at.offset, PROT_READ | PROT_WRITE,
                                         MAP_SHARED, fds[regions], 0);
              if (memory[regions].map == MAP_FAILED) die("mmap");
              close(fds[regions]);
            }
            break;
          case SET_VRING_NUM: ring->size = m.state.value; break;
          case SET_VRING_BASE: ring->next = m.state.value; break;
          case SET_VRING_ADDR:
            ring = &q[m.address.index & 1];
            ring->desc = m.address.desc; ring->avail = m.address.avail; ring->user_used = m.address.used;
            break;
          case SET_VRING_KICK:
            ring = &q[m.number & 1];
            ring->kick = fds[0];
            wanted = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)(m.number & 1)};
            epoll_ctl(poll, EPOLL_CTL_ADD, fds[0], &wanted);
            break;
          case SET_VRING_CALL:
            ring = &q[m.number & 1];
            ring->call = fds[0];
            fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_NONBLOCK);
            break;
          case SET_VRING_ENABLE:
            ring->on = (int)m.state.value;
            if (ring == q && ring->on) serve(ring);
            break;
        }
        if (reply) {
          m.flags = 5;
          m.size = (uint32_t)reply;
          if (write(fd, &m, 12 + (size_t)reply) < 0) alive = 0;
        }
      }
    }
    close(fd);
    close(poll);
    for (int i = 0; i < 2; i++) { close(q[i].kick); close(q[i].call); }
    for (unsigned i = 0; i < regions; i++) munmap(memory[i].map, memory[i].at.size + memory[i].at.offset);
    regions = 0;
  }
}

// ---- the driver ----

static int server;
static void tell(uint32_t request, const void *payload, uint32_t size, int with) {
  struct message m = {.request = request, .flags = 1, .size = size};
  memcpy((char *)&m + 12, payload, size);
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {&m, 12 + size};
  struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
  if (with >= 0) {
    h.msg_control = control;
    h.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &with, sizeof with);
  }
  if (sendmsg(server, &h, MSG_NOSIGNAL) < 0) die("sendmsg");
}
static uint64_t ask(uint32_t request) {
  struct message m;
  int fds[8];
  unsigned count;
  tell(request, "", 0, -1);
  if (!receive(server, &m, fds, &count)) die("no answer");
  return m.number;
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void drive(const char *path, unsigned count, unsigned depth, const uint32_t *frame, uint32_t words) {
  struct sockaddr_un name;
  server = stream(path, &name);
  if (connect(server, (struct sockaddr *)&name, sizeof name)) die(path);
  int memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || ftruncate(memfd, MEMORY) || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) die("memfd");
  uint8_t *base = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  if (base == MAP_FAILED) die("mmap");
  if (ask(GET_FEATURES) != FEATURES) die("features");
  ask(GET_PROTOCOL_FEATURES);
  tell(SET_PROTOCOL_FEATURES, &(uint64_t){9}, 8, -1);
  tell(SET_OWNER, "", 0, -1);
  tell(SET_FEATURES, &(uint64_t){FEATURES}, 8, -1);
  struct { uint32_t count, padding; struct region region; } table = {1, 0, {GUEST, MEMORY, USER, 0}};
  tell(SET_MEM_TABLE, &table, sizeof table, memfd);
  int kick = eventfd(0, EFD_NONBLOCK), call = eventfd(0, EFD_NONBLOCK), spare = eventfd(0, EFD_NONBLOCK);
  for (uint32_t i = 0; i < 2; i++) {
    uint64_t at = USER + i * 0x10000;
    tell(SET_VRING_NUM, &(uint32_t[]){i, RING}, 8, -1);
    tell(SET_VRING_BASE, &(uint32_t[]){i, 0}, 8, -1);
    struct { uint32_t index, flags; uint64_t desc, used, avail, log; } address = {i, 0, at, at + USED, at + AVAIL, 0};
    tell(SET_VRING_ADDR, &address, sizeof address, -1);
    tell(SET_VRING_KICK, &(uint64_t){i}, 8, i ? spare : kick);
    tell(SET_VRING_CALL, &(uint64_t){i}, 8, i ? spare : call);
  }
  for (uint32_t i = 0; i < 2; i++) tell(SET_VRING_ENABLE, &(uint32_t[]){i, 1}, 8, -1);
  ask(GET_QUEUE_NUM); // all of it has been read

  struct descriptor *descriptors = (void *)base;
  volatile uint16_t *avail = (void *)(base + AVAIL), *used = (void *)(base + USED);
  volatile struct used_element *elements = (void *)(base + USED + 4);
  for (unsigned i = 0; i < depth; i++) {
    uint64_t slot = GUEST + BUFFERS + i * STRIDE;
    struct descriptor *chain = (void *)(base + BUFFERS + i * STRIDE);
    descriptors[i] = (struct descriptor){slot, 32, 4, 0};
    chain[0] = (struct descriptor){slot + 64, words * 4, 1, 1};
    chain[1] = (struct descriptor){slot + 256, 136, 2, 0};
    memcpy(base + BUFFERS + i * STRIDE + 64, frame, words * 4);
  }
  unsigned batches = count / depth + 2, done = 0, posted = 0, seen = 0, batch = 0, busy = 0;
  uint64_t *ways = calloc(batches * depth, sizeof *ways), one = 1, start = now(), from = start;
  unsigned kicked = 0;
  for (unsigned i = 0; i < depth; i++) avail[2 + posted++ % RING] = (uint16_t)i;
  for (;;) {
    __atomic_store_n(avail + 1, (uint16_t)posted, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t event = used[2 + RING * 4];
    if ((uint16_t)(posted - event - 1) < (uint16_t)(posted - kicked) && write(kick, &one, 8) != 8) die("kick");
    kicked = posted;
    for (;;) {
      avail[2 + RING] = (uint16_t)seen; // a signal at the next one
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      if (__atomic_load_n(used + 1, __ATOMIC_ACQUIRE) != (uint16_t)seen) break;
      struct pollfd wait = {call, POLLIN, 0};
      if (poll(&wait, 1, 5000) != 1) { fprintf(stderr, "no answer for 5 s\n"); exit(1); }
      uint64_t signals;
      if (read(call, &signals, 8) < 0 && errno != EAGAIN) die("call");
    }
    unsigned took = 0;
    while (__atomic_load_n(used + 1, __ATOMIC_ACQUIRE) != (uint16_t)seen) {
      uint32_t id = elements[seen % RING].id, length = elements[seen % RING].length;
      seen++;
      took++;
      const int32_t *answer = (const void *)(base + BUFFERS + id * STRIDE + 256);
      if (id >= depth || length < 8 || (uint32_t)answer[0] != frame[0] || (answer[1] != 0 && answer[1] != BUSY)) {
        fprintf(stderr, "answer %u: %u bytes, header %x, status %d\n", id, length, (unsigned)answer[0], answer[1]);
        exit(1);
      }
      busy += answer[1] == BUSY;
      if (done + depth <= count) avail[2 + posted++ % RING] = (uint16_t)id;
      done++;
    }
    uint64_t at = now();
    if (batch < batches * depth) ways[batch++] = at - from;
    from = at;
    if (done >= count && posted == seen) break;
    if (took == 0) continue;
  }
  uint64_t spent = now() - start;
  qsort(ways, batch, sizeof *ways, by_value);
  printf("%llu %llu %.2f %u\n", (unsigned long long)ways[batch / 2], (unsigned long long)ways[batch * 99 / 100],
         (double)spent / done, busy);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "echo")) echo(argv[2]);
  if (argc >= 6 && argc <= 6 + 15 && !strcmp(argv[1], "driver")) {
    uint32_t frame[16];
    for (int i = 5; i < argc; i++) frame[i - 5] = (uint32_t)strtoul(argv[i], 0, 0);
    unsigned depth = (unsigned)atoi(argv[4]);
    if (depth < 1 || depth > RING / 2) return 2;
    drive(argv[2], (unsigned)atoi(argv[3]), depth, frame, (uint32_t)argc - 5);
    return 0;
  }
  fprintf(stderr, "vhost-bench echo PATH | driver PATH COUNT DEPTH HEADER WORD...\n");
  return 2;
}
