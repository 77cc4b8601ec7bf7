// A guest without an operating system that makes SCMI calls by SMC, as its orders say: measures them, keeps making them,
// sends given frames, or misbehaves. It prints to the console that Xen emulates (vuart), one line a result.
typedef unsigned int u32;
typedef unsigned long u64;

enum { MEASURE, STEADY, FRAMES, HOSTILE };

// What the test wrote into the image, at offset 64.
struct orders {
	u32 mode, smc_id;
	u64 shmem;
	u32 count;           // MEASURE: calls of each vCPU; STEADY: calls a line; HOSTILE: calls of the flood
	u32 reset;           // MEASURE: begin anew (PSCI SYSTEM_RESET) instead of going off
	u32 frames;          // FRAMES: how many follow, each a length in bytes, then words with the header first
	u32 words[200];
};
// All is in one piece, wherever it lies: no table of addresses.
#pragma GCC visibility push(hidden)
extern const volatile struct orders orders;
extern char second[];
u64 smc(u64 x0);
u64 hvc(u64 x0, u64 x1, u64 x2, u64 x3);

#define UART ((volatile u32 *)0x22000000ul)
#define PSCI_CPU_ON 0xc4000003ul
#define PSCI_SYSTEM_OFF 0x84000008ul
#define PSCI_SYSTEM_RESET 0x84000009ul
#define FREE 1u
#define CLOCK_RATE_GET 0x5006u

// ---- console
static void put(char c) { while (UART[6] & 32); UART[0] = c; }
static void text(const char *s) { for (; *s; s++) put(*s); }
static void hex(u32 v) { for (int i = 28; i >= 0; i -= 4) put("0123456789abcdef"[v >> i & 15]); }
static void number(const char *name, u64 v)
{
	char digits[21];
	int n = 0;
	do digits[n++] = '0' + v % 10; while (v /= 10);
	put(' ');
	text(name);
	put('=');
	while (n) put(digits[--n]);
}
static void line(void) { put('\n'); }

// ---- time, in microseconds
static u64 ticks(void) { u64 v; asm volatile("isb; mrs %0, cntvct_el0" : "=r"(v)); return v; }
static u64 microseconds(u64 t) { u64 f; asm volatile("mrs %0, cntfrq_el0" : "=r"(f)); return t * 1000000 / f; }
static void barrier(void) { asm volatile("dsb sy" ::: "memory"); }
// Xen takes the processor back for somebody else: who waits must not keep Dom0 from answering.
static void yield(void) { asm volatile("dsb sy; sevl; wfe; wfe" ::: "memory"); }

// ---- the channel: one for both vCPUs, so they take turns. Peterson's lock needs nothing that wants an MMU.
static volatile u32 wants[2], turn;
static void lock(u32 me)
{
	wants[me] = 1;
	turn = !me;
	barrier();
	while (wants[!me] && turn != me) yield();
	barrier();
}
static void unlock(u32 me) { barrier(); wants[me] = 0; barrier(); }

// Offsets of words in the area: channel_status 1, channel_flags 4, length 5, message_header 6, payload 7.
static volatile u32 *area(void) { return (volatile u32 *)orders.shmem; }

// Sends header and payload (length in bytes), waits for the answer. False when the doorbell was refused.
static int call(u32 length, const volatile u32 *frame)
{
	volatile u32 *shm = area();
	u64 x0;
	while (!(shm[1] & FREE)) barrier();
	shm[1] = 0;
	shm[4] = 0;
	shm[5] = length;
	for (u32 i = 0; i < length / 4; i++) shm[6 + i] = frame[i];
	barrier();
	x0 = smc(orders.smc_id);
	barrier();
	return x0 == 0 && shm[1] == FREE;
}

struct figures { u32 calls, bad; u64 total, least, most; };

