/* The stages from a window to its features, for one clip (micro_frontend_scalar.h) or eight
   (micro_frontend_vector.h).

   Every rounding, wrap and order of operations is that of TensorFlow's microfrontend and of its kissfft.
   Steps of theirs that change no bit are left out. */
#ifndef MSL_FRONTEND_STAGES_H
#define MSL_FRONTEND_STAGES_H

enum { QUARTER = 32767 / 4, HALF = 32767 / 2 }; /* scales before each pass, so that sums fit about 16 bits */

/* The place of a window's pair of samples, so that the passes work in place. */
MSL_FRONTEND_INLINE int place_of(int pair_number) {
    int leaves = MSL_FRONTEND_POINTS / MSL_FRONTEND_FIRST_RADIX;
    return msl_frontend_reverse[pair_number % leaves] * MSL_FRONTEND_FIRST_RADIX + pair_number / leaves;
}

/* Radix 4 into places 0, m, 2m and 3m, from points that are scaled and multiplied with twiddles. */
MSL_FRONTEND_INLINE void butterfly(place *p, int m, pair a, pair b, pair c, pair d) {
    pair even = pair_add(a, c), odd = pair_sub(a, c);
    pair sum = pair_add(b, d), difference = pair_quarter_back(pair_sub(b, d));
    p[0].point = pair_add(even, sum);
    p[m].point = pair_add(odd, difference);
    p[2 * m].point = pair_sub(even, sum);
    p[3 * m].point = pair_sub(odd, difference);
}

MSL_FRONTEND_INLINE pair quarter(const place *p) { return pair_scale(p->point, QUARTER); }

/* The first butterfly of a pass has twiddles of 1: after the scaling, 32767 gives the same bits. */
MSL_FRONTEND_INLINE void first_butterfly(place *p, int m) {
    butterfly(p, m, quarter(p), quarter(p + m), quarter(p + 2 * m), quarter(p + 3 * m));
}

MSL_FRONTEND_INLINE void twiddled_butterfly(place *p, int m, twiddle b, twiddle c, twiddle d) {
    butterfly(p, m, quarter(p), pair_twiddle(quarter(p + m), b), pair_twiddle(quarter(p + 2 * m), c),
              pair_twiddle(quarter(p + 3 * m), d));
}

/* The first pass, on neighbours; it first scales samples to the loudest that 16 bits allow. */
MSL_FRONTEND_INLINE void first_pass(place *work, word loudness) {
    for (place *p = work; p < work + MSL_FRONTEND_POINTS; p += MSL_FRONTEND_FIRST_RADIX) {
        pair a = pair_shift(p[0].point, loudness), b = pair_shift(p[1].point, loudness);
        if (MSL_FRONTEND_FIRST_RADIX == 4) {
            pair c = pair_shift(p[2].point, loudness), d = pair_shift(p[3].point, loudness);
            butterfly(p, 1, pair_scale(a, QUARTER), pair_scale(b, QUARTER), pair_scale(c, QUARTER),
                      pair_scale(d, QUARTER));
        } else {
            a = pair_scale(a, HALF), b = pair_scale(b, HALF);
            p[0].point = pair_add(a, b);
            p[1].point = pair_sub(a, b);
        }
    }
}

MSL_FRONTEND_INLINE void transform(place *work, word loudness) {
    first_pass(work, loudness);
    for (int m = MSL_FRONTEND_FIRST_RADIX; m < MSL_FRONTEND_POINTS; m *= 4) {
        int step = MSL_FRONTEND_POINTS / (4 * m);
        for (place *p = work; p < work + MSL_FRONTEND_POINTS; p += 4 * m) first_butterfly(p, m);
        for (int k = 1; k < m; k++) {
            const struct msl_frontend_twiddle *t = msl_frontend_twiddles;
            twiddle b = twiddle_of(t + k * step), c = twiddle_of(t + 2 * k * step), d = twiddle_of(t + 3 * k * step);
            for (place *p = work + k; p < work + MSL_FRONTEND_POINTS; p += 4 * m) twiddled_butterfly(p, m, b, c, d);
        }
    }
}

/* The transform took even samples as real parts and odd ones as imaginary parts: separate their spectra, and
   write each bin's energy, which is below 2^31. Bins 0 and MSL_FRONTEND_POINTS are in no channel. */
MSL_FRONTEND_INLINE void energies(place *work) {
    for (int k = 1; k <= MSL_FRONTEND_POINTS / 2; k++) {
        place *low = work + k, *high = work + MSL_FRONTEND_POINTS - k;
        pair a = pair_scale(low->point, HALF), b = pair_scale(pair_conjugate(high->point), HALF);
        pair sum = pair_add(a, b);
        pair twiddled = pair_twiddle(pair_sub(a, b), twiddle_of(&msl_frontend_split_twiddles[k - 1]));
        low->energy = pair_energy(pair_half_sum(sum, twiddled));
        high->energy = pair_energy(pair_half_difference(sum, twiddled));
    }
}

/* Two more bits of a square root: `rest` is the number's remainder so far. */
MSL_FRONTEND_INLINE void root_step(word *rest, word *root, word bits) {
    word larger = *rest << 2 | bits, trial = *root << 2 | 1;
    *root = word_if_above(trial, larger, *root << 1, *root << 1 | 1);
    *rest = word_if_above(trial, larger, larger, larger - trial);
}

