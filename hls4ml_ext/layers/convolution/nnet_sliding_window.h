#ifndef NNET_EXT_SLIDING_WINDOW_H_
#define NNET_EXT_SLIDING_WINDOW_H_

// The sliding window that convolution and pooling share.
//
// Pixels arrive in raster order and are numbered linearly, pos = row * in_width + col. The window whose last tap is
// pixel `pos` holds the pixels pos - k * in_width - j, so it simply runs on over the end of a row: no idle cycle
// between rows, and taps outside the image are masked when the window is used. The output (row, col) is ready at
//
//     last_tap(row, col) = (row * stride_height + filt_height - 1 - pad_top) * in_width
//                        +  col * stride_width  + filt_width  - 1 - pad_left
//
// Positions beyond the image only flush the window: nothing is read for them.
//
// Storage: (filt_height - 1) * in_width pixels in the line buffer (BRAM or LUTRAM, one read and one write a cycle
// for each row), filt_height * filt_width pixels in registers.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <typename CONFIG_T> struct sliding_window {
    static const int n_pixels = CONFIG_T::in_height * CONFIG_T::in_width;
    static const int n_outputs = CONFIG_T::out_height * CONFIG_T::out_width;
    static const int n_taps = CONFIG_T::filt_height * CONFIG_T::filt_width;
    static const int n_lines = max_of(CONFIG_T::filt_height - 1, 1);
    static const int first_tap =
        (CONFIG_T::filt_height - 1 - CONFIG_T::pad_top) * CONFIG_T::in_width + CONFIG_T::filt_width - 1 - CONFIG_T::pad_left;
    static const int last_tap = ((CONFIG_T::out_height - 1) * CONFIG_T::stride_height) * CONFIG_T::in_width +
                                (CONFIG_T::out_width - 1) * CONFIG_T::stride_width + first_tap;
    // Positions until the last output is out and the last pixel is in.
    static const int n_positions = last_tap + 1 > n_pixels ? last_tap + 1 : n_pixels;
    // From the last output of a row to the first of the next.
    static const int row_step =
        CONFIG_T::stride_height * CONFIG_T::in_width - (CONFIG_T::out_width - 1) * CONFIG_T::stride_width;

    // Is tap (k, j) of the window of output (row, col) inside the image?
    static bool inside(int row, int col, int k, int j) {
        #pragma HLS INLINE
        const int y = row * CONFIG_T::stride_height - CONFIG_T::pad_top + k;
        const int x = col * CONFIG_T::stride_width - CONFIG_T::pad_left + j;
        return y >= 0 && y < CONFIG_T::in_height && x >= 0 && x < CONFIG_T::in_width;
    }
};

// The output that comes next: its place, and the position of its window's last tap.
template <typename CONFIG_T> struct next_output {
    int row, col, tap;

    next_output() : row(0), col(0), tap(sliding_window<CONFIG_T>::first_tap) {}

    // Is its window complete, with the pixel at `pos`?
    bool ready(int pos) const {
        #pragma HLS INLINE
        return pos == tap && row < CONFIG_T::out_height;
    }

    void advance() {
        #pragma HLS INLINE
        const bool last_of_row = col == CONFIG_T::out_width - 1;
        tap += last_of_row ? sliding_window<CONFIG_T>::row_step : CONFIG_T::stride_width;
        row += last_of_row ? 1 : 0;
        col = last_of_row ? 0 : col + 1;
    }
};

// Shifts one pixel into the window; `col` is the column of the pixel, pos % in_width.
template <class x_T, typename CONFIG_T>
inline void shift_in(const x_T pixel[CONFIG_T::n_chan],
                     x_T line[sliding_window<CONFIG_T>::n_lines][CONFIG_T::in_width][CONFIG_T::n_chan],
                     x_T window[CONFIG_T::filt_height][CONFIG_T::filt_width][CONFIG_T::n_chan], int col) {
    #pragma HLS INLINE
shift_rows:
    for (int k = 0; k < CONFIG_T::filt_height; k++) {
        #pragma HLS UNROLL
    shift_columns:
        for (int j = 0; j < CONFIG_T::filt_width - 1; j++) {
            #pragma HLS UNROLL
            for (int c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                window[k][j][c] = window[k][j + 1][c];
            }
        }
    }
enter_rows:
    for (int k = 0; k < CONFIG_T::filt_height; k++) {
        #pragma HLS UNROLL
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            // Row k of the window is row k of the line buffer, except the last, which is the pixel that arrives.
            const x_T entering = k < CONFIG_T::filt_height - 1 ? line[k][col][c] : pixel[c];
            window[k][CONFIG_T::filt_width - 1][c] = entering;
            if (k > 0)
                line[k - 1][col][c] = entering;
        }
    }
}

// Lets the pixel at `pos` enter the window: it is read, or zeros beyond the image; `col` is pos % in_width.
template <class x_T, typename CONFIG_T, class data_T>
inline void enter_pixel(hls::stream<data_T> &data,
                        x_T line[sliding_window<CONFIG_T>::n_lines][CONFIG_T::in_width][CONFIG_T::n_chan],
                        x_T window[CONFIG_T::filt_height][CONFIG_T::filt_width][CONFIG_T::n_chan], int pos, int col) {
    #pragma HLS INLINE
    x_T pixel[CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=pixel complete
    if (pos < sliding_window<CONFIG_T>::n_pixels) {
        data_T pixel_in = data.read();
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            pixel[c] = to_stored(pixel_in[c]);
        }
    } else {
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            pixel[c] = 0;
        }
    }
    shift_in<x_T, CONFIG_T>(pixel, line, window, col);
}

} // namespace ext
} // namespace nnet

#endif
