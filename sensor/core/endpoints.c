/* Through a copy of the descriptor; else, where no copy is to be had (a kernel before 5.6, or a
 * security module that forbids it), through the inode that /proc shows. */
#include "endpoints.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 64, LINE_BYTES = 512, ESTABLISHED_STATE = 1 }; /* net/tcp_states.h */

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool take_address(const struct sockaddr_storage *from, uint8_t address[ADDRESS_BYTES],
                         uint16_t *port)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        memcpy(address, v4_mapped, sizeof v4_mapped);
        memcpy(address + sizeof v4_mapped, &in->sin_addr, sizeof in->sin_addr);
        *port = ntohs(in->sin_port);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    memcpy(address, &in6->sin6_addr, ADDRESS_BYTES);
    *port = ntohs(in6->sin6_port);
    return true;
}

/* What travels on the wire: a mapped address is IPv4 there. */
static uint8_t version_of(const uint8_t address[ADDRESS_BYTES])
{
    return memcmp(address, v4_mapped, sizeof v4_mapped) == 0 ? 4 : 6;
}

static bool ask_socket(int socket, struct endpoints *endpoints)
{
    struct sockaddr_storage local, peer;
    socklen_t local_bytes = sizeof local, peer_bytes = sizeof peer;

    if (getsockname(socket, (struct sockaddr *)&local, &local_bytes) < 0 ||
        getpeername(socket, (struct sockaddr *)&peer, &peer_bytes) < 0)
        return false;
    return take_address(&local, endpoints->local, &endpoints->local_port) &&
           take_address(&peer, endpoints->peer, &endpoints->peer_port);
}

/* -1: none to be had. */
static int copy_of(uint32_t pid, int fd)
{
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int copy = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);

    if (process >= 0)
        close(process);
    return copy;
}

/* 0: no socket, or hidden. */
static uint64_t inode_of(uint32_t pid, int fd)
{
    char path[PATH_BYTES], target[PATH_BYTES];
    uint64_t inode;

    snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd/%d", pid, fd);
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes < 0)
        return 0;
    target[bytes] = 0;
    return sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1 ? inode : 0;
}

/* Words of an address as /proc prints them: each in host order, in hex. */
static bool take_words(const char *text, uint8_t address[ADDRESS_BYTES], uint16_t *port)
{
    const char *colon = strchr(text, ':');
    size_t digits = colon ? (size_t)(colon - text) : 0, words = digits / 8;

    if (digits != 8 && digits != 32)
        return false;
    memcpy(address, v4_mapped, sizeof v4_mapped);
    for (size_t i = 0; i < words; i++) {
        char word[9] = {0};
        memcpy(word, text + i * 8, 8);
        uint32_t value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(address + ADDRESS_BYTES - (words - i) * sizeof value, &value, sizeof value);
    }
    *port = (uint16_t)strtoul(colon + 1, NULL, 16);
    return true;
}

/* Documentation/networking/proc_net_tcp.rst */
static bool search(uint32_t pid, const char *table, uint64_t inode, struct endpoints *endpoints)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    bool found = false;

    snprintf(path, sizeof path, "/proc/%" PRIu32 "/net/%s", pid, table);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        char local[48], peer[48];
        unsigned state;
        uint64_t of;
        found = sscanf(line, " %*[^:]: %47s %47s %x %*s %*s %*s %*s %*s %" SCNu64, local, peer,
                       &state, &of) == 4 &&
                of == inode && state == ESTABLISHED_STATE &&
                take_words(local, endpoints->local, &endpoints->local_port) &&
                take_words(peer, endpoints->peer, &endpoints->peer_port);
    }
    if (file)
        fclose(file);
    return found;
}

bool endpoints_of(uint32_t pid, int fd, struct endpoints *endpoints)
{
    int copy = fd < 0 ? -1 : copy_of(pid, fd);
    bool known = false;

    *endpoints = (struct endpoints){0};
    if (copy >= 0) {
        known = ask_socket(copy, endpoints);
        close(copy);
    } else if (fd >= 0) {
        uint64_t inode = inode_of(pid, fd);
        known = inode && (search(pid, "tcp", inode, endpoints) ||
                          search(pid, "tcp6", inode, endpoints));
    }
    endpoints->ip_version = version_of(endpoints->local);
    return known;
}
