/* What targets say of who caused a child, and what is said of them in turn: votes.
 *
 * A pair is a target of a child with one of a parent. Arrays are the caller's and borrowed for the call. */
#ifndef HOPTAP_CAUSES_TARGETS_H
#define HOPTAP_CAUSES_TARGETS_H

#include <stddef.h>
#include <stdint.h>

enum causes_relation { CAUSES_UNKNOWN, CAUSES_LINKED, CAUSES_APART, CAUSES_PARENT_KNOWN };

/* Votes that a known link is worth, and a target that was not met before. */
#define CAUSES_KNOWN_WORTH 300.0
#define CAUSES_NOVELTY 0.3
/* The parent's target has others of that kind: the list is seldom out of date. */
#define CAUSES_PARENT_KNOWN_LOG (-4.0)
/* An option held less often does not vote. */
#define CAUSES_VOTE_LEAST 0.001

struct causes_targets {
    int32_t children, options;
    const int32_t *option_from;    /* [children + 1] */
    const int32_t *option_parent;  /* -1: nobody seen */
    const int32_t *option_pair;    /* -1: the child or the parent has no target */
    const int32_t *child_kind;
    const double *base;            /* [options] what does not change */
    const double *nobody_log;      /* [kinds] */
    const double *pair_votes;      /* for the pair */
    const double *pair_all;        /* for the child's target with any of the parent's shape */
    const double *pair_among;      /* as many targets may the parent have */
    const uint8_t *pair_relation;
    const double *seen;            /* [options] how often held; NULL: votes are of others only */
};

/* Log-odds against chance; the child itself voted `own` for the pair and `own_all` in all. */
double causes_odds(const struct causes_targets *t, int32_t pair, double own, double own_all);

/* Fills `log` [options]; a child without a choice keeps what is there. */
void causes_weigh(const struct causes_targets *t, double *log);

/* Adds to `votes` [pairs] what options held say. */
void causes_vote(const struct causes_targets *t, double *votes);

#endif
