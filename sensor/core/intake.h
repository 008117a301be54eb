/* Key log lines on their way from whoever reads them to the worker that uses them: the one place of the
 * core where two threads meet. */
#ifndef HOPTAP_INTAKE_H
#define HOPTAP_INTAKE_H

#include "tls.h"

struct intake;

struct intake *intake_open(void);
/* From any thread. Copies; false when the lines that wait are too many, or memory is short. */
bool intake_add(struct intake *intake, enum tls_key_source source, const char *lines,
                size_t bytes);
/* A copy of all that waits in `from` waits in `to` as well; false as of intake_add. */
bool intake_copy(struct intake *to, struct intake *from);
/* Calls `line` for each whole line, in order, then wipes them; true when there was one. */
bool intake_drain(struct intake *intake,
                  void (*line)(void *context, enum tls_key_source source, const char *line,
                               size_t bytes),
                  void *context);
/* The same intake, for one who outlives its worker perhaps; he closes it as well. */
struct intake *intake_share(struct intake *intake);
/* Of the last holder: wipes. Accepts NULL. */
void intake_close(struct intake *intake);

#endif
