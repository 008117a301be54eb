#include "module.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "cutter.h"
#include "engine.h"
#include "tap.h"

enum { PUBLISH_EVERY_MS = 500 }; /* how stale operation counts may be while filling */

struct source_object {
    PyObject_HEAD
    struct engine *engine;  /* owned; NULL once closed */
    PyObject *interest;     /* owned: the engine borrows its rules */
    struct cutter *cutter;  /* owned; NULL: not wanted, or not to be had */
    struct source **inputs; /* owned array; its members belong to the engine's source */
    size_t input_count;
    int filling;
    bool tapped; /* its input is a tap */
    int64_t published_ms;
    struct tls_counters tls_counters; /* published copies, as all below */
    struct counters counters;
    struct source_stats *stats; /* owned */
    size_t memory_bytes, memory_bytes_limit;
    struct operation_row *operations; /* owned */
    size_t operation_count;
};

enum {
    BLOCK_BYTES = 256 << 10, /* at least 128 KiB, so that GRO super-packets are not cut */
    BLOCK_TIMEOUT_MS = 20,   /* the most that a quiet link delays a packet */
};

struct source_arguments {
    PyObject *interest, *limits, *files, *interfaces, *ports;
    PyObject *secrets_of; /* NULL or None: read them */
    PyObject *secrets_to; /* whom a tap's are for */
    int tap;              /* descriptor of its ring; -1: none */
    unsigned worker, workers, ring_bytes;
    unsigned short fanout_group;
    int promiscuous, decrypt, cut;
};

static bool read_limit(PyObject *mapping, const char *name, uint64_t *limit)
{
    PyObject *item = PyMapping_GetItemString(mapping, name);
    if (!item)
        return false;
    *limit = PyLong_AsUnsignedLongLong(item);
    Py_DECREF(item);
    return !PyErr_Occurred();
}

static bool limits_of(PyObject *mapping, struct engine_options *options)
{
    bool read = true;
#define HOPTAP_LIMIT_READ(name) read = read && read_limit(mapping, #name, &options->limits.name);
    HOPTAP_LIMITS(HOPTAP_LIMIT_READ)
#undef HOPTAP_LIMIT_READ
#define HOPTAP_LIMIT_READ(name) read = read && read_limit(mapping, #name, &options->tls_limits.name);
    HOPTAP_TLS_LIMITS(HOPTAP_LIMIT_READ)
#undef HOPTAP_LIMIT_READ
    return read;
}

static bool add_input(struct source_object *self, struct source *input, const char *error)
{
    if (!input) {
        PyErr_SetString(PyExc_OSError, error);
        return false;
    }
    self->inputs[self->input_count++] = input;
    return true;
}

static bool open_files(struct source_object *self, PyObject *files)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(files); i++) {
        char error[SOURCE_ERROR_BYTES] = "";
        const char *path = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(files, i), NULL);
        if (!path ||
            !add_input(self, pcapfile_open(path, (uint16_t)self->input_count, error), error))
            return false;
    }
    return true;
}

/* With keys everything is read, and without the right to it the classic program does. */
static void open_cutter(struct source_object *self, const struct source_arguments *arguments)
{
    char refusal[SOURCE_ERROR_BYTES];
    size_t count = (size_t)PyTuple_Size(arguments->interfaces);
    if (count && arguments->cut && !arguments->decrypt)
        self->cutter = cutter_open(self->input_count + count, refusal);
}

static bool open_interfaces(struct source_object *self, const struct source_arguments *arguments)
{
    uint16_t ports[256];
    Py_ssize_t port_count = PyTuple_Size(arguments->ports);
    if (port_count > (Py_ssize_t)(sizeof ports / sizeof *ports)) {
        PyErr_SetString(PyExc_ValueError, "at most 256 ports");
        return false;
    }
    open_cutter(self, arguments);
    for (Py_ssize_t i = 0; i < port_count; i++)
        ports[i] = (uint16_t)PyLong_AsUnsignedLong(PyTuple_GetItem(arguments->ports, i));
    for (Py_ssize_t i = 0; !PyErr_Occurred() && i < PyTuple_Size(arguments->interfaces); i++) {
        char error[SOURCE_ERROR_BYTES] = "";
        struct afpacket_options options = {
            .interface = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments->interfaces, i), NULL),
            .index = (uint16_t)self->input_count,
            .fanout_group = arguments->fanout_group
                                ? (uint16_t)(arguments->fanout_group + i)
                                : 0, /* a group belongs to one interface */
            .ring_bytes = arguments->ring_bytes,
            .block_bytes = BLOCK_BYTES,
            .block_timeout_ms = BLOCK_TIMEOUT_MS,
            .promiscuous = arguments->promiscuous,
            .ports = ports,
            .port_count = (size_t)port_count,
            .cutter = self->cutter,
        };
        if (!options.interface || !add_input(self, afpacket_open(&options, error), error))
            return false;
    }
    return !PyErr_Occurred();
}

