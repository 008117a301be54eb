#include "causes.h"

#include <math.h>

struct trigger {
    int32_t group;
    int64_t event[CAUSES_SLOTS];
};

enum { START, END, DONE, SAME, ANY = SAME };

static const struct trigger nothing_seen = {
    -1,
    {CAUSES_NOT_SEEN, CAUSES_NOT_SEEN, CAUSES_NOT_SEEN, CAUSES_NOT_SEEN, CAUSES_NOT_SEEN,
     CAUSES_NOT_SEEN},
};

/* What is to be explained: a child, or the parent's own response or end of task. */
struct effect {
    int32_t kind, target;
    int64_t time;
};

static void add_sibling(const struct causes *c, int32_t sibling, const struct effect *effect,
                        int64_t latest, struct trigger *trigger)
{
    bool same = effect->target >= 0 && c->child_target[sibling] == effect->target;
    const int64_t event[] = {c->child_start[sibling], c->child_end[sibling],
                             c->child_done[sibling]};
    for (int i = START; i <= DONE; i++) {
        if (event[i] > latest)
            continue;
        if (event[i] > trigger->event[i])
            trigger->event[i] = event[i];
        if (same && event[i] > trigger->event[SAME + i])
            trigger->event[SAME + i] = event[i];
    }
}

/* A parent ends after the latest of its children, whatever its kind. */
static void add_any(const struct causes *c, int32_t sibling, int64_t latest, struct trigger *own)
{
    const int64_t event[] = {c->child_start[sibling], c->child_end[sibling],
                             c->child_done[sibling]};
    for (int i = START; i <= DONE; i++)
        if (event[i] <= latest && event[i] > own->event[ANY + i])
            own->event[ANY + i] = event[i];
}

/* The parent's own events first, then the latest of each kind of sibling. */
static int triggers_of(const struct causes *c, int32_t parent, const int32_t *children, int count,
                       const struct effect *effect, struct trigger *found)
{
    size_t row = (size_t)c->parent_row[parent], kinds = (size_t)c->kinds;
    int64_t latest = effect->time + c->slack[row];
    const int32_t *group = c->group + (row * (kinds + 2) + (size_t)effect->kind) * (kinds + 1);
    int n = 1;
    found[0] = nothing_seen;
    found[0].group = group[0];
    found[0].event[START] = c->parent_start[parent];
    if (effect->kind != c->kinds && c->parent_reply[parent] <= latest)
        found[0].event[END] = c->parent_reply[parent];
    if (effect->kind < c->kinds && c->parent_done[parent] <= latest)
        found[0].event[DONE] = c->parent_done[parent];
    for (int i = 0; i < count; i++) {
        int32_t of = group[1 + c->child_kind[children[i]]];
        if (effect->kind >= c->kinds)
            add_any(c, children[i], latest, &found[0]);
        if (of < 0 || c->child_start[children[i]] > latest)
            continue;
        int at = 1;
        while (at < n && found[at].group != of)
            at++;
        if (at == n) {
            found[n] = nothing_seen;
            found[n++].group = of;
        }
        add_sibling(c, children[i], effect, latest, &found[at]);
    }
    return n;
}

static size_t cell(const struct trigger *trigger, int slot, int64_t time)
{
    return ((size_t)trigger->group * CAUSES_SLOTS + (size_t)slot) * CAUSES_BINS +
           (size_t)causes_bin((double)(time - trigger->event[slot]));
}

/* Density of the effect, per ns. */
static double explained(const struct causes *c, int32_t parent, const int32_t *children, int count,
                        struct effect effect, const struct causes_tally *tally)
{
    struct trigger found[CAUSES_CHILDREN + 1];
    int n = triggers_of(c, parent, children, count, &effect, found);
    double sum = c->floor;
    for (int i = 0; i < n; i++)
        for (int slot = 0; slot < CAUSES_SLOTS && found[i].group >= 0; slot++)
            if (found[i].event[slot] != CAUSES_NOT_SEEN)
                sum += (double)c->density[cell(&found[i], slot, effect.time)];
    if (!tally)
        return sum;
    tally->unexplained[c->parent_row[parent] * (c->kinds + 2) + effect.kind] += c->floor / sum;
    for (int i = 0; i < n; i++)
        for (int slot = 0; slot < CAUSES_SLOTS && found[i].group >= 0; slot++)
            if (found[i].event[slot] != CAUSES_NOT_SEEN) {
                size_t at = cell(&found[i], slot, effect.time);
                tally->gap[at] += (double)c->density[at] / sum;
            }
    return sum;
}

