#ifndef NNET_EXT_ATTENTION_H_
#define NNET_EXT_ATTENTION_H_

// Multi-head self-attention over the N = height * width pixels of a map, after the projection: a pixel of the input holds
// the queries, the keys and the values of all heads, [3][n_heads][key_dim]; a pixel of the output the contexts,
// [n_heads][key_dim].
//
//   logit_ij  = 2^-logit_shift * q_i . (k_j + position)        attention_scores
//   weight_ij = relu(logit_ij), rounded; or softmax_j          attention_scores; or row_softmax
//   context_i = 2^-context_shift * sum_j weight_ij * v_j       attention_context
//
// Processes connected by streams. attention_scores keeps queries and keys and hands the values on; then it computes the
// logits of query i, group of heads g, for all keys j. attention_context keeps the values and adds up.
// Position: relative, row[y_j - y_i + height - 1] + col[x_j - x_i + width - 1], vectors of key_dim for all heads, looked
// up for each pair; additive, row[y_j] + col[x_j], vectors of n_heads * key_dim, added while the keys arrive.
//
// Folding: R = ReuseFactor = fold_heads * fold_dims; a beat and a word have SIMD = n_heads * key_dim / R lanes. These are
// n_heads / fold_heads heads with all of their dims, or, if that is one head, key_dim / fold_dims of its dims. The slices of a
// head follow each other for each key: their sum is one accumulator a head, and a pair's weight is used for all of the slices
// of a value before the next comes, so that no row of weights has to be kept.
//
//   cycles       3 * N * R + N * N * R, and 2 * N * fold_dims for softmax; plus the depth of the pipelines
//   multipliers  2 * SIMD; softmax: n_heads / fold_heads more
//   storage      queries, keys, values: N * R words of SIMD numbers each, one read or one write a cycle
//                relative: ROMs of (2 * height - 1) * fold_dims and (2 * width - 1) * fold_dims words of key_dim / fold_dims
//                numbers; additive: height * R and width * R words of SIMD numbers
//                sums: fold_dims words of SIMD accumulators (integer adds, which one clock can close), and n_heads / fold_heads
//                accumulators of logits
//                softmax: see nnet_softmax_ext.h, with n_heads / fold_heads lanes
//
// With softmax the last rows of an image are still in row_softmax when attention_scores is done with it. The values of the
// next image wait meanwhile, and attention_scores with them: within the cycles above, and nothing waits for them in turn.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <typename CONFIG_T> struct attention {
    static const int n_pixels = CONFIG_T::height * CONFIG_T::width;
    static const int heads = CONFIG_T::n_heads / CONFIG_T::fold_heads; // in a cycle
    static const int dims = CONFIG_T::key_dim / CONFIG_T::fold_dims;   // of each of them
    static const int lanes = heads * dims;
    static const int fold = CONFIG_T::fold_heads * CONFIG_T::fold_dims;
    static const int n_words = n_pixels * fold; // of all queries, keys or values
    static_assert(heads == 1 || CONFIG_T::fold_dims == 1, "hls4ml-ext: slices of several heads");

    // The word of a group of heads, a pixel and a slice: in the order in which keys and values are read.
    static int address(int group, int pixel, int slice) {
        #pragma HLS INLINE
        return (group * n_pixels + pixel) * CONFIG_T::fold_dims + slice;
    }
};

// A pixel of the map, in raster order; behind the last one comes the first.
template <typename CONFIG_T> struct attention_pixel {
    int number, row, col;

    attention_pixel() : number(0), row(0), col(0) {}

    bool last() const {
        #pragma HLS INLINE
        return number == attention<CONFIG_T>::n_pixels - 1;
    }

    void advance() {
        #pragma HLS INLINE
        const bool last_col = col == CONFIG_T::width - 1;
        row = last() ? 0 : (last_col ? row + 1 : row);
        number = last() ? 0 : number + 1;
        col = last_col ? 0 : col + 1;
    }
};

// The beat that arrives: of which pixel, of its queries, keys or values, of which heads and dims.
template <typename CONFIG_T> struct attention_arrival {
    attention_pixel<CONFIG_T> pixel;
    int part, group, slice;

    attention_arrival() : part(0), group(0), slice(0) {}

    int address() const {
        #pragma HLS INLINE
        return attention<CONFIG_T>::address(group, pixel.number, slice);
    }

    void advance() {
        #pragma HLS INLINE
        const bool last_slice = slice == CONFIG_T::fold_dims - 1;
        const bool last_word = last_slice && group == CONFIG_T::fold_heads - 1;
        if (last_word && part == 2)
            pixel.advance();
        part = last_word ? (part == 2 ? 0 : part + 1) : part;
        group = last_word ? 0 : (last_slice ? group + 1 : group);
        slice = last_slice ? 0 : slice + 1;
    }
};

