/* The arrays of a call, as buffers of Python: all of them checked before the core reads an index out
 * of one. Each check leaves an exception when it says false. */
#ifndef HOPTAP_MODULE_ARRAYS_H
#define HOPTAP_MODULE_ARRAYS_H

#include "module.h"

enum { ARRAYS_MAX = 32 };

struct arrays {
    const unsigned char *item_bytes; /* of each array; borrowed */
    int written;                     /* the first that is written to; so are those behind it */
    Py_buffer view[ARRAYS_MAX];      /* owned while .obj is set; released in arrays_close */
    Py_ssize_t size[ARRAYS_MAX];
};

bool arrays_take(struct arrays *a, int which, PyObject *object);
/* `count` arrays of a tuple, the first as array `first`. */
bool arrays_take_all(struct arrays *a, int first, int count, PyObject *tuple);
void arrays_close(struct arrays *a);

bool arrays_sized(const struct arrays *a, int which, Py_ssize_t size);
bool arrays_all_sized(const struct arrays *a, int first, int last, Py_ssize_t size);
/* Of 32-bit numbers: none is less than `least` or not below `limit`. */
bool arrays_within(const struct arrays *a, int which, int32_t least, Py_ssize_t limit);
/* Array `which` cuts `options` options up among `children` children: each has one at least. */
bool arrays_cut_up(const struct arrays *a, int which, Py_ssize_t children, Py_ssize_t options);

#endif