/* The square root of a number below 2^58, to nearest. As upstream, 65535 is not rounded up if the number has
   at most 32 bits. */
MSL_FRONTEND_INLINE word square_root(wide number) {
    word high = wide_down(number, 32), low = wide_down(number, 0), rest = low & 0, root = rest;
    int skipped = (32 - word_most_bits(high)) / 2;
    word left = skipped < 16 ? high << 2 * skipped : high;
    for (int i = skipped; i < 16; i++, left <<= 2) root_step(&rest, &root, left >> 30);
    skipped = skipped < 16 ? 0 : (32 - word_most_bits(low)) / 2;
    left = skipped < 16 ? low << 2 * skipped : low;
    for (int i = skipped; i < 16; i++, left <<= 2) root_step(&rest, &root, left >> 30);
    word up = word_if_above(rest, root, root + 1, root);
    return word_if_above(high | (root ^ 65535), root & 0, up, root);
}

/* Update a channel's noise estimate and subtract it; even and odd channels are smoothed differently. */
MSL_FRONTEND_INLINE word reduce_noise(word signal, word *noise, uint32_t smoothing) {
    word signal_up = signal << 10;
    wide estimate = wide_mul_add(wide_mul_add(wide_of(0), signal_up, smoothing), *noise, (1 << 14) - smoothing);
    *noise = wide_down(estimate, 14);
    word left = (signal_up - word_min(*noise, signal_up)) >> 10;
    word least = wide_down(wide_mul_add(wide_of(0), signal, MSL_FRONTEND_LEAST_SIGNAL), 14);
    return word_max(left, least);
}

/* A channel's gain by its noise estimate, quadratic below a signal-to-noise ratio of 2. */
MSL_FRONTEND_INLINE word control_gain(word signal, word noise) {
    word bits = word_bits(noise), row = bits << 2;
    word at = noise << (32 - word_max(bits, (bits & 0) + 1)) >> 21 & 1023;
    const int16_t *table = msl_frontend_gain[0];
    word slope = word_down(word_signed_at(table + 2, row) * at, 5) + (word_signed_at(table + 1, row) << 5);
    word gain = word_down(slope * at + (1 << 14), 15) + word_signed_at(table, row);
    word ratio = wide_down(wide_mul(signal, gain), MSL_FRONTEND_SNR_SHIFT);
    return word_if_above((ratio & 0) + (2 << 12), ratio, ratio * ratio >> 20, (ratio >> 6) - (1 << 6));
}

/* 64 * ln(2^MSL_FRONTEND_CORRECTION * value), 0 for values up to 1. */
MSL_FRONTEND_INLINE word logarithm(word value) {
    enum { UP = MSL_FRONTEND_CORRECTION };
    value = UP < 0 ? value >> (UP < 0 ? -UP : 0) : value << (UP & 31);
    word bits = word_max(word_bits(value), (value & 0) + 1);
    word fraction = value << (32 - bits) >> 15 & 65535, segment = fraction >> 9;
    word table = word_pair_at(msl_frontend_log, segment), above = table & 65535;
    word between = word_down(((table >> 16) - above) * (fraction & 511), 16);
    word log2 = ((bits - 1) << 16) + fraction + above + between;
    word loge = wide_down(wide_mul_add(wide_of(1 << 15), log2, 45426), 16); /* 65536 * ln 2 */
    return word_if_above(value, (value & 0) + 1, ((loge << 6) + (1 << 15)) >> 16, value & 0);
}

/* All channels' signals from all energies. Each slope falls in one channel and rises in the next. */
MSL_FRONTEND_INLINE void channels(const place *work, word loudness, word *signals) {
    const struct msl_frontend_weights *weights = msl_frontend_weights;
    wide channel = wide_of(0), next = wide_of(0);
    work += MSL_FRONTEND_FIRST_BIN;
    for (int slope = 0; slope <= MSL_FRONTEND_CHANNELS; slope++, channel = next, next = wide_of(0)) {
        for (int left = msl_frontend_widths[slope]; left > 0; left--, work++, weights++) {
            channel = wide_mul_add(channel, work->energy, weights->falling);
            next = wide_mul_add(next, work->energy, weights->rising);
        }
        if (slope > 0) signals[slope - 1] = square_root(channel) >> loudness;
    }
}

/* A frame's signals from its window in its places; `peak` is pair_louder of all of them. */
MSL_FRONTEND_INLINE void find_signals(place *work, pair peak, word *signals) {
    word loudness = 15 - word_bits(pair_peak(peak));
    transform(work, loudness);
    energies(work);
    channels(work, loudness, signals);
}

/* Replace a frame's signals by its features, and update the noise. */
MSL_FRONTEND_INLINE void find_features(word *found, word *noise) {
    for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) {
        uint32_t smoothing = c & 1 ? MSL_FRONTEND_SMOOTHING_ODD : MSL_FRONTEND_SMOOTHING_EVEN;
        word signal = reduce_noise(found[c], noise + c, smoothing);
        found[c] = logarithm(control_gain(signal, noise[c]));
    }
}

#endif
