#include "module_arrays.h"

#include "causes.h"
#include "causes_targets.h"

enum {
    OPTION_FROM, OPTION_PARENT, OPTION_PAIR, CHILD_KIND, BASE, NOBODY_LOG, OPTION_ARRAYS,
    VOTES = OPTION_ARRAYS, ALL, AMONG, RELATION, VOTES_END, VOTE_ARRAYS = VOTES_END - VOTES,
    SEEN = VOTES_END, OUT, ARRAYS,
};

static const unsigned char item_bytes[ARRAYS] = {
    [OPTION_FROM] = 4, [OPTION_PARENT] = 4, [OPTION_PAIR] = 4, [CHILD_KIND] = 4, [BASE] = 8,
    [NOBODY_LOG] = 8,  [VOTES] = 8,         [ALL] = 8,         [AMONG] = 8,      [RELATION] = 1,
    [SEEN] = 8,        [OUT] = 8,
};

static bool shapes_good(const struct arrays *a, Py_ssize_t out)
{
    Py_ssize_t children = a->size[CHILD_KIND], options = a->size[OPTION_PARENT],
               pairs = a->size[VOTES];
    if (options > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "more than the core takes");
        return false;
    }
    return arrays_cut_up(a, OPTION_FROM, children, options) &&
           arrays_sized(a, OPTION_PAIR, options) && arrays_sized(a, BASE, options) &&
           arrays_all_sized(a, ALL, RELATION, pairs) &&
           (!a->view[SEEN].obj || arrays_sized(a, SEEN, options)) && arrays_sized(a, OUT, out) &&
           arrays_within(a, OPTION_PAIR, -1, pairs) &&
           arrays_within(a, CHILD_KIND, 0, a->size[NOBODY_LOG]);
}

static void point(struct causes_targets *t, const struct arrays *a)
{
    t->children = (int32_t)a->size[CHILD_KIND];
    t->options = (int32_t)a->size[OPTION_PARENT];
    t->option_from = a->view[OPTION_FROM].buf;
    t->option_parent = a->view[OPTION_PARENT].buf;
    t->option_pair = a->view[OPTION_PAIR].buf;
    t->child_kind = a->view[CHILD_KIND].buf;
    t->base = a->view[BASE].buf;
    t->nobody_log = a->view[NOBODY_LOG].buf;
    t->pair_votes = a->view[VOTES].buf;
    t->pair_all = a->view[ALL].buf;
    t->pair_among = a->view[AMONG].buf;
    t->pair_relation = a->view[RELATION].buf;
    t->seen = a->view[SEEN].buf;
}

/* options, votes, seen, out */
static bool taken(struct arrays *a, struct causes_targets *t, PyObject *args, bool per_pair)
{
    PyObject *options, *votes, *seen, *out;
    if (!PyArg_ParseTuple(args, "O!O!OO", &PyTuple_Type, &options, &PyTuple_Type, &votes, &seen,
                          &out) ||
        !arrays_take_all(a, 0, OPTION_ARRAYS, options) ||
        !arrays_take_all(a, VOTES, VOTE_ARRAYS, votes) ||
        (seen != Py_None && !arrays_take(a, SEEN, seen)) || !arrays_take(a, OUT, out) ||
        !shapes_good(a, per_pair ? a->size[VOTES] : a->size[OPTION_PARENT]))
        return false;
    point(t, a);
    return true;
}

static PyObject *weigh(PyObject *module, PyObject *args)
{
    (void)module;
    struct arrays a = {.item_bytes = item_bytes, .written = OUT};
    struct causes_targets t = {0};
    bool good = taken(&a, &t, args, false);
    if (good)
        causes_weigh(&t, a.view[OUT].buf);
    arrays_close(&a);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *vote(PyObject *module, PyObject *args)
{
    (void)module;
    struct arrays a = {.item_bytes = item_bytes, .written = OUT};
    struct causes_targets t = {0};
    bool good = taken(&a, &t, args, true);
    if (good)
        causes_vote(&t, a.view[OUT].buf);
    arrays_close(&a);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

/* Sums of histograms. */
static PyObject *masses(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer counts = {0}, sums = {0};
    if (!PyArg_ParseTuple(args, "y*w*", &counts, &sums))
        return NULL;
    Py_ssize_t many = sums.len / (Py_ssize_t)sizeof(double);
    bool good = counts.itemsize == sizeof(double) && sums.itemsize == sizeof(double) &&
                counts.len / (Py_ssize_t)sizeof(double) / CAUSES_BINS == many &&
                counts.len % (Py_ssize_t)(CAUSES_BINS * sizeof(double)) == 0;
    const double *from = counts.buf;
    double *to = sums.buf;
    for (Py_ssize_t i = 0; good && i < many; i++) {
        to[i] = 0;
        for (int bin = 0; bin < CAUSES_BINS; bin++)
            to[i] += *from++;
    }
    PyBuffer_Release(&counts);
    PyBuffer_Release(&sums);
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "a sum for each histogram is needed");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"causes_weigh", weigh, METH_VARARGS, NULL},
    {"causes_vote", vote, METH_VARARGS, NULL},
    {"causes_masses", masses, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int add_causes_targets(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
