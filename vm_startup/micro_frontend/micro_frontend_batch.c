/* Eight clips at a time, for training. */
#include "micro_frontend_vector.h"

#include "micro_frontend.h"
#include "micro_frontend_stages.h"

_Static_assert(MSL_FRONTEND_WINDOW % (2 * LANES) == 0, "windows are read in blocks of sixteen samples");

typedef uint32_t unaligned_word __attribute__((vector_size(32), aligned(2), may_alias));

/* Eight pairs of samples of each clip → eight vectors with one pair of each clip. */
MSL_FRONTEND_INLINE void transpose(const int16_t *const clips[LANES], size_t from, pair out[LANES]) {
    word rows[LANES];
    for (int i = 0; i < LANES; i++) rows[i] = (word)*(const unaligned_word *)(clips[i] + from);
    for (int i = 0; i < LANES; i++) {
        word column = rows[0];
        for (int lane = 0; lane < LANES; lane++) column[lane] = rows[lane][i];
        out[i] = (pair)column;
    }
}

/* Put the windows that begin at sample `from` into their places; return their peaks. */
static pair take_window(const int16_t *const clips[LANES], size_t from, place *work) {
    pair peak = {0}, points[LANES];
    int n = 0;
    while (n < MSL_FRONTEND_WINDOW / 2) {
        transpose(clips, from + 2 * (size_t)n, points);
        for (int i = 0; i < LANES; i++, n++) {
            pair point = pair_window(points[i], msl_frontend_window + 2 * n);
            peak = pair_louder(peak, point);
            work[place_of(n)].point = point;
        }
    }
    for (; n < MSL_FRONTEND_POINTS; n++) work[place_of(n)].point = (pair){0};
    return peak;
}

/* The features of eight clips; those of clip i go to out[i]. */
static void extract(const int16_t *const clips[LANES], size_t length, uint16_t *const out[LANES]) {
    place work[MSL_FRONTEND_POINTS];
    word noise[MSL_FRONTEND_CHANNELS], found[MSL_FRONTEND_CHANNELS];
    for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) noise[c] = (word){0};
    for (size_t from = 0, at = 0; from + MSL_FRONTEND_WINDOW <= length; from += MSL_FRONTEND_STRIDE) {
        pair peak = take_window(clips, from, work);
        find_signals(work, peak, found);
        find_features(found, noise);
        for (int lane = 0; lane < LANES; lane++)
            for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) out[lane][at + c] = (uint16_t)found[c][lane];
        at += MSL_FRONTEND_CHANNELS;
    }
}

void msl_frontend_extract_batch(const int16_t *samples, size_t clips, size_t length, uint16_t *features) {
    if (length < MSL_FRONTEND_WINDOW) return;
    size_t size = (1 + (length - MSL_FRONTEND_WINDOW) / MSL_FRONTEND_STRIDE) * MSL_FRONTEND_CHANNELS;
    for (size_t first = 0; first < clips; first += LANES) {
        const int16_t *in[LANES];
        uint16_t *out[LANES];
        for (size_t lane = 0; lane < LANES; lane++) {
            /* Unused lanes repeat the last clip. */
            size_t clip = first + lane < clips ? first + lane : clips - 1;
            in[lane] = samples + clip * length;
            out[lane] = features + clip * size;
        }
        extract(in, length, out);
    }
}
