/*
 * A character device that carries a xenstore connection, as the kernel's /dev/xen/xenbus does: a terminal in raw mode whose
 * other end is joined to a daemon's socket. Argument: the socket. Prints the device's path, then carries until its input ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static char buffer[2][65536];
static int held[2], sent[2];

/* Moves what there is from one end to the other; 0 at the end of either. */
static int carry(int from, int to, int way, short events, short room)
{
    if (held[way] == sent[way] && (events & (POLLIN | POLLHUP))) {
        held[way] = (int)read(from, buffer[way], sizeof buffer[way]);
        sent[way] = 0;
        if (held[way] <= 0)
            return 0;
    }
    if (held[way] > sent[way] && (room & POLLOUT)) {
        int count = (int)write(to, buffer[way] + sent[way], (size_t)(held[way] - sent[way]));
        if (count < 0)
            return 0;
        sent[way] += count;
    }
    return 1;
}

int main(int count, char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct termios raw;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY), own, socket_ = socket(AF_UNIX, SOCK_STREAM, 0);

    if (count != 2 || terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        return 1;
    own = open(ptsname(terminal), O_RDWR | O_NOCTTY); /* held, so that it outlives whoever opens it */
    if (own < 0 || tcgetattr(own, &raw) != 0)
        return 1;
    cfmakeraw(&raw);
    if (tcsetattr(own, TCSANOW, &raw) != 0)
        return 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", arguments[1]);
    if (connect(socket_, (struct sockaddr *)&address, sizeof address) != 0)
        return 1;
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    fcntl(socket_, F_SETFL, O_NONBLOCK);
    puts(ptsname(terminal));
    fflush(stdout);
    for (;;) {
        struct pollfd ends[3] = {
            {.fd = terminal, .events = (short)((held[0] == sent[0] ? POLLIN : 0) | (held[1] > sent[1] ? POLLOUT : 0))},
            {.fd = socket_, .events = (short)((held[1] == sent[1] ? POLLIN : 0) | (held[0] > sent[0] ? POLLOUT : 0))},
            {.fd = 0, .events = POLLIN},
        };
        if (poll(ends, 3, -1) < 0 || ends[2].revents != 0)
            return 0;
        if (!carry(terminal, socket_, 0, ends[0].revents, ends[1].revents) ||
            !carry(socket_, terminal, 1, ends[1].revents, ends[0].revents))
            return 0;
    }
}