static bool open_tap(struct source_object *self, int fd)
{
    char error[SOURCE_ERROR_BYTES] = "";
    return fd < 0 || add_input(self, tap_open(fd, error), error);
}

/* From the opened inputs; on failure closes them. */
static bool open_engine(struct source_object *self, const struct engine_options *options)
{
    char error[SOURCE_ERROR_BYTES] = "";
    struct source *merged = merge_open(self->inputs, self->input_count, error);
    if (!merged) {
        PyErr_SetString(PyExc_OSError, error);
        return false;
    }
    self->engine = engine_open(merged, options);
    if (!self->engine)
        PyErr_NoMemory();
    return self->engine != NULL;
}

/* A pcapng may name a secret long after the packets it opens: all are read before the first packet.
 * Standard input and pipes cannot be read twice; there the core waits for late secrets. */
static bool add_file_secrets(struct source_object *self, PyObject *files)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(files); i++) {
        const char *path = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(files, i), NULL);
        if (!path)
            return false;
        bool added;
        Py_BEGIN_ALLOW_THREADS
        added = engine_add_file_secrets(self->engine, path);
        Py_END_ALLOW_THREADS
        if (!added) {
            PyErr_NoMemory();
            return false;
        }
    }
    return true;
}

/* Of many workers the first reads the files for secrets, and the others take his. */
static bool add_secrets_of(struct source_object *self, PyObject *other)
{
    struct engine *engine = ((struct source_object *)other)->engine;
    if (engine && engine_copy_secrets(self->engine, engine))
        return true;
    PyErr_SetString(PyExc_ValueError, "the other source is closed, or memory is short");
    return false;
}

/* Each keeps what it is told, whichever of the two is closed first. */
static bool tell_secrets(struct source_object *self, PyObject *receivers)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Py_ssize_t i = 0; i < PyTuple_Size(receivers); i++) {
        PyObject *other = PyTuple_GetItem(receivers, i);
        struct engine *engine = NULL;
        if (PyObject_TypeCheck(other, type))
            engine = ((struct source_object *)other)->engine;
        if (engine && engine_tell_secrets(self->engine, engine))
            continue;
        PyErr_SetString(PyExc_ValueError, "secrets_to holds what is no open source, or too many");
        return false;
    }
    return true;
}

static bool open_secrets(struct source_object *self, const struct source_arguments *arguments)
{
    if (!tell_secrets(self, arguments->secrets_to))
        return false;
    if (!arguments->decrypt)
        return true;
    return arguments->secrets_of ? add_secrets_of(self, arguments->secrets_of)
                                 : add_file_secrets(self, arguments->files);
}

static bool open_source(struct source_object *self, const struct source_arguments *arguments)
{
    struct engine_options options = {
        .interest = ((struct interest_object *)arguments->interest)->interest,
        .worker = arguments->worker,
        .workers = arguments->workers,
        .decrypt = arguments->decrypt != 0,
        .kernel_fanout = arguments->fanout_group != 0,
        .tapped = arguments->tap >= 0,
    };
    size_t count = (size_t)(PyTuple_Size(arguments->files) + PyTuple_Size(arguments->interfaces));
    if (options.tapped && (count || arguments->workers != 1)) {
        PyErr_SetString(PyExc_ValueError, "a tap is one input, of one worker");
        return false;
    }
    count += options.tapped;
    self->tapped = options.tapped;
    if (!limits_of(arguments->limits, &options))
        return false;
    if (!count || !arguments->workers || arguments->worker >= arguments->workers) {
        PyErr_SetString(PyExc_ValueError, "needs an input, and worker < workers");
        return false;
    }
    self->inputs = PyMem_Calloc(count, sizeof *self->inputs);
    self->stats = PyMem_Calloc(count, sizeof *self->stats);
    self->operations = PyMem_Calloc(options.limits.operations_max, sizeof *self->operations);
    if (!self->inputs || !self->stats || !self->operations) {
        PyErr_NoMemory();
        return false;
    }
    if (open_files(self, arguments->files) && open_interfaces(self, arguments) &&
        open_tap(self, arguments->tap)) {
        options.cutter = self->cutter;
        return open_engine(self, &options) && open_secrets(self, arguments);
    }
    while (self->input_count) {
        struct source *input = self->inputs[--self->input_count];
        input->ops->close(input);
    }
    return false;
}

