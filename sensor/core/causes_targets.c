#include "causes_targets.h"

#include <math.h>

static double at_least_nothing(double value)
{
    return value > 0 ? value : 0;
}

double causes_odds(const struct causes_targets *t, int32_t pair, double own, double own_all)
{
    double among = t->pair_among[pair], log_of_kind = 0;
    double here = at_least_nothing(t->pair_votes[pair] - own);
    double elsewhere = at_least_nothing(t->pair_all[pair] - own_all - here);
    switch ((enum causes_relation)t->pair_relation[pair]) {
    case CAUSES_LINKED:
        here += CAUSES_KNOWN_WORTH;
        break;
    case CAUSES_APART:
        elsewhere += CAUSES_KNOWN_WORTH;
        break;
    case CAUSES_PARENT_KNOWN:
        log_of_kind = CAUSES_PARENT_KNOWN_LOG;
        break;
    case CAUSES_UNKNOWN:
        break;
    }
    return log_of_kind + log((here + CAUSES_NOVELTY / among) / (here + elsewhere + CAUSES_NOVELTY) * among);
}

static double vote_of(const struct causes_targets *t, int32_t option)
{
    double seen = t->seen ? t->seen[option] : 0;
    return t->option_pair[option] >= 0 && seen > CAUSES_VOTE_LEAST ? seen : 0;
}

static void weigh_child(const struct causes_targets *t, int32_t child, double *log_of)
{
    int32_t from = t->option_from[child], to = t->option_from[child + 1];
    double own_all = 0;
    for (int32_t o = from; o < to; o++)
        own_all += vote_of(t, o);
    for (int32_t o = from; o < to; o++) {
        int32_t pair = t->option_pair[o];
        log_of[o] = t->base[o];
        if (t->option_parent[o] < 0)
            log_of[o] += t->nobody_log[t->child_kind[child]];
        if (pair < 0)
            continue;
        double own = 0;
        for (int32_t other = from; own_all > 0 && other < to; other++)
            if (t->option_pair[other] == pair)
                own += vote_of(t, other);
        log_of[o] += causes_odds(t, pair, own, own_all);
    }
}

void causes_weigh(const struct causes_targets *t, double *log)
{
    for (int32_t child = 0; child < t->children; child++)
        if (t->option_from[child + 1] - t->option_from[child] > 1)
            weigh_child(t, child, log);
}

void causes_vote(const struct causes_targets *t, double *votes)
{
    for (int32_t o = 0; o < t->options; o++)
        if (vote_of(t, o) > 0)
            votes[t->option_pair[o]] += vote_of(t, o);
}
