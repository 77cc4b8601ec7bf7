/*
 * Speaks to a xenstored through Debian's own libxenstore, one call after the other, each named on standard output before it is
 * made: record.ts listens on the wire, and fixtures/xenstore holds what it heard. Argument: the library's path.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct permission { unsigned int id; int access; }; /* struct xs_permissions: 0 none, 1 read, 2 write, 3 both */

static void *library;

static void *find(const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s: not in the library\n", name);
        exit(1);
    }
    return found;
}

/* Names the next call as request, tab, arguments (tab between them); then waits until the wire is quiet. */
static void next(const char *what)
{
    usleep(40000);
    puts(what);
    fflush(stdout);
    usleep(20000);
}

int main(int count, char **arguments)
{
    static struct permission permissions[] = {{0, 0}, {7, 1}, {9, 3}};
    char path[128];
    unsigned int number;
    uint32_t transaction;
    void *store;

    library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (library == NULL) {
        fprintf(stderr, "record LIBXENSTORE: %s\n", dlerror());
        return 1;
    }
    void *(*xs_open)(unsigned long) = find("xs_open");
    bool (*xs_write)(void *, uint32_t, const char *, const void *, unsigned int) = find("xs_write");
    void *(*xs_read)(void *, uint32_t, const char *, unsigned int *) = find("xs_read");
    bool (*xs_mkdir)(void *, uint32_t, const char *) = find("xs_mkdir");
    bool (*xs_rm)(void *, uint32_t, const char *) = find("xs_rm");
    char **(*xs_directory)(void *, uint32_t, const char *, unsigned int *) = find("xs_directory");
    void *(*xs_get_permissions)(void *, uint32_t, const char *, unsigned int *) = find("xs_get_permissions");
    bool (*xs_set_permissions)(void *, uint32_t, const char *, struct permission *, unsigned int) = find("xs_set_permissions");
    bool (*xs_watch)(void *, const char *, const char *) = find("xs_watch");
    bool (*xs_unwatch)(void *, const char *, const char *) = find("xs_unwatch");
    uint32_t (*xs_transaction_start)(void *) = find("xs_transaction_start");
    bool (*xs_transaction_end)(void *, uint32_t, bool) = find("xs_transaction_end");
    bool (*xs_introduce_domain)(void *, unsigned int, unsigned long, unsigned int) = find("xs_introduce_domain");
    bool (*xs_release_domain)(void *, unsigned int) = find("xs_release_domain");
    bool (*xs_resume_domain)(void *, unsigned int) = find("xs_resume_domain");
    bool (*xs_set_target)(void *, unsigned int, unsigned int) = find("xs_set_target");
    char *(*xs_get_domain_path)(void *, unsigned int) = find("xs_get_domain_path");
    bool (*xs_is_domain_introduced)(void *, unsigned int) = find("xs_is_domain_introduced");

    store = xs_open(0);
    if (store == NULL) {
        perror("xs_open");
        return 1;
    }
    next("WRITE\t/golden/a");
    xs_write(store, 0, "/golden/a", "value", 5);
    next("READ\t/golden/a");
    xs_read(store, 0, "/golden/a", &number);
    next("READ\t/golden/absent");
    xs_read(store, 0, "/golden/absent", &number);
    next("MKDIR\t/golden/dir");
    xs_mkdir(store, 0, "/golden/dir");
    next("DIRECTORY\t/golden");
    xs_directory(store, 0, "/golden", &number);
    next("DIRECTORY\t/golden/dir");
    xs_directory(store, 0, "/golden/dir", &number);
    next("SET_PERMS\t/golden/dir\tn0\tr7\tb9");
    xs_set_permissions(store, 0, "/golden/dir", permissions, 3);
    next("GET_PERMS\t/golden/dir");
    xs_get_permissions(store, 0, "/golden/dir", &number);
    next("TRANSACTION_START\t");
    transaction = xs_transaction_start(store);
    next("WRITE\t/golden/b");
    xs_write(store, transaction, "/golden/b", "value", 5);
    next("TRANSACTION_END\tT");
    xs_transaction_end(store, transaction, false);
    next("TRANSACTION_START\t");
    transaction = xs_transaction_start(store);
    next("TRANSACTION_END\tF");
    xs_transaction_end(store, transaction, true);
    next("RM\t/golden/b");
    xs_rm(store, 0, "/golden/b");
    next("INTRODUCE\t7\t1\t2");
    xs_introduce_domain(store, 7, 1, 2);
    next("IS_DOMAIN_INTRODUCED\t7");
    xs_is_domain_introduced(store, 7);
    next("IS_DOMAIN_INTRODUCED\t8");
    xs_is_domain_introduced(store, 8);
    next("GET_DOMAIN_PATH\t7");
    xs_get_domain_path(store, 7);
    next("RESUME\t7");
    xs_resume_domain(store, 7);
    next("SET_TARGET\t7\t9");
    xs_set_target(store, 7, 9);
    next("RELEASE\t7");
    xs_release_domain(store, 7);
    next("WATCH\t/golden\ttoken");
    xs_watch(store, "/golden", "token");
    next("WRITE\t/golden/c");
    xs_write(store, 0, "/golden/c", "value", 5);
    next("UNWATCH\t/golden\ttoken");
    xs_unwatch(store, "/golden", "token");
    for (int i = 0; i < 45; i++) {
        snprintf(path, sizeof path, "/many/%0100d", i);
        if (i == 0)
            next("");
        xs_write(store, 0, path, "", 0);
    }
    next("DIRECTORY\t/many");
    xs_directory(store, 0, "/many", &number);
    next("");
    return 0;
}
