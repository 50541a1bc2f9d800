#ifndef NNET_EXT_LAYER_NORM_H_
#define NNET_EXT_LAYER_NORM_H_

// Layer normalization over the channels of each pixel of a stream: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta,
// in the integers of hls4ml_ext/layers/normalization/tables.py:
//
//   d_c = C x_c - sum(x),  v = C sum(x^2) - sum(x)^2 + epsilon,  y_c = round(d_c * rsqrt(v)),  rsqrt(v) from a table
//
// Folding: ReuseFactor = fold_out: each cycle handles n_chan / ReuseFactor channels. While the statistics of a pixel are
// summed up, the pixel before it is normalized: token j goes out after token j + 1 has come in.
//
//   cycles       (n_pixels + 1) * ReuseFactor, plus the depth of the pipeline; no idle cycle between pixels
//   multipliers  3 * n_chan / ReuseFactor + 1: squares, normalization, gamma; the square of the sum
//   storage      table: ROM of n_table words of 12 bits, one read a pixel; gamma and beta: ROMs of ReuseFactor words
//                two pixels in registers
//
// Feedback from one cycle to the next is one integer addition for each of the two sums.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

// 1/sqrt(v) with 26 fractional bits: v * 4^shift has its leading one at bit 28 or 29; the bits from there on address the table.
template <typename CONFIG_T>
inline int_t<CONFIG_T::scale_width, false> rsqrt_of(const int_t<CONFIG_T::variance_width> &v,
                                                    typename CONFIG_T::table_t table[CONFIG_T::n_table]) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::variance_width> v_T;
    int_t<5, false> shift = 0;
rsqrt_leading_one:
    for (int k = 1; k <= CONFIG_T::normal_bits / 2; k++) {
        #pragma HLS UNROLL
        if (v < (v_T(1) << (2 * k)))
            shift++;
    }
    const v_T normal = v_T(v << (2 * shift));
    const int index = int(normal >> (CONFIG_T::normal_bits - CONFIG_T::index_bits)) - (1 << CONFIG_T::index_bits);
    const int_t<CONFIG_T::scale_width, false> word = to_stored(table[index]);
    return int_t<CONFIG_T::scale_width, false>(word << shift);
}

template <class data_T, class res_T, typename CONFIG_T>
void layer_norm(hls::stream<data_T> &data, hls::stream<res_T> &res, typename CONFIG_T::table_t table[CONFIG_T::n_table],
                typename CONFIG_T::gamma_t gamma[CONFIG_T::n_chan], typename CONFIG_T::beta_t beta[CONFIG_T::n_chan]) {
    typedef typename CONFIG_T::normal_t normal_T;
    typedef int_t<CONFIG_T::x_width> x_T;
    typedef int_t<CONFIG_T::sum_width> sum_T;
    typedef int_t<CONFIG_T::square_width> square_T;
    typedef int_t<CONFIG_T::variance_width> variance_T;
    typedef int_t<CONFIG_T::deviation_width> deviation_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    const int pe = CONFIG_T::n_chan / CONFIG_T::fold_out;
    const int n_cycles = (CONFIG_T::n_pixels + 1) * CONFIG_T::fold_out;
    const int scaled_frac = fixed_traits<normal_T>::frac + fixed_traits<typename CONFIG_T::gamma_t>::frac;
    const int beta_frac = fixed_traits<typename CONFIG_T::beta_t>::frac;
    const int acc_frac = max_of(scaled_frac, beta_frac);

    #pragma HLS ARRAY_RESHAPE variable=gamma cyclic factor=pe
    #pragma HLS ARRAY_RESHAPE variable=beta cyclic factor=pe

    x_T pixel[CONFIG_T::n_chan]; // its statistics are being summed up
    #pragma HLS ARRAY_PARTITION variable=pixel complete
    x_T previous[CONFIG_T::n_chan]; // it is being normalized
    #pragma HLS ARRAY_PARTITION variable=previous complete
    sum_T sum = 0, previous_sum = 0;
    square_T squares = 0;
    int_t<CONFIG_T::scale_width, false> scale = 0;
    res_T result;

layer_norm_start:
    for (int c = 0; c < CONFIG_T::n_chan; c++) {
        #pragma HLS UNROLL
        pixel[c] = 0;
    }

    int fold = 0;
layer_norm_cycles:
    for (int t = 0; t < n_cycles; t++) {
        #pragma HLS PIPELINE II=1
        if (fold == 0) {
            const variance_T spread = variance_T(CONFIG_T::n_chan * variance_T(squares)) -
                                      multiply<CONFIG_T::variance_width, CONFIG_T::multiplier>::call(sum, sum);
            scale = rsqrt_of<CONFIG_T>(spread + CONFIG_T::epsilon, table);
            previous_sum = sum;
            for (int c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                previous[c] = pixel[c];
            }
            sum = 0;
            squares = 0;
            if (t < CONFIG_T::n_pixels * CONFIG_T::fold_out) {
                data_T pixel_in = data.read();
                for (int c = 0; c < CONFIG_T::n_chan; c++) {
                    #pragma HLS UNROLL
                    pixel[c] = x_T(to_stored(pixel_in[c]) - CONFIG_T::offset);
                }
            }
        }

        sum_T part_sum = 0;
        square_T part_squares = 0;
        for (int p = 0; p < pe; p++) {
            #pragma HLS UNROLL
            const int c = fold * pe + p;
            part_sum += pixel[c];
            part_squares += multiply<CONFIG_T::square_width, CONFIG_T::multiplier>::call(pixel[c], pixel[c]);

            const deviation_T deviation = deviation_T(CONFIG_T::n_chan * deviation_T(previous[c])) - previous_sum;
            const int_t<CONFIG_T::product_width> product =
                multiply<CONFIG_T::product_width, CONFIG_T::multiplier>::call(deviation, scale);
            const normal_T y = requantize<normal_T, CONFIG_T::product_width, CONFIG_T::scale_frac>(product);
            const acc_T scaled =
                multiply<CONFIG_T::acc_width, CONFIG_T::multiplier>::call(to_stored(y), to_stored(gamma[c]));
            const acc_T acc =
                align<acc_T, acc_frac - scaled_frac>(scaled) + align<acc_T, acc_frac - beta_frac>(acc_T(to_stored(beta[c])));
            result[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(acc);
        }
        sum += part_sum;
        squares += part_squares;

        if (fold == CONFIG_T::fold_out - 1 && t >= CONFIG_T::fold_out)
            res.write(result);
        fold = fold == CONFIG_T::fold_out - 1 ? 0 : fold + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
