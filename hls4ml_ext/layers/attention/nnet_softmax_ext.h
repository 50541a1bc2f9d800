#ifndef NNET_EXT_SOFTMAX_H_
#define NNET_EXT_SOFTMAX_H_

// Softmax of rows: CONFIG_T::n_rows rows of CONFIG_T::row_length tokens, each lane of a token a softmax of its own.
// The integers are those of hls4ml_ext/layers/attention/tables.py, which also makes both tables:
//
//   e_j = exps[max(x) - x_j],  s = sum_j e_j = m * 2^p with 1 <= m < 2,  r = reciprocals[first bits of m]
//   w_j = min((e_j * r + half) >> (p + reciprocal_bits - weight_bits), 2^weight_bits - 1)
//
// Three phases overlap: while row r arrives and its maximum is found, the exponentials of row r - 1 are looked up and
// summed, and row r - 2 is normalised and leaves. Each buffer is written where it has just been read, hence one row is
// enough.
//
//   cycles       (n_rows + 2) * row_length, plus the depth of the pipeline; no idle cycle between rows
//   multipliers  one a lane
//   storage      logits, terms: row_length words, of a logit or an exponential for each lane; one read and one write a cycle
//                ROMs, a copy for each lane since all lanes look up at once: 2^(width of a logit) words of exp_bits and
//                2^index_bits words of reciprocal_bits bits

#include "nnet_ext.h"

namespace nnet {
namespace ext {

// The type of the results: res_T::value_type is ap_ufixed<weight_bits, 0>.
template <class data_T, class res_T, typename CONFIG_T>
void row_softmax(hls::stream<data_T> &data, hls::stream<res_T> &res,
                 const typename CONFIG_T::exp_word exps[CONFIG_T::n_exps],
                 const typename CONFIG_T::reciprocal_word reciprocals[CONFIG_T::n_reciprocals],
                 stored_t<typename data_T::value_type> logits[CONFIG_T::row_length][data_T::size],
                 int_t<CONFIG_T::exp_bits, false> terms[CONFIG_T::row_length][data_T::size]) {
    typedef typename data_T::value_type in_T;
    typedef typename res_T::value_type weight_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::exp_bits, false> exp_T;
    typedef int_t<CONFIG_T::reciprocal_bits, false> reciprocal_T;
    typedef int_t<CONFIG_T::sum_bits + 1> sum_T;
    typedef int_t<CONFIG_T::product_bits + 1> product_T;

    const int lanes = data_T::size;
    const int length = CONFIG_T::row_length;
    const int weight_bits = fixed_traits<weight_T>::width;
    const int index_bits = CONFIG_T::index_bits;
    static_assert(CONFIG_T::n_exps == 1 << fixed_traits<in_T>::width,
                  "hls4ml-ext: a table of exponentials for other logits");
    static_assert(CONFIG_T::n_reciprocals == 1 << index_bits, "hls4ml-ext: a table of reciprocals for another index");
    static_assert(fixed_traits<weight_T>::frac == weight_bits && !fixed_traits<weight_T>::is_signed,
                  "hls4ml-ext: softmax gives unsigned fractions");

    // What is written is read again a row later.
    #pragma HLS DEPENDENCE variable=logits inter RAW distance=length true
    #pragma HLS DEPENDENCE variable=terms inter RAW distance=length true

    x_T running_max[lanes], row_max[lanes]; // of the row that arrives; of the row before
    #pragma HLS ARRAY_PARTITION variable=running_max complete
    #pragma HLS ARRAY_PARTITION variable=row_max complete
    sum_T sum[lanes];
    #pragma HLS ARRAY_PARTITION variable=sum complete
    reciprocal_T reciprocal[lanes]; // 1 / sum of the row that leaves
    #pragma HLS ARRAY_PARTITION variable=reciprocal complete
    int shift[lanes];
    #pragma HLS ARRAY_PARTITION variable=shift complete
    for (int a = 0; a < lanes; a++) {
        #pragma HLS UNROLL
        running_max[a] = 0;
        row_max[a] = 0;
        sum[a] = 0;
        reciprocal[a] = 0;
        shift[a] = 1;
    }

    int row = 0, j = 0;

softmax_cycles:
    for (int t = 0; t < (CONFIG_T::n_rows + 2) * length; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const bool last = j == length - 1;

        // Row - 2 leaves. The phases stand in this order because each reads what the next one overwrites.
        if (row >= 2) {
            res_T token;
        softmax_normalise:
            for (int a = 0; a < lanes; a++) {
                #pragma HLS UNROLL
                const product_T half = product_T(1) << (shift[a] - 1);
                const product_T product =
                    multiply<CONFIG_T::product_bits + 1, CONFIG_T::multiplier>::call(terms[j][a], reciprocal[a]);
                const product_T weight = (product + half) >> shift[a];
                const product_T largest = (product_T(1) << weight_bits) - 1;
                token[a] = from_stored<weight_T>(stored_t<weight_T>(weight > largest ? largest : weight));
            }
            res.write(token);
        }

        // Row - 1: exponentials and their sum.
        if (row >= 1 && row <= CONFIG_T::n_rows) {
        softmax_exp:
            for (int a = 0; a < lanes; a++) {
                #pragma HLS UNROLL
                const int difference = int(row_max[a]) - int(logits[j][a]);
                const exp_T term = rom_lane<1, CONFIG_T::exp_bits, false>(exps[difference], 0);
                terms[j][a] = term;
                sum[a] = (j == 0 ? sum_T(0) : sum[a]) + sum_T(term);
                if (last) {
                    // The leading one of the sum, which is at least the largest exponential.
                    int exponent = CONFIG_T::exp_bits - 1;
                    for (int b = CONFIG_T::exp_bits; b < CONFIG_T::sum_bits; b++) {
                        #pragma HLS UNROLL
                        if (((sum[a] >> b) & 1) != 0)
                            exponent = b;
                    }
                    const int index = int(sum_T(sum[a] >> (exponent - index_bits))) & ((1 << index_bits) - 1);
                    reciprocal[a] = rom_lane<1, CONFIG_T::reciprocal_bits, false>(reciprocals[index], 0);
                    shift[a] = exponent + CONFIG_T::reciprocal_bits - weight_bits;
                }
            }
        }

        // This row arrives.
        if (row < CONFIG_T::n_rows) {
            const data_T token = data.read();
        softmax_max:
            for (int a = 0; a < lanes; a++) {
                #pragma HLS UNROLL
                const x_T x = to_stored(token[a]);
                logits[j][a] = x;
                running_max[a] = j == 0 || x > running_max[a] ? x : running_max[a];
                if (last)
                    row_max[a] = running_max[a];
            }
        }

        row += last ? 1 : 0;
        j = last ? 0 : j + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