/* Index in repeat_log of a child that is not the first of its kind; its like are before it in the list. */
static int repeat_of(const struct causes *c, const int32_t *children, int at)
{
    int32_t child = children[at];
    for (int i = at - 1; i >= 0; i--)
        if (c->child_kind[children[i]] == c->child_kind[child] &&
            c->child_target[children[i]] == c->child_target[child])
            return c->child_failed[children[i]] ? 2 : 1;
    return 0;
}

static double counts_log(const struct causes *c, int32_t row, const int32_t *children, int count,
                         const struct causes_tally *tally)
{
    uint8_t many[CAUSES_KINDS + 1] = {0};
    double sum = 0;
    size_t table = (size_t)row * (size_t)c->kinds * CAUSES_COUNTS;
    for (int i = 0; i < count; i++) {
        int32_t kind = c->child_kind[children[i]];
        const float *logs = c->count_log + table + kind * CAUSES_COUNTS;
        if (many[kind] < CAUSES_COUNTS - 1) {
            many[kind]++;
            sum += (double)(logs[many[kind]] - logs[many[kind] - 1]);
        }
        if (many[kind] < 2 || c->child_target[children[i]] < 0)
            continue;
        int repeat = repeat_of(c, children, i);
        sum += (double)c->repeat_log[repeat];
        if (tally)
            tally->repeat[repeat] += 1;
    }
    for (int32_t kind = 0; tally && kind < c->kinds; kind++)
        tally->count[table + (size_t)kind * CAUSES_COUNTS + many[kind]] += 1;
    return sum;
}

/* One logarithm for as many densities as a double holds: it takes as long as all else of one. */
struct product {
    double factors, log_sum;
};

static void multiply(struct product *product, double density)
{
    product->factors *= density;
    if (product->factors < 1e-200) {
        product->log_sum += log(product->factors);
        product->factors = 1;
    }
}

double causes_parent(const struct causes *c, int32_t parent, const int32_t *children, int count,
                     const struct causes_tally *tally)
{
    struct product product = {1, counts_log(c, c->parent_row[parent], children, count, tally)};
    for (int i = 0; i < count; i++) {
        int32_t child = children[i];
        struct effect effect = {c->child_kind[child], c->child_target[child],
                                c->child_start[child]};
        multiply(&product, explained(c, parent, children, i, effect, tally));
    }
    struct effect reply = {c->kinds, -1, c->parent_reply[parent]};
    if (reply.time != CAUSES_NOT_SEEN)
        multiply(&product, explained(c, parent, children, count, reply, tally));
    struct effect done = {c->kinds + 1, -1, c->parent_done[parent]};
    if (done.time != CAUSES_NOT_SEEN)
        multiply(&product, explained(c, parent, children, count, done, tally));
    return product.log_sum + log(product.factors);
}

/* The parent's own triggers, and some chance of a sibling that is not known yet. */
static double option_likely(const struct causes *c, int32_t child, int32_t option)
{
    int32_t parent = c->option_parent[option];
    if (parent < 0)
        return c->option_log[option];
    struct effect effect = {c->child_kind[child], -1, c->child_start[child]};
    double gap = fabs((double)(effect.time - c->parent_start[parent]));
    double sibling = log(0.05 / (gap + 1e4));
    double own = log(explained(c, parent, NULL, 0, effect, NULL));
    return c->option_log[option] + (own > sibling ? own : sibling);
}

void causes_propose(const struct causes *c, const double *seen, double *share)
{
    for (int32_t child = 0; child < c->children; child++) {
        int32_t from = c->option_from[child], to = c->option_from[child + 1];
        double most = -INFINITY, sum = 0, seen_sum = 0;
        for (int32_t o = from; o < to; o++) {
            share[o] = option_likely(c, child, o);
            most = share[o] > most ? share[o] : most;
            seen_sum += seen ? seen[o] : 0;
        }
        for (int32_t o = from; o < to; o++)
            sum += share[o] = exp(share[o] - most > -12 ? share[o] - most : -12);
        for (int32_t o = from; o < to; o++) {
            share[o] /= sum;
            if (seen_sum > 0)
                share[o] = 0.3 * share[o] + 0.7 * seen[o] / seen_sum;
            share[o] = 0.9 * share[o] + 0.1 / (to - from);
        }
    }
}
