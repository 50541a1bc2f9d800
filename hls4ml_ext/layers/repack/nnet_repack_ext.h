#ifndef NNET_REPACK_EXT_H_
#define NNET_REPACK_EXT_H_

// The same numbers in wider or narrower beats. One width divides the other; a shift register holds the wider beat, so that
// every lane is at a constant position.
//
//   cycles   one for each beat of the narrower stream; no multipliers
//   storage  one beat of the wider stream, in registers

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T> void repack(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef typename data_T::value_type T;
    const int from = data_T::size, to = res_T::size;
    const int wide = max_of(from, to);
    const int narrow = from + to - wide;
    static_assert(wide % narrow == 0, "hls4ml-ext: a repack between widths of which none divides the other");

    T lanes[wide];
    #pragma HLS ARRAY_PARTITION variable=lanes complete
    int slot = 0; // which narrow beat of the wide one

repack_cycles:
    for (int t = 0; t < CONFIG_T::n_cycles; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        if (from > to) {
            if (slot == 0) {
                const data_T beat = data.read();
                for (int c = 0; c < wide; c++) {
                    #pragma HLS UNROLL
                    lanes[c] = beat[c];
                }
            }
            res_T beat_out;
            for (int c = 0; c < narrow; c++) {
                #pragma HLS UNROLL
                beat_out[c] = lanes[c];
            }
            res.write(beat_out);
            for (int c = 0; c < wide - narrow; c++) {
                #pragma HLS UNROLL
                lanes[c] = lanes[c + narrow];
            }
        } else {
            const data_T beat = data.read();
            for (int c = 0; c < wide - narrow; c++) {
                #pragma HLS UNROLL
                lanes[c] = lanes[c + narrow];
            }
            for (int c = 0; c < narrow; c++) {
                #pragma HLS UNROLL
                lanes[wide - narrow + c] = beat[c];
            }
            if (slot == wide / narrow - 1) {
                res_T beat_out;
                for (int c = 0; c < wide; c++) {
                    #pragma HLS UNROLL
                    beat_out[c] = lanes[c];
                }
                res.write(beat_out);
            }
        }
        slot = slot == wide / narrow - 1 ? 0 : slot + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
