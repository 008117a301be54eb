/* links: causes.c causes_gaps.c causes_sample.c */
#include "check.h"

#include <math.h>
#include <stdlib.h>

#include "causes.h"

static void check_bins(void)
{
    static const double gaps[] = {0, 1, 511, 513, 8191, 8193, 1e5, 1e6, 1e9, 9e10, 1e12};
    int last = -1;
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        int bin = causes_bin(gaps[i]);
        CHECK(bin >= last && bin < CAUSES_BINS);
        last = bin;
        int below = causes_bin(-gaps[i] - 1);
        CHECK(below >= 0 && below < causes_bin(0));
    }
    CHECK(last == CAUSES_BINS - 1);
    CHECK(causes_bin(-1e12) == 0);
    /* a bin is as wide as the gaps that fall into it */
    double at = 0;
    for (int bin = causes_bin(0); bin < CAUSES_BINS - 1; bin++) {
        CHECK(causes_bin(at + 1) == bin);
        at += causes_bin_width(bin);
    }
}

static void check_smoothing(void)
{
    static double counts[CAUSES_BINS];
    static float density[CAUSES_BINS];
    counts[300] = 40;
    counts[303] = 60;
    causes_smooth(counts, density, 0.5, 2.0);
    double mass = 0;
    for (int bin = 0; bin < CAUSES_BINS; bin++) {
        CHECK(density[bin] > 0);
        mass += (double)density[bin] * causes_bin_width(bin);
    }
    CHECK(fabs(mass - 0.5) < 1e-3);
    CHECK(density[303] > 100 * density[400]);
}

enum { PARENTS = 3, CHILDREN = 3, OPTIONS = CHILDREN * (PARENTS + 1), KINDS = 1, ROWS = 1 };

/* Three parents that began shortly after each other, three children; each may have any parent or nobody. */
struct example {
    struct causes c;
    int64_t parent_start[PARENTS], parent_reply[PARENTS], parent_done[PARENTS];
    int32_t parent_row[PARENTS];
    int64_t child_start[CHILDREN], child_end[CHILDREN], child_done[CHILDREN];
    int32_t child_kind[CHILDREN], child_target[CHILDREN];
    uint8_t child_failed[CHILDREN];
    int32_t option_from[CHILDREN + 1], option_parent[OPTIONS];
    double option_log[OPTIONS], option_share[OPTIONS];
    int32_t group[ROWS * (KINDS + 2) * (KINDS + 1)];
    float density[CAUSES_SLOTS * CAUSES_BINS];
    float count_log[ROWS * KINDS * CAUSES_COUNTS], repeat_log[CAUSES_REPEATS];
    int64_t slack[ROWS];
};

static void lay_out(struct example *e)
{
    for (int i = 0; i < PARENTS; i++) {
        e->parent_start[i] = 1000000 + 200000 * i;
        e->parent_reply[i] = e->parent_done[i] = CAUSES_NOT_SEEN;
        e->child_start[i] = 1500000 + 300000 * i;
        e->child_end[i] = e->child_start[i] + 1000;
        e->child_done[i] = CAUSES_NOT_SEEN;
        e->child_target[i] = -1;
        e->option_from[i + 1] = (i + 1) * (PARENTS + 1);
        for (int o = 0; o <= PARENTS; o++) {
            e->option_parent[i * (PARENTS + 1) + o] = o < PARENTS ? o : -1;
            e->option_log[i * (PARENTS + 1) + o] = o < PARENTS ? 0 : log(1e-8);
            e->option_share[i * (PARENTS + 1) + o] = 1.0 / (PARENTS + 1);
        }
    }
    for (int i = 0; i < (KINDS + 2) * (KINDS + 1); i++)
        e->group[i] = -1;
    e->group[0] = 0; /* a child after its parent's own events */
    for (int bin = 0; bin < CAUSES_BINS; bin++) {
        double octaves = (bin - causes_bin(500000)) / 16.0;
        e->density[bin] = (float)(1e-6 * exp(-octaves * octaves));
    }
    for (int i = 0; i < CAUSES_COUNTS; i++)
        e->count_log[i] = i == 1 ? -0.2f : -1.5f * (float)(i + 1);
}

static void point(struct example *e)
{
    e->c = (struct causes){
        .parents = PARENTS, .children = CHILDREN, .kinds = KINDS, .rows = ROWS,
        .parent_start = e->parent_start, .parent_reply = e->parent_reply,
        .parent_done = e->parent_done, .parent_row = e->parent_row,
        .child_start = e->child_start, .child_end = e->child_end, .child_done = e->child_done,
        .child_kind = e->child_kind, .child_target = e->child_target,
        .child_failed = e->child_failed, .option_from = e->option_from,
        .option_parent = e->option_parent, .option_log = e->option_log,
        .option_share = e->option_share, .group = e->group, .density = e->density,
        .count_log = e->count_log, .repeat_log = e->repeat_log, .slack = e->slack, .floor = 1e-13,
    };
}

