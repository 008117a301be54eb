#include "module_arrays.h"

#include "causes.h"

enum {
    PARENT_START, PARENT_REPLY, PARENT_DONE, PARENT_ROW, CHILD_START, CHILD_END, CHILD_DONE,
    CHILD_KIND, CHILD_TARGET, CHILD_FAILED, OPTION_FROM, OPTION_PARENT, OPTION_LOG, OPTION_SHARE,
    WINDOW_ARRAYS,
    GROUP = WINDOW_ARRAYS, DENSITY, COUNT_LOG, REPEAT_LOG, SLACK, MODEL_END,
    MODEL_ARRAYS = MODEL_END - GROUP,
    HELD = MODEL_END, SEEN, TALLY_GAP, TALLY_COUNT, TALLY_UNEXPLAINED, TALLY_REPEAT, TALLY_END,
    TALLY_ARRAYS = TALLY_END - TALLY_GAP,
    SHARE = TALLY_END, ARRAYS,
};

static const unsigned char item_bytes[ARRAYS] = {
    [PARENT_START] = 8, [PARENT_REPLY] = 8, [PARENT_DONE] = 8, [PARENT_ROW] = 4,
    [CHILD_START] = 8,  [CHILD_END] = 8,    [CHILD_DONE] = 8,  [CHILD_KIND] = 4,
    [CHILD_TARGET] = 4, [CHILD_FAILED] = 1, [OPTION_FROM] = 4, [OPTION_PARENT] = 4,
    [OPTION_LOG] = 8,   [OPTION_SHARE] = 8, [GROUP] = 4,       [DENSITY] = 4,
    [COUNT_LOG] = 4,    [REPEAT_LOG] = 4,   [SLACK] = 8,       [HELD] = 4,
    [SEEN] = 8,         [TALLY_GAP] = 8,    [TALLY_COUNT] = 8, [TALLY_UNEXPLAINED] = 8,
    [TALLY_REPEAT] = 8, [SHARE] = 8,
};

static bool held_good(const struct arrays *a)
{
    const int32_t *from = a->view[OPTION_FROM].buf, *held = a->view[HELD].buf;
    for (Py_ssize_t i = 0; i < a->size[HELD]; i++)
        if (held[i] < 0 || held[i] >= from[i + 1] - from[i]) {
            PyErr_SetString(PyExc_ValueError, "an option held that there is not");
            return false;
        }
    return true;
}

static bool shapes_good(const struct arrays *a, const struct causes *c)
{
    Py_ssize_t parents = a->size[PARENT_START], children = a->size[CHILD_START], kinds = c->kinds,
               rows = c->rows, options = a->size[OPTION_PARENT],
               groups = a->size[DENSITY] / (CAUSES_SLOTS * CAUSES_BINS);
    if (kinds < 1 || kinds > CAUSES_KINDS || rows < 1 || rows > INT16_MAX || groups > INT32_MAX ||
        parents > INT32_MAX || options > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "more than the core takes");
        return false;
    }
    return arrays_all_sized(a, PARENT_START, PARENT_ROW, parents) &&
           arrays_all_sized(a, CHILD_START, CHILD_FAILED, children) &&
           arrays_all_sized(a, OPTION_PARENT, OPTION_SHARE, options) &&
           arrays_sized(a, GROUP, rows * (kinds + 2) * (kinds + 1)) &&
           arrays_sized(a, DENSITY, groups * CAUSES_SLOTS * CAUSES_BINS) &&
           arrays_sized(a, COUNT_LOG, rows * kinds * CAUSES_COUNTS) &&
           arrays_sized(a, REPEAT_LOG, CAUSES_REPEATS) && arrays_sized(a, SLACK, rows) &&
           arrays_sized(a, HELD, children) && arrays_within(a, PARENT_ROW, 0, rows) &&
           arrays_within(a, CHILD_KIND, 0, kinds) && arrays_within(a, OPTION_PARENT, -1, parents) &&
           arrays_within(a, GROUP, -1, groups) &&
           arrays_cut_up(a, OPTION_FROM, children, options) && held_good(a);
}