// What is multiplied: for each query, each group of heads and each key, the slices of their dims.
template <typename CONFIG_T> struct attention_pair {
    attention_pixel<CONFIG_T> query, key;
    int group, slice;

    attention_pair() : group(0), slice(0) {}

    bool last_slice() const {
        #pragma HLS INLINE
        return slice == CONFIG_T::fold_dims - 1;
    }

    int address_of(const attention_pixel<CONFIG_T> &pixel) const {
        #pragma HLS INLINE
        return attention<CONFIG_T>::address(group, pixel.number, slice);
    }

    void advance() {
        #pragma HLS INLINE
        const bool next_key = last_slice();
        const bool next_group = next_key && key.last();
        const bool next_query = next_group && group == CONFIG_T::fold_heads - 1;
        if (next_query)
            query.advance();
        group = next_query ? 0 : (next_group ? group + 1 : group);
        if (next_key)
            key.advance();
        slice = next_key ? 0 : slice + 1;
    }
};

// ---------------------------------------------------------------------------------------------------------------
// Logits
// ---------------------------------------------------------------------------------------------------------------

// What is added to the keys, from a word of both tables: LANES numbers, which all heads share if they are fewer than lanes.
template <int LANES, typename CONFIG_T>
inline void attention_position(const typename CONFIG_T::row_word &row_word, const typename CONFIG_T::col_word &col_word,
                               int_t<CONFIG_T::key_width> position[attention<CONFIG_T>::lanes]) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::key_width> key_T;
    for (int first = 0; first < attention<CONFIG_T>::lanes; first += LANES) {
        #pragma HLS UNROLL
        for (int c = 0; c < LANES; c++) {
            #pragma HLS UNROLL
            const key_T row = rom_lane<LANES, CONFIG_T::row_width, CONFIG_T::row_signed>(row_word, c);
            const key_T col = rom_lane<LANES, CONFIG_T::col_width, CONFIG_T::col_signed>(col_word, c);
            position[first + c] = align<key_T, CONFIG_T::row_shift>(row) + align<key_T, CONFIG_T::col_shift>(col);
        }
    }
}

// Nothing.
template <typename CONFIG_T>
inline void attention_no_position(int_t<CONFIG_T::key_width> position[attention<CONFIG_T>::lanes]) {
    #pragma HLS INLINE
    for (int c = 0; c < attention<CONFIG_T>::lanes; c++) {
        #pragma HLS UNROLL
        position[c] = 0;
    }
}

// Keeps a beat of queries, or of keys with `position` added; hands a beat of values on.
template <class data_T, class value_T, typename CONFIG_T>
inline void
attention_keep(const data_T &beat, const attention_arrival<CONFIG_T> &arrival,
               const int_t<CONFIG_T::key_width> position[attention<CONFIG_T>::lanes], hls::stream<value_T> &values,
               stored_t<typename data_T::value_type> queries[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
               int_t<CONFIG_T::stored_key_width> keys[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes]) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::key_width> key_T;
    const int lanes = attention<CONFIG_T>::lanes;
    const int address = arrival.address();
    if (arrival.part == 0) {
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            queries[address][c] = to_stored(beat[c]);
        }
    } else if (arrival.part == 1) {
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const key_T key = align<key_T, CONFIG_T::stored_shift>(key_T(to_stored(beat[c]))) + position[c];
            keys[address][c] = int_t<CONFIG_T::stored_key_width>(key);
        }
    } else {
        value_T value;
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            value[c] = beat[c];
        }
        values.write(value);
    }
}