/* None says that there is no other source. */
static bool known_source(PyTypeObject *type, PyObject **other)
{
    if (*other == Py_None)
        *other = NULL;
    if (!*other || PyObject_TypeCheck(*other, type))
        return true;
    PyErr_SetString(PyExc_TypeError, "secrets_of is no Source");
    return false;
}

static PyObject *source_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"interest", "limits",       "files",      "interfaces", "worker",
                            "workers",  "fanout_group", "ring_bytes", "ports",      "promiscuous",
                            "decrypt",  "secrets_of",   "tap",        "secrets_to", "cut",
                            NULL};
    struct module_state *state = PyType_GetModuleState(type);
    struct source_arguments arguments = {
        .workers = 1, .ring_bytes = 64 << 20, .promiscuous = 1, .tap = -1};
    PyObject *none = PyTuple_New(0);
    arguments.files = arguments.interfaces = arguments.ports = arguments.secrets_to = none;
    PyObject *self = NULL;
    if (none &&
        PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O|$O!O!IIHIO!ppOiO!p", names, state->interest_type, &arguments.interest,
            &arguments.limits, &PyTuple_Type, &arguments.files, &PyTuple_Type,
            &arguments.interfaces, &arguments.worker, &arguments.workers, &arguments.fanout_group,
            &arguments.ring_bytes, &PyTuple_Type, &arguments.ports, &arguments.promiscuous,
            &arguments.decrypt, &arguments.secrets_of, &arguments.tap, &PyTuple_Type,
            &arguments.secrets_to, &arguments.cut) &&
        known_source(type, &arguments.secrets_of))
        self = new_object(type);
    if (self) {
        Py_INCREF(arguments.interest);
        ((struct source_object *)self)->interest = arguments.interest;
        if (!open_source((struct source_object *)self, &arguments))
            Py_CLEAR(self);
    }
    Py_XDECREF(none);
    return self;
}

/* Copies what other threads may read while the next fill runs. Caller holds the GIL. */
static void publish(struct source_object *self, bool final)
{
    struct timespec now;
    self->counters = *engine_counters(self->engine);
    self->tls_counters = *engine_tls_counters(self->engine);
    self->memory_bytes = engine_budget(self->engine)->used_bytes;
    self->memory_bytes_limit = engine_budget(self->engine)->limit_bytes;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (!final && now_ms - self->published_ms < PUBLISH_EVERY_MS)
        return;
    self->published_ms = now_ms;
    for (size_t i = 0; i < self->input_count; i++)
        self->inputs[i]->ops->stats(self->inputs[i], &self->stats[i]);
    const struct operation_row *row;
    self->operation_count = 0;
    while ((row = operations_row(engine_operations(self->engine),
                                 (uint32_t)self->operation_count)))
        self->operations[self->operation_count++] = *row;
}

static struct batch_object *new_batch(PyObject *source)
{
    struct module_state *state = PyType_GetModuleState(Py_TYPE(source));
    PyObject *object = new_object(state->batch_type);
    if (!object)
        return NULL;
    struct batch_object *result = (struct batch_object *)object;
    result->batch = batch_open();
    if (result->batch)
        return result;
    Py_DECREF(object);
    PyErr_NoMemory();
    return NULL;
}

static PyObject *source_fill(PyObject *object, PyObject *args)
{
    struct source_object *self = (struct source_object *)object;
    int timeout_ms;
    if (!PyArg_ParseTuple(args, "i", &timeout_ms))
        return NULL;
    if (self->filling || !self->engine) {
        PyErr_SetString(PyExc_RuntimeError, self->engine ? "a source belongs to one thread"
                                                         : "the source is closed");
        return NULL;
    }
    struct batch_object *result = new_batch(object);
    if (!result)
        return NULL;
    enum fill_verdict verdict;
    self->filling = 1;
    Py_BEGIN_ALLOW_THREADS
    verdict = engine_fill(self->engine, result->batch, timeout_ms);
    Py_END_ALLOW_THREADS
    self->filling = 0;
    result->watermark_ns = result->batch->time_ns;
    result->watermark_ordinal = result->batch->ordinal;
    result->end = verdict != FILL_MORE;
    result->error = verdict == FILL_ERROR
                        ? PyUnicode_DecodeLocale(engine_error(self->engine), "surrogateescape")
                        : Py_NewRef(Py_None);
    publish(self, result->end);
    if (!result->error) {
        Py_DECREF((PyObject *)result);
        return NULL;
    }
    return (PyObject *)result;
}