static bool tally_good(const struct arrays *a, const struct causes *c)
{
    Py_ssize_t kinds = c->kinds, rows = c->rows;
    return arrays_sized(a, TALLY_GAP, a->size[DENSITY]) &&
           arrays_sized(a, TALLY_COUNT, rows * kinds * CAUSES_COUNTS) &&
           arrays_sized(a, TALLY_UNEXPLAINED, rows * (kinds + 2)) &&
           arrays_sized(a, TALLY_REPEAT, CAUSES_REPEATS);
}

static void point(struct causes *c, const struct arrays *a)
{
    c->parents = (int32_t)a->size[PARENT_START];
    c->children = (int32_t)a->size[CHILD_START];
    c->parent_start = a->view[PARENT_START].buf;
    c->parent_reply = a->view[PARENT_REPLY].buf;
    c->parent_done = a->view[PARENT_DONE].buf;
    c->parent_row = a->view[PARENT_ROW].buf;
    c->child_start = a->view[CHILD_START].buf;
    c->child_end = a->view[CHILD_END].buf;
    c->child_done = a->view[CHILD_DONE].buf;
    c->child_kind = a->view[CHILD_KIND].buf;
    c->child_target = a->view[CHILD_TARGET].buf;
    c->child_failed = a->view[CHILD_FAILED].buf;
    c->option_from = a->view[OPTION_FROM].buf;
    c->option_parent = a->view[OPTION_PARENT].buf;
    c->option_log = a->view[OPTION_LOG].buf;
    c->option_share = a->view[OPTION_SHARE].buf;
    c->group = a->view[GROUP].buf;
    c->density = a->view[DENSITY].buf;
    c->count_log = a->view[COUNT_LOG].buf;
    c->repeat_log = a->view[REPEAT_LOG].buf;
    c->slack = a->view[SLACK].buf;
}

/* window, (kinds, rows, floor, arrays), held: what both functions begin with */
static bool taken(struct arrays *a, struct causes *c, PyObject *window, PyObject *model,
                  PyObject *held)
{
    int kinds, rows;
    PyObject *tables;
    if (!PyArg_ParseTuple(model, "iidO!", &kinds, &rows, &c->floor, &PyTuple_Type, &tables))
        return false;
    c->kinds = kinds;
    c->rows = rows;
    if (!arrays_take_all(a, 0, WINDOW_ARRAYS, window) ||
        !arrays_take_all(a, GROUP, MODEL_ARRAYS, tables) || !arrays_take(a, HELD, held) ||
        !shapes_good(a, c))
        return false;
    point(c, a);
    return true;
}

