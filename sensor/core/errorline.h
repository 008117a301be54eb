/* The one line a person reads when an input fails: what, where, why. */
#ifndef HOPTAP_ERRORLINE_H
#define HOPTAP_ERRORLINE_H

#include "source.h"

/* Formats into error[]; control characters (a file name may hold any) become '?'. */
void error_line(char error[SOURCE_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

enum { INPUT_NAME_BYTES = 256 };

/* The input's name as shown to a person: a path too long for the line keeps its end. */
void input_name(char name[INPUT_NAME_BYTES], const char *path);

#endif