static double assignment_log(const struct example *e, const int *held)
{
    double sum = 0;
    for (int p = 0; p < PARENTS; p++) {
        int32_t children[CHILDREN];
        int n = 0;
        for (int32_t i = 0; i < CHILDREN; i++)
            if (held[i] == p)
                children[n++] = i;
        sum += causes_parent(&e->c, p, children, n, NULL);
    }
    for (int i = 0; i < CHILDREN; i++)
        sum += e->option_log[i * (PARENTS + 1) + held[i]];
    return sum;
}

/* Sampled marginals against those of all 64 assignments; the coldest sample is the most probable one. */
static void check_against_enumeration(void)
{
    struct example *e = calloc(1, sizeof *e);
    lay_out(e);
    point(e);
    double exact[OPTIONS] = {0}, sum = 0, most = -INFINITY;
    int best[CHILDREN] = {0};
    for (int code = 0; code < 64; code++) {
        int held[CHILDREN] = {code & 3, code >> 2 & 3, code >> 4};
        double log_likely = assignment_log(e, held);
        if (log_likely > most) {
            most = log_likely;
            memcpy(best, held, sizeof best);
        }
        sum += exp(log_likely);
        for (int i = 0; i < CHILDREN; i++)
            exact[i * (PARENTS + 1) + held[i]] += exp(log_likely);
    }
    enum { SWEEPS = 40000 };
    double seen[OPTIONS] = {0}, share[OPTIONS];
    int32_t held[CHILDREN] = {0};
    causes_propose(&e->c, NULL, share);
    e->c.option_share = share;
    CHECK(causes_greedy(&e->c, held));
    CHECK(causes_sample(&e->c, held, SWEEPS, 1.0, 7, seen, NULL, 1));
    for (int o = 0; o < OPTIONS; o++)
        CHECK(fabs(seen[o] / SWEEPS - exact[o] / sum) < 0.015);
    CHECK(causes_sample(&e->c, held, 200, 30.0, 7, NULL, NULL, 1));
    for (int i = 0; i < CHILDREN; i++)
        CHECK(held[i] == best[i]);
    free(e);
}

static void check_tally(void)
{
    struct example *e = calloc(1, sizeof *e);
    lay_out(e);
    point(e);
    static double gap[CAUSES_SLOTS * CAUSES_BINS];
    double count[CAUSES_COUNTS] = {0}, unexplained[KINDS + 2] = {0}, repeat[CAUSES_REPEATS] = {0};
    struct causes_tally tally = {gap, count, unexplained, repeat};
    int32_t held[CHILDREN] = {0, 1, 2};
    CHECK(causes_sample(&e->c, held, 10, 1.0, 3, NULL, &tally, 2));
    double children = unexplained[0], parents = 0;
    for (int i = 0; i < CAUSES_SLOTS * CAUSES_BINS; i++)
        children += gap[i];
    for (int i = 0; i < CAUSES_COUNTS; i++)
        parents += count[i];
    CHECK(parents == 5 * PARENTS);
    CHECK(children > 0 && children <= 5 * CHILDREN + 1e-9);
    free(e);
}

/* One parent gets more children than it can have: the rest is nobody's, nothing is written beyond. */
static void check_crowd(void)
{
    enum { CROWD = 3 * CAUSES_CHILDREN };
    struct example *e = calloc(1, sizeof *e);
    lay_out(e);
    point(e);
    int64_t start[CROWD], none[CROWD];
    int32_t kind[CROWD] = {0}, target[CROWD], from[CROWD + 1], parent[2 * CROWD], held[CROWD] = {0};
    uint8_t failed[CROWD] = {0};
    double logs[2 * CROWD], share[2 * CROWD], seen[2 * CROWD] = {0};
    from[0] = 0;
    for (int i = 0; i < CROWD; i++) {
        start[i] = 1100000 + i * 1000;
        none[i] = CAUSES_NOT_SEEN;
        target[i] = i % 3;
        from[i + 1] = 2 * i + 2;
        parent[2 * i] = 0;
        parent[2 * i + 1] = -1;
        logs[2 * i] = 0;
        logs[2 * i + 1] = -50;
        share[2 * i] = share[2 * i + 1] = 0.5;
    }
    e->c.children = CROWD;
    e->c.child_start = start;
    e->c.child_end = e->c.child_done = none;
    e->c.child_kind = kind;
    e->c.child_target = target;
    e->c.child_failed = failed;
    e->c.option_from = from;
    e->c.option_parent = parent;
    e->c.option_log = logs;
    e->c.option_share = share;
    CHECK(causes_sample(&e->c, held, 4, 1.0, 1, seen, NULL, 1));
    int taken = 0;
    for (int i = 0; i < CROWD; i++)
        taken += held[i] == 0;
    CHECK(taken <= CAUSES_CHILDREN);
    CHECK(causes_greedy(&e->c, held));
    taken = 0;
    for (int i = 0; i < CROWD; i++)
        taken += held[i] == 0;
    CHECK(taken <= CAUSES_CHILDREN);
    free(e);
}

int main(void)
{
    check_bins();
    check_smoothing();
    check_against_enumeration();
    check_tally();
    check_crowd();
    return checks_report("causes");
}