static bool add_count(PyObject *all, const char *name, uint64_t count)
{
    PyObject *value = PyLong_FromUnsignedLongLong(count);
    bool added = value && PyDict_SetItemString(all, name, value) == 0;
    Py_XDECREF(value);
    return added;
}

static PyObject *source_counters(PyObject *object, PyObject *unused)
{
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    PyObject *all = PyDict_New();
    for (int i = 0; all && i < COUNTERS; i++)
        if (!add_count(all, counter_texts[i], self->counters.value[i]))
            Py_CLEAR(all);
    for (int i = 0; all && i < TLS_COUNTERS; i++)
        if (!add_count(all, counter_texts[COUNTERS + i], self->tls_counters.value[i]))
            Py_CLEAR(all);
    return all;
}

static int add_cuts(PyObject *to, const struct source_stats *stats)
{
    PyObject *cuts = stats->cuts ? Py_BuildValue("{sKsKsKsK}", "filtered", stats->filtered,
                                                 "filtered_bytes", stats->filtered_bytes, "cut",
                                                 stats->cut, "cut_bytes", stats->cut_bytes)
                                 : PyDict_New();
    int failed = cuts ? PyDict_Update(to, cuts) : -1;
    Py_XDECREF(cuts);
    return failed;
}

static PyObject *source_stats(PyObject *object, PyObject *unused)
{
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    PyObject *all = PyList_New(0);
    /* What a tap loses, its loader counts. */
    size_t count = self->tapped ? 0 : self->input_count;
    for (size_t i = 0; all && i < count; i++) {
        const struct source_stats *stats = &self->stats[i];
        PyObject *one = Py_BuildValue("{sKsKsKsKsKsK}", "received", stats->received, "dropped",
                                      stats->dropped, "frozen", stats->frozen, "truncated",
                                      stats->truncated, "secrets_shed", stats->secrets_shed,
                                      "last_ns", stats->last_ns);
        if (!one || add_cuts(one, stats) || PyList_Append(all, one))
            Py_CLEAR(all);
        Py_XDECREF(one);
    }
    return all;
}

static PyObject *source_tls_sessions(PyObject *object, PyObject *unused)
{
    static const char *const eras[TLS_ERAS] = {"unknown", "older", "1.2", "1.3"};
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    PyObject *all = PyList_New(0);
    for (int i = 0; all && i < TLS_ERAS * TLS_RESULTS; i++) {
        int era = i / TLS_RESULTS, result = i % TLS_RESULTS;
        const char *name = counter_texts[COUNTERS + COUNT_tls_sessions_decrypted + result];
        PyObject *row = Py_BuildValue("(ssK)", eras[era], name + strlen("tls_sessions_"),
                                      self->tls_counters.sessions[era][result]);
        if (!row || PyList_Append(all, row))
            Py_CLEAR(all);
        Py_XDECREF(row);
    }
    return all;
}

static PyObject *source_operations(PyObject *object, PyObject *unused)
{
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    PyObject *all = PyList_New(0);
    for (size_t i = 0; all && i < self->operation_count; i++) {
        const struct operation_row *row = &self->operations[i];
        PyObject *items[] = {
            PyUnicode_DecodeLatin1(row->service, (Py_ssize_t)strlen(row->service), NULL),
            PyUnicode_DecodeLatin1(row->name, (Py_ssize_t)strlen(row->name), NULL),
            PyLong_FromUnsignedLongLong(row->count[OUTCOME_SUCCESS]),
            PyLong_FromUnsignedLongLong(row->count[OUTCOME_FAILURE]),
            PyLong_FromUnsignedLongLong(row->count[OUTCOME_UNKNOWN]),
        };
        PyObject *tuple = tuple_of(items, sizeof items / sizeof *items);
        if (!tuple || PyList_Append(all, tuple))
            Py_CLEAR(all);
        Py_XDECREF(tuple);
    }
    return all;
}

static PyObject *source_gauges(PyObject *object, PyObject *unused)
{
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    uint64_t flows = self->counters.value[COUNT_flows] -
                     self->counters.value[COUNT_flows_expired] -
                     self->counters.value[COUNT_flows_evicted];
    return Py_BuildValue("{sKsnsn}", "flows", flows, "memory_bytes",
                         (Py_ssize_t)self->memory_bytes, "memory_bytes_limit",
                         (Py_ssize_t)self->memory_bytes_limit);
}

