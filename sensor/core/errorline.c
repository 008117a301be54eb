/* Error lines are cut to size, never refused: they are all that is left of a failed input. */
#include "errorline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_line(char error[SOURCE_ERROR_BYTES], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int chars = vsnprintf(error, SOURCE_ERROR_BYTES, format, arguments);
    va_end(arguments);
    if (chars < 0)
        error[0] = 0;
    for (char *at = error; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

void input_name(char name[INPUT_NAME_BYTES], const char *path)
{
    static const char cut[] = "...";
    size_t chars = strlen(path);

    if (strcmp(path, "-") == 0)
        snprintf(name, INPUT_NAME_BYTES, "standard input");
    else if (chars < INPUT_NAME_BYTES)
        memcpy(name, path, chars + 1);
    else
        snprintf(name, INPUT_NAME_BYTES, "%s%s", cut,
                 path + chars - (INPUT_NAME_BYTES - sizeof cut));
}