// CLOCK_RATE_GET of clock 0 with a token of its own: the answer must have that header, SUCCESS, and all of a rate.
static void ask_rate(u32 me, u32 token, struct figures *f)
{
	const u32 frame[2] = { CLOCK_RATE_GET | (token & 1023) << 18, 0 };
	volatile u32 *shm = area();
	u64 t;
	int good;
	lock(me);
	t = ticks();
	good = call(8, frame);
	t = ticks() - t;
	good = good && shm[5] == 16 && shm[6] == frame[0] && shm[7] == 0 && shm[8] != 0;
	unlock(me);
	f->calls++;
	f->bad += !good;
	f->total += t;
	if (t > f->most) f->most = t;
	if (!f->least || t < f->least) f->least = t;
}

static void tell(const char *what, const struct figures *f)
{
	text(what);
	number("calls", f->calls);
	number("bad", f->bad);
	number("average_us", microseconds(f->total / f->calls));
	number("least_us", microseconds(f->least));
	number("most_us", microseconds(f->most));
	line();
}

static struct figures of_second;
static volatile u32 second_done;

static void measure(void)
{
	struct figures f = { 0 };
	for (u32 i = 0; i < orders.count; i++) ask_rate(0, i, &f);
	while (!second_done) yield();
	tell("vcpu0", &f);
	tell("vcpu1", &of_second);
}

static void steady(void)
{
	for (u32 token = 0;;) {
		struct figures f = { 0 };
		for (u32 i = 0; i < orders.count; i++) ask_rate(0, token++, &f);
		tell("steady", &f);
	}
}

static void frames(void)
{
	const volatile u32 *at = orders.words;
	volatile u32 *shm = area();
	for (u32 i = 0; i < orders.frames; i++) {
		u32 length = *at++;
		int good = call(length, at);
		at += length / 4;
		text(good ? "answer" : "refused");
		for (u32 w = 6; w < 6 + shm[5] / 4 && w < 32; w++) { put(' '); hex(shm[w]); }
		line();
	}
}

// ---- misbehaviour: vCPU 1 writes to the page all the while
static volatile u32 rewriting;
static u32 random_state = 1;
static u32 random(void) { return random_state = random_state * 1664525 + 1013904223; }

static void hostile(void)
{
	volatile u32 *shm = area();
	struct figures f = { 0 };
	u32 refused = 0;
	rewriting = 1;
	for (u32 i = 0; i < orders.count / 10; i++) {
		shm[1] = 0;
		shm[5] = random() >> (random() & 31);
		shm[6] = random();
		smc(orders.smc_id);
	}
	rewriting = 0;
	barrier();
	text("hostile rewrote"); line();
	for (u32 i = 0; i < orders.count / 10; i++) { shm[1] = FREE; barrier(); smc(orders.smc_id); }
	text("hostile rang"); line();
	for (u32 i = 0; i < orders.count / 10; i++) refused += smc(0x82000000u + (random() & 0xffff0)) == ~0ul;
	text("hostile called"); number("refused", refused); line();
	shm[1] = FREE;
	for (u32 i = 0; i < orders.count; i++) ask_rate(0, i, &f);
	tell("flood", &f);
}

void second_main(void)
{
	if (orders.mode == MEASURE) {
		for (u32 i = 0; i < orders.count; i++) ask_rate(1, i + 512, &of_second);
		second_done = 1;
		barrier();
	}
	if (orders.mode == HOSTILE)
		for (;;) {
			while (!rewriting) yield();
			area()[4 + random() % 28] = random();
		}
}

void main(void)
{
	text("started"); line();
	if (orders.mode == MEASURE || orders.mode == HOSTILE) {
		u64 status = hvc(PSCI_CPU_ON, 1, (u64)second, 0);
		if (status) { text("no second vcpu"); number("status", status); line(); }
	}
	if (orders.mode == MEASURE) measure();
	if (orders.mode == STEADY) steady();
	if (orders.mode == FRAMES) frames();
	if (orders.mode == HOSTILE) hostile();
	text("done"); line();
	hvc(orders.reset ? PSCI_SYSTEM_RESET : PSCI_SYSTEM_OFF, 0, 0, 0);
}
