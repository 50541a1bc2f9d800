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
// Folding: ReuseFactor = fold_heads * fold_dims. Each cycle multiplies key_dim / fold_dims elements of
// n_heads / fold_heads heads, in attention_scores and in attention_context.
//
//   cycles       ReLU: N + N * N * ReuseFactor; softmax: the larger of that and (N * fold_heads + 2) * N; plus the depth of
//                the pipelines; no idle cycle in between
//   multipliers  2 * n_heads * key_dim / ReuseFactor; softmax: n_heads / fold_heads more
//   storage      queries, keys and values: N words of n_heads * key_dim numbers each, one read and one write a cycle
//                relative: ROMs of (2 * height - 1) * fold_dims and (2 * width - 1) * fold_dims words of
//                key_dim / fold_dims numbers; additive: height and width words of n_heads * key_dim numbers
//                n_heads / fold_heads * (key_dim + 1) accumulators (integer adds, which one clock can close)
//                softmax: see nnet_softmax_ext.h, with n_heads / fold_heads lanes; and a FIFO of N words of values, so that
//                the next image can enter while the last rows of this one are still in the softmax

#include "nnet_softmax_ext.h"

namespace nnet {
namespace ext {

enum attention_position { position_none, position_additive, position_relative };

template <typename CONFIG_T> struct attention {
    static const int n_pixels = CONFIG_T::height * CONFIG_T::width;
    static const int inner = CONFIG_T::n_heads * CONFIG_T::key_dim;
    static const int heads = CONFIG_T::n_heads / CONFIG_T::fold_heads; // in a cycle
    static const int dims = CONFIG_T::key_dim / CONFIG_T::fold_dims;   // of a head in a cycle
    static const int n_cycles = n_pixels + n_pixels * n_pixels * CONFIG_T::fold_heads * CONFIG_T::fold_dims;
};

template <class data_T, class value_T, class score_T, typename CONFIG_T>
void attention_scores(hls::stream<data_T> &data, hls::stream<value_T> &values, hls::stream<score_T> &scores,
                      typename CONFIG_T::row_t rows[CONFIG_T::n_rows_table],
                      typename CONFIG_T::col_t cols[CONFIG_T::n_cols_table]) {
    typedef attention<CONFIG_T> A;
    typedef typename data_T::value_type in_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::key_width> key_T;
    typedef int_t<CONFIG_T::stored_key_width> stored_key_T; // with the position, if that is additive
    typedef int_t<CONFIG_T::logit_width> acc_T;

    const int n_pixels = A::n_pixels;
    const int in_align = CONFIG_T::key_frac - fixed_traits<in_T>::frac;
    const int row_align = CONFIG_T::key_frac - fixed_traits<typename CONFIG_T::row_t>::frac;
    const int col_align = CONFIG_T::key_frac - fixed_traits<typename CONFIG_T::col_t>::frac;
    const bool additive = CONFIG_T::position == position_additive;
    const bool relative = CONFIG_T::position == position_relative;
    const int word = additive ? A::inner : (relative ? A::dims : 1);
    const int logit_frac = fixed_traits<in_T>::frac + CONFIG_T::key_frac + CONFIG_T::logit_shift;

    #pragma HLS ARRAY_RESHAPE variable=rows cyclic factor=word
    #pragma HLS ARRAY_RESHAPE variable=cols cyclic factor=word

    x_T queries[A::n_pixels][A::inner];
    #pragma HLS ARRAY_RESHAPE variable=queries complete dim=2
    #pragma HLS BIND_STORAGE variable=queries type=ram_s2p
    stored_key_T keys[A::n_pixels][A::inner];
    #pragma HLS ARRAY_RESHAPE variable=keys complete dim=2
    #pragma HLS BIND_STORAGE variable=keys type=ram_s2p
    // Pixel j is written in cycle j and first read n_pixels cycles later.
    #pragma HLS DEPENDENCE variable=queries inter RAW distance=n_pixels true
    #pragma HLS DEPENDENCE variable=keys inter RAW distance=n_pixels true
    acc_T acc[A::heads];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    score_T score;

    int i = 0, row_i = 0, col_i = 0; // the query
    int j = 0, row_j = 0, col_j = 0; // the key, or the pixel that arrives
    int group = 0, slice = 0;

scores_cycles:
    for (int t = 0; t < A::n_cycles; t++) {
        #pragma HLS PIPELINE II=1
        bool next_key = true;
        if (t < n_pixels) {
            const data_T pixel = data.read();
            value_T value;
        scores_load:
            for (int c = 0; c < A::inner; c++) {
                #pragma HLS UNROLL
                queries[j][c] = to_stored(pixel[c]);
                if (additive) {
                    key_T key = align<key_T, in_align>(key_T(to_stored(pixel[A::inner + c])));
                    key += align<key_T, row_align>(key_T(to_stored(rows[row_j * word + c])));
                    key += align<key_T, col_align>(key_T(to_stored(cols[col_j * word + c])));
                    keys[j][c] = stored_key_T(key);
                } else {
                    keys[j][c] = stored_key_T(to_stored(pixel[A::inner + c]));
                }
                value[c] = pixel[2 * A::inner + c];
            }
            values.write(value);
        } else {
            const int row_offset = ((row_j - row_i + CONFIG_T::height - 1) * CONFIG_T::fold_dims + slice) * word;
            const int col_offset = ((col_j - col_i + CONFIG_T::width - 1) * CONFIG_T::fold_dims + slice) * word;
            const bool last_slice = slice == CONFIG_T::fold_dims - 1;
            key_T position[A::dims];
            #pragma HLS ARRAY_PARTITION variable=position complete
            for (int c = 0; c < A::dims; c++) {
                #pragma HLS UNROLL
                position[c] = 0;
                if (relative)
                    position[c] = align<key_T, row_align>(key_T(to_stored(rows[row_offset + c]))) +
                                  align<key_T, col_align>(key_T(to_stored(cols[col_offset + c])));
            }
        scores_heads:
            for (int a = 0; a < A::heads; a++) {
                #pragma HLS UNROLL
                const int first = (group * A::heads + a) * CONFIG_T::key_dim + slice * A::dims;
                acc_T sum = 0;
            scores_dims:
                for (int c = 0; c < A::dims; c++) {
                    #pragma HLS UNROLL
                    const key_T stored = key_T(keys[j][first + c]);
                    const key_T key = (additive ? stored : align<key_T, in_align>(stored)) + position[c];
                    sum += multiply<CONFIG_T::logit_width, CONFIG_T::multiplier>::call(queries[i][first + c], key);
                }
                acc[a] = (slice == 0 ? acc_T(0) : acc[a]) + sum;
                score[a] = requantize<typename score_T::value_type, CONFIG_T::logit_width, logit_frac>(acc[a]);
            }
            if (last_slice)
                scores.write(score);
            next_key = last_slice;
            slice = last_slice ? 0 : slice + 1;
        }
        if (next_key) {
            const bool last_col = col_j == CONFIG_T::width - 1;
            const bool last_key = j == n_pixels - 1;
            j = last_key ? 0 : j + 1;
            row_j = last_key ? 0 : (last_col ? row_j + 1 : row_j);
            col_j = last_col ? 0 : col_j + 1;
            if (last_key && t >= n_pixels) { // this group of heads has met all keys
                const bool last_group = group == CONFIG_T::fold_heads - 1;
                group = last_group ? 0 : group + 1;
                if (last_group) {
                    const bool last_query_col = col_i == CONFIG_T::width - 1;
                    i++;
                    row_i = last_query_col ? row_i + 1 : row_i;
                    col_i = last_query_col ? 0 : col_i + 1;
                }
            }
        }
    }
}

template <class value_T, class weight_T, class res_T, typename CONFIG_T>
void attention_context(hls::stream<value_T> &data, hls::stream<weight_T> &weights, hls::stream<res_T> &res) {
    typedef attention<CONFIG_T> A;
    typedef stored_t<typename value_T::value_type> v_T;
    typedef int_t<CONFIG_T::context_width> acc_T;

    const int n_pixels = A::n_pixels;
    const int group_size = A::heads * CONFIG_T::key_dim;
    const int context_frac = fixed_traits<typename weight_T::value_type>::frac +
                             fixed_traits<typename value_T::value_type>::frac + CONFIG_T::context_shift;

    v_T values[A::n_pixels][A::inner];
    #pragma HLS ARRAY_RESHAPE variable=values complete dim=2
    #pragma HLS BIND_STORAGE variable=values type=ram_s2p
    #pragma HLS DEPENDENCE variable=values inter RAW distance=n_pixels true
    acc_T acc[group_size];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    weight_T weight;
    res_T pixel_out;

    int j = 0, group = 0, slice = 0;

context_cycles:
    for (int t = 0; t < A::n_cycles; t++) {
        #pragma HLS PIPELINE II=1
        bool next_key = true;
        if (t < n_pixels) {
            const value_T pixel = data.read();
            for (int c = 0; c < A::inner; c++) {
                #pragma HLS UNROLL
                values[j][c] = to_stored(pixel[c]);
            }
        } else {
            const bool last_slice = slice == CONFIG_T::fold_dims - 1;
            const bool last_key = j == n_pixels - 1;
            const bool last_group = group == CONFIG_T::fold_heads - 1;
            if (slice == 0)
                weight = weights.read();
        context_heads:
            for (int a = 0; a < A::heads; a++) {
                #pragma HLS UNROLL
            context_dims:
                for (int c = 0; c < A::dims; c++) {
                    #pragma HLS UNROLL
                    const int d = a * CONFIG_T::key_dim + slice * A::dims + c;
                    acc[d] = (j == 0 ? acc_T(0) : acc[d]) + multiply<CONFIG_T::context_width, CONFIG_T::multiplier>::call(
                                                                to_stored(weight[a]), values[j][group * group_size + d]);
                    if (last_key)
                        pixel_out[group * group_size + d] =
                            requantize<typename res_T::value_type, CONFIG_T::context_width, context_frac>(acc[d]);
                }
            }
            if (last_slice && last_key && last_group)
                res.write(pixel_out);
            next_key = last_slice;
            if (last_slice && last_key)
                group = last_group ? 0 : group + 1;
            slice = last_slice ? 0 : slice + 1;
        }
        if (next_key)
            j = j == n_pixels - 1 ? 0 : j + 1;
    }
}

// ReLU attention: the rounding of a logit to CONFIG_T::score_t, which is unsigned, is the rectifier.
template <class data_T, class res_T, typename CONFIG_T>
void relu_attention(hls::stream<data_T> &data, hls::stream<res_T> &res,
                    typename CONFIG_T::row_t rows[CONFIG_T::n_rows_table],
                    typename CONFIG_T::col_t cols[CONFIG_T::n_cols_table]) {
    #pragma HLS DATAFLOW
    typedef attention<CONFIG_T> A;
    typedef nnet::array<typename data_T::value_type, A::inner> value_T;
    typedef nnet::array<typename CONFIG_T::score_t, A::heads> score_T;

    hls::stream<value_T> values("values");
    #pragma HLS STREAM variable=values depth=2
    hls::stream<score_T> scores("scores");
    #pragma HLS STREAM variable=scores depth=2

    attention_scores<data_T, value_T, score_T, CONFIG_T>(data, values, scores, rows, cols);
    attention_context<value_T, score_T, res_T, CONFIG_T>(values, scores, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void softmax_attention(hls::stream<data_T> &data, hls::stream<res_T> &res,
                       typename CONFIG_T::row_t rows[CONFIG_T::n_rows_table],
                       typename CONFIG_T::col_t cols[CONFIG_T::n_cols_table],
                       typename CONFIG_T::exp_t exps[CONFIG_T::n_exps],
                       typename CONFIG_T::reciprocal_t reciprocals[CONFIG_T::n_reciprocals]) {
    #pragma HLS DATAFLOW
    typedef attention<CONFIG_T> A;
    typedef nnet::array<typename data_T::value_type, A::inner> value_T;
    typedef nnet::array<typename CONFIG_T::score_t, A::heads> score_T;
    typedef nnet::array<typename CONFIG_T::weight_t, A::heads> weight_T;

    hls::stream<value_T> values("values");
    #pragma HLS STREAM variable=values depth=CONFIG_T::row_length
    hls::stream<score_T> scores("scores");
    #pragma HLS STREAM variable=scores depth=2
    hls::stream<weight_T> weights("weights");
    #pragma HLS STREAM variable=weights depth=2

    attention_scores<data_T, value_T, score_T, CONFIG_T>(data, values, scores, rows, cols);
    row_softmax<score_T, weight_T, CONFIG_T>(scores, weights, exps, reciprocals);
    attention_context<value_T, weight_T, res_T, CONFIG_T>(values, weights, res);
}

} // namespace ext
} // namespace nnet

#endif
