#include "causes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An assignment: the children of each parent as a linked list, in the order of their start. */
struct state {
    const struct causes *c;
    int32_t *held;         /* the caller's */
    int32_t *first, *next; /* owned */
    double *score;         /* owned; of each parent */
    uint64_t random;
};

/* splitmix64 */
static uint64_t drawn(struct state *s)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double chance(struct state *s)
{
    return (double)(drawn(s) >> 11) * 0x1p-53;
}

static int32_t parent_of(const struct state *s, int32_t child)
{
    return s->c->option_parent[s->c->option_from[child] + s->held[child]];
}

static int list_of(const struct state *s, int32_t parent, int32_t *list)
{
    int n = 0;
    for (int32_t at = parent < 0 ? -1 : s->first[parent]; at >= 0; at = s->next[at])
        list[n++] = at;
    return n;
}

static void set_list(struct state *s, int32_t parent, const int32_t *list, int n, double score)
{
    if (parent < 0)
        return;
    int32_t *to = &s->first[parent];
    for (int i = 0; i < n; i++) {
        *to = list[i];
        to = &s->next[list[i]];
    }
    *to = -1;
    s->score[parent] = score;
}

static double score_of(const struct state *s, int32_t parent, const int32_t *list, int n)
{
    return parent < 0 ? 0 : causes_parent(s->c, parent, list, n, NULL);
}

static bool before(const struct causes *c, int32_t a, int32_t b)
{
    return c->child_start[a] != c->child_start[b] ? c->child_start[a] < c->child_start[b] : a < b;
}

