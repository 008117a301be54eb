/* links: causes_targets.c */
#include "check.h"

#include <math.h>

#include "causes_targets.h"

enum { CHILDREN = 2, OPTIONS = 4, PAIRS = 2 };

/* The first child may have two parents, whose targets are pairs 0 and 1, or nobody; the second has its parent. */
struct example {
    struct causes_targets t;
    int32_t from[CHILDREN + 1], parent[OPTIONS], pair[OPTIONS], kind[CHILDREN];
    double base[OPTIONS], nobody[1], votes[PAIRS], all[PAIRS], among[PAIRS], seen[OPTIONS];
    uint8_t relation[PAIRS];
};

static void set_up(struct example *e)
{
    *e = (struct example){
        .from = {0, 3, 4},
        .parent = {0, 1, -1, 1},
        .pair = {0, 1, -1, 1},
        .nobody = {-20},
        .votes = {3, 0},
        .all = {3, 3},
        .among = {100, 100},
    };
    e->t = (struct causes_targets){
        .children = CHILDREN, .options = OPTIONS, .option_from = e->from,
        .option_parent = e->parent, .option_pair = e->pair, .child_kind = e->kind, .base = e->base,
        .nobody_log = e->nobody, .pair_votes = e->votes, .pair_all = e->all,
        .pair_among = e->among, .pair_relation = e->relation,
    };
}

static void check_votes_count(void)
{
    struct example e;
    double log_of[OPTIONS] = {0, 0, 0, 7};
    set_up(&e);
    causes_weigh(&e.t, log_of);
    CHECK(log_of[0] > 4 && log_of[1] < -2);
    CHECK(fabs(log_of[2] + 20) < 1e-9);
    CHECK(fabs(log_of[3] - 7) < 1e-9); /* it has no choice */
}

static void check_own_votes_do_not(void)
{
    struct example e;
    double log_of[OPTIONS] = {0}, votes[PAIRS] = {0};
    set_up(&e);
    e.votes[0] = e.all[0] = e.all[1] = 1;
    e.seen[0] = 1;
    e.t.seen = e.seen;
    causes_weigh(&e.t, log_of);
    CHECK(fabs(log_of[0]) < 1e-9 && fabs(log_of[1]) < 1e-9);
    e.seen[1] = CAUSES_VOTE_LEAST / 2;
    causes_vote(&e.t, votes);
    CHECK(fabs(votes[0] - 1) < 1e-9 && votes[1] == 0);
}

static void check_known_links(void)
{
    static const struct {
        enum causes_relation relation;
        double least, most;
    } cases[] = {
        {CAUSES_UNKNOWN, -0.1, 0.1},
        {CAUSES_LINKED, 4, 5},
        {CAUSES_APART, -8, -6},
        {CAUSES_PARENT_KNOWN, -4.1, -3.9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct example e;
        set_up(&e);
        e.votes[0] = e.all[0] = 0;
        e.relation[0] = (uint8_t)cases[i].relation;
        double odds = causes_odds(&e.t, 0, 0, 0);
        CHECK(odds >= cases[i].least && odds <= cases[i].most);
    }
}

int main(void)
{
    check_votes_count();
    check_own_votes_do_not();
    check_known_links();
    return checks_report("causes_targets");
}
