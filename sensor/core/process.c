#include "process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 64 };

/* The end of the file, without its newline; "" when there is none. */
static void read_end(uint32_t pid, const char *name, char *text, size_t room)
{
    char path[PATH_BYTES], part[1024];
    size_t have = 0;

    snprintf(path, sizeof path, "/proc/%" PRIu32 "/%s", pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t bytes; file >= 0 && (bytes = read(file, part, sizeof part)) > 0;) {
        size_t fresh = (size_t)bytes < room - 1 ? (size_t)bytes : room - 1;
        size_t kept = have < room - 1 - fresh ? have : room - 1 - fresh;
        memmove(text, text + have - kept, kept);
        memcpy(text + kept, part + (size_t)bytes - fresh, fresh);
        have = kept + fresh;
    }
    if (file >= 0)
        close(file);
    if (have && text[have - 1] == '\n')
        have--;
    text[have] = 0;
}

const struct process *processes_find(struct processes *processes, uint32_t pid)
{
    struct process *process = &processes->known[pid % PROCESSES_KNOWN];

    if (process->pid == pid)
        return process;
    process->pid = pid;
    read_end(pid, "comm", process->name, sizeof process->name);
    read_end(pid, "cgroup", process->cgroup, sizeof process->cgroup);
    return process;
}

void processes_ended(struct processes *processes, uint32_t pid)
{
    struct process *process = &processes->known[pid % PROCESSES_KNOWN];

    if (process->pid == pid)
        process->pid = 0;
}