// The products of a cycle; with the last slice the logits are complete.
template <class x_T, class score_T, typename CONFIG_T>
inline void
attention_score(const attention_pair<CONFIG_T> &pair, const int_t<CONFIG_T::key_width> position[attention<CONFIG_T>::lanes],
                const x_T queries[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
                const int_t<CONFIG_T::stored_key_width> keys[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
                int_t<CONFIG_T::logit_width> acc[attention<CONFIG_T>::heads], hls::stream<score_T> &scores) {
    #pragma HLS INLINE
    typedef attention<CONFIG_T> A;
    typedef int_t<CONFIG_T::key_width> key_T;
    typedef int_t<CONFIG_T::logit_width> acc_T;
    const int query_address = pair.address_of(pair.query);
    const int key_address = pair.address_of(pair.key);
score_heads:
    for (int a = 0; a < A::heads; a++) {
        #pragma HLS UNROLL
        acc_T sum = 0;
    score_dims:
        for (int c = a * A::dims; c < (a + 1) * A::dims; c++) {
            #pragma HLS UNROLL
            const key_T key = align<key_T, CONFIG_T::key_shift>(key_T(keys[key_address][c])) + position[c];
            sum += multiply<CONFIG_T::logit_width, CONFIG_T::logit_multiplier>::call(queries[query_address][c], key);
        }
        acc[a] = (pair.slice == 0 ? acc_T(0) : acc[a]) + sum;
    }
    if (pair.last_slice()) {
        score_T score;
        for (int a = 0; a < A::heads; a++) {
            #pragma HLS UNROLL
            score[a] = requantize<typename score_T::value_type, CONFIG_T::logit_width, CONFIG_T::logit_frac>(acc[a]);
        }
        scores.write(score);
    }
}

// Without positions.
template <class data_T, class value_T, class score_T, typename CONFIG_T>
void attention_scores(
    hls::stream<data_T> &data, hls::stream<value_T> &values, hls::stream<score_T> &scores,
    stored_t<typename data_T::value_type> queries[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
    int_t<CONFIG_T::stored_key_width> keys[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes]) {
    typedef attention<CONFIG_T> A;
    int_t<CONFIG_T::key_width> position[A::lanes];
    #pragma HLS ARRAY_PARTITION variable=position complete
    attention_no_position<CONFIG_T>(position);
    attention_arrival<CONFIG_T> arrival;

scores_load:
    for (int t = 0; t < 3 * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        attention_keep<data_T, value_T, CONFIG_T>(data.read(), arrival, position, values, queries, keys);
        arrival.advance();
    }

    attention_pair<CONFIG_T> pair;
    int_t<CONFIG_T::logit_width> acc[A::heads];
    #pragma HLS ARRAY_PARTITION variable=acc complete

scores_pairs:
    for (int t = 0; t < A::n_pixels * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        attention_score<stored_t<typename data_T::value_type>, score_T, CONFIG_T>(pair, position, queries, keys, acc,
                                                                                  scores);
        pair.advance();
    }
}

// Additive positions: added to the keys while they arrive.
template <class data_T, class value_T, class score_T, typename CONFIG_T>
void attention_scores_additive(
    hls::stream<data_T> &data, hls::stream<value_T> &values, hls::stream<score_T> &scores,
    const typename CONFIG_T::row_word rows[CONFIG_T::n_row_words],
    const typename CONFIG_T::col_word cols[CONFIG_T::n_col_words],
    stored_t<typename data_T::value_type> queries[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
    int_t<CONFIG_T::stored_key_width> keys[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes]) {
    typedef attention<CONFIG_T> A;
    attention_arrival<CONFIG_T> arrival;

scores_additive_load:
    for (int t = 0; t < 3 * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        int_t<CONFIG_T::key_width> position[A::lanes];
        #pragma HLS ARRAY_PARTITION variable=position complete
        const int word = arrival.group * CONFIG_T::fold_dims + arrival.slice;
        attention_position<A::lanes, CONFIG_T>(rows[arrival.pixel.row * A::fold + word],
                                               cols[arrival.pixel.col * A::fold + word], position);
        attention_keep<data_T, value_T, CONFIG_T>(data.read(), arrival, position, values, queries, keys);
        arrival.advance();
    }

    attention_pair<CONFIG_T> pair;
    int_t<CONFIG_T::key_width> none[A::lanes];
    #pragma HLS ARRAY_PARTITION variable=none complete
    attention_no_position<CONFIG_T>(none);
    int_t<CONFIG_T::logit_width> acc[A::heads];
    #pragma HLS ARRAY_PARTITION variable=acc complete

scores_additive_pairs:
    for (int t = 0; t < A::n_pixels * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        attention_score<stored_t<typename data_T::value_type>, score_T, CONFIG_T>(pair, none, queries, keys, acc, scores);
        pair.advance();
    }
}

// Relative positions: looked up for each pair.
template <class data_T, class value_T, class score_T, typename CONFIG_T>
void attention_scores_relative(
    hls::stream<data_T> &data, hls::stream<value_T> &values, hls::stream<score_T> &scores,
    const typename CONFIG_T::row_word rows[CONFIG_T::n_row_words],
    const typename CONFIG_T::col_word cols[CONFIG_T::n_col_words],
    stored_t<typename data_T::value_type> queries[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
    int_t<CONFIG_T::stored_key_width> keys[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes]) {
    typedef attention<CONFIG_T> A;
    int_t<CONFIG_T::key_width> none[A::lanes];
    #pragma HLS ARRAY_PARTITION variable=none complete
    attention_no_position<CONFIG_T>(none);
    attention_arrival<CONFIG_T> arrival;

scores_relative_load:
    for (int t = 0; t < 3 * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        attention_keep<data_T, value_T, CONFIG_T>(data.read(), arrival, none, values, queries, keys);
        arrival.advance();
    }

    attention_pair<CONFIG_T> pair;
    int_t<CONFIG_T::logit_width> acc[A::heads];
    #pragma HLS ARRAY_PARTITION variable=acc complete

scores_relative_pairs:
    for (int t = 0; t < A::n_pixels * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        int_t<CONFIG_T::key_width> position[A::lanes];
        #pragma HLS ARRAY_PARTITION variable=position complete
        const int row = pair.key.row - pair.query.row + CONFIG_T::height - 1;
        const int col = pair.key.col - pair.query.col + CONFIG_T::width - 1;
        attention_position<A::dims, CONFIG_T>(rows[row * CONFIG_T::fold_dims + pair.slice],
                                              cols[col * CONFIG_T::fold_dims + pair.slice], position);
        attention_score<stored_t<typename data_T::value_type>, score_T, CONFIG_T>(pair, position, queries, keys, acc,
                                                                                  scores);
        pair.advance();
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Contexts
// ---------------------------------------------------------------------------------------------------------------

template <class value_T, class weight_T, class res_T, typename CONFIG_T>
void attention_context(
    hls::stream<value_T> &data, hls::stream<weight_T> &weights, hls::stream<res_T> &res,
    stored_t<typename value_T::value_type> values[attention<CONFIG_T>::n_words][attention<CONFIG_T>::lanes],
    int_t<CONFIG_T::context_width> sums[CONFIG_T::fold_dims][attention<CONFIG_T>::lanes]) {
    typedef attention<CONFIG_T> A;
    typedef int_t<CONFIG_T::context_width> acc_T;
    // The sum of a slice is read again for the next key.
    const int distance = CONFIG_T::fold_dims;
    #pragma HLS DEPENDENCE variable=sums inter RAW distance=distance true
    (void)distance; // only the pragma uses it
    const int context_frac = fixed_traits<typename weight_T::value_type>::frac +
                             fixed_traits<typename value_T::value_type>::frac + CONFIG_T::context_shift;

    int number = 0, load_group = 0, load_slice = 0; // the pixel, its heads and dims

context_load:
    for (int t = 0; t < A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const value_T value = data.read();
        for (int c = 0; c < A::lanes; c++) {
            #pragma HLS UNROLL
            values[A::address(load_group, number, load_slice)][c] = to_stored(value[c]);
        }
        const bool last_slice = load_slice == CONFIG_T::fold_dims - 1;
        const bool last_word = last_slice && load_group == CONFIG_T::fold_heads - 1;
        number += last_word ? 1 : 0;
        load_group = last_word ? 0 : (last_slice ? load_group + 1 : load_group);
        load_slice = last_slice ? 0 : load_slice + 1;
    }

    weight_T weight;
    int j = 0, slice = 0, address = 0; // the key, its slice, and the word of both

context_pairs:
    for (int t = 0; t < A::n_pixels * A::n_words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const bool last_slice = slice == CONFIG_T::fold_dims - 1;
        const bool last_key = j == A::n_pixels - 1;
        if (slice == 0)
            weight = weights.read();
        acc_T sum[A::lanes];
        #pragma HLS ARRAY_PARTITION variable=sum complete
        for (int c = 0; c < A::lanes; c++) {
            #pragma HLS UNROLL
            sum[c] = j == 0 ? acc_T(0) : sums[slice][c];
        }
    context_heads:
        for (int a = 0; a < A::heads; a++) {
            #pragma HLS UNROLL
        context_dims:
            for (int c = a * A::dims; c < (a + 1) * A::dims; c++) {
                #pragma HLS UNROLL
                sum[c] += multiply<CONFIG_T::context_width, CONFIG_T::context_multiplier>::call(to_stored(weight[a]),
                                                                                                values[address][c]);
            }
        }
        for (int c = 0; c < A::lanes; c++) {
            #pragma HLS UNROLL
            sums[slice][c] = sum[c];
        }
        if (last_key) {
            res_T beat;
            for (int c = 0; c < A::lanes; c++) {
                #pragma HLS UNROLL
                beat[c] = requantize<typename res_T::value_type, CONFIG_T::context_width, context_frac>(sum[c]);
            }
            res.write(beat);
        }
        // Keys and slices of a group of heads follow each other, and so do the groups.
        address = address == A::n_words - 1 ? 0 : address + 1;
        slice = last_slice ? 0 : slice + 1;
        j = last_slice ? (last_key ? 0 : j + 1) : j;
    }
}

} // namespace ext
} // namespace nnet

#endif