static PyObject *source_secrets(PyObject *object, PyObject *unused)
{
    (void)unused;
    const struct source_object *self = (struct source_object *)object;
    if (self->filling) {
        PyErr_SetString(PyExc_RuntimeError, "a source belongs to one thread");
        return NULL;
    }
    PyObject *all = PyList_New(0);
    for (size_t i = 0; self->engine && i < self->input_count; i++) {
        uint32_t type;
        size_t bytes;
        const uint8_t *secret;
        for (size_t k = 0; all && (secret = self->inputs[i]->ops->secret(self->inputs[i], k, &type,
                                                                          &bytes));
             k++) {
            PyObject *one = Py_BuildValue("Iy#", type, (const char *)secret, (Py_ssize_t)bytes);
            if (!one || PyList_Append(all, one))
                Py_CLEAR(all);
            Py_XDECREF(one);
        }
    }
    return all;
}

static PyObject *source_add_secrets(PyObject *object, PyObject *args)
{
    struct source_object *self = (struct source_object *)object;
    Py_buffer lines;
    int source;
    if (!PyArg_ParseTuple(args, "y*i", &lines, &source))
        return NULL;
    bool added = self->engine && source > TLS_KEY_NONE && source < TLS_KEY_SOURCES &&
                 engine_add_secrets(self->engine, (enum tls_key_source)source, lines.buf,
                                    (size_t)lines.len);
    PyBuffer_Release(&lines);
    return PyBool_FromLong(added);
}

static PyObject *source_add_rsa_key(PyObject *object, PyObject *args)
{
    static const char *const lines[] = {
        [TLS_RSA_NOT_A_KEY] = "not a private key in PEM without passphrase",
        [TLS_RSA_NOT_RSA] = "not an RSA key",
        [TLS_RSA_TOO_MANY] = "too many RSA keys",
    };
    struct source_object *self = (struct source_object *)object;
    Py_buffer pem;
    if (!PyArg_ParseTuple(args, "y*", &pem))
        return NULL;
    enum tls_rsa_verdict verdict = TLS_RSA_NOT_A_KEY;
    if (self->engine && !self->filling)
        verdict = engine_add_rsa_key(self->engine, pem.buf, (size_t)pem.len);
    PyBuffer_Release(&pem);
    if (verdict == TLS_RSA_TAKEN)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, lines[verdict]);
    return NULL;
}

static PyObject *source_stop(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct source_object *self = (struct source_object *)object;
    if (self->engine)
        engine_stop(self->engine);
    Py_RETURN_NONE;
}

static PyObject *source_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct source_object *self = (struct source_object *)object;
    if (self->filling) {
        PyErr_SetString(PyExc_RuntimeError, "a source belongs to one thread");
        return NULL;
    }
    engine_close(self->engine);
    cutter_close(self->cutter);
    self->engine = NULL;
    self->cutter = NULL;
    Py_RETURN_NONE;
}

static void source_dealloc(PyObject *object)
{
    struct source_object *self = (struct source_object *)object;
    engine_close(self->engine);
    cutter_close(self->cutter);
    PyMem_Free(self->inputs);
    PyMem_Free(self->stats);
    PyMem_Free(self->operations);
    Py_XDECREF(self->interest);
    free_object(object);
}

static PyMethodDef source_methods[] = {
    {"fill", source_fill, METH_VARARGS, NULL},
    {"counters", source_counters, METH_NOARGS, NULL},
    {"source_stats", source_stats, METH_NOARGS, NULL},
    {"tls_sessions", source_tls_sessions, METH_NOARGS, NULL},
    {"operations", source_operations, METH_NOARGS, NULL},
    {"gauges", source_gauges, METH_NOARGS, NULL},
    {"secrets", source_secrets, METH_NOARGS, NULL},
    {"add_secrets", source_add_secrets, METH_VARARGS, NULL},
    {"add_rsa_key", source_add_rsa_key, METH_VARARGS, NULL},
    {"stop", source_stop, METH_NOARGS, NULL},
    {"close", source_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot source_slots[] = {
    {Py_tp_new, source_new},
    {Py_tp_dealloc, source_dealloc},
    {Py_tp_methods, source_methods},
    {Py_tp_doc, "Packets of files or interfaces, or the events of taps, through the core."},
    {0, NULL},
};

PyType_Spec source_spec = {
    "sensor._core.Source", sizeof(struct source_object), 0, Py_TPFLAGS_DEFAULT, source_slots,
};
