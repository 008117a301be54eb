/* The core as the Python module sensor._core: what its files share. Only module*.c know Python.
 *
 * Limited API of 3.11, multi-phase initialisation, heap types, module state. A Source is filled without the
 * GIL by one thread at a time; what other threads may ask of it meanwhile (counters, operations) was copied
 * under the GIL when the last fill ended. Contract: sensor/_core.pyi. */
#ifndef HOPTAP_MODULE_H
#define HOPTAP_MODULE_H

#define PY_SSIZE_T_CLEAN /* for "y#" */
#include <Python.h>
#include <structmember.h>

#include "batch.h"
#include "counters.h"
#include "interest.h"
#include "tls_counters.h"

struct module_state {
    PyTypeObject *interest_type, *source_type, *batch_type, *iterator_type; /* owned */
};

struct interest_object {
    PyObject_HEAD
    struct interest *interest; /* owned */
};

struct batch_object {
    PyObject_HEAD
    struct batch *batch; /* owned */
    uint64_t watermark_ns, watermark_ordinal;
    char end;        /* T_BOOL reads a char */
    PyObject *error; /* owned: str or None */
};

/* The names of the core's counters, then those of TLS. */
extern const char *const counter_texts[COUNTERS + TLS_COUNTERS];

extern PyType_Spec interest_spec, batch_spec, iterator_spec, source_spec;

static inline PyObject *new_object(PyTypeObject *type)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);
}

static inline void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* The functions of causes.h. */
int add_causes(PyObject *module);

/* Those of causes_targets.h, which add_causes calls. */
int add_causes_targets(PyObject *module);

/* The functions of signature.h. */
int add_signature(PyObject *module);

/* What cutter.h needs of the kernel, tried. */
int add_cutter(PyObject *module);

/* A tuple of items, which it takes; NULL, with all of them released, if one is NULL. */
PyObject *tuple_of(PyObject **items, Py_ssize_t count);

#endif
