/* A stream's memory: the last rows of a layer's input, oldest first. */
#ifndef MSL_ROWS_H
#define MSL_ROWS_H

#include "quantised.h"

struct msl_rows {
    int8_t *rows;
    int *missing; /* rows until the layer's next output */
    int count, size; /* rows of the layer's window, bytes of a row */
    int stride; /* rows from one output to the next */
    int pad; /* rows of zeros before the first */
    int8_t zero_point;
};

static void msl_rows_reset(const struct msl_rows *p) {
    for (int i = 0; i < p->count * p->size; i++) p->rows[i] = p->zero_point;
    *p->missing = p->count - p->pad;
}

/* Adds a row in place of the oldest; returns 1 if an output is due. */
static int msl_rows_push(const struct msl_rows *p, const int8_t *row) {
    int kept = (p->count - 1) * p->size;
    for (int i = 0; i < kept; i++) p->rows[i] = p->rows[i + p->size];
    for (int i = 0; i < p->size; i++) p->rows[kept + i] = row[i];
    if (--*p->missing > 0) return 0;
    *p->missing = p->stride;
    return 1;
}

#endif
