/* Which parent caused which child, when no key says so: how likely a parent's children are together, and a sampler
 * over all assignments of a window.
 *
 * A child follows a trigger: an event of its parent (request, response, end of its task) or of the latest sibling of
 * a kind. Each (kind of parent, kind of child, kind of trigger) has a histogram of gaps in log time; nothing else is
 * known of any distribution. The parent's own response and end of task are explained in the same way.
 *
 * All arrays are the caller's and borrowed for the call; nothing is kept between calls. Times are nanoseconds. */
#ifndef HOPTAP_CAUSES_H
#define HOPTAP_CAUSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CAUSES_BINS_PER_OCTAVE = 16,
    CAUSES_BINS_AFTER = 24 * CAUSES_BINS_PER_OCTAVE,  /* 8 us * 2^24: 137 s */
    CAUSES_BINS_BEFORE = 13 * CAUSES_BINS_PER_OCTAVE, /* 67 ms, of clocks that disagree */
    CAUSES_BINS = CAUSES_BINS_BEFORE + CAUSES_BINS_AFTER,
    CAUSES_SLOTS = 6,     /* the latest start, end, done; then of siblings on the same target, or,
                             where the parent's own end is explained, of any child */
    CAUSES_COUNTS = 12,   /* children of a kind that are told apart: 0 to 10, and more */
    CAUSES_CHILDREN = 64, /* of one parent, at most */
    CAUSES_KINDS = 254,
    CAUSES_REPEATS = 3, /* another call of the kind: elsewhere, same target after success, after failure */
};

#define CAUSES_NOT_SEEN INT64_MIN

struct causes {
    int32_t parents, children, kinds, rows;
    const int64_t *parent_start, *parent_reply, *parent_done;
    const int32_t *parent_row; /* its kind, for the tables below */
    const int64_t *child_start, *child_end, *child_done;
    const int32_t *child_kind, *child_target; /* target: -1 if none */
    const uint8_t *child_failed;
    const int32_t *option_from;   /* [children + 1] a child's options begin here */
    const int32_t *option_parent; /* -1: nobody seen */
    const double *option_log;     /* what does not depend on siblings: ids, targets, rates */
    const double *option_share;   /* how often to propose it; sums to 1 for each child */
    /* learned */
    const int32_t *group;    /* [rows][kinds + 2][1 + kinds] histograms of what (kinds: the response,
                                kinds + 1: the end of the task) by trigger (0: the parent); -1: none */
    const float *density;    /* [groups][SLOTS][BINS] per ns, times the share of the trigger */
    const float *count_log;  /* [rows][kinds][COUNTS] */
    const float *repeat_log; /* [REPEATS] */
    const int64_t *slack;    /* [rows] an effect may seem this much earlier than its cause */
    double floor;            /* per ns: of what no trigger explains */
};

/* What was seen of each thing the model is made of; added to. */
struct causes_tally {
    double *gap;         /* [groups][SLOTS][BINS] */
    double *count;       /* [rows][kinds][COUNTS] */
    double *unexplained; /* [rows][kinds + 2] */
    double *repeat;      /* [REPEATS] */
};

int causes_bin(double gap_ns);
double causes_bin_width(int bin);

/* A histogram of `weight` in all, as a density in log time that is smoothed as far as leaving each observation out
 * says it should be; `prior` observations are spread over all bins. */
void causes_smooth(const double *counts, float *density, double weight, double prior);

/* Log-likelihood of a parent with these children, in the order of their start; the part that no assignment changes
 * is left out. */
double causes_parent(const struct causes *c, int32_t parent, const int32_t *children, int count,
                     const struct causes_tally *tally);

/* Fills `share` [options] with how often to propose each option: by the gaps to the parent's own events, and by how
 * often it was held before, if `seen` is not NULL. */
void causes_propose(const struct causes *c, const double *seen, double *share);

/* First assignment: children in the order given, each where it adds most. `held` is the option of each child. */
bool causes_greedy(const struct causes *c, int32_t *held);

/* `sweeps` sweeps over all children at inverse temperature `cold`. Adds to `seen` [options] how often each option was
 * held, and to `tally` each `tally_every` sweeps. False without memory. */
bool causes_sample(const struct causes *c, int32_t *held, int sweeps, double cold, uint64_t seed,
                   double *seen, const struct causes_tally *tally, int tally_every);

#endif
