// The C half of the relay benchmark: `driver` acts as a guest's hypervisor side and measures round trips over a trap
// socket; `echo` is the baseline, a back end that copies the message out and answers SUCCESS, and does nothing else.
//   trap-bench echo PATH
//   trap-bench driver PATH ROUNDS HEADER PAYLOAD_WORD...     prints nanoseconds: p50 p99 mean
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { AREA = 128, STATUS = 1, LENGTH = 5, HEADER = 6, PAYLOAD = 7, FREE = 1, BUSY = -6 };

static void die(const char *what) { perror(what); exit(1); }

static int unix_socket(const char *path, struct sockaddr_un *name) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  memset(name, 0, sizeof *name);
  name->sun_family = AF_UNIX;
  strncpy(name->sun_path, path, sizeof name->sun_path - 1);
  return fd;
}

static void echo(const char *path) {
  struct sockaddr_un name;
  int listener = unix_socket(path, &name);
  unlink(path);
  if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 1)) die(path);
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) die("accept");
    uint32_t hello[4];
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {hello, sizeof hello};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, 0) != sizeof hello || !CMSG_FIRSTHDR(&message)) die("HELLO");
    int memory;
    memcpy(&memory, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof memory);
    volatile uint32_t *area = mmap(0, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (area == MAP_FAILED) die("mmap");
    close(memory);
    // The same waiting as any back end of several guests: epoll, then one read.
    int poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN}, got;
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
    uint32_t call[18], answer[10] = {2}, copy[AREA / 4];
    while (epoll_wait(poll, &got, 1, -1) == 1 && recv(fd, call, sizeof call, 0) == sizeof call) {
      uint32_t length = area[LENGTH];
      if (length < 4 || length > AREA - 24) length = 4;
      copy[0] = area[HEADER];
      for (uint32_t i = 1; i < (length + 3) / 4; i++) copy[i] = area[HEADER + i];
      area[PAYLOAD] = 0; // SUCCESS
      area[HEADER] = copy[0];
      area[LENGTH] = 8;
      __atomic_store_n(&area[STATUS], FREE, __ATOMIC_SEQ_CST);
      answer[1] = call[1];
      if (send(fd, answer, sizeof answer, 0) != sizeof answer) break;
    }
    munmap((void *)area, AREA);
    close(poll);
    close(fd);
  }
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void driver(const char *path, int rounds, uint32_t header, int words, char **payload) {
  struct sockaddr_un name;
  int fd = unix_socket(path, &name);
  if (connect(fd, (struct sockaddr *)&name, sizeof name)) die(path);
  int memory = memfd_create("guest", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (memory < 0 || ftruncate(memory, AREA) || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK)) die("memfd");
  volatile uint32_t *area = mmap(0, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (area == MAP_FAILED) die("mmap");
  area[STATUS] = FREE;
  uint32_t hello[4] = {0x494d4353, 1, AREA, 0};
  union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {0};
  struct iovec part = {hello, sizeof hello};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &memory, sizeof memory);
  if (sendmsg(fd, &message, 0) != sizeof hello) die("HELLO");

  uint32_t call[18] = {1}, answer[10];
  call[2] = 0x82000002; // x0
  uint64_t *took = calloc(rounds, sizeof *took), sum = 0;
  int busy = 0;
  for (int round = -rounds / 10; round < rounds; round++) { // a tenth more, to warm up
    area[STATUS] = 0;
    area[LENGTH] = 4 + 4 * words;
    area[HEADER] = header;
    for (int i = 0; i < words; i++) area[PAYLOAD + i] = strtoul(payload[i], 0, 0);
    uint64_t start = now();
    if (send(fd, call, sizeof call, 0) != sizeof call || recv(fd, answer, sizeof answer, 0) != sizeof answer) die("call");
    uint64_t time = now() - start;
    if (answer[2] == 0 && area[STATUS] == FREE && (int)area[PAYLOAD] == BUSY) {
      if (++busy > 10000) { fprintf(stderr, "round %d: still BUSY\n", round); exit(1); }
      nanosleep(&(struct timespec){.tv_nsec = 1000000}, 0); // its share of the audit ring is full: the disk is slower
      round--;
      continue;
    }
    if (answer[2] || answer[3] || !(area[STATUS] & FREE) || area[HEADER] != header || area[PAYLOAD]) {
      fprintf(stderr, "round %d: x0 %x, status %x, header %x, SCMI status %d\n", round, answer[2], area[STATUS], area[HEADER], (int)area[PAYLOAD]);
      exit(1);
    }
    busy = 0;
    if (round >= 0) { took[round] = time; sum += time; }
  }
  qsort(took, rounds, sizeof *took, ascending);
  printf("%llu %llu %llu\n", (unsigned long long)took[rounds / 2], (unsigned long long)took[rounds - rounds / 100 - 1], (unsigned long long)(sum / rounds));
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "echo")) echo(argv[2]);
  else if (argc >= 5 && !strcmp(argv[1], "driver")) driver(argv[2], atoi(argv[3]), strtoul(argv[4], 0, 0), argc - 5, argv + 5);
  else { fprintf(stderr, "usage: trap-bench echo PATH | driver PATH ROUNDS HEADER WORD...\n"); return 2; }
}
