#include "module_arrays.h"

void arrays_close(struct arrays *a)
{
    for (int i = 0; i < ARRAYS_MAX; i++)
        if (a->view[i].obj)
            PyBuffer_Release(&a->view[i]);
}

bool arrays_take(struct arrays *a, int which, PyObject *object)
{
    int flags = which >= a->written ? PyBUF_CONTIG : PyBUF_CONTIG_RO;
    if (PyObject_GetBuffer(object, &a->view[which], flags))
        return false;
    int item_bytes = a->item_bytes[which];
    if (a->view[which].itemsize != item_bytes) {
        PyErr_Format(PyExc_ValueError, "array %d: items of %zd bytes, not %d", which,
                     a->view[which].itemsize, item_bytes);
        return false;
    }
    a->size[which] = a->view[which].len / item_bytes;
    return true;
}

bool arrays_take_all(struct arrays *a, int first, int count, PyObject *tuple)
{
    if (!PyTuple_Check(tuple) || PyTuple_Size(tuple) != count) {
        PyErr_Format(PyExc_TypeError, "a tuple of %d arrays", count);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!arrays_take(a, first + i, PyTuple_GetItem(tuple, i)))
            return false;
    return true;
}

bool arrays_sized(const struct arrays *a, int which, Py_ssize_t size)
{
    if (a->size[which] == size)
        return true;
    PyErr_Format(PyExc_ValueError, "array %d: %zd items, not %zd", which, a->size[which], size);
    return false;
}

bool arrays_all_sized(const struct arrays *a, int first, int last, Py_ssize_t size)
{
    for (int i = first; i <= last; i++)
        if (!arrays_sized(a, i, size))
            return false;
    return true;
}

bool arrays_within(const struct arrays *a, int which, int32_t least, Py_ssize_t limit)
{
    const int32_t *items = a->view[which].buf;
    for (Py_ssize_t i = 0; i < a->size[which]; i++)
        if (items[i] < least || items[i] >= limit) {
            PyErr_Format(PyExc_ValueError, "array %d: item %zd is out of range", which, i);
            return false;
        }
    return true;
}

bool arrays_cut_up(const struct arrays *a, int which, Py_ssize_t children, Py_ssize_t options)
{
    if (!arrays_sized(a, which, children + 1))
        return false;
    const int32_t *from = a->view[which].buf;
    bool good = from[0] == 0 && from[children] == options;
    for (Py_ssize_t i = 0; good && i < children; i++)
        good = from[i] < from[i + 1];
    if (!good)
        PyErr_SetString(PyExc_ValueError, "options out of order");
    return good;
}
