/*
 * Writes random and malformed SCMI frames to the raw mode of the kernel it runs on, and reads what comes back.
 *
 *   raw-frames COUNT SEED           that many frames from a generator with that seed
 *   raw-frames -1 WORD [WORD ...]   one frame of hexadecimal words; prints the words of its reply
 *
 * Every command (type 0) must be answered by a frame with its own header; the others (a hundred of 6400) need not be,
 * and the kernel must be told not to wait for them long (arm,max-rx-timeout-ms). The last line is
 *   raw-frames: COMMANDS commands, ANSWERED answered, OTHERS others, REFUSED refused by this kernel, WRONG wrong
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAW "/sys/kernel/debug/scmi/0/raw/"
#define LONGEST 132 /* header and the 128 bytes that Linux sends at most */
#define REPLY_MS 5000

static uint64_t state;

/* xorshift64*: the same frames for the same seed, everywhere */
static uint32_t random32(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545F4914F6CDD1DULL >> 32);
}
static uint32_t below(uint32_t n) { return random32() % n; }

/* Values that hurt: small ids, signs, limits, anything. */
static uint32_t word(void)
{
	static const uint32_t edges[] = {0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x10000, 0x40000000};

	switch (below(4)) {
	case 0: return below(16);
	case 1: return edges[below(sizeof(edges) / sizeof(*edges))];
	case 2: return 1u << below(32);
	default: return random32();
	}
}

/* One frame of a type; its size in bytes. Three of four have a protocol and message that exist, or nearly. */
static int frame(uint32_t *words, uint32_t type, uint32_t token)
{
	uint32_t header;
	int size = 4 * (1 + below(below(4) ? 6 : 33));

	if (below(4))
		header = below(0x22) | (0x0E + below(0x0E)) << 10;
	else
		header = random32();
	words[0] = (header & 0x3FCFF) | type << 8 | token << 18;
	for (int i = 1; i < size / 4; i++)
		words[i] = word();
	if (below(8) == 0)
		size -= below(4); /* ends inside a word */
	return size < 4 ? 4 : size;
}

/* Reads one message and the end behind it; its size, 0 when none came in time. */
static int take(int fd, uint32_t *words, int patience)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint32_t end[64];
	int size;

	if (poll(&wait, 1, patience) <= 0)
		return 0;
	size = read(fd, words, 256);
	while (read(fd, end, sizeof(end)) > 0)
		;
	return size < 0 ? 0 : size;
}

/* One descriptor to write with and one to read with: Linux 6.12 writes behind what was read last on the same one. */
static int channel(int flags)
{
	int fd = open(RAW "message", flags);

	if (fd < 0) {
		perror(RAW "message");
		exit(1);
	}
	return fd;
}

static int one(int count, char **texts)
{
	uint32_t words[64];
	int in = channel(O_RDONLY), out = channel(O_WRONLY), size;

	for (int i = 0; i < count && i < 33; i++)
		words[i] = strtoul(texts[i], NULL, 16);
	if (write(out, words, 4 * count) != 4 * count) {
		perror("write");
		return 1;
	}
	size = take(in, words, REPLY_MS);
	for (int i = 0; i < size / 4; i++)
		printf("%08x%c", words[i], i + 1 < size / 4 ? ' ' : '\n');
	return size == 0;
}

int main(int argc, char **argv)
{
	long count, commands = 0, answered = 0, others = 0, refused = 0, wrong = 0;
	uint32_t sent[64], got[64];
	int in, out, size, tries, others_now;

	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "-1") == 0)
		return one(argc - 2, argv + 2);
	count = atol(argv[1]);
	state = strtoull(argv[2], NULL, 0) | 1;
	in = channel(O_RDONLY);
	out = channel(O_WRONLY);
	for (long i = 0; i < count; i++) {
		memset(sent, 0, sizeof(sent));
		others_now = i % 6400 < 100;
		size = frame(sent, others_now ? 1 + below(3) : 0, i & 0x3FF);
		/* The kernel waits in vain for the answers of what is no command; meanwhile it may be out of places. */
		for (tries = 0; tries < 500 && write(out, sent, size) != size; tries++)
			usleep(10000);
		if (tries == 500) {
			refused++;
			continue;
		}
		if (others_now) {
			others++;
			continue;
		}
		commands++;
		/* The reply to an earlier frame that was no command may come first. */
		while ((size = take(in, got, REPLY_MS)) > 0 && got[0] != sent[0])
			wrong++;
		if (size >= 8)
			answered++;
		else
			printf("raw-frames: %s answer to %08x %08x %08x\n", size > 0 ? "a short" : "no", sent[0],
			       sent[1], sent[2]);
		if (i % 10000 == 9999)
			printf("raw-frames: %ld so far\n", i + 1);
	}
	printf("raw-frames: %ld commands, %ld answered, %ld others, %ld refused by this kernel, %ld wrong\n", commands,
	       answered, others, refused, wrong);
	return answered == commands && wrong == 0 ? 0 : 1;
}
