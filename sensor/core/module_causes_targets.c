#include "module.h"

#include "causes.h"
#include "causes_targets.h"

/* The arrays of a call, as buffers of Python; all checked before the core reads an index out of them. */
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

struct arrays {
    Py_buffer view[ARRAYS]; /* owned while .obj is set */
    Py_ssize_t size[ARRAYS];
};

static void arrays_close(struct arrays *a)
{
    for (int i = 0; i < ARRAYS; i++)
        if (a->view[i].obj)
            PyBuffer_Release(&a->view[i]);
}

static bool take(struct arrays *a, int which, PyObject *object)
{
    if (PyObject_GetBuffer(object, &a->view[which], which == OUT ? PyBUF_CONTIG : PyBUF_CONTIG_RO))
        return false;
    if (a->view[which].itemsize != item_bytes[which]) {
        PyErr_Format(PyExc_ValueError, "array %d: items of %zd bytes, not %d", which,
                     a->view[which].itemsize, (int)item_bytes[which]);
        return false;
    }
    a->size[which] = a->view[which].len / item_bytes[which];
    return true;
}

static bool take_all(struct arrays *a, int first, int count, PyObject *tuple)
{
    if (PyTuple_Size(tuple) != count) {
        PyErr_Format(PyExc_TypeError, "a tuple of %d arrays", count);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!take(a, first + i, PyTuple_GetItem(tuple, i)))
            return false;
    return true;
}

static bool below(const struct arrays *a, int which, int32_t least, Py_ssize_t limit)
{
    const int32_t *items = a->view[which].buf;
    for (Py_ssize_t i = 0; i < a->size[which]; i++)
        if (items[i] < least || items[i] >= limit)
            return false;
    return true;
}

static bool options_good(const struct arrays *a)
{
    const int32_t *from = a->view[OPTION_FROM].buf;
    Py_ssize_t children = a->size[CHILD_KIND], options = a->size[OPTION_PARENT];
    if (a->size[OPTION_FROM] != children + 1 || options > INT32_MAX || from[0] ||
        from[children] != options)
        return false;
    for (Py_ssize_t i = 0; i < children; i++)
        if (from[i] >= from[i + 1])
            return false;
    return true;
}

static bool shapes_good(const struct arrays *a, Py_ssize_t out)
{
    Py_ssize_t options = a->size[OPTION_PARENT], pairs = a->size[VOTES];
    bool good = options_good(a) && a->size[OPTION_PAIR] == options && a->size[BASE] == options &&
                a->size[ALL] == pairs && a->size[AMONG] == pairs && a->size[RELATION] == pairs &&
                (!a->view[SEEN].obj || a->size[SEEN] == options) && a->size[OUT] == out &&
                below(a, OPTION_PAIR, -1, pairs) && below(a, CHILD_KIND, 0, a->size[NOBODY_LOG]);
    if (!good)
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit");
    return good;
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
        !take_all(a, 0, OPTION_ARRAYS, options) || !take_all(a, VOTES, VOTE_ARRAYS, votes) ||
        (seen != Py_None && !take(a, SEEN, seen)) || !take(a, OUT, out) ||
        !shapes_good(a, per_pair ? a->size[VOTES] : a->size[OPTION_PARENT]))
        return false;
    point(t, a);
    return true;
}

static PyObject *weigh(PyObject *module, PyObject *args)
{
    (void)module;
    struct arrays a = {0};
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
    struct arrays a = {0};
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
