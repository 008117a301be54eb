/* What a process is called and where it runs, read while it lives. */
#ifndef HOPTAP_PROCESS_H
#define HOPTAP_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROCESS_NAME_BYTES = 16, /* TASK_COMM_LEN */
    /* The last lines of /proc/PID/cgroup: of cgroup v2 there is one, with a container's id within
     * some 200 bytes. */
    PROCESS_CGROUP_BYTES = 512,
    PROCESSES_KNOWN = 256,
};

struct process {
    uint32_t pid; /* 0: none */
    char name[PROCESS_NAME_BYTES];
    char cgroup[PROCESS_CGROUP_BYTES];
};

/* By pid; two that share a place are read anew in turns. */
struct processes {
    struct process known[PROCESSES_KNOWN];
};

/* Stays until processes_ended() or another takes its place, which shows in its pid. */
const struct process *processes_find(struct processes *processes, uint32_t pid);
/* Its number may be another's from now on. */
void processes_ended(struct processes *processes, uint32_t pid);

#endif