static PyObject *finished(struct arrays *a, bool checked, bool done)
{
    arrays_close(a);
    if (!checked)
        return NULL;
    if (!done)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* Writes the shares of the window's options, which it has as an array of its own to write to. */
static PyObject *propose(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *window, *model, *held, *seen, *share;
    struct arrays a = {.item_bytes = item_bytes, .written = HELD};
    struct causes c = {0};
    if (!PyArg_ParseTuple(args, "O!O!OOO", &PyTuple_Type, &window, &PyTuple_Type, &model, &held,
                          &seen, &share))
        return NULL;
    bool checked = taken(&a, &c, window, model, held);
    if (checked && seen != Py_None)
        checked = arrays_take(&a, SEEN, seen) && arrays_sized(&a, SEEN, a.size[OPTION_PARENT]);
    if (checked)
        checked = arrays_take(&a, SHARE, share) && arrays_sized(&a, SHARE, a.size[OPTION_PARENT]);
    if (checked)
        causes_propose(&c, a.view[SEEN].buf, a.view[SHARE].buf);
    return finished(&a, checked, checked);
}

static PyObject *greedy(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *window, *model, *held;
    struct arrays a = {.item_bytes = item_bytes, .written = HELD};
    struct causes c = {0};
    if (!PyArg_ParseTuple(args, "O!O!O", &PyTuple_Type, &window, &PyTuple_Type, &model, &held))
        return NULL;
    bool checked = taken(&a, &c, window, model, held), done = false;
    if (checked) {
        Py_BEGIN_ALLOW_THREADS
        done = causes_greedy(&c, a.view[HELD].buf);
        Py_END_ALLOW_THREADS
    }
    return finished(&a, checked, done);
}

static PyObject *sample(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *window, *model, *held, *seen, *tally;
    int sweeps, every;
    double cold;
    unsigned long long seed;
    struct arrays a = {.item_bytes = item_bytes, .written = HELD};
    struct causes c = {0};
    if (!PyArg_ParseTuple(args, "O!O!OidKOOi", &PyTuple_Type, &window, &PyTuple_Type, &model, &held,
                          &sweeps, &cold, &seed, &seen, &tally, &every))
        return NULL;
    bool checked = taken(&a, &c, window, model, held), done = false;
    if (checked && seen != Py_None)
        checked = arrays_take(&a, SEEN, seen) && arrays_sized(&a, SEEN, a.size[OPTION_PARENT]);
    if (checked && tally != Py_None)
        checked = arrays_take_all(&a, TALLY_GAP, TALLY_ARRAYS, tally) && tally_good(&a, &c);
    if (checked && every < 1) {
        PyErr_SetString(PyExc_ValueError, "tally_every: at least 1");
        checked = false;
    }
    struct causes_tally sums = {a.view[TALLY_GAP].buf, a.view[TALLY_COUNT].buf,
                                a.view[TALLY_UNEXPLAINED].buf, a.view[TALLY_REPEAT].buf};
    if (checked) {
        Py_BEGIN_ALLOW_THREADS
        done = causes_sample(&c, a.view[HELD].buf, sweeps, cold, seed, a.view[SEEN].buf,
                             tally == Py_None ? NULL : &sums, every);
        Py_END_ALLOW_THREADS
    }
    return finished(&a, checked, done);
}

static PyObject *smooth(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer counts = {0}, density = {0};
    Py_ssize_t at;
    double weight, prior;
    if (!PyArg_ParseTuple(args, "y*w*ndd", &counts, &density, &at, &weight, &prior))
        return NULL;
    Py_ssize_t bins = counts.len / (Py_ssize_t)sizeof(double);
    bool good = counts.itemsize == sizeof(double) && density.itemsize == sizeof(float) && at >= 0 &&
                at % CAUSES_BINS == 0 && bins - at >= CAUSES_BINS &&
                density.len / (Py_ssize_t)sizeof(float) == bins;
    if (good)
        causes_smooth((const double *)counts.buf + at, (float *)density.buf + at, weight, prior);
    PyBuffer_Release(&counts);
    PyBuffer_Release(&density);
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "no histogram there");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *bin_of(PyObject *module, PyObject *gap)
{
    (void)module;
    double gap_ns = PyFloat_AsDouble(gap);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromLong(causes_bin(gap_ns));
}

static PyObject *bin_width(PyObject *module, PyObject *bin)
{
    (void)module;
    long at = PyLong_AsLong(bin);
    if (PyErr_Occurred())
        return NULL;
    if (at < 0 || at >= CAUSES_BINS) {
        PyErr_SetString(PyExc_ValueError, "no such bin");
        return NULL;
    }
    return PyFloat_FromDouble(causes_bin_width((int)at));
}

static PyMethodDef functions[] = {
    {"causes_greedy", greedy, METH_VARARGS, NULL},
    {"causes_propose", propose, METH_VARARGS, NULL},
    {"causes_sample", sample, METH_VARARGS, NULL},
    {"causes_smooth", smooth, METH_VARARGS, NULL},
    {"causes_bin", bin_of, METH_O, NULL},
    {"causes_bin_width", bin_width, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int add_causes(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) || add_causes_targets(module) ||
        PyModule_AddIntConstant(module, "CAUSES_BINS", CAUSES_BINS) ||
        PyModule_AddIntConstant(module, "CAUSES_SLOTS", CAUSES_SLOTS) ||
        PyModule_AddIntConstant(module, "CAUSES_COUNTS", CAUSES_COUNTS) ||
        PyModule_AddIntConstant(module, "CAUSES_REPEATS", CAUSES_REPEATS) ||
        PyModule_AddIntConstant(module, "CAUSES_KINDS", CAUSES_KINDS))
        return -1;
    return 0;
}