static int inserted(const struct causes *c, int32_t *list, int n, int32_t child)
{
    int at = n;
    for (; at > 0 && before(c, child, list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = child;
    return n + 1;
}

static int removed(int32_t *list, int n, int32_t child)
{
    int at = 0;
    while (at < n && list[at] != child)
        at++;
    if (at == n)
        return n;
    memmove(list + at, list + at + 1, (size_t)(n - at - 1) * sizeof *list);
    return n - 1;
}

static int32_t option_of(const struct causes *c, int32_t child, int32_t parent)
{
    for (int32_t o = c->option_from[child]; o < c->option_from[child + 1]; o++)
        if (c->option_parent[o] == parent)
            return o - c->option_from[child];
    return -1;
}

static int32_t proposed(struct state *s, int32_t child)
{
    const struct causes *c = s->c;
    double at = chance(s);
    int32_t from = c->option_from[child], last = c->option_from[child + 1] - 1;
    int32_t o = from;
    while (o < last && (at -= c->option_share[o]) >= 0)
        o++;
    return o - from;
}

/* Children that go from one parent to another, and back. -1 as a parent is nobody, who may have any number. */
struct side {
    int32_t parent;
    int count;
    int32_t list[2 * CAUSES_CHILDREN];
};

struct move {
    struct side from, to;
    int moved;
    int32_t child[2 * CAUSES_CHILDREN], option[2 * CAUSES_CHILDREN];
    double gain; /* of what does not depend on siblings */
};

/* False if the child may not have that parent: `option` is negative then. */
static bool give(const struct state *s, struct move *m, int32_t child, int32_t option)
{
    if (option < 0)
        return false;
    const double *logs = s->c->option_log + s->c->option_from[child];
    m->gain += logs[option] - logs[s->held[child]];
    m->child[m->moved] = child;
    m->option[m->moved++] = option;
    return true;
}

static bool move_child(const struct state *s, struct move *m, struct side *from, struct side *to,
                       int32_t child, int32_t option)
{
    if (!give(s, m, child, option))
        return false;
    if (from->parent >= 0)
        from->count = removed(from->list, from->count, child);
    if (to->parent >= 0)
        to->count = inserted(s->c, to->list, to->count, child);
    return true;
}

/* A child of the same kind goes the other way. */
static bool swap_child(struct state *s, struct move *m, int32_t child, int32_t option)
{
    int32_t like[CAUSES_CHILDREN];
    uint64_t n = 0;
    for (int i = 0; i < m->to.count; i++)
        if (s->c->child_kind[m->to.list[i]] == s->c->child_kind[child])
            like[n++] = m->to.list[i];
    if (!n)
        return false;
    int32_t other = like[drawn(s) % n];
    return move_child(s, m, &m->to, &m->from, other, option_of(s->c, other, m->from.parent)) &&
           move_child(s, m, &m->from, &m->to, child, option);
}

static int tail_of(const struct causes *c, const struct side *side, int32_t child)
{
    int at = 0;
    while (at < side->count && before(c, side->list[at], child))
        at++;
    return at;
}

/* This child and all later ones of both parents change places. */
static bool swap_tails(const struct state *s, struct move *m, int32_t child)
{
    int32_t tail[CAUSES_CHILDREN];
    int from = tail_of(s->c, &m->from, child), to = tail_of(s->c, &m->to, child);
    int from_tail = m->from.count - from, to_tail = m->to.count - to;
    if (from_tail + to_tail < 2)
        return false;
    for (int i = from; i < m->from.count; i++)
        if (!give(s, m, m->from.list[i], option_of(s->c, m->from.list[i], m->to.parent)))
            return false;
    for (int i = to; i < m->to.count; i++)
        if (!give(s, m, m->to.list[i], option_of(s->c, m->to.list[i], m->from.parent)))
            return false;
    memcpy(tail, m->from.list + from, (size_t)from_tail * sizeof *tail);
    memcpy(m->from.list + from, m->to.list + to, (size_t)to_tail * sizeof *tail);
    memcpy(m->to.list + to, tail, (size_t)from_tail * sizeof *tail);
    m->from.count = from + to_tail;
    m->to.count = to + from_tail;
    return true;
}

enum how { MOVE_CHILD, SWAP_CHILD, SWAP_TAILS, HOWS };

/* One step of Metropolis and Hastings. Each child and way is a kernel of its own: the way back is proposed by the same
 * child, so that only the shares of its two options count. */
static void step(struct state *s, int32_t child, double cold, enum how how)
{
    const struct causes *c = s->c;
    int32_t option = proposed(s, child), from = c->option_from[child];
    if (option == s->held[child])
        return;
    double back = c->option_share[from + s->held[child]] / c->option_share[from + option];
    struct move m;
    m.moved = 0;
    m.gain = 0;
    m.from.parent = parent_of(s, child);
    m.to.parent = c->option_parent[from + option];
    m.from.count = list_of(s, m.from.parent, m.from.list);
    m.to.count = list_of(s, m.to.parent, m.to.list);
    bool possible;
    if (how == MOVE_CHILD || m.from.parent < 0 || m.to.parent < 0)
        possible = move_child(s, &m, &m.from, &m.to, child, option);
    else
        possible = how == SWAP_CHILD ? swap_child(s, &m, child, option) : swap_tails(s, &m, child);
    if (!possible || m.from.count > CAUSES_CHILDREN || m.to.count > CAUSES_CHILDREN)
        return;
    double from_score = score_of(s, m.from.parent, m.from.list, m.from.count);
    double to_score = score_of(s, m.to.parent, m.to.list, m.to.count);
    double before_move = (m.from.parent < 0 ? 0 : s->score[m.from.parent]) +
                         (m.to.parent < 0 ? 0 : s->score[m.to.parent]);
    double gain = from_score + to_score + m.gain - before_move;
    if (log(chance(s) / back + 1e-300) >= cold * gain)
        return;
    set_list(s, m.from.parent, m.from.list, m.from.count, from_score);
    set_list(s, m.to.parent, m.to.list, m.to.count, to_score);
    for (int i = 0; i < m.moved; i++)
        s->held[m.child[i]] = m.option[i];
}

static void state_close(struct state *s)
{
    free(s->first);
    free(s->next);
    free(s->score);
}

static bool state_open(struct state *s, const struct causes *c, int32_t *held, uint64_t seed)
{
    size_t parents = (size_t)c->parents + 1, children = (size_t)c->children + 1;
    *s = (struct state){.c = c, .held = held, .random = seed};
    s->first = malloc(parents * sizeof *s->first);
    s->next = malloc(children * sizeof *s->next);
    s->score = malloc(parents * sizeof *s->score);
    if (!s->first || !s->next || !s->score) {
        state_close(s);
        return false;
    }
    for (int32_t p = 0; p < c->parents; p++)
        set_list(s, p, NULL, 0, score_of(s, p, NULL, 0));
    return true;
}

/* Puts a child where `held` says, or with nobody if that parent is full and nobody is an option. */
static void place(struct state *s, int32_t child)
{
    int32_t list[CAUSES_CHILDREN + 1], parent = parent_of(s, child);
    int n = list_of(s, parent, list);
    if (n == CAUSES_CHILDREN) {
        int32_t nobody = option_of(s->c, child, -1);
        if (nobody >= 0)
            s->held[child] = nobody;
        return;
    }
    n = inserted(s->c, list, n, child);
    set_list(s, parent, list, n, 0);
}

static void observe(const struct state *s, double *seen, const struct causes_tally *tally)
{
    int32_t list[CAUSES_CHILDREN];
    for (int32_t i = 0; seen && i < s->c->children; i++)
        seen[s->c->option_from[i] + s->held[i]] += 1;
    for (int32_t p = 0; tally && p < s->c->parents; p++)
        causes_parent(s->c, p, list, list_of(s, p, list), tally);
}

bool causes_sample(const struct causes *c, int32_t *held, int sweeps, double cold, uint64_t seed,
                   double *seen, const struct causes_tally *tally, int tally_every)
{
    struct state s;
    int32_t list[CAUSES_CHILDREN];
    if (!state_open(&s, c, held, seed))
        return false;
    for (int32_t i = 0; i < c->children; i++)
        place(&s, i);
    for (int32_t p = 0; p < c->parents; p++)
        s.score[p] = score_of(&s, p, list, list_of(&s, p, list));
    for (int sweep = 1; sweep <= sweeps; sweep++) {
        for (int32_t i = 0; i < c->children; i++)
            for (enum how how = MOVE_CHILD;
                 how < HOWS && c->option_from[i + 1] - c->option_from[i] > 1; how++)
                step(&s, i, cold, how);
        observe(&s, seen, tally && sweep % tally_every == 0 ? tally : NULL);
    }
    state_close(&s);
    return true;
}

bool causes_greedy(const struct causes *c, int32_t *held)
{
    struct state s;
    int32_t list[CAUSES_CHILDREN + 1];
    if (!state_open(&s, c, held, 0))
        return false;
    for (int32_t i = 0; i < c->children; i++) {
        double best = -INFINITY, best_score = 0;
        for (int32_t o = c->option_from[i]; o < c->option_from[i + 1]; o++) {
            int32_t p = c->option_parent[o];
            int n = list_of(&s, p, list);
            if (n == CAUSES_CHILDREN)
                continue;
            n = inserted(c, list, n, i);
            double score = score_of(&s, p, list, n);
            double gain = c->option_log[o] + score - (p < 0 ? 0 : s.score[p]);
            if (gain > best) {
                best = gain;
                best_score = score;
                held[i] = o - c->option_from[i];
            }
        }
        int32_t p = parent_of(&s, i);
        int n = list_of(&s, p, list);
        if (p >= 0 && n < CAUSES_CHILDREN) {
            n = inserted(c, list, n, i);
            set_list(&s, p, list, n, best_score);
        }
    }
    state_close(&s);
    return true;
}
